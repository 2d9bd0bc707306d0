"""Keys and secrets, which come and go: of callers, and the service's own."""

from __future__ import annotations

from collections.abc import Sequence

from dispatcher.adapters.postgres.audit import add_audit
from dispatcher.adapters.postgres.batching import Entry
from dispatcher.adapters.postgres.rows import caller_of
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.model import ApiKey, Caller, Role, ServiceKey
from dispatcher.ports.asked import EndedKey, NewKey, NewSecret, NewServiceKey
from dispatcher.ports.records import MOST_KEYS, MOST_SECRETS, Addition

_CALLER_LOCK = statement("caller_lock")
_KEY_FIND = statement("api_key_find")
_SECRET_ADD = statement("secret_add")
_SECRETS = statement("secrets_in_force")
_KEY_ADD = statement("api_key_add")
_KEY_REVOKE = statement("api_key_revoke")
_KEYS_COUNT = statement("api_keys_count")
_SECRETS_COUNT = statement("secrets_count")
_SECRETS_END = statement("secrets_end")
_SECRETS_FORGET = statement("secrets_forget")
_SERVICE_KEYS = statement("service_keys")
_SERVICE_KEYS_LOCK = statement("service_keys_lock")
_SERVICE_KEY_ADD = statement("service_key_add")
_SERVICE_KEY_EXISTS = statement("service_key_exists")
_SERVICE_KEYS_COUNT = statement("service_keys_count")
_SERVICE_KEYS_END = statement("service_keys_end")
_SERVICE_KEYS_FORGET = statement("service_keys_forget")


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


async def insert_key(session: Session, key: ApiKey, digest: bytes) -> None:
    """Write an API key's row."""
    await session.execute(
        _KEY_ADD,
        key.id,
        key.caller_id,
        key.role.value,
        digest,
        key.created_at,
        key.expires_at,
        key.revoked_at,
    )


async def add_keys(session: Session, entries: Sequence[Entry[NewKey]]) -> list[Addition]:
    """Add keys to callers."""
    return [await _add_key(session, entry.item) for entry in entries]


async def _add_key(session: Session, new: NewKey) -> Addition:
    caller_id = new.key.caller_id
    there = await session.one(_CALLER_LOCK, caller_id) is not None
    await session.began()
    if not there:
        return Addition.NO_CALLER
    (count,) = await session.one(_KEYS_COUNT, caller_id, session.now) or (0,)
    if count >= MOST_KEYS:
        return Addition.TOO_MANY
    await insert_key(session, new.key, new.digest)
    await add_audit(session, new.entry)
    return Addition.ADDED


async def revoke_keys(session: Session, entries: Sequence[Entry[EndedKey]]) -> list[bool]:
    """Revoke keys; False for one that is not there."""
    await session.began()
    return [await _revoke_key(session, entry.item) for entry in entries]


async def _revoke_key(session: Session, key: EndedKey) -> bool:
    if await session.one(_KEY_REVOKE, key.caller_id, key.id, session.now) is None:
        return False
    await add_audit(session, key.entry)
    return True


async def sealed_secrets(session: Session, caller_id: str) -> list[bytes]:
    """The secrets of a caller in force, newest first."""
    now = await session.look_at_clock()
    return [row[0] for row in await session.fetch(_SECRETS, caller_id, now)]


async def rotate_secrets(session: Session, entries: Sequence[Entry[NewSecret]]) -> list[Addition]:
    """Add secrets, and let the others end."""
    return [await _rotate_secret(session, entry.item) for entry in entries]


async def _rotate_secret(session: Session, new: NewSecret) -> Addition:
    there = await session.one(_CALLER_LOCK, new.caller_id) is not None
    await session.began()
    if not there:
        return Addition.NO_CALLER
    now, until = session.now, session.now + round(new.overlap_seconds * 1000)
    (others,) = await session.one(_SECRETS_COUNT, new.caller_id, now, until) or (0,)
    if others >= MOST_SECRETS:
        return Addition.TOO_MANY
    await session.execute(_SECRETS_END, new.caller_id, until)
    await session.execute(_SECRETS_FORGET, new.caller_id, now)
    await session.execute(_SECRET_ADD, new.caller_id, new.sealed, new.created_at)
    await add_audit(session, new.entry)
    return Addition.ADDED


# --- the service's own -------------------------------------------------------------------------


async def service_keys(session: Session) -> list[tuple[ServiceKey, bytes]]:
    """The keys in force, newest first, each with its sealed private key."""
    now = await session.look_at_clock()
    return [
        (ServiceKey(id=id_, public=public, created_at=created, retired_at=retired), sealed)
        for id_, public, created, retired, sealed in await session.fetch(_SERVICE_KEYS, now)
    ]


async def add_service_keys(session: Session, entries: Sequence[Entry[NewServiceKey]]) -> list[bool]:
    """Add keys of the service, and let the others end; False if there is no room for one."""
    return [await _add_service_key(session, entry.item) for entry in entries]


async def _add_service_key(session: Session, new: NewServiceKey) -> bool:
    await session.execute(_SERVICE_KEYS_LOCK)
    await session.began()
    key, now = new.key, session.now
    if await session.one(_SERVICE_KEY_EXISTS, key.id) is not None:
        return True  # sent again
    if new.overlap_seconds is not None:
        until = now + round(new.overlap_seconds * 1000)
        (others,) = await session.one(_SERVICE_KEYS_COUNT, now, until) or (0,)
        if others >= MOST_SECRETS:
            return False
        await session.execute(_SERVICE_KEYS_END, until)
        await session.execute(_SERVICE_KEYS_FORGET, now)
    row = await session.one(_SERVICE_KEY_ADD, key.id, key.public, new.sealed, key.created_at)
    if row is None:
        return False
    await add_audit(session, new.entry)
    return True
