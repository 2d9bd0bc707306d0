"""The part of the store that keeps callers, their keys and secrets, and the service's own keys."""

from __future__ import annotations

from dispatcher.adapters.postgres import callers, credentials
from dispatcher.adapters.postgres.batching import Batcher
from dispatcher.adapters.postgres.reader import Readers
from dispatcher.core.audit import AuditEntry
from dispatcher.core.model import ApiKey, Caller, Instant, ServiceKey
from dispatcher.core.quotas import CallerTerms
from dispatcher.ports.asked import EndedKey, NewCaller, NewKey, NewSecret, NewServiceKey, NewTerms
from dispatcher.ports.records import Addition, CallerPage, CallerRecord


class CallersKept:
    """Implements `dispatcher.ports.callers`."""

    _readers: Readers
    _rest: Batcher

    async def add_caller(
        self,
        caller: Caller,
        key: ApiKey,
        digest: bytes,
        sealed: bytes,
        entry: AuditEntry | None = None,
    ) -> bool:
        """See `CallerStore.add_caller`."""
        new = NewCaller(caller, key, digest, sealed, entry)
        return await self._rest.one(callers.add_callers, new)

    async def find_key(self, digest: bytes) -> tuple[ApiKey, Caller] | None:
        """See `CallerStore.find_key`."""
        return await self._readers.ask(credentials.find_key, digest)

    async def find_caller(self, name_or_id: str) -> Caller | None:
        """See `CallerStore.find_caller`."""
        return await self._readers.ask(callers.find_caller, name_or_id)

    async def get_caller(self, caller_id: str) -> CallerRecord | None:
        """See `CallerStore.get_caller`."""
        return await self._readers.ask(callers.get_caller, caller_id)

    async def set_terms(
        self,
        caller_id: str,
        before: CallerTerms,
        after: CallerTerms,
        entry: AuditEntry | None = None,
    ) -> bool:
        """See `CallerStore.set_terms`."""
        new = NewTerms(caller_id, before, after, entry)
        return await self._rest.one(callers.set_terms, new)

    async def sealed_secrets(self, caller_id: str) -> list[bytes]:
        """See `CallerStore.sealed_secrets`."""
        return await self._readers.ask(credentials.sealed_secrets, caller_id)

    async def list_callers(self, *, limit: int, before: int | None) -> CallerPage:
        """See `CallerStore.list_callers`."""
        return await self._readers.ask(callers.list_callers, limit=limit, before=before)

    async def add_key(
        self, key: ApiKey, digest: bytes, entry: AuditEntry | None = None
    ) -> Addition:
        """See `CallerStore.add_key`."""
        return await self._rest.one(credentials.add_keys, NewKey(key, digest, entry))

    async def revoke_key(
        self, caller_id: str, key_id: str, entry: AuditEntry | None = None
    ) -> bool:
        """See `CallerStore.revoke_key`."""
        return await self._rest.one(credentials.revoke_keys, EndedKey(caller_id, key_id, entry))

    async def rotate_secret(
        self,
        caller_id: str,
        sealed: bytes,
        created_at: Instant,
        *,
        overlap_seconds: float,
        entry: AuditEntry | None = None,
    ) -> Addition:
        """See `CallerStore.rotate_secret`."""
        new = NewSecret(caller_id, sealed, created_at, overlap_seconds, entry)
        return await self._rest.one(credentials.rotate_secrets, new)

    async def service_keys(self) -> list[tuple[ServiceKey, bytes]]:
        """See `ServiceKeyStore.service_keys`."""
        return await self._readers.ask(credentials.service_keys)

    async def add_service_key(self, key: ServiceKey, sealed: bytes) -> bool:
        """See `ServiceKeyStore.add_service_key`."""
        new = NewServiceKey(key, sealed, None)
        return await self._rest.one(credentials.add_service_keys, new)

    async def rotate_service_key(
        self,
        key: ServiceKey,
        sealed: bytes,
        *,
        overlap_seconds: float,
        entry: AuditEntry | None = None,
    ) -> bool:
        """See `ServiceKeyStore.rotate_service_key`."""
        new = NewServiceKey(key, sealed, overlap_seconds, entry)
        return await self._rest.one(credentials.add_service_keys, new)
