"""Questions that the store answers; see `ports/store.py` for the contract as a whole."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from dispatcher.core.model import Event, EventType, Job
from dispatcher.ports.views import (
    Backlog,
    DeliveryFilter,
    DeliveryPage,
    DeliveryRecord,
    DestinationFilter,
    DestinationPage,
    DestinationRecord,
    FeedPage,
    Heads,
    JobFilter,
    JobPage,
    JobRecord,
)


class JobReader(Protocol):
    """Questions about jobs; a `caller_id` of None sees every caller's."""

    async def get_job(
        self, job_id: str, caller_id: str | None, *, with_input: bool = False
    ) -> JobRecord | None:
        """A job with its delivery's summary and its result if that may stand inline."""
        ...

    async def get_result(
        self, job_id: str, caller_id: str | None
    ) -> tuple[Job, bytes | None] | None:
        """A job with its result, at any size."""
        ...

    async def get_input(self, job_id: str, caller_id: str | None) -> tuple[Job, bytes] | None:
        """A job with its input, at any size."""
        ...

    async def list_jobs(self, wanted: JobFilter, *, limit: int, before: int | None) -> JobPage:
        """Jobs, newest first; without inputs and results."""
        ...

    async def list_deliveries(
        self, wanted: DeliveryFilter, *, limit: int, before: int | None
    ) -> DeliveryPage:
        """Deliveries, newest first, each with its attempts."""
        ...

    async def get_delivery(self, delivery_id: str, caller_id: str | None) -> DeliveryRecord | None:
        """A delivery with its attempts; None too once it was erased with its job."""
        ...

    async def list_events(
        self, job_id: str, caller_id: str | None, *, limit: int, after: int
    ) -> tuple[Job, tuple[tuple[Event, bytes | None], ...]] | None:
        """A job and its stored events with `sequence` above `after`, oldest first.

        Each event comes with the result if it is the job's last and the result may stand inline.
        """
        ...


class FeedReader(Protocol):
    """The events of a caller (None: of everyone) in the order in which they were committed.

    Cursors are made by the store, and stand for a place in that order; what they say is nobody
    else's business. A cursor never passes an event whose commit may still come: whoever reads on
    from `next` has every event exactly once. What is committed behind such a one is held back until
    it is known what became of it, and the page says so. A number in them must never come again, so
    that a cursor stays good after what it stood at was erased.
    """

    async def list_feed(
        self,
        caller_id: str | None,
        *,
        after: str | None,
        types: Collection[EventType] | None,
        limit: int,
    ) -> FeedPage:
        """Up to `limit` events after a cursor, oldest first; None: from the oldest that is kept.

        `types` None: of every type. The page looks at a bounded number of events. `gap`: events
        after the cursor were erased (with their job, at the end of its retention), or the cursor
        was never this store's: then it goes on with the oldest that is kept.
        """
        ...

    async def heads(self, job_ids: Sequence[str], caller_ids: Collection[str | None]) -> Heads:
        """How far jobs and feeds have come: one question for many who wait.

        `job_ids` are as many as a few thousand.
        """
        ...


class DestinationReader(Protocol):
    """Questions about destinations, for operators."""

    async def list_destinations(
        self, wanted: DestinationFilter, *, limit: int, before: int | None
    ) -> DestinationPage:
        """Destinations, newest first. One with nothing to say of it may be forgotten meanwhile."""
        ...

    async def get_destination(self, destination_id: str) -> DestinationRecord | None:
        """A destination by its id (`dst_…`); None too once it is forgotten."""
        ...


class BacklogReader(Protocol):
    """How much there is to do."""

    async def backlog(self, most: int) -> Backlog:
        """Count what waits and what is under way, by index, whatever is done already.

        Its cost is bounded: each count ends at about `most` rows (so many or more are there), and
        no more lanes and destinations than that are looked at, the longest unserved first.
        """
        ...
