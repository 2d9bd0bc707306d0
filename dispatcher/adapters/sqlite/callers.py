"""Callers, keys, secrets and types."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from dispatcher.adapters.sqlite.audit import add_audit
from dispatcher.adapters.sqlite.grants import insert_key
from dispatcher.adapters.sqlite.rows import caller_of, terms_row
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.adapters.stored import CHECKED, ENCRYPTION_KEY
from dispatcher.core.model import ApiKey, Caller, Instant, JobType, Role
from dispatcher.ports.asked import NewCaller, NewTerms

_CALLER_ADD = statement("caller_add")
_CALLER_FIND = statement("caller_find")
_CALLER_BY_ID = statement("caller_by_id")
_SET_TERMS = statement("caller_set_terms")
_KEY_FIND = statement("api_key_find")
_SECRET_ADD = statement("secret_add")
_SECRETS = statement("secrets_in_force")
_TYPE_PUT = statement("job_type_put")
_TYPES = statement("job_types")
_META_FIND = statement("meta_find")
_META_PUT = statement("meta_put")
_META_KEEP = statement("meta_keep")

_job_type: Final = msgspec.json.Decoder(JobType).decode


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


def find_key(read: sqlite3.Connection, digest: bytes) -> tuple[ApiKey, Caller] | None:
    """The key with that digest, and its caller."""
    row = read.execute(_KEY_FIND, (digest,)).fetchone()
    if row is None:
        return None
    id_, role, created_at, expires_at, revoked_at, *caller = row
    key = ApiKey(
        id=id_,
        caller_id=caller[0],
        role=Role(role),
        created_at=created_at,
        expires_at=expires_at,
        revoked_at=revoked_at,
    )
    return key, caller_of(caller)


def find_caller(read: sqlite3.Connection, name_or_id: str) -> Caller | None:
    """A caller by its id, or else by its name."""
    row = read.execute(_CALLER_FIND, {"wanted": name_or_id}).fetchone()
    return None if row is None else caller_of(row)


def sealed_secrets(read: sqlite3.Connection, caller_id: str, now: Instant) -> list[bytes]:
    """The secrets of a caller in force, newest first."""
    rows = read.execute(_SECRETS, {"caller_id": caller_id, "now": now})
    return [sealed for (sealed,) in rows]


def put_type(session: Session, declared: JobType) -> None:
    """Declare a type."""
    row = {"name": declared.name, "declared": msgspec.json.encode(declared).decode()}
    session.execute(_TYPE_PUT, row)


def list_types(read: sqlite3.Connection) -> list[JobType]:
    """Every type, by name."""
    return [_job_type(declared) for (declared,) in read.execute(_TYPES)]


def keep_key_check(session: Session, token: bytes) -> bytes:
    """Store the proof of the encryption key unless one is there; gives the one that is."""
    session.execute(_META_KEEP, {"name": ENCRYPTION_KEY, "value": token})
    kept: bytes = session.one(_META_FIND, (ENCRYPTION_KEY,))[0]
    return kept


def find_key_check(read: sqlite3.Connection) -> bytes | None:
    """The stored proof of the encryption key."""
    row = read.execute(_META_FIND, (ENCRYPTION_KEY,)).fetchone()
    return None if row is None else row[0]


def write_check(session: Session, _: None) -> None:
    """Write a little, to see whether writing works."""
    value = session.now.to_bytes(8, signed=True)
    session.execute(_META_PUT, {"name": CHECKED, "value": value})


def read_check(read: sqlite3.Connection) -> None:
    """Read a little, to see whether reading works."""
    read.execute(_META_FIND, (CHECKED,)).fetchone()
