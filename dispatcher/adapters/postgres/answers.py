"""The part of the store that answers questions, over the reading connections."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dispatcher.adapters.postgres import feed, reading, selecting
from dispatcher.adapters.postgres.backlog import backlog
from dispatcher.adapters.postgres.destinations_kept import get_destination, list_destinations
from dispatcher.adapters.postgres.erasing import Eraser
from dispatcher.adapters.postgres.reader import Readers
from dispatcher.core.model import Event, EventType, Job
from dispatcher.ports.bulk import BulkState, SelectedDeliveries, SelectedJobs
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


class Answers:
    """Implements `dispatcher.ports.readers`, and the questions of `bulk` and `erasing` there."""

    _readers: Readers
    _eraser: Eraser

    async def get_job(
        self, job_id: str, caller_id: str | None, *, with_input: bool = False
    ) -> JobRecord | None:
        """See `JobReader.get_job`."""
        return await self._readers.ask(reading.get_job, job_id, caller_id, with_input=with_input)

    async def get_result(
        self, job_id: str, caller_id: str | None
    ) -> tuple[Job, bytes | None] | None:
        """See `JobReader.get_result`."""
        return await self._readers.ask(reading.get_result, job_id, caller_id)

    async def get_input(self, job_id: str, caller_id: str | None) -> tuple[Job, bytes] | None:
        """See `JobReader.get_input`."""
        return await self._readers.ask(reading.get_input, job_id, caller_id)

    async def list_jobs(self, wanted: JobFilter, *, limit: int, before: int | None) -> JobPage:
        """See `JobReader.list_jobs`."""
        return await self._readers.ask(reading.list_jobs, wanted, limit=limit, before=before)

    async def list_deliveries(
        self, wanted: DeliveryFilter, *, limit: int, before: int | None
    ) -> DeliveryPage:
        """See `JobReader.list_deliveries`."""
        return await self._readers.ask(reading.list_deliveries, wanted, limit=limit, before=before)

    async def get_delivery(self, delivery_id: str, caller_id: str | None) -> DeliveryRecord | None:
        """See `JobReader.get_delivery`."""
        return await self._readers.ask(reading.get_delivery, delivery_id, caller_id)

    async def list_events(
        self, job_id: str, caller_id: str | None, *, limit: int, after: int
    ) -> tuple[Job, tuple[tuple[Event, bytes | None], ...]] | None:
        """See `JobReader.list_events`."""
        return await self._readers.ask(
            reading.list_events, job_id, caller_id, limit=limit, after=after
        )

    async def list_feed(
        self,
        caller_id: str | None,
        *,
        after: str | None,
        types: Collection[EventType] | None,
        limit: int,
    ) -> FeedPage:
        """See `FeedReader.list_feed`."""
        return await self._readers.ask(
            feed.list_feed, caller_id, after=after, types=types, limit=limit
        )

    async def heads(self, job_ids: Sequence[str], caller_ids: Collection[str | None]) -> Heads:
        """See `FeedReader.heads`."""
        return await self._readers.ask(feed.heads, job_ids, caller_ids)

    async def list_destinations(
        self, wanted: DestinationFilter, *, limit: int, before: int | None
    ) -> DestinationPage:
        """See `DestinationReader.list_destinations`."""
        return await self._readers.ask(list_destinations, wanted, limit=limit, before=before)

    async def get_destination(self, destination_id: str) -> DestinationRecord | None:
        """See `DestinationReader.get_destination`."""
        return await self._readers.ask(get_destination, destination_id)

    async def backlog(self, most: int) -> Backlog:
        """See `BacklogReader.backlog`."""
        return await self._readers.ask(backlog, most)

    async def bulk_state(self, job_id: str) -> BulkState:
        """See `BulkStore.bulk_state`."""
        return await self._readers.ask(selecting.bulk_state, job_id)

    async def select_deliveries(
        self, wanted: DeliveryFilter, *, after: int, limit: int
    ) -> SelectedDeliveries:
        """See `BulkStore.select_deliveries`."""
        return await self._readers.ask(
            selecting.select_deliveries, wanted, after=after, limit=limit
        )

    async def select_jobs(
        self,
        wanted: JobFilter,
        *,
        before_job: str,
        after: int,
        limit: int,
        with_input: bool = False,
    ) -> SelectedJobs:
        """See `BulkStore.select_jobs`."""
        return await self._readers.ask(
            selecting.select_jobs,
            wanted,
            before_job=before_job,
            after=after,
            limit=limit,
            with_input=with_input,
        )

    async def was_erased(self, id: str, caller_id: str | None) -> bool:  # noqa: A002  # the port's own word
        """See `EraseStore.was_erased`."""
        return await self._readers.ask(self._eraser.was_erased, id, caller_id)
