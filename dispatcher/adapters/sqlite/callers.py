"""Callers: added, found, listed, and what is set for them."""

from __future__ import annotations

import sqlite3

from dispatcher.adapters.sqlite.audit import add_audit
from dispatcher.adapters.sqlite.credentials import insert_key
from dispatcher.adapters.sqlite.rows import caller_of, terms_row
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.model import ApiKey, Caller, Instant, Role
from dispatcher.ports.asked import NewCaller, NewTerms
from dispatcher.ports.records import CallerPage, CallerRecord, SecretRecord

_CALLER_ADD = statement("caller_add")
_CALLER_FIND = statement("caller_find")
_CALLER_BY_ID = statement("caller_by_id")
_SET_TERMS = statement("caller_set_terms")
_SECRET_ADD = statement("secret_add")
_SECRETS = statement("secrets_of_caller")
_CALLERS = statement("callers_before")
_KEYS = statement("api_keys_of_caller")

_PAST_ALL = 2**63 - 1


def add_caller(session: Session, new: NewCaller) -> bool:
    """Add a caller; False if its name is taken."""
    caller = new.caller
    row = {
        "id": caller.id,
        "name": caller.name,
        "created_at": caller.created_at,
        "terms": terms_row(caller.terms),
    }
    if not session.execute(_CALLER_ADD, row).rowcount:
        return False
    insert_key(session, new.key, new.digest)
    secret = {"caller_id": caller.id, "sealed": new.sealed, "created_at": caller.created_at}
    session.execute(_SECRET_ADD, secret)
    add_audit(session, new.entry)
    return True


def set_terms(session: Session, new: NewTerms) -> bool:
    """Set a caller's terms; False if it is not there, or others are set."""
    row = session.one(_CALLER_BY_ID, (new.caller_id,))
    if row is None or caller_of(row).terms != new.before:
        return False
    session.execute(_SET_TERMS, {"id": new.caller_id, "terms": terms_row(new.after)})
    add_audit(session, new.entry)
    return True


def find_caller(read: sqlite3.Connection, name_or_id: str) -> Caller | None:
    """A caller by its id, or else by its name."""
    row = read.execute(_CALLER_FIND, {"wanted": name_or_id}).fetchone()
    return None if row is None else caller_of(row)


def list_callers(
    read: sqlite3.Connection, now: Instant, *, limit: int, before: int | None
) -> CallerPage:
    """Callers, newest first."""
    wanted = {"before": _PAST_ALL if before is None else before, "limit": limit + 1}
    rows = read.execute(_CALLERS, wanted).fetchall()
    items = tuple(_record(read, caller_of(caller), now) for _, *caller in rows[:limit])
    return CallerPage(items, rows[limit - 1][0] if len(rows) > limit else None)


def get_caller(read: sqlite3.Connection, now: Instant, caller_id: str) -> CallerRecord | None:
    """One caller."""
    row = read.execute(_CALLER_BY_ID, (caller_id,)).fetchone()
    return None if row is None else _record(read, caller_of(row), now)


def _record(read: sqlite3.Connection, caller: Caller, now: Instant) -> CallerRecord:
    wanted = {"caller_id": caller.id, "now": now}
    keys = tuple(
        ApiKey(id=id_, caller_id=caller.id, role=Role(role), created_at=created, expires_at=expires)
        for id_, role, created, expires in read.execute(_KEYS, wanted)
    )
    secrets = tuple(SecretRecord(*row) for row in read.execute(_SECRETS, wanted))
    return CallerRecord(caller, keys, secrets)
