"""What the store keeps of callers and of the service itself; see `ports/store.py`."""

from __future__ import annotations

from typing import Protocol

from dispatcher.core.audit import AuditEntry
from dispatcher.core.model import ApiKey, Caller, Instant, ServiceKey
from dispatcher.core.quotas import CallerTerms
from dispatcher.ports.records import Addition, CallerPage, CallerRecord


class CallerStore(Protocol):
    """Callers, their keys and secrets. Secrets are sealed before they come here.

    With `entry` what was done stands in the audit log: see `AuditStore`.
    """

    async def add_caller(
        self,
        caller: Caller,
        key: ApiKey,
        digest: bytes,
        sealed: bytes,
        entry: AuditEntry | None = None,
    ) -> bool:
        """Add a caller with its first key and signing secret; False if the name is taken.

        `digest` is the SHA-256 of the key; `sealed` the encrypted secret.
        """
        ...

    async def find_key(self, digest: bytes) -> tuple[ApiKey, Caller] | None:
        """The key with that digest, and whose it is."""
        ...

    async def find_caller(self, name_or_id: str) -> Caller | None:
        """A caller by its id or its name."""
        ...

    async def get_caller(self, caller_id: str) -> CallerRecord | None:
        """A caller by its id, with its keys and secrets in force."""
        ...

    async def set_terms(
        self,
        caller_id: str,
        before: CallerTerms,
        after: CallerTerms,
        entry: AuditEntry | None = None,
    ) -> bool:
        """Set a caller's terms; False if they are not `before`, or there is no such caller."""
        ...

    async def list_callers(self, *, limit: int, before: int | None) -> CallerPage:
        """Callers, newest first, each with its keys and secrets in force."""
        ...

    async def add_key(
        self, key: ApiKey, digest: bytes, entry: AuditEntry | None = None
    ) -> Addition:
        """Add a key to a caller. At most `MOST_KEYS` of its keys are in force at once."""
        ...

    async def revoke_key(
        self, caller_id: str, key_id: str, entry: AuditEntry | None = None
    ) -> bool:
        """Revoke a caller's key from now on; False if it has no such key.

        One that was revoked before keeps its `revoked_at`.
        """
        ...

    async def sealed_secrets(self, caller_id: str) -> list[bytes]:
        """The caller's signing secrets in force, newest first, sealed."""
        ...

    async def rotate_secret(
        self,
        caller_id: str,
        sealed: bytes,
        created_at: Instant,
        *,
        overlap_seconds: float,
        entry: AuditEntry | None = None,
    ) -> Addition:
        """Add a secret; those in force before it stay so for `overlap_seconds`, none for longer.

        What an earlier rotation set to end sooner ends as that said; what has ended is erased. At
        most `MOST_SECRETS` are in force at once.
        """
        ...


class ServiceKeyStore(Protocol):
    """The service's own keys, with their private half sealed. One of them has no end."""

    async def service_keys(self) -> list[tuple[ServiceKey, bytes]]:
        """The keys in force, newest first, each with its sealed private key."""
        ...

    async def add_service_key(self, key: ServiceKey, sealed: bytes) -> bool:
        """Add the first key; False if there is one already. At once from two stores, one is."""
        ...

    async def rotate_service_key(
        self,
        key: ServiceKey,
        sealed: bytes,
        *,
        overlap_seconds: float,
        entry: AuditEntry | None = None,
    ) -> bool:
        """Add a key; the others end as in `rotate_secret`. False: `MOST_SECRETS` are in force.

        The same key sent again answers True, without effect.
        """
        ...
