"""The part of the store that keeps the leases of remote workers, and what operators paused."""

from __future__ import annotations

from dispatcher.adapters.postgres import leases, pausing
from dispatcher.adapters.postgres.batching import Batcher
from dispatcher.adapters.postgres.reader import Readers
from dispatcher.core.audit import AuditEntry
from dispatcher.core.model import Instant
from dispatcher.ports.asked import Pause
from dispatcher.ports.records import RemoteLease, Renewed
from dispatcher.ports.views import Pauses


class LeasesKept:
    """Implements `dispatcher.ports.leases`."""

    _readers: Readers
    _changes: Batcher
    _rest: Batcher

    async def renew_lease(self, lease: str, owner: str) -> Renewed | None:
        """See `LeaseStore.renew_lease`."""
        return await self._changes.one(leases.renew, (lease, owner))

    async def find_lease(self, lease: str, owner: str) -> RemoteLease | None:
        """See `LeaseStore.find_lease`."""
        return await self._readers.ask(leases.find_lease, lease, owner)

    async def pause(self, queue: str | None, at: Instant, entry: AuditEntry | None = None) -> None:
        """See `PauseStore.pause`."""
        await self._rest.one(pausing.pause, Pause(queue, at, entry))

    async def resume(self, queue: str | None, entry: AuditEntry | None = None) -> None:
        """See `PauseStore.resume`."""
        await self._rest.one(pausing.pause, Pause(queue, None, entry))

    async def pauses(self) -> Pauses:
        """See `PauseStore.pauses`."""
        return await self._readers.ask(pausing.pauses)
