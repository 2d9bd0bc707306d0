"""Callers, types, and what proves that the store and its encryption key belong together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from dispatcher.adapters.postgres.audit import add_audit
from dispatcher.adapters.postgres.batching import Entry
from dispatcher.adapters.postgres.grants import insert_key
from dispatcher.adapters.postgres.rows import caller_of, terms_row
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.adapters.stored import CHECKED, ENCRYPTION_KEY
from dispatcher.core.model import ApiKey, Caller, JobType, Role
from dispatcher.ports.asked import NewCaller, NewTerms

_CALLER_ADD = statement("caller_add")
_CALLER_FIND = statement("caller_find")
_CALLER_LOCK = statement("caller_lock")
_SET_TERMS = statement("caller_set_terms")
_KEY_FIND = statement("api_key_find")
_SECRET_ADD = statement("secret_add")
_SECRETS = statement("secrets_in_force")
_TYPES_PUT = statement("job_types_put")
_TYPES = statement("job_types")
_META_FIND = statement("meta_find")
_META_PUT = statement("meta_put")
_META_KEEP = statement("meta_keep")

_job_type: Final = msgspec.json.Decoder(JobType).decode


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


async def find_key(session: Session, digest: bytes) -> tuple[ApiKey, Caller] | None:
    """The key with that digest, and its caller."""
    row = await session.one(_KEY_FIND, digest)
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


async def find_caller(session: Session, name_or_id: str) -> Caller | None:
    """A caller by its id, or else by its name."""
    row = await session.one(_CALLER_FIND, name_or_id)
    return None if row is None else caller_of(row)


async def sealed_secrets(session: Session, caller_id: str) -> list[bytes]:
    """The secrets of a caller in force, newest first."""
    now = await session.look_at_clock()
    return [row[0] for row in await session.fetch(_SECRETS, caller_id, now)]


async def put_types(session: Session, entries: Sequence[Entry[JobType]]) -> list[None]:
    """Declare types; of one name the last counts."""
    await session.began()
    declared = {entry.item.name: entry.item for entry in entries}
    texts = [msgspec.json.encode(declared[name]).decode() for name in sorted(declared)]
    await session.execute(_TYPES_PUT, sorted(declared), texts)
    return [None for _ in entries]


async def list_types(session: Session) -> list[JobType]:
    """Every type, by name."""
    return [_job_type(row[0]) for row in await session.fetch(_TYPES)]


async def keep_key_check(session: Session, entries: Sequence[Entry[bytes]]) -> list[bytes]:
    """Store the proof of the encryption key unless one is there; gives the one that is."""
    await session.began()
    await session.execute(_META_KEEP, ENCRYPTION_KEY, entries[0].item)
    kept = await session.one(_META_FIND, ENCRYPTION_KEY)
    return [b"" if kept is None else kept[0] for _ in entries]


async def find_key_check(session: Session) -> bytes | None:
    """The stored proof of the encryption key."""
    row = await session.one(_META_FIND, ENCRYPTION_KEY)
    return None if row is None else row[0]


async def write_check(session: Session, entries: Sequence[Entry[None]]) -> list[None]:
    """Write a little, to see whether writing works."""
    await session.began()
    await session.execute(_META_PUT, CHECKED, session.now.to_bytes(8, signed=True))
    return [None for _ in entries]


async def read_check(session: Session) -> None:
    """Read a little, to see whether reading works."""
    await session.one(_META_FIND, CHECKED)
