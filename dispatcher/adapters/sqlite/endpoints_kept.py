"""The part of the store that keeps registered endpoints."""

from __future__ import annotations

from dispatcher.adapters.sqlite import clearing, endpoints
from dispatcher.adapters.sqlite.reader import Readers
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.writer import Writer
from dispatcher.core.endpoints import DisabledReason, Endpoint
from dispatcher.core.model import Instant
from dispatcher.ports.endpoints import EndpointPage, EndpointRecord, Pinged, Switched
from dispatcher.ports.records import Addition, DeliveryTerms
from dispatcher.ports.system import Clock


class EndpointsKept:
    """Implements `dispatcher.ports.endpoints`."""

    _readers: Readers
    _writer: Writer
    _clock: Clock

    async def add_endpoint(self, endpoint: Endpoint, sealed: bytes, *, most: int) -> Addition:
        """See `EndpointStore.add_endpoint`."""
        new = endpoints.NewEndpoint(endpoint, sealed, most)
        return await self._writer.one(endpoints.add_endpoint, new)

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

    async def put_endpoint(self, endpoint: Endpoint) -> bool:
        """See `EndpointStore.put_endpoint`."""
        return await self._writer.one(endpoints.put_endpoint, endpoint)

    async def enable_endpoint(self, endpoint_id: str) -> Switched | None:
        """See `EndpointStore.enable_endpoint`."""
        return await self._writer.one(endpoints.enable, endpoint_id)

    async def disable_endpoint(
        self, endpoint_id: str, at: Instant, terms: DeliveryTerms
    ) -> Switched | None:
        """See `EndpointStore.disable_endpoint`."""

        def disable(session: Session, endpoint_id: str) -> Switched | None:
            return endpoints.disable(session, endpoint_id, DisabledReason.MANUAL, at, terms)

        return await self._writer.one(disable, endpoint_id)

    async def ping_endpoint(
        self, endpoint_id: str, event_id: str, at: Instant, terms: DeliveryTerms
    ) -> Pinged | None:
        """See `EndpointStore.ping_endpoint`."""

        def ping(session: Session, asked: endpoints.Ping) -> Pinged | None:
            return endpoints.ping(session, asked, terms)

        return await self._writer.one(ping, endpoints.Ping(endpoint_id, event_id, at))

    async def delete_endpoint(self, endpoint_id: str, at: Instant) -> bool:
        """See `EndpointStore.delete_endpoint`."""
        return await self._writer.one(clearing.delete_endpoint, (endpoint_id, at))

    async def endpoint_secrets(self, endpoint_id: str) -> list[bytes]:
        """See `EndpointStore.endpoint_secrets`."""
        now = self._clock.now()
        return await self._readers.ask(endpoints.endpoint_secrets, endpoint_id, now)

    async def rotate_endpoint_secret(
        self, endpoint_id: str, sealed: bytes, created_at: Instant, *, overlap_seconds: float
    ) -> Addition:
        """See `EndpointStore.rotate_endpoint_secret`."""
        new = endpoints.NewEndpointSecret(endpoint_id, sealed, created_at, overlap_seconds)
        return await self._writer.one(endpoints.rotate_endpoint_secret, new)
