"""The writing connection, and a batch of calls as one transaction of it.

A batch is run as a whole first. If an item fails, the batch is rolled back and run again with a
savepoint around each item, so that the bad ones fail alone; errors of the whole store (disk full,
locked, damaged) fail every item and are not tried item by item.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from dispatcher.adapters.sqlite.connection import Use, connect
from dispatcher.adapters.sqlite.errors import needs_new_connection, whole_store
from dispatcher.adapters.sqlite.session import Session
from dispatcher.core.errors import StoreError, StoreUnavailable


class Call:
    """One call: an operation on each of some items.

    `quick`: so little is done that it may be done on the event loop's thread.
    """

    __slots__ = ("answers", "future", "items", "loop", "operation", "quick")

    def __init__(
        self,
        operation: Callable[[Session, Any], Any],
        items: Sequence[Any],
        future: asyncio.Future[Any] | Future[Any],
        loop: asyncio.AbstractEventLoop | None,
        *,
        quick: bool = False,
    ) -> None:
        self.operation = operation
        self.items = items
        self.future = future
        self.loop = loop
        self.quick = quick
        self.answers: list[Any] = []

    def run(self, session: Session) -> None:
        """Run the operation on each item; raises what it raised."""
        operation, items = self.operation, self.items
        if len(items) == 1:  # nearly always
            self.answers = [operation(session, items[0])]
        else:
            self.answers = [operation(session, item) for item in items]

    def fail(self, error: StoreError) -> None:
        """One and the same failure for each item; an exception is never shared between tasks."""
        self.answers = [type(error)(*error.args) for _ in self.items]

    def settle(self) -> None:
        """Hand the answers over; whoever has gone meanwhile is not told."""
        if not self.future.done():
            self.future.set_result(self.answers)


class Transactions:
    """The connection, used by one thread at a time: whoever's turn it is, as `Writer` says."""

    def __init__(
        self,
        path: Path,
        make_session: Callable[[sqlite3.Connection], Session],
        *,
        lock_seconds: float,
    ) -> None:
        self._path = path
        self._make_session = make_session
        self.lock_seconds = lock_seconds
        self._patient = True
        self._file: tuple[int, int] | None = None
        self.connection: sqlite3.Connection | None = None

    # --- in the writing thread -----------------------------------------------------------------

    def commit(self, batch: list[Call]) -> None:
        """Run a batch in one transaction; raises what concerns the whole store."""
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            if not self._run_together(connection, batch):
                connection.execute("ROLLBACK")
                connection.execute("BEGIN IMMEDIATE")
                self._run_apart(connection, batch)
            self._check_file()
            connection.execute("COMMIT")
        except Exception as error:
            self._recover(error)
            raise

    def end(self) -> None:
        """Commit what `begin` and the calls after it have run; raises as `commit` does."""
        try:
            if self.connection is not None:
                self._check_file()
                self.connection.execute("COMMIT")
        except Exception as error:
            self._recover(error)
            raise

    def _connected(self) -> sqlite3.Connection:
        """The connection, outside of any transaction, which waits for locks."""
        connection = self.connection
        if connection is None:
            connection = connect(self._path, Use.WRITE, lock_seconds=self.lock_seconds)
            self.connection = connection
            self._patient = True
            if self._file is None:  # that of the first: what is remembered is from there
                self._file = _file_at(self._path)
            return connection
        if connection.in_transaction:  # begun on the event loop, and something failed there
            connection.execute("ROLLBACK")
        if not self._patient:
            connection.execute(f"PRAGMA busy_timeout = {round(self.lock_seconds * 1000)}")
            self._patient = True
        return connection

    def _check_file(self) -> None:
        """Raise `StoreUnavailable` if the database is not the file that it was.

        SQLite does not look (in WAL mode): it goes on writing to a file that was removed, and all
        that it commits there is gone with this process.
        """
        if _file_at(self._path) != self._file:
            raise StoreUnavailable(
                f"The database {self._path} was removed or replaced while it is served: stop the "
                "service, put the right file there, with its -wal file, and start it again."
            )

    def _run_together(self, connection: sqlite3.Connection, batch: list[Call]) -> bool:
        """Run everything; False if an item failed, which makes all of it void."""
        session = self._make_session(connection)
        for call in batch:
            try:
                call.run(session)
            except Exception as error:
                if whole_store(error, self._path) is not None:
                    raise
                return False
        return True

    def _run_apart(self, connection: sqlite3.Connection, batch: list[Call]) -> None:
        """Run each item under a savepoint of its own: it stands or fails alone."""
        for call in batch:
            call.answers = []
            for item in call.items:
                connection.execute("SAVEPOINT item")
                try:
                    answer = call.operation(self._make_session(connection), item)
                except Exception as error:
                    if whole_store(error, self._path) is not None:
                        raise
                    connection.execute("ROLLBACK TO item")
                    answer = error
                connection.execute("RELEASE item")
                call.answers.append(answer)

    def _recover(self, error: Exception) -> None:
        """Make the connection usable again, or do without it."""
        connection = self.connection
        if connection is None:
            return
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self.disconnect()
        if needs_new_connection(error):
            self.disconnect()

    def disconnect(self) -> None:
        """Close the connection, if there is one; the next batch opens another."""
        if self.connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self.connection.close()
            self.connection = None

    # --- on the event loop ---------------------------------------------------------------------

    def begin(self) -> Session | None:
        """Begin a transaction without waiting for a lock; None: the thread has to do it.

        Raises `sqlite3.Error`: the thread is to try again, and to find out what it means.
        """
        connection = self.connection
        if connection is None:
            return None
        if self._patient:
            connection.execute("PRAGMA busy_timeout = 0")
            self._patient = False
        connection.execute("BEGIN IMMEDIATE")
        session = self._make_session(connection)
        session.brief = True
        return session


def _file_at(path: Path) -> tuple[int, int] | None:
    """Which file is there; None: none that can be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
