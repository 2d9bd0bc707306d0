"""Registered endpoints: kept, read, switched on and off, pinged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from dispatcher.adapters.postgres import destinations, registered, switching
from dispatcher.adapters.postgres.audit import add_audit
from dispatcher.adapters.postgres.batching import Entry
from dispatcher.adapters.postgres.concerned import wheres
from dispatcher.adapters.postgres.debts import Debt
from dispatcher.adapters.postgres.owing import owe
from dispatcher.adapters.postgres.reading import LAST
from dispatcher.adapters.postgres.registered import endpoint_of, endpoint_row, where_to
from dispatcher.adapters.postgres.session import Kind, Session, Witness
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.audit import AuditEntry
from dispatcher.core.endpoints import DisabledReason, Endpoint
from dispatcher.core.model import EventType, Instant
from dispatcher.ports.endpoints import EndpointPage, EndpointRecord, Pinged, Switched
from dispatcher.ports.records import MOST_SECRETS, Addition, DeliveryTerms, SecretRecord

_CALLER_LOCK = statement("caller_lock")
_COUNT = statement("endpoints_count")
_ADD = statement("endpoint_add")
_PUT = statement("endpoint_put")
_FOUND = statement("endpoint_found")
_LOCK = statement("endpoint_lock")
_LIST = statement("list_endpoints")
_LIST_OF_CALLER = statement("list_endpoints_of_caller")
_PACE = statement("destinations_pace")
_SECRET_ADD = statement("endpoint_secret_add")
_SECRETS = statement("endpoint_secrets_in_force")
_SECRETS_COUNT = statement("endpoint_secrets_count")
_SECRETS_END = statement("endpoint_secrets_end")
_SECRETS_FORGET = statement("endpoint_secrets_forget")


class NewEndpoint(Struct, frozen=True):
    """An endpoint to add, with its first secret; its caller may have `most`."""

    endpoint: Endpoint
    sealed: bytes
    most: int
    entry: AuditEntry | None


class PutEndpoint(Struct, frozen=True):
    """What a caller has changed of an endpoint."""

    endpoint: Endpoint
    entry: AuditEntry | None


class NewEndpointSecret(Struct, frozen=True):
    """A signing secret to add in the place of those that are there."""

    endpoint_id: str
    sealed: bytes
    created_at: Instant
    overlap_seconds: float
    entry: AuditEntry | None


class Enabling(Struct, frozen=True):
    """An endpoint to enable."""

    endpoint_id: str
    entry: AuditEntry | None


class Disabling(Struct, frozen=True):
    """An endpoint to disable, as somebody asked for."""

    endpoint_id: str
    at: Instant
    terms: DeliveryTerms
    entry: AuditEntry | None


class Ping(Struct, frozen=True):
    """A ping to send."""

    endpoint_id: str
    event_id: str
    at: Instant
    terms: DeliveryTerms
    entry: AuditEntry | None


# --- reading -----------------------------------------------------------------------------------


async def get_endpoint(
    session: Session, endpoint_id: str, caller_id: str | None
) -> EndpointRecord | None:
    """An endpoint, if that caller may see it."""
    row = await session.one(_FOUND, endpoint_id)
    endpoint = None if row is None else endpoint_of(row)
    if endpoint is None or caller_id not in (None, endpoint.caller_id):
        return None
    (record,) = await _records(session, (endpoint,))
    return record


async def list_endpoints(
    session: Session, caller_id: str | None, *, limit: int, before: int | None
) -> EndpointPage:
    """Endpoints, newest first."""
    sql, given = (_LIST, ()) if caller_id is None else (_LIST_OF_CALLER, (caller_id,))
    rows = await session.fetch(sql, LAST if before is None else before, limit + 1, *given)
    items = await _records(session, [endpoint_of(row) for row in rows[:limit]])
    return EndpointPage(tuple(items), rows[limit - 1][0] if len(rows) > limit else None)


async def _records(session: Session, endpoints: Sequence[Endpoint]) -> list[EndpointRecord]:
    now = await session.look_at_clock()
    secrets: dict[str, list[SecretRecord]] = {each.id: [] for each in endpoints}
    for id_, created_at, expires_at, _ in await session.fetch(_SECRETS, list(secrets), now):
        secrets[id_].append(SecretRecord(created_at, expires_at))
    return [EndpointRecord(each, tuple(secrets[each.id])) for each in endpoints]


async def endpoint_secrets(session: Session, endpoint_id: str) -> list[bytes]:
    """The secrets of an endpoint in force, newest first."""
    now = await session.look_at_clock()
    return [row[3] for row in await session.fetch(_SECRETS, [endpoint_id], now)]


# --- keeping -----------------------------------------------------------------------------------


async def add_endpoints(session: Session, entries: Sequence[Entry[NewEndpoint]]) -> list[Addition]:
    """Add endpoints, each with its first secret."""
    return [await _add_endpoint(session, entry.item) for entry in entries]


async def _add_endpoint(session: Session, new: NewEndpoint) -> Addition:
    endpoint = new.endpoint
    there = await session.one(_CALLER_LOCK, endpoint.caller_id) is not None
    await session.began()
    if not there:
        return Addition.NO_CALLER
    (count,) = await session.one(_COUNT, endpoint.caller_id) or (0,)
    if count >= new.most:
        return Addition.TOO_MANY
    await session.execute(_ADD, *endpoint_row(endpoint), endpoint.created_at)
    await session.execute(_SECRET_ADD, endpoint.id, new.sealed, endpoint.created_at)
    await add_audit(session, new.entry)
    _witness(session, endpoint)
    return Addition.ADDED


async def put_endpoints(session: Session, entries: Sequence[Entry[PutEndpoint]]) -> list[bool]:
    """Write what callers may change, each in the place of the version before."""
    wanted = [entry.item.endpoint for entry in entries]
    callers = {each.caller_id for each in wanted}
    await _lock(session, callers, (), [each.id for each in wanted])
    answers = []
    for endpoint, entry in zip(wanted, entries, strict=True):
        stands = await session.one(_PUT, *endpoint_row(endpoint)) is not None
        if stands:
            await session.execute(_PACE, endpoint.id, endpoint.rate_limit, session.now)
            await add_audit(session, entry.item.entry)
            _witness(session, endpoint)
        answers.append(stands)
    return answers


def _witness(session: Session, endpoint: Endpoint) -> None:
    session.witnesses.append(Witness(Kind.ENDPOINT, endpoint.id, str(endpoint.version)))


async def rotate_endpoint_secrets(
    session: Session, entries: Sequence[Entry[NewEndpointSecret]]
) -> list[Addition]:
    """Add secrets, and let the others end."""
    return [await _rotate_secret(session, entry.item) for entry in entries]


async def _rotate_secret(session: Session, new: NewEndpointSecret) -> Addition:
    there = await session.one(_LOCK, new.endpoint_id) is not None
    await session.began()
    if not there:
        return Addition.NO_CALLER
    now, until = session.now, session.now + round(new.overlap_seconds * 1000)
    (others,) = await session.one(_SECRETS_COUNT, new.endpoint_id, now, until) or (0,)
    if others >= MOST_SECRETS:
        return Addition.TOO_MANY
    await session.execute(_SECRETS_END, new.endpoint_id, until)
    await session.execute(_SECRETS_FORGET, new.endpoint_id, now)
    await session.execute(_SECRET_ADD, new.endpoint_id, new.sealed, new.created_at)
    await add_audit(session, new.entry)
    return Addition.ADDED


# --- switching ---------------------------------------------------------------------------------


async def _lock(
    session: Session, callers: Iterable[str], kinds: Iterable[EventType], ids: Sequence[str]
) -> None:
    """Lock the endpoints of callers to change them, and where that may be felt.

    Those are the destinations of `ids`, and of whoever is owed events of these kinds.
    """
    whose = list(callers)
    await registered.lock(session, whose, exclusive=True)
    told = dict.fromkeys(whose, kinds)
    await destinations.lock(session, await wheres(session, told, ids))
    await session.began()


async def enable_endpoints(
    session: Session, entries: Sequence[Entry[Enabling]]
) -> list[Switched | None]:
    """Have endpoints sent to again; None for one that is gone."""
    ids = [entry.item.endpoint_id for entry in entries]
    await _lock(session, await registered.callers_of(session, ids), (), ids)
    answers = []
    for entry in entries:
        switched = await switching.enable(session, entry.item.endpoint_id)
        if switched is not None:
            await add_audit(session, entry.item.entry)
        answers.append(switched)
    return answers


async def disable_endpoints(
    session: Session, entries: Sequence[Entry[Disabling]]
) -> list[Switched | None]:
    """Have nothing sent to endpoints; None for one that is gone."""
    ids = [entry.item.endpoint_id for entry in entries]
    callers = await registered.callers_of(session, ids)
    await _lock(session, callers, (EventType.ENDPOINT_DISABLED,), ids)
    answers = []
    for entry in entries:
        asked, reason = entry.item, DisabledReason.MANUAL
        switched = await switching.disable(
            session, asked.endpoint_id, reason, asked.at, asked.terms
        )
        if switched is not None:
            await add_audit(session, asked.entry)
        answers.append(switched)
    return answers


async def ping_endpoints(session: Session, entries: Sequence[Entry[Ping]]) -> list[Pinged | None]:
    """Write pings, each owed to its endpoint alone; None for one that is gone."""
    ids = [entry.item.endpoint_id for entry in entries]
    callers = await registered.callers_of(session, ids)
    await registered.lock(session, callers, exclusive=False)
    known = [session.registered.find(id_) for id_ in ids]
    await destinations.lock(session, {where_to(each) for each in known if each is not None})
    await session.began()
    return [
        None if endpoint is None else await _ping(session, endpoint, entry.item)
        for endpoint, entry in zip(known, entries, strict=True)
    ]


async def _ping(session: Session, endpoint: Endpoint, asked: Ping) -> Pinged:
    told = switching.alone(endpoint, EventType.PING, asked.event_id, asked.at)
    debt = Debt(session, told, endpoint)
    (applied,) = await owe(session, (told,), (debt,), asked.terms)
    session.witnesses.append(Witness(Kind.EVENT, asked.event_id))
    await add_audit(session, asked.entry)
    return Pinged(debt.delivery_id, applied.delivery_ready_at)
