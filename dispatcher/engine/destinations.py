"""Pausing and resuming destinations: what operators do about a receiver."""

from __future__ import annotations

from dispatcher.core.audit import Actor, AuditAction
from dispatcher.core.changes import DestinationChange, PauseDestination, ResumeDestination
from dispatcher.core.errors import NotFound
from dispatcher.engine.audit import Entries
from dispatcher.engine.commit import Commit
from dispatcher.engine.deliver import Deliveries
from dispatcher.engine.terms import System
from dispatcher.ports.readers import DestinationReader
from dispatcher.ports.records import Applied
from dispatcher.ports.views import DestinationRecord


class Destinations:
    """Pauses destinations, and resumes them; both idempotent, and kept in the audit log."""

    def __init__(
        self, store: DestinationReader, deliveries: Deliveries, commit: Commit, system: System
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._commit = commit
        self._clock = system.clock
        self._audit = Entries(system.clock, system.ids)

    async def pause(self, destination_id: str, actor: Actor) -> DestinationRecord:
        """Have nothing more sent there; what is under way goes on. Gives how it stands now.

        Raises `NotFound`, `StoreUnavailable`.
        """
        change = PauseDestination(destination_id, self._clock.now())
        return await self._change(change, AuditAction.DESTINATION_PAUSE, actor)

    async def resume(self, destination_id: str, actor: Actor) -> DestinationRecord:
        """Send there again, and look at once. Raises `NotFound`, `StoreUnavailable`."""
        change = ResumeDestination(destination_id)
        return await self._change(change, AuditAction.DESTINATION_RESUME, actor)

    async def _change(
        self, change: DestinationChange, action: AuditAction, actor: Actor
    ) -> DestinationRecord:
        before = await self._read(change.destination_id)
        told = self._audit.of(
            actor,
            action,
            before.id,
            caller_id=before.caller_id,
            origin=before.origin,
            endpointId=before.endpoint_id,
        )
        result = await self._commit.by_hand(change, told)
        if not isinstance(result, Applied):
            raise NotFound("destination", change.destination_id)
        if isinstance(change, ResumeDestination):
            self._deliveries.wake()
        return await self._read(change.destination_id)

    async def _read(self, destination_id: str) -> DestinationRecord:
        record = await self._store.get_destination(destination_id)
        if record is None:
            raise NotFound("destination", destination_id)
        return record
