"""The part of the store that keeps the leases of remote workers."""

from __future__ import annotations

from dispatcher.adapters.postgres import leases
from dispatcher.adapters.postgres.batching import Batcher
from dispatcher.adapters.postgres.reader import Readers
from dispatcher.ports.records import RemoteLease, Renewed


class LeasesKept:
    """Implements `dispatcher.ports.leases.LeaseStore`."""

    _readers: Readers
    _changes: Batcher
    _rest: Batcher

    async def renew_lease(self, lease: str, owner: str) -> Renewed | None:
        """See `LeaseStore.renew_lease`."""
        return await self._changes.one(leases.renew, (lease, owner))

    async def find_lease(self, lease: str, owner: str) -> RemoteLease | None:
        """See `LeaseStore.find_lease`."""
        return await self._readers.ask(leases.find_lease, lease, owner)
