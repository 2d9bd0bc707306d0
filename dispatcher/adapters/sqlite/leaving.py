"""What moves away: all rows of a file, table by table, and the mark that says where they went."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from dispatcher.adapters.sqlite.connection import Use, connect
from dispatcher.adapters.sqlite.errors import whole_store
from dispatcher.adapters.sqlite.lock import ServeLock
from dispatcher.adapters.sqlite.schema import prepare
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.adapters.stored import ENCRYPTION_KEY
from dispatcher.core.errors import StoreError, StoreMoved
from dispatcher.ports.moving import Batch, Key, MoveMark

_FIND = statement("meta_find")
_PUT = statement("meta_put")
_DROP = statement("meta_drop")
_COUNTS = statement("move_counts")
_NUMBERS = statement("move_numbers")

_MARK: Final = "moved"
_PATIENCE_SECONDS: Final = 10.0
MOST_ROWS: Final = 5_000
MOST_BYTES: Final = 8 * 1024 * 1024
"""Of texts and bytes in a batch: it ends with the row that reaches this."""


@cache
def _pages() -> dict[str, str]:
    """The statement that reads each table, in the order of `moving/<number>_<table>.sql`."""
    found = sorted((entry.name, entry) for entry in (files(__package__) / "moving").iterdir())
    return {
        name[3:].removesuffix(".sql"): entry.read_text(encoding="utf-8")
        for name, entry in found
        if name.endswith(".sql")
    }


def refuse_moved(connection: sqlite3.Connection, path: Path) -> None:
    """Raise `StoreMoved` if what the file holds is in another database, or on its way there."""
    mark = _mark(connection)
    if mark is None:
        return
    undo = f"`dispatcher migrate --from sqlite:///{path} --undo`"
    if mark.ended:
        raise StoreMoved(
            f"What {path} held was moved to {mark.to}: serve that. Served here again, callbacks "
            f"would be sent twice; if that database is given up for good, {undo} makes this file "
            "the one to be served again, as it was when it was moved."
        )
    raise StoreMoved(
        f"What {path} holds is being moved to {mark.to}, and not all of it is there: run "
        f"`dispatcher migrate --from … --to …` again, which goes on where it stopped; or {undo} "
        "gives the move up."
    )


def _mark(connection: sqlite3.Connection) -> MoveMark | None:
    row = connection.execute(_FIND, (_MARK,)).fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=MoveMark)


class LeavingFile:
    """Implements `dispatcher.ports.moving.MoveSource` on one SQLite file, inside a `with` block.

    It holds the lock of whoever serves the file, and from `put_mark` on nobody else writes to it.
    Not for use from several threads at once.
    """

    def __init__(self, path: Path) -> None:
        """Raises `StoreError` if there is no such file."""
        self._path = path.resolve()
        self.shown = str(self._path)
        self._held = ExitStack()
        self._connection: sqlite3.Connection | None = None
        if not self._path.exists():
            raise StoreError(f"There is no file {self._path}: nothing can be moved from there.")

    def __enter__(self) -> Self:
        """Take the lock and open; raises `StoreError`, `StoreLocked` if the file is served."""
        with ExitStack() as held, self._failing():
            held.enter_context(ServeLock(self._path))
            prepare(self._path, lock_seconds=_PATIENCE_SECONDS)
            self._connection = connect(self._path, Use.WRITE, lock_seconds=_PATIENCE_SECONDS)
            held.callback(self._connection.close)
            self._held = held.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace_back: TracebackType | None,
    ) -> None:
        self._held.close()

    @property
    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("enter it first")
        return self._connection

    def tables(self) -> Sequence[str]:
        """See `MoveSource.tables`."""
        return tuple(_pages())

    def mark(self) -> MoveMark | None:
        """See `MoveSource.mark`."""
        with self._failing():
            return _mark(self._open)

    def put_mark(self, mark: MoveMark | None) -> None:
        """See `MoveSource.put_mark`."""
        with self._failing():
            if not self._open.in_transaction:
                self._open.execute("BEGIN IMMEDIATE")
            if mark is None:
                self._open.execute(_DROP, {"name": _MARK})
            else:
                self._open.execute(_PUT, {"name": _MARK, "value": msgspec.json.encode(mark)})
            self._open.execute("COMMIT")
            self._open.execute("BEGIN IMMEDIATE")  # whoever had the file open may not write now

    def key_proof(self) -> bytes | None:
        """See `MoveSource.key_proof`."""
        with self._failing():
            row = self._open.execute(_FIND, (ENCRYPTION_KEY,)).fetchone()
        return None if row is None else bytes(row[0])

    def counts(self) -> Mapping[str, int]:
        """See `MoveSource.counts`."""
        with self._failing():
            return dict(self._open.execute(_COUNTS).fetchall())

    def batches(self, table: str, after: Key) -> Iterator[Batch]:
        """See `MoveSource.batches`."""
        sql = _pages()[table]
        width = 2 if ":and_after" in sql else 1
        first, second = (*after, None, None)[:2]
        with self._failing():
            cursor = self._open.execute(sql, {"after": first, "and_after": second})
            columns = tuple(column[0] for column in cursor.description)
            while rows := _some(cursor):
                yield Batch(table, columns, rows, rows[-1][:width])

    def numbers(self) -> Mapping[str, int]:
        """See `MoveSource.numbers`."""
        with self._failing():
            return dict(self._open.execute(_NUMBERS).fetchall())

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            failure = whole_store(error, self._path)
            if failure is None:
                raise
            raise failure from error


def _some(cursor: sqlite3.Cursor) -> list[tuple[Any, ...]]:
    """The next rows, few enough and small enough to be held in memory."""
    rows: list[tuple[Any, ...]] = []
    size = 0
    for row in cursor:
        rows.append(row)
        size += sum([len(value) for value in row if isinstance(value, bytes | str)])
        if len(rows) == MOST_ROWS or size >= MOST_BYTES:
            break
    return rows
