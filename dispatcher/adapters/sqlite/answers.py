"""The part of the store that answers questions, from the reading threads."""

from __future__ import annotations

from dispatcher.adapters.sqlite import reading
from dispatcher.adapters.sqlite.backlog import backlog
from dispatcher.adapters.sqlite.destinations_kept import get_destination, list_destinations
from dispatcher.adapters.sqlite.reader import Readers
from dispatcher.core.model import Event, Job
from dispatcher.ports.system import Clock
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


class Answers:
    """Implements `dispatcher.ports.readers`."""

    _readers: Readers
    _clock: Clock

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

    async def list_jobs(self, wanted: JobFilter, *, limit: int, before: int | None) -> JobPage:
        """See `JobReader.list_jobs`."""
        now = self._clock.now()
        return await self._readers.ask(reading.list_jobs, wanted, now, limit=limit, before=before)

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

    async def list_destinations(
        self, wanted: DestinationFilter, *, limit: int, before: int | None
    ) -> DestinationPage:
        """See `DestinationReader.list_destinations`."""
        now = self._clock.now()
        return await self._readers.ask(list_destinations, wanted, now, limit=limit, before=before)

    async def get_destination(self, destination_id: str) -> DestinationRecord | None:
        """See `DestinationReader.get_destination`."""
        return await self._readers.ask(get_destination, destination_id, self._clock.now())

    async def backlog(self, most: int) -> Backlog:
        """See `BacklogReader.backlog`."""
        return await self._readers.ask(backlog, self._clock.now(), most)
