"""Making the schema, and bringing an older one up to date. Migrations only go forward."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

from dispatcher.adapters.sqlite.connection import (
    LOCK_SECONDS,
    Use,
    connect,
    require_sqlite,
)
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.errors import SchemaMismatch, StoreCorrupt

_FIND: Final = statement("meta_find")
_MARK: Final = statement("schema_mark")
_THERE: Final = statement("schema_there")

APPLICATION_ID: Final = 0x43424450
"""`CBDP` in the file's header (offset 68): this is a database of ours."""


class Migration(NamedTuple):
    """One step of the schema; its number is the `user_version` that it leads to."""

    number: int
    name: str
    sql: str

    @property
    def mark(self) -> bytes:
        """The SHA-256 of its text: a released migration never changes."""
        return hashlib.sha256(self.sql.encode()).digest()


def migrations() -> list[Migration]:
    """All of them, in order: `migrations/<number>_<name>.sql`."""
    found = sorted((entry.name, entry) for entry in (files(__package__) / "migrations").iterdir())
    return [
        Migration(int(name[:4]), name.removesuffix(".sql"), entry.read_text(encoding="utf-8"))
        for name, entry in found
        if name.endswith(".sql")
    ]


def prepare(path: Path, *, lock_seconds: float = LOCK_SECONDS) -> None:
    """Create the database if it is not there, else check it and bring it up to date.

    Raises `StoreCorrupt` (not a database of ours), `SchemaMismatch` (written by another version),
    `StoreError` (SQLite too old) or `sqlite3.Error`.
    """
    require_sqlite()
    connection = connect(path, Use.WRITE, lock_seconds=lock_seconds, create=True)
    try:
        _set_up_file(connection, path)
        # Only who has something to write takes the lock: another may open beside a busy service.
        behind = _version(connection) < migrations()[-1].number
        # A table that is made anew must not take with it what refers to it: see `_migrate`.
        connection.execute(f"PRAGMA foreign_keys = {'OFF' if behind else 'ON'}")
        connection.execute("BEGIN IMMEDIATE" if behind else "BEGIN")
        try:
            _migrate(connection, path)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    finally:
        connection.close()


def _set_up_file(connection: sqlite3.Connection, path: Path) -> None:
    """What has to be said before the first table, and lasts in the file."""
    if _is_empty(connection):
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    elif _pragma(connection, "application_id") != APPLICATION_ID:
        raise StoreCorrupt(
            f"{path} is an SQLite database, but not one of the dispatcher's: choose another path."
        )
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreCorrupt(
            f"{path} can't use a write-ahead log (its journal mode stays {mode!r}): "
            "put it on a local file system."
        )


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    known = migrations()
    version = _version(connection)
    if version > known[-1].number:
        raise SchemaMismatch(
            f"{path} has schema {version}, and this version of the dispatcher knows up to "
            f"{known[-1].number}: run the newer version that wrote it, or restore a backup."
        )
    for step in known:
        if step.number > version:
            for sql in _statements(step.sql):
                connection.execute(sql)
            connection.execute(f"PRAGMA user_version = {step.number:d}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
            connection.execute(_MARK, (_mark_name(step), step.mark))
        else:
            _check_mark(connection, step, path)
    if version < known[-1].number:
        broken = connection.execute("PRAGMA foreign_key_check").fetchone()
        if broken is not None:
            raise StoreCorrupt(f"{path} has a row of {broken[0]} that refers to one that is gone.")


def _check_mark(connection: sqlite3.Connection, step: Migration, path: Path) -> None:
    row = connection.execute(_FIND, (_mark_name(step),)).fetchone()
    if row is None or row[0] != step.mark:
        raise SchemaMismatch(
            f"{path} was made by a development version whose migration {step.name} was another: "
            "run that version, or begin with a new file."
        )


def _mark_name(step: Migration) -> str:
    return f"migration {step.number:04d}"


def _version(connection: sqlite3.Connection) -> int:
    return 0 if _is_empty(connection) else _pragma(connection, "user_version")


def _is_empty(connection: sqlite3.Connection) -> bool:
    """Whether the file holds nothing at all: a new one, or one that a crash left unfinished."""
    (count,) = connection.execute(_THERE).fetchone()
    return bool(count == 0)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _statements(sql: str) -> Iterator[str]:
    """The statements of a file one by one: `executescript` would commit between them."""
    pending = ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if pending.strip() and not pending.strip().startswith("--"):
        yield pending
