"""What SQLite's errors mean: for the whole store, or for one item alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from dispatcher.core.errors import StoreCorrupt, StoreError, StoreUnavailable

# Primary result codes (https://sqlite.org/rescode.html) of which no single item is the cause.
_UNAVAILABLE: Final[dict[int, str]] = {
    sqlite3.SQLITE_PERM: "access is denied: give this user the right to read and write it",
    sqlite3.SQLITE_BUSY: "another process keeps it locked: find out which one, and stop it",
    sqlite3.SQLITE_LOCKED: "it is locked within this process",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
    sqlite3.SQLITE_READONLY: "it can't be written to (read-only, moved or removed)",
    sqlite3.SQLITE_INTERRUPT: "the operation was interrupted",
    sqlite3.SQLITE_IOERR: "the disk reports an error: look at the system's log",
    sqlite3.SQLITE_FULL: "the disk is full: make room",
    sqlite3.SQLITE_CANTOPEN: "it can't be opened: see that its directory is there and writable",
    sqlite3.SQLITE_PROTOCOL: "its locks are in disorder: is it on a network file system?",
    sqlite3.SQLITE_NOLFS: "the file system can't hold a file of this size",
    sqlite3.SQLITE_AUTH: "access is denied",
}
_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

# After these the connection is of doubtful use: it is closed, and another one is opened.
_RECONNECT: Final = frozenset(_UNAVAILABLE) - {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_INTERRUPT,
}


def whole_store(error: BaseException, path: Path) -> StoreError | None:
    """The error to raise if it is about the whole store; None: about the item that met it."""
    if isinstance(error, StoreError):
        return error
    if not isinstance(error, sqlite3.Error):
        return None
    code = primary_code(error)
    if code in _CORRUPT:
        return StoreCorrupt(
            f"The database {path} is damaged, or not a database ({error}): stop the service, keep "
            "a copy of it with its -wal file, and restore a backup or run sqlite3's .recover."
        )
    if code in _UNAVAILABLE:
        return StoreUnavailable(
            f"The database {path} can't be used now: {_UNAVAILABLE[code]} ({error})."
        )
    return None


def needs_new_connection(error: BaseException) -> bool:
    """Whether the connection that met this error should be replaced."""
    code = primary_code(error)
    return code in _RECONNECT or code in _CORRUPT


def primary_code(error: BaseException) -> int:
    """The primary result code: the lower eight bits of the extended one; 0 without one."""
    code: int = getattr(error, "sqlite_errorcode", None) or 0
    return code & 0xFF
