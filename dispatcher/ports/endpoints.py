"""What the store keeps of registered endpoints; see `ports/store.py` for how events reach them.

**Disabled endpoints.** What a disabled endpoint is owed waits: none of it is claimed or handed on,
it keeps its due times, and it dies of age as others do. An attempt under way may still land. When
an endpoint is disabled, `endpoint.disabled` is written in the same commit, with
`endpoints.endpoint_json` as its data, and owed to the caller's other endpoints that
`endpoints.is_owed` names. It belongs to no job.

**Deleted endpoints** are gone for every verb here at once, and nothing more is owed or sent to
them. What they were owed is canceled a bounded number at a time: the first in the same commit, the
rest by `prune`, also after a crash. An attempt under way is asked to cancel.

Verbs that take an `entry` of the audit log write it as `ports/audit.py` says.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from dispatcher.core.audit import AuditEntry
from dispatcher.core.endpoints import Endpoint
from dispatcher.core.model import Instant
from dispatcher.ports.records import Addition, DeliveryTerms, SecretRecord


class EndpointRecord(Struct, frozen=True):
    """An endpoint with its signing secrets in force, newest first, without themselves."""

    endpoint: Endpoint
    secrets: tuple[SecretRecord, ...]


class EndpointPage(Struct, frozen=True):
    """A page of endpoints, newest first; `next` continues it (a sequence number); None: the end."""

    items: tuple[EndpointRecord, ...]
    next: int | None


class Switched(Struct, frozen=True):
    """An endpoint after it was to be enabled or disabled; `changed`: it was the other before.

    `ready_at`: from when a claim could find what this made claimable; None: nothing.
    """

    endpoint: Endpoint
    changed: bool
    ready_at: Instant | None = None


class Pinged(Struct, frozen=True):
    """The delivery of a ping, and from when a claim could find it (None: it waits)."""

    delivery_id: str
    ready_at: Instant | None


class EndpointStore(Protocol):
    """Registered endpoints and their signing secrets, sealed before they come here."""

    async def add_endpoint(
        self, endpoint: Endpoint, sealed: bytes, entry: AuditEntry | None = None, *, most: int
    ) -> Addition:
        """Add an endpoint with its first secret; `TOO_MANY` if its caller has `most` already."""
        ...

    async def get_endpoint(self, endpoint_id: str, caller_id: str | None) -> EndpointRecord | None:
        """An endpoint; with `caller_id` only one of that caller."""
        ...

    async def list_endpoints(
        self, caller_id: str | None, *, limit: int, before: int | None
    ) -> EndpointPage:
        """Endpoints, newest first; None: of every caller."""
        ...

    async def put_endpoint(self, endpoint: Endpoint, entry: AuditEntry | None = None) -> bool:
        """Write what a caller may change, in the place of the version before `endpoint.version`.

        That is `url, origin, events, headers, sealed_headers, schedule, ordered, rate_limit`. With
        another URL its stretch of failures ends; what is owed already keeps its own. False: it is
        gone, or its version is another.
        """
        ...

    async def enable_endpoint(
        self, endpoint_id: str, entry: AuditEntry | None = None
    ) -> Switched | None:
        """Send to it again, what has waited too; its stretch of failures ends. None: it is gone."""
        ...

    async def disable_endpoint(
        self,
        endpoint_id: str,
        at: Instant,
        terms: DeliveryTerms,
        entry: AuditEntry | None = None,
    ) -> Switched | None:
        """Send nothing to it until it is enabled, as `manual`. None: it is gone.

        One that is disabled already stays as it is, for the reason that it has.
        """
        ...

    async def ping_endpoint(
        self,
        endpoint_id: str,
        event_id: str,
        at: Instant,
        terms: DeliveryTerms,
        entry: AuditEntry | None = None,
    ) -> Pinged | None:
        """Write a `ping` and owe it, due at once, to this endpoint alone. None: it is gone."""
        ...

    async def delete_endpoint(
        self, endpoint_id: str, at: Instant, entry: AuditEntry | None = None
    ) -> bool:
        """Delete an endpoint; False if it is gone already."""
        ...

    async def endpoint_secrets(self, endpoint_id: str) -> list[bytes]:
        """Its signing secrets in force, newest first, sealed; as long as anything is sent to it."""
        ...

    async def rotate_endpoint_secret(
        self,
        endpoint_id: str,
        sealed: bytes,
        created_at: Instant,
        entry: AuditEntry | None = None,
        *,
        overlap_seconds: float,
    ) -> Addition:
        """As `CallerStore.rotate_secret`, of an endpoint."""
        ...
