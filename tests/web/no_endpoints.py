"""Nobody has endpoints here: they are tried on a real store (`test_endpoints.py`)."""

from __future__ import annotations

from dispatcher.core.audit import AuditEntry
from dispatcher.core.endpoints import Endpoint
from dispatcher.core.model import Instant
from dispatcher.ports.endpoints import EndpointPage, EndpointRecord, Pinged, Switched
from dispatcher.ports.records import Addition, DeliveryTerms


class NoEndpoints:
    """Of the store, its endpoints: there are none."""

    async def add_endpoint(
        self, endpoint: Endpoint, sealed: bytes, entry: AuditEntry | None = None, *, most: int
    ) -> Addition:
        return Addition.NO_CALLER

    async def get_endpoint(self, endpoint_id: str, caller_id: str | None) -> EndpointRecord | None:
        return None

    async def list_endpoints(
        self, caller_id: str | None, *, limit: int, before: int | None
    ) -> EndpointPage:
        return EndpointPage((), None)

    async def put_endpoint(self, endpoint: Endpoint, entry: AuditEntry | None = None) -> bool:
        return False

    async def enable_endpoint(
        self, endpoint_id: str, entry: AuditEntry | None = None
    ) -> Switched | None:
        return None

    async def disable_endpoint(
        self,
        endpoint_id: str,
        at: Instant,
        terms: DeliveryTerms,
        entry: AuditEntry | None = None,
    ) -> Switched | None:
        return None

    async def ping_endpoint(
        self,
        endpoint_id: str,
        event_id: str,
        at: Instant,
        terms: DeliveryTerms,
        entry: AuditEntry | None = None,
    ) -> Pinged | None:
        return None

    async def delete_endpoint(
        self, endpoint_id: str, at: Instant, entry: AuditEntry | None = None
    ) -> bool:
        return False

    async def endpoint_secrets(self, endpoint_id: str) -> list[bytes]:
        return []

    async def rotate_endpoint_secret(
        self,
        endpoint_id: str,
        sealed: bytes,
        created_at: Instant,
        entry: AuditEntry | None = None,
        *,
        overlap_seconds: float,
    ) -> Addition:
        return Addition.NO_CALLER
