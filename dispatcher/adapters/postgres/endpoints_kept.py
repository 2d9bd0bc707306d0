"""The part of the store that keeps registered endpoints."""

from __future__ import annotations

from dispatcher.adapters.postgres import clearing, endpoints
from dispatcher.adapters.postgres.batching import Batcher
from dispatcher.adapters.postgres.reader import Readers
from dispatcher.core.audit import AuditEntry
from dispatcher.core.endpoints import Endpoint
from dispatcher.core.model import Instant
from dispatcher.ports.endpoints import EndpointPage, EndpointRecord, Pinged, Switched
from dispatcher.ports.records import Addition, DeliveryTerms


class EndpointsKept:
    """Implements `dispatcher.ports.endpoints`."""

    _readers: Readers
    _rest: Batcher

    async def add_endpoint(
        self, endpoint: Endpoint, sealed: bytes, entry: AuditEntry | None = None, *, most: int
    ) -> Addition:
        """See `EndpointStore.add_endpoint`."""
        new = endpoints.NewEndpoint(endpoint, sealed, most, entry)
        return await self._rest.one(endpoints.add_endpoints, new)

    async def get_endpoint(self, endpoint_id: str, caller_id: str | None) -> EndpointRecord | None:
        """See `EndpointStore.get_endpoint`."""
        return await self._readers.ask(endpoints.get_endpoint, endpoint_id, caller_id)

    async def list_endpoints(
        self, caller_id: str | None, *, limit: int, before: int | None
    ) -> EndpointPage:
        """See `EndpointStore.list_endpoints`."""
        return await self._readers.ask(
            endpoints.list_endpoints, caller_id, limit=limit, before=before
        )

    async def put_endpoint(self, endpoint: Endpoint, entry: AuditEntry | None = None) -> bool:
        """See `EndpointStore.put_endpoint`."""
        wanted = endpoints.PutEndpoint(endpoint, entry)
        return await self._rest.one(endpoints.put_endpoints, wanted)

    async def enable_endpoint(
        self, endpoint_id: str, entry: AuditEntry | None = None
    ) -> Switched | None:
        """See `EndpointStore.enable_endpoint`."""
        asked = endpoints.Enabling(endpoint_id, entry)
        return await self._rest.one(endpoints.enable_endpoints, asked)

    async def disable_endpoint(
        self,
        endpoint_id: str,
        at: Instant,
        terms: DeliveryTerms,
        entry: AuditEntry | None = None,
    ) -> Switched | None:
        """See `EndpointStore.disable_endpoint`."""
        asked = endpoints.Disabling(endpoint_id, at, terms, entry)
        return await self._rest.one(endpoints.disable_endpoints, asked)

    async def ping_endpoint(
        self,
        endpoint_id: str,
        event_id: str,
        at: Instant,
        terms: DeliveryTerms,
        entry: AuditEntry | None = None,
    ) -> Pinged | None:
        """See `EndpointStore.ping_endpoint`."""
        asked = endpoints.Ping(endpoint_id, event_id, at, terms, entry)
        return await self._rest.one(endpoints.ping_endpoints, asked)

    async def delete_endpoint(
        self, endpoint_id: str, at: Instant, entry: AuditEntry | None = None
    ) -> bool:
        """See `EndpointStore.delete_endpoint`."""
        asked = clearing.Deletion(endpoint_id, at, entry)
        return await self._rest.one(clearing.delete_endpoints, asked)

    async def endpoint_secrets(self, endpoint_id: str) -> list[bytes]:
        """See `EndpointStore.endpoint_secrets`."""
        return await self._readers.ask(endpoints.endpoint_secrets, endpoint_id)

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
        new = endpoints.NewEndpointSecret(endpoint_id, sealed, created_at, overlap_seconds, entry)
        return await self._rest.one(endpoints.rotate_endpoint_secrets, new)
