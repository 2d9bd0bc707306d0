"""The part of the store that keeps what operators paused."""

from __future__ import annotations

from dispatcher.adapters.postgres import pausing
from dispatcher.adapters.postgres.batching import Batcher
from dispatcher.adapters.postgres.reader import Readers
from dispatcher.core.audit import AuditEntry
from dispatcher.core.model import Instant
from dispatcher.ports.asked import Pause
from dispatcher.ports.views import Pauses


class PausesKept:
    """Implements `dispatcher.ports.leases.PauseStore`."""

    _readers: Readers
    _rest: Batcher

    async def pause(self, queue: str | None, at: Instant, entry: AuditEntry | None = None) -> None:
        """See `PauseStore.pause`."""
        await self._rest.one(pausing.pause, Pause(queue, at, entry))

    async def resume(self, queue: str | None, entry: AuditEntry | None = None) -> None:
        """See `PauseStore.resume`."""
        await self._rest.one(pausing.pause, Pause(queue, None, entry))

    async def pauses(self) -> Pauses:
        """See `PauseStore.pauses`."""
        return await self._readers.ask(pausing.pauses)
