"""Connections and their settings."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from enum import Enum
from pathlib import Path
from typing import Final

from dispatcher.core.errors import StoreError

OLDEST_SQLITE: Final = (3, 37, 0)
"""STRICT tables came with 3.37, RETURNING with 3.35, UPDATE ... FROM with 3.33."""

_STATEMENTS_KEPT: Final = 256


LOCK_SECONDS: Final = 1.0
"""How long a write waits while another process holds the lock, unless told otherwise."""


class Use(Enum):
    """What a connection is for, and how much it caches (KiB)."""

    WRITE = 65_536
    READ = 8_192
    CHECKPOINT = 1_024


def require_sqlite() -> None:
    """Refuse an SQLite that lacks what is used here; raises `StoreError`."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        raise StoreError(
            f"This Python is linked with SQLite {sqlite3.sqlite_version}, and {needed} or newer is "
            "needed: use a newer Python, or a newer libsqlite3."
        )


def connect(
    path: Path, use: Use, *, lock_seconds: float = LOCK_SECONDS, create: bool = False
) -> sqlite3.Connection:
    """Open the database; with `create` it is made if it is not there. Raises `sqlite3.Error`.

    It holds inputs and results in clear text: its owner alone may read what is made here. SQLite
    gives the files beside it (`-wal`, `-shm`) the same mode; one that exists keeps its own.
    `lock_seconds` is how long a statement waits for a lock that another connection holds.
    Transactions are begun and ended by hand (`isolation_level=None`).
    """
    if create:
        with contextlib.suppress(OSError):  # it is there, or SQLite will say what is wrong
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    mode = "rwc" if create else "rw"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=lock_seconds,
        isolation_level=None,
        check_same_thread=False,  # a pool's connections are closed by whoever closes the pool
        cached_statements=_STATEMENTS_KEPT,
    )
    try:
        # FULL syncs the log at each commit; checkpoints have a connection of their own.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(f"PRAGMA cache_size = -{use.value}")
        if use is Use.READ:
            connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection
