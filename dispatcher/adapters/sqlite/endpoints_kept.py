"""The part of the store that keeps registered endpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dispatcher.adapters.sqlite import clearing, endpoints
from dispatcher.adapters.sqlite.audit import add_audit
from dispatcher.adapters.sqlite.reader import Readers
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.writer import Writer
from dispatcher.core.audit import AuditEntry
from dispatcher.core.endpoints import DisabledReason, Endpoint
from dispatcher.core.model import Instant
from dispatcher.ports.endpoints import EndpointPage, EndpointRecord, Pinged, Switched
from dispatcher.ports.records import Addition, DeliveryTerms
from dispatcher.ports.system import Clock

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def _with(
    entry: AuditEntry | None, operation: Callable[[Session, Item], Answer]
) -> Callable[[Session, Item], Answer]:
    """The same, which writes the entry if it is done."""

    def run(session: Session, item: Item) -> Answer:
        answer = operation(session, item)
        kept_out = answer is None or answer is False or isinstance(answer, Addition)
        if not kept_out or answer is Addition.ADDED:
            add_audit(session, entry)
        return answer

    return run


class EndpointsKept:
    """Implements `dispatcher.ports.endpoints`."""

    _readers: Readers
    _writer: Writer
    _clock: Clock

    async def add_endpoint(
        self, endpoint: Endpoint, sealed: bytes, entry: AuditEntry | None = None, *, most: int
    ) -> Addition:
        """See `EndpointStore.add_endpoint`."""
        new = endpoints.NewEndpoint(endpoint, sealed, most)
        return await self._writer.one(_with(entry, endpoints.add_endpoint), new)

    async def get_endpoint(self, endpoint_id: str, caller_id: str | None) -> EndpointRecord | None:
        """See `EndpointStore.get_endpoint`."""
        now = self._clock.now()
        return await self._readers.ask(endpoints.get_endpoint, endpoint_id, caller_id, now)

    async def list_endpoints(
        self, caller_id: str | None, *, limit: int, before: int | None
    ) -> EndpointPage:
        """See `EndpointStore.list_endpoints`."""
        now = self._clock.now()
        return await self._readers.ask(
            endpoints.list_endpoints, caller_id, now, limit=limit, before=before
        )

    async def put_endpoint(self, endpoint: Endpoint, entry: AuditEntry | None = None) -> bool:
        """See `EndpointStore.put_endpoint`."""
        return await self._writer.one(_with(entry, endpoints.put_endpoint), endpoint)

    async def enable_endpoint(
        self, endpoint_id: str, entry: AuditEntry | None = None
    ) -> Switched | None:
        """See `EndpointStore.enable_endpoint`."""
        return await self._writer.one(_with(entry, endpoints.enable), endpoint_id)

    async def disable_endpoint(
        self,
        endpoint_id: str,
        at: Instant,
        terms: DeliveryTerms,
        entry: AuditEntry | None = None,
    ) -> Switched | None:
        """See `EndpointStore.disable_endpoint`."""

        def disable(session: Session, endpoint_id: str) -> Switched | None:
            return endpoints.disable(session, endpoint_id, DisabledReason.MANUAL, at, terms)

        return await self._writer.one(_with(entry, disable), endpoint_id)

    async def ping_endpoint(
        self,
        endpoint_id: str,
        event_id: str,
        at: Instant,
        terms: DeliveryTerms,
        entry: AuditEntry | None = None,
    ) -> Pinged | None:
        """See `EndpointStore.ping_endpoint`."""

        def ping(session: Session, asked: endpoints.Ping) -> Pinged | None:
            return endpoints.ping(session, asked, terms)

        asked = endpoints.Ping(endpoint_id, event_id, at)
        return await self._writer.one(_with(entry, ping), asked)

    async def delete_endpoint(
        self, endpoint_id: str, at: Instant, entry: AuditEntry | None = None
    ) -> bool:
        """See `EndpointStore.delete_endpoint`."""
        return await self._writer.one(_with(entry, clearing.delete_endpoint), (endpoint_id, at))

    async def endpoint_secrets(self, endpoint_id: str) -> list[bytes]:
        """See `EndpointStore.endpoint_secrets`."""
        now = self._clock.now()
        return await self._readers.ask(endpoints.endpoint_secrets, endpoint_id, now)

    async def rotate_endpoint_secret(
        self,
        endpoint_id: str,
        sealed: bytes,
        created_at: Instant,
        entry: AuditEntry | None = None,
        *,
        overlap_seconds: float,
    ) -> Addition:
        """See `EndpointStore.rotate_endpoint_secret`."""
        new = endpoints.NewEndpointSecret(endpoint_id, sealed, created_at, overlap_seconds)
        return await self._writer.one(_with(entry, endpoints.rotate_endpoint_secret), new)
