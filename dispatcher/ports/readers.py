"""Questions that the store answers; see `ports/store.py` for the contract as a whole."""

from __future__ import annotations

from typing import Protocol

from dispatcher.core.model import Event, Job
from dispatcher.ports.views import (
    Backlog,
    DeliveryFilter,
    DeliveryPage,
    DeliveryRecord,
    DestinationFilter,
    DestinationPage,
    DestinationRecord,
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
