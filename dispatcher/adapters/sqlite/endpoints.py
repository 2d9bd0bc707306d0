"""Registered endpoints: kept, switched on and off, pinged, and forgotten little by little."""

from __future__ import annotations

import sqlite3
from typing import Final

from msgspec import Struct

from dispatcher.adapters.sqlite import destinations
from dispatcher.adapters.sqlite.fanout import earlier, owe_endpoints, there
from dispatcher.adapters.sqlite.owing import Owed, write_event
from dispatcher.adapters.sqlite.rows import Row, endpoint_of, endpoint_row
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.endpoints import DisabledReason, Endpoint, endpoint_json
from dispatcher.core.model import Event, EventType, Instant
from dispatcher.core.payload import encode
from dispatcher.ports.endpoints import EndpointPage, EndpointRecord, Pinged, Switched
from dispatcher.ports.records import MOST_SECRETS, Addition, DeliveryTerms, SecretRecord

_CALLER_EXISTS = statement("caller_exists")
_COUNT = statement("endpoints_count")
_ADD = statement("endpoint_add")
_PUT = statement("endpoint_put")
_FOUND = statement("endpoint_found")
_EXISTS = statement("endpoint_exists")
_LIST = statement("list_endpoints")
_LIST_OF_CALLER = statement("list_endpoints_of_caller")
_DISABLE = statement("endpoint_disable")
_ENABLE = statement("endpoint_enable")
_PLACES = statement("destinations_of_endpoint")
_PLACES_RATE = statement("destinations_rate")
_SECRET_ADD = statement("endpoint_secret_add")
_SECRETS = statement("endpoint_secrets_in_force")
_SECRETS_COUNT = statement("endpoint_secrets_count")
_SECRETS_END = statement("endpoint_secrets_end")
_SECRETS_FORGET = statement("endpoint_secrets_forget")

_PAST_ALL: Final = 2**63 - 1


class NewEndpoint(Struct, frozen=True):
    """An endpoint to add, with its first secret; its caller may have `most`."""

    endpoint: Endpoint
    sealed: bytes
    most: int


class NewEndpointSecret(Struct, frozen=True):
    """A signing secret to add in the place of those that are there."""

    endpoint_id: str
    sealed: bytes
    created_at: Instant
    overlap_seconds: float


class Ping(Struct, frozen=True):
    """A ping to send."""

    endpoint_id: str
    event_id: str
    at: Instant


# --- reading -----------------------------------------------------------------------------------


def get_endpoint(
    read: sqlite3.Connection, endpoint_id: str, caller_id: str | None, now: Instant
) -> EndpointRecord | None:
    """An endpoint, if that caller may see it."""
    row = read.execute(_FOUND, (endpoint_id,)).fetchone()
    endpoint = None if row is None else endpoint_of(row)
    if endpoint is None or caller_id not in (None, endpoint.caller_id):
        return None
    return _record(read, endpoint, now)


def list_endpoints(
    read: sqlite3.Connection, caller_id: str | None, now: Instant, *, limit: int, before: int | None
) -> EndpointPage:
    """Endpoints, newest first."""
    wanted = {
        "before": _PAST_ALL if before is None else before,
        "limit": limit + 1,
        "caller_id": caller_id,
    }
    rows = read.execute(_LIST if caller_id is None else _LIST_OF_CALLER, wanted).fetchall()
    items = tuple(_record(read, there(row), now) for row in rows[:limit])
    return EndpointPage(items, rows[limit - 1][0] if len(rows) > limit else None)


def _record(read: sqlite3.Connection, endpoint: Endpoint, now: Instant) -> EndpointRecord:
    rows = read.execute(_SECRETS, {"endpoint_id": endpoint.id, "now": now})
    return EndpointRecord(endpoint, tuple(SecretRecord(*row[1:]) for row in rows))


def endpoint_secrets(read: sqlite3.Connection, endpoint_id: str, now: Instant) -> list[bytes]:
    """The secrets of an endpoint in force, newest first."""
    rows = read.execute(_SECRETS, {"endpoint_id": endpoint_id, "now": now})
    return [row[0] for row in rows]


# --- keeping -----------------------------------------------------------------------------------


def add_endpoint(session: Session, new: NewEndpoint) -> Addition:
    """Add an endpoint with its first secret."""
    endpoint = new.endpoint
    if session.one(_CALLER_EXISTS, (endpoint.caller_id,)) is None:
        return Addition.NO_CALLER
    (count,) = session.one(_COUNT, (endpoint.caller_id,))
    if count >= new.most:
        return Addition.TOO_MANY
    session.execute(_ADD, endpoint_row(endpoint))
    _add_secret(session, endpoint.id, new.sealed, endpoint.created_at)
    session.endpoints.clear()
    return Addition.ADDED


