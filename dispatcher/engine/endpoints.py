"""Registered endpoints: made, changed, switched on and off, pinged. Their secrets are told once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from dispatcher.core.audit import Actor, AuditAction, AuditEntry
from dispatcher.core.endpoints import Endpoint
from dispatcher.core.errors import EndpointDisabled, NotFound, StoreUnavailable, TooMany
from dispatcher.core.facts import ActionAudited, EndpointSwitched, SecretsChanged
from dispatcher.core.model import Instant
from dispatcher.core.signature import format_secret
from dispatcher.engine.audit import Entries
from dispatcher.engine.callers import SIGNING_SECRET_BYTES
from dispatcher.engine.deliver import Deliveries
from dispatcher.engine.terms import EngineTerms, System
from dispatcher.ports.endpoints import EndpointRecord, Switched
from dispatcher.ports.records import MOST_SECRETS, Addition
from dispatcher.ports.store import Store
from dispatcher.ports.vault import Vault
from dispatcher.ports.views import DeliveryRecord

TRIES: Final = 5
"""How often a change is made anew because another came between."""


class CreatedEndpoint(Struct, frozen=True):
    """A new endpoint with its signing secret (`whsec_…`)."""

    record: EndpointRecord
    secret: str


class RotatedEndpointSecret(Struct, frozen=True):
    """A new signing secret (`whsec_…`). The others sign until `others_until` at the latest."""

    endpoint_id: str
    secret: str
    created_at: Instant
    others_until: Instant


class Endpoints:
    """What callers do about their endpoints; a `caller_id` of None may touch every caller's.

    `actor` is who does it; what is done to another's stands in the audit log. Every verb raises
    `NotFound` for an endpoint that is not there or another's, and `StoreUnavailable`.
    """

    def __init__(
        self,
        store: Store,
        vault: Vault,
        deliveries: Deliveries,
        *,
        terms: EngineTerms,
        system: System,
    ) -> None:
        self._store = store
        self._vault = vault
        self._deliveries = deliveries
        self._terms = terms
        self._clock = system.clock
        self._ids = system.ids
        self._random = system.random
        self._observer = system.observer
        self._entries = Entries(system.clock, system.ids)

    def new_id(self) -> str:
        """An id for an endpoint to come: its headers are sealed for it before it is there."""
        return self._ids.new("ep")

    def _entry(
        self, actor: Actor | None, action: AuditAction, endpoint: Endpoint
    ) -> AuditEntry | None:
        return self._entries.of_another(actor, action, endpoint.id, endpoint.caller_id)

    def _told(self, entry: AuditEntry | None) -> None:
        if entry is not None:
            self._observer.saw(ActionAudited(entry))

    async def create(
        self, endpoint: Endpoint, actor: Actor | None = None, *, most: int
    ) -> CreatedEndpoint:
        """Add an endpoint, enabled, with a new signing secret.

        Raises:
            TooMany: its caller has `most` already.
            NotFound: there is no such caller.
        """
        secret = self._random.token(SIGNING_SECRET_BYTES)
        sealed = self._vault.seal(secret, endpoint.id)
        entry = self._entry(actor, AuditAction.ENDPOINT_CREATE, endpoint)
        match await self._store.add_endpoint(endpoint, sealed, entry, most=most):
            case Addition.NO_CALLER:
                raise NotFound("caller", endpoint.caller_id)
            case Addition.TOO_MANY:
                raise TooMany("endpoint", most, "Delete one that is not needed any more.")
            case Addition.ADDED:
                self._told(entry)
                record = await self.get(endpoint.id, endpoint.caller_id)
                return CreatedEndpoint(record, format_secret(secret))

    async def get(self, endpoint_id: str, caller_id: str | None) -> EndpointRecord:
        """An endpoint as it is now."""
        record = await self._store.get_endpoint(endpoint_id, caller_id)
        if record is None:
            raise NotFound("endpoint", endpoint_id)
        return record

    async def change(
        self,
        endpoint_id: str,
        caller_id: str | None,
        changed: Callable[[Endpoint], Endpoint],
        actor: Actor | None = None,
    ) -> EndpointRecord:
        """Change what a caller may change of it; events from then on go by it.

        `changed` gives the endpoint as it is to be; it is asked again if another came between.
        """
        for _ in range(TRIES):
            endpoint = (await self.get(endpoint_id, caller_id)).endpoint
            wanted = replace(changed(endpoint), version=endpoint.version + 1)
            entry = self._entry(actor, AuditAction.ENDPOINT_CHANGE, endpoint)
            if await self._store.put_endpoint(wanted, entry):
                self._told(entry)
                if wanted.rate_limit != endpoint.rate_limit:
                    self._deliveries.wake()  # more may go now
                return await self.get(endpoint_id, caller_id)
        raise StoreUnavailable("The endpoint changes faster than it can be changed; try again.")

    async def delete(
        self, endpoint_id: str, caller_id: str | None, actor: Actor | None = None
    ) -> None:
        """Delete it: what it is owed is canceled, an attempt under way is its last."""
        endpoint = (await self.get(endpoint_id, caller_id)).endpoint
        entry = self._entry(actor, AuditAction.ENDPOINT_DELETE, endpoint)
        if not await self._store.delete_endpoint(endpoint_id, self._clock.now(), entry):
            raise NotFound("endpoint", endpoint_id)
        self._told(entry)

    async def enable(
        self, endpoint_id: str, caller_id: str | None, actor: Actor | None = None
    ) -> EndpointRecord:
        """Send to it again, first of all what has waited."""
        endpoint = (await self.get(endpoint_id, caller_id)).endpoint
        entry = self._entry(actor, AuditAction.ENDPOINT_ENABLE, endpoint)
        self._switched(endpoint_id, await self._store.enable_endpoint(endpoint_id, entry), entry)
        return await self.get(endpoint_id, caller_id)

    async def disable(
        self, endpoint_id: str, caller_id: str | None, actor: Actor | None = None
    ) -> EndpointRecord:
        """Send nothing to it; what it is owed waits, up to 30 days, until it is enabled."""
        endpoint = (await self.get(endpoint_id, caller_id)).endpoint
        entry = self._entry(actor, AuditAction.ENDPOINT_DISABLE, endpoint)
        switched = await self._store.disable_endpoint(
            endpoint_id, self._clock.now(), self._terms.delivery, entry
        )
        self._switched(endpoint_id, switched, entry)
        return await self.get(endpoint_id, caller_id)

    def _switched(
        self, endpoint_id: str, switched: Switched | None, entry: AuditEntry | None
    ) -> None:
        if switched is None:
            raise NotFound("endpoint", endpoint_id)
        self._told(entry)
        if switched.changed:
            self._observer.saw(EndpointSwitched(switched.endpoint))
        if switched.ready_at is not None:
            self._deliveries.wake(switched.ready_at)

    async def ping(
        self, endpoint_id: str, caller_id: str | None, actor: Actor | None = None
    ) -> DeliveryRecord:
        """Send it a `ping`, once; gives the delivery. Raises `EndpointDisabled`."""
        endpoint = (await self.get(endpoint_id, caller_id)).endpoint
        if not endpoint.enabled:
            raise EndpointDisabled(
                "The endpoint is disabled, and nothing is sent to it: enable it."
            )
        event_id, now = self._ids.new("evt"), self._clock.now()
        entry = self._entry(actor, AuditAction.ENDPOINT_PING, endpoint)
        pinged = await self._store.ping_endpoint(
            endpoint_id, event_id, now, self._terms.delivery, entry
        )
        record = None
        if pinged is not None:
            self._told(entry)
            if pinged.ready_at is not None:
                self._deliveries.wake(pinged.ready_at)
            record = await self._store.get_delivery(pinged.delivery_id, caller_id)
        if record is None:
            raise NotFound("endpoint", endpoint_id)
        return record

    async def rotate_secret(
        self,
        endpoint_id: str,
        caller_id: str | None,
        actor: Actor | None = None,
        *,
        overlap_seconds: float,
    ) -> RotatedEndpointSecret:
        """Give it a new signing secret; the others go on signing for `overlap_seconds`.

        Raises:
            TooMany: earlier rotations have left too many that still sign.
        """
        endpoint = (await self.get(endpoint_id, caller_id)).endpoint
        entry = self._entry(actor, AuditAction.ENDPOINT_SECRET_ROTATE, endpoint)
        now = self._clock.now()
        secret = self._random.token(SIGNING_SECRET_BYTES)
        sealed = self._vault.seal(secret, endpoint_id)
        match await self._store.rotate_endpoint_secret(
            endpoint_id, sealed, now, entry, overlap_seconds=overlap_seconds
        ):
            case Addition.NO_CALLER:
                raise NotFound("endpoint", endpoint_id)
            case Addition.TOO_MANY:
                raise TooMany(
                    "secret",
                    MOST_SECRETS,
                    "Wait until one ends, or end all others with an overlap of 0.",
                )
            case Addition.ADDED:
                self._told(entry)
                self._deliveries.forget(endpoint_id)
                self._observer.saw(SecretsChanged(endpoint_id))
                until = now + round(overlap_seconds * 1000)
                return RotatedEndpointSecret(endpoint_id, format_secret(secret), now, until)
