"""Callers: added, found, listed, and what is set for them."""

from __future__ import annotations

from collections.abc import Sequence

from dispatcher.adapters.postgres.audit import add_audit
from dispatcher.adapters.postgres.batching import Entry
from dispatcher.adapters.postgres.credentials import insert_key
from dispatcher.adapters.postgres.rows import caller_of, terms_row
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.model import ApiKey, Caller, Instant, Role
from dispatcher.ports.asked import NewCaller, NewTerms
from dispatcher.ports.records import CallerPage, CallerRecord, SecretRecord

_CALLER_ADD = statement("caller_add")
_CALLER_FIND = statement("caller_find")
_CALLER_LOCK = statement("caller_lock")
_SET_TERMS = statement("caller_set_terms")
_SECRET_ADD = statement("secret_add")
_SECRETS = statement("secrets_of_callers")
_CALLERS = statement("callers_before")
_CALLER_BY_ID = statement("caller_by_id")
_KEYS = statement("api_keys_of_callers")

_PAST_ALL = 2**63 - 1


async def add_callers(session: Session, entries: Sequence[Entry[NewCaller]]) -> list[bool]:
    """Add callers; False for one whose name is taken."""
    return [await _add_caller(session, entry.item) for entry in entries]


async def _add_caller(session: Session, new: NewCaller) -> bool:
    await session.began()
    caller = new.caller
    row = (caller.id, caller.name, caller.created_at, terms_row(caller.terms))
    if await session.one(_CALLER_ADD, *row) is None:
        return False
    await insert_key(session, new.key, new.digest)
    await session.execute(_SECRET_ADD, caller.id, new.sealed, caller.created_at)
    await add_audit(session, new.entry)
    return True


async def set_terms(session: Session, entries: Sequence[Entry[NewTerms]]) -> list[bool]:
    """Set callers' terms; False for one that is not there, or for which others are set."""
    return [await _set_terms(session, entry.item) for entry in entries]


async def _set_terms(session: Session, new: NewTerms) -> bool:
    row = await session.one(_CALLER_LOCK, new.caller_id)
    await session.began()
    if row is None or caller_of(row).terms != new.before:
        return False
    await session.execute(_SET_TERMS, new.caller_id, terms_row(new.after))
    await add_audit(session, new.entry)
    return True


async def find_caller(session: Session, name_or_id: str) -> Caller | None:
    """A caller by its id, or else by its name."""
    row = await session.one(_CALLER_FIND, name_or_id)
    return None if row is None else caller_of(row)


async def list_callers(session: Session, *, limit: int, before: int | None) -> CallerPage:
    """Callers, newest first."""
    now = await session.look_at_clock()
    rows = await session.fetch(_CALLERS, _PAST_ALL if before is None else before, limit + 1)
    callers = [caller_of(row[1:]) for row in rows[:limit]]
    records = await _records(session, callers, now)
    return CallerPage(tuple(records), rows[limit - 1][0] if len(rows) > limit else None)


async def get_caller(session: Session, caller_id: str) -> CallerRecord | None:
    """One caller."""
    now = await session.look_at_clock()
    row = await session.one(_CALLER_BY_ID, caller_id)
    if row is None:
        return None
    (record,) = await _records(session, (caller_of(row),), now)
    return record


async def _records(session: Session, callers: Sequence[Caller], now: Instant) -> list[CallerRecord]:
    """Callers with their keys and secrets in force."""
    ids = [caller.id for caller in callers]
    keys: dict[str, list[ApiKey]] = {id_: [] for id_ in ids}
    for caller_id, key_id, role, created, expires in await session.fetch(_KEYS, ids, now):
        key = ApiKey(
            id=key_id,
            caller_id=caller_id,
            role=Role(role),
            created_at=created,
            expires_at=expires,
        )
        keys[caller_id].append(key)
    secrets: dict[str, list[SecretRecord]] = {id_: [] for id_ in ids}
    for caller_id, created, expires in await session.fetch(_SECRETS, ids, now):
        secrets[caller_id].append(SecretRecord(created, expires))
    return [CallerRecord(each, tuple(keys[each.id]), tuple(secrets[each.id])) for each in callers]
