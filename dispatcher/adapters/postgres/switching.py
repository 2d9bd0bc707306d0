"""Registered endpoints switched on and off; all of their callers' are locked to be changed."""

from __future__ import annotations

from msgspec.structs import replace

from dispatcher.adapters.postgres.owing import Told, add_events
from dispatcher.adapters.postgres.session import Kind, Session, Witness
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.endpoints import DisabledReason, Endpoint, endpoint_json
from dispatcher.core.model import EventType, Instant
from dispatcher.core.payload import encode
from dispatcher.ports.endpoints import Switched
from dispatcher.ports.records import DeliveryTerms

_DISABLE = statement("endpoint_disable")
_ENABLE = statement("endpoint_enable")
_HOLD = statement("destinations_hold")
_RELEASE = statement("destinations_release")


async def disable(
    session: Session, endpoint_id: str, reason: DisabledReason, at: Instant, terms: DeliveryTerms
) -> Switched | None:
    """Have nothing sent to an endpoint, and tell the others; None if it is not there.

    Its destinations are locked, and those of the others that are told.
    """
    endpoint = session.registered.find(endpoint_id)
    if endpoint is None or not endpoint.enabled:
        return None if endpoint is None else Switched(endpoint, False)
    endpoint = replace(
        endpoint, disabled_at=at, disabled_reason=reason, version=endpoint.version + 1
    )
    session.registered.put(endpoint)
    await session.execute(_DISABLE, endpoint_id, at, reason.value)
    await session.execute(_HOLD, endpoint_id, session.now)
    told = alone(endpoint, EventType.ENDPOINT_DISABLED, session.ids.new("evt"), at)
    (applied,) = await add_events(session, (told,), terms)
    session.witnesses.append(Witness(Kind.EVENT, told.event_id))
    return Switched(endpoint, True, applied.delivery_ready_at)


async def enable(session: Session, endpoint_id: str) -> Switched | None:
    """Send to an endpoint again; None if it is not there. Its destinations are locked."""
    endpoint = session.registered.find(endpoint_id)
    if endpoint is None or endpoint.enabled:
        return None if endpoint is None else Switched(endpoint, False)
    endpoint = replace(
        endpoint,
        disabled_at=None,
        disabled_reason=None,
        failing_since=None,
        version=endpoint.version + 1,
    )
    session.registered.put(endpoint)
    await session.execute(_ENABLE, endpoint_id)
    session.witnesses.append(Witness(Kind.ENDPOINT, endpoint_id, str(endpoint.version)))
    released = await session.fetch(_RELEASE, endpoint_id, session.now)
    return Switched(endpoint, True, session.now if released else None)


def alone(endpoint: Endpoint, kind: EventType, event_id: str, at: Instant) -> Told:
    """An event of no job, which tells of an endpoint."""
    return Told(
        event_id=event_id,
        type=kind,
        at=at,
        whose=endpoint.caller_id,
        data=encode(endpoint_json(endpoint)),
    )