def put_endpoint(session: Session, endpoint: Endpoint) -> bool:
    """Write what a caller may change, in the place of the version before."""
    row = endpoint_row(endpoint)
    del row["caller_id"], row["created_at"]
    session.endpoints.clear()
    if not session.execute(_PUT, row).rowcount:
        return False
    rate = {"endpoint_id": endpoint.id, "rate": endpoint.rate_limit, "now": session.now}
    session.execute(_PLACES_RATE, rate)
    return True


def rotate_endpoint_secret(session: Session, new: NewEndpointSecret) -> Addition:
    """Add a secret, and let the others end."""
    if session.one(_EXISTS, (new.endpoint_id,)) is None:
        return Addition.NO_CALLER
    row = {
        "endpoint_id": new.endpoint_id,
        "now": session.now,
        "until": session.now + round(new.overlap_seconds * 1000),
    }
    (others,) = session.one(_SECRETS_COUNT, row)
    if others >= MOST_SECRETS:
        return Addition.TOO_MANY
    session.execute(_SECRETS_END, row)
    session.execute(_SECRETS_FORGET, row)
    _add_secret(session, new.endpoint_id, new.sealed, new.created_at)
    return Addition.ADDED


def _add_secret(session: Session, endpoint_id: str, sealed: bytes, created_at: Instant) -> None:
    row = {"endpoint_id": endpoint_id, "sealed": sealed, "created_at": created_at}
    session.execute(_SECRET_ADD, row)


# --- switching ---------------------------------------------------------------------------------


def places_of(session: Session, endpoint_id: str) -> list[int]:
    """The destinations of an endpoint."""
    return [seq for (seq,) in session.execute(_PLACES, (endpoint_id,)).fetchall()]


def disable(
    session: Session,
    endpoint_id: str,
    reason: DisabledReason,
    at: Instant,
    terms: DeliveryTerms,
) -> Switched | None:
    """Have nothing sent to an endpoint, and tell the others; None if it is not there."""
    row = _one(session, _DISABLE, {"id": endpoint_id, "reason": reason.value, "at": at})
    session.endpoints.clear()
    if row is None:
        return _as_it_was(session, endpoint_id)
    endpoint = there(row)
    for seq in places_of(session, endpoint_id):
        destinations.hold(session, seq)
    event = _alone(session, endpoint, EventType.ENDPOINT_DISABLED, session.ids.new("evt"), at)
    event_seq = write_event(session, event, None)
    return Switched(endpoint, True, owe_endpoints(session, event, event_seq, None, terms))


def enable(session: Session, endpoint_id: str) -> Switched | None:
    """Send to an endpoint again; None if it is not there."""
    row = _one(session, _ENABLE, {"id": endpoint_id})
    session.endpoints.clear()
    if row is None:
        return _as_it_was(session, endpoint_id)
    ready_at: Instant | None = None
    for seq in places_of(session, endpoint_id):
        ready_at = earlier(ready_at, destinations.release(session, seq))
    return Switched(there(row), True, ready_at)


def _as_it_was(session: Session, endpoint_id: str) -> Switched | None:
    row = session.one(_FOUND, (endpoint_id,))
    return None if row is None else Switched(there(row), False)


def _one(session: Session, sql: str, parameters: dict[str, object]) -> Row | None:
    """The row that a change gives back, once it is whole."""
    rows = session.execute(sql, parameters).fetchall()
    return rows[0] if rows else None


def ping(session: Session, asked: Ping, terms: DeliveryTerms) -> Pinged | None:
    """Write a ping, and owe it to this endpoint alone; None if it is not there."""
    row = session.one(_FOUND, (asked.endpoint_id,))
    if row is None:
        return None
    endpoint = there(row)
    event = _alone(session, endpoint, EventType.PING, asked.event_id, asked.at)
    event_seq = write_event(session, event, None)
    owed = Owed(session, None, event_seq, None, event, endpoint)
    applied = owed.add_at_once(terms)
    return Pinged(owed.delivery_id, applied.delivery_ready_at)


def _alone(
    session: Session, endpoint: Endpoint, kind: EventType, event_id: str, at: Instant
) -> Event:
    """An event of no job, which tells of an endpoint."""
    return Event(
        id=event_id,
        job_id=None,
        caller_id=endpoint.caller_id,
        type=kind,
        sequence=None,
        at=at,
        links_base=session.links_base,
        data=encode(endpoint_json(endpoint)),
    )
