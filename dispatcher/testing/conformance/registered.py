"""Values and short verbs for the tests of registered endpoints."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from dispatcher.core.endpoints import DEFAULT_EVENTS, Endpoint
from dispatcher.core.model import Delivery, EventType
from dispatcher.ports.endpoints import EndpointRecord
from dispatcher.ports.records import Addition, LeasedDelivery
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import ANN, TERMS

MOST: Final = 3
FAILING: Final = replace(TERMS, failing_seconds=600.0)
"""Terms under which an endpoint that fails for ten minutes is disabled."""

HOOKS: Final = "https://hooks.example"


async def registered(scene: Scene, **members: Any) -> Endpoint:
    """An endpoint of Ann's that was added; `members` are the ones to differ."""
    endpoint = Endpoint(
        id=scene.ids.new("ep"),
        caller_id=ANN,
        url=f"{HOOKS}/in",
        origin=HOOKS,
        events=DEFAULT_EVENTS,
        created_at=scene.now,
    )
    endpoint = replace(endpoint, **members)
    added = await scene.store.add_endpoint(endpoint, b"sealed " + endpoint.id.encode(), most=100)
    assert added is Addition.ADDED
    return endpoint


async def found(scene: Scene, endpoint_id: str) -> EndpointRecord:
    """An endpoint that must be there."""
    record = await scene.other.get_endpoint(endpoint_id, None)
    assert record is not None, f"{endpoint_id} is lost"
    return record


async def owed_to(scene: Scene, endpoint_id: str) -> list[Delivery]:
    """What an endpoint is or was owed, newest first."""
    return [each.delivery for each in await scene.delivery_records(endpoint_id=endpoint_id)]


async def sent_to(scene: Scene, endpoint_id: str) -> LeasedDelivery:
    """What was claimed for an endpoint: one delivery, and nothing else."""
    (leased,) = (await scene.lease()).deliveries
    assert leased.delivery.endpoint_id == endpoint_id
    return leased


def types_of(deliveries: list[Delivery]) -> list[EventType]:
    """The types of their events."""
    return [each.event_type for each in deliveries]
