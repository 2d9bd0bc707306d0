"""What proves that a store works, and that its encryption key belongs to it."""

from __future__ import annotations

import sqlite3

from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.adapters.stored import CHECKED, ENCRYPTION_KEY

_META_FIND = statement("meta_find")
_META_PUT = statement("meta_put")
_META_KEEP = statement("meta_keep")


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
