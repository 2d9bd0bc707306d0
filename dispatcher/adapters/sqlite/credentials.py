"""Keys and secrets, which come and go: of callers, and the service's own."""

from __future__ import annotations

import sqlite3

from dispatcher.adapters.sqlite.audit import add_audit
from dispatcher.adapters.sqlite.rows import caller_of
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.model import ApiKey, Caller, Instant, Role, ServiceKey
from dispatcher.ports.asked import EndedKey, NewKey, NewSecret, NewServiceKey
from dispatcher.ports.records import MOST_KEYS, MOST_SECRETS, Addition

_KEY_FIND = statement("api_key_find")
_SECRET_ADD = statement("secret_add")
_SECRETS = statement("secrets_in_force")
_CALLER_EXISTS = statement("caller_exists")
_KEY_ADD = statement("api_key_add")
_KEY_REVOKE = statement("api_key_revoke")
_KEYS_COUNT = statement("api_keys_count")
_SECRETS_COUNT = statement("secrets_count")
_SECRETS_END = statement("secrets_end")
_SECRETS_FORGET = statement("secrets_forget")
_SERVICE_KEYS = statement("service_keys")
_SERVICE_KEY_ADD = statement("service_key_add")
_SERVICE_KEY_EXISTS = statement("service_key_exists")
_SERVICE_KEYS_COUNT = statement("service_keys_count")
_SERVICE_KEYS_END = statement("service_keys_end")
_SERVICE_KEYS_FORGET = statement("service_keys_forget")


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


def insert_key(session: Session, key: ApiKey, digest: bytes) -> None:
    """Write an API key's row."""
    session.execute(
        _KEY_ADD,
        {
            "id": key.id,
            "caller_id": key.caller_id,
            "role": key.role.value,
            "digest": digest,
            "created_at": key.created_at,
            "expires_at": key.expires_at,
            "revoked_at": key.revoked_at,
        },
    )


def add_key(session: Session, new: NewKey) -> Addition:
    """Add a key to a caller."""
    caller_id = new.key.caller_id
    if session.one(_CALLER_EXISTS, (caller_id,)) is None:
        return Addition.NO_CALLER
    (count,) = session.one(_KEYS_COUNT, {"caller_id": caller_id, "now": session.now})
    if count >= MOST_KEYS:
        return Addition.TOO_MANY
    insert_key(session, new.key, new.digest)
    add_audit(session, new.entry)
    return Addition.ADDED


def revoke_key(session: Session, key: EndedKey) -> bool:
    """Revoke a key; False if it is not there."""
    row = {"caller_id": key.caller_id, "id": key.id, "now": session.now}
    if session.execute(_KEY_REVOKE, row).rowcount == 0:
        return False
    add_audit(session, key.entry)
    return True


def sealed_secrets(read: sqlite3.Connection, caller_id: str, now: Instant) -> list[bytes]:
    """The secrets of a caller in force, newest first."""
    rows = read.execute(_SECRETS, {"caller_id": caller_id, "now": now})
    return [sealed for (sealed,) in rows]


def rotate_secret(session: Session, new: NewSecret) -> Addition:
    """Add a secret, and let the others end."""
    if session.one(_CALLER_EXISTS, (new.caller_id,)) is None:
        return Addition.NO_CALLER
    row = {
        "caller_id": new.caller_id,
        "now": session.now,
        "until": session.now + round(new.overlap_seconds * 1000),
    }
    (others,) = session.one(_SECRETS_COUNT, row)
    if others >= MOST_SECRETS:
        return Addition.TOO_MANY
    session.execute(_SECRETS_END, row)
    session.execute(_SECRETS_FORGET, row)
    session.execute(
        _SECRET_ADD,
        {"caller_id": new.caller_id, "sealed": new.sealed, "created_at": new.created_at},
    )
    add_audit(session, new.entry)
    return Addition.ADDED


# --- the service's own -------------------------------------------------------------------------


def service_keys(read: sqlite3.Connection, now: Instant) -> list[tuple[ServiceKey, bytes]]:
    """The keys in force, newest first, each with its sealed private key."""
    return [
        (ServiceKey(id=id_, public=public, created_at=created, retired_at=retired), sealed)
        for id_, public, created, retired, sealed in read.execute(_SERVICE_KEYS, (now,))
    ]


def add_service_key(session: Session, new: NewServiceKey) -> bool:
    """Add a key of the service, and let the others end; False if there is no room for it."""
    if session.one(_SERVICE_KEY_EXISTS, (new.key.id,)) is not None:
        return True  # sent again
    if new.overlap_seconds is not None:
        row = {"now": session.now, "until": session.now + round(new.overlap_seconds * 1000)}
        (others,) = session.one(_SERVICE_KEYS_COUNT, row)
        if others >= MOST_SECRETS:
            return False
        session.execute(_SERVICE_KEYS_END, row)
        session.execute(_SERVICE_KEYS_FORGET, (session.now,))
    key = new.key
    added = session.execute(
        _SERVICE_KEY_ADD,
        {"id": key.id, "public": key.public, "sealed": new.sealed, "created_at": key.created_at},
    )
    if added.rowcount == 0:
        return False
    add_audit(session, new.entry)
    return True
