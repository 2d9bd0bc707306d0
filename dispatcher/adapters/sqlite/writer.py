"""Natural batching: one thread writes, and takes all that waits into one transaction.

While one commit is under way, what arrives gathers for the next; no timer is involved, so that an
idle store commits at once. A call is one hop into the thread and one back, however many items it
has.

A batch is run as a whole first. If an item fails, the batch is rolled back and run again with a
savepoint around each item, so that the bad ones fail alone; errors of the whole store (disk full,
locked, damaged) fail every item and are not tried item by item.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from math import inf
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from dispatcher.adapters.sqlite.connection import Use, connect
from dispatcher.adapters.sqlite.errors import (
    needs_new_connection,
    primary_code,
    whole_store,
)
from dispatcher.adapters.sqlite.session import Session
from dispatcher.core.errors import StoreError, StoreUnavailable
from dispatcher.ports.observer import CommitTold

_log: Final = logging.getLogger("dispatcher.store")

BATCH_ITEMS: Final = 500
"""A batch takes no more calls once it has this many items: it bounds how long others wait."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class _Call:
    """One call: an operation on each of some items."""

    __slots__ = ("answers", "future", "items", "loop", "operation")

    def __init__(
        self,
        operation: Callable[[Session, Any], Any],
        items: Sequence[Any],
        future: asyncio.Future[Any] | Future[Any],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.operation = operation
        self.items = items
        self.future = future
        self.loop = loop
        self.answers: list[Any] = []

    def fail(self, error: StoreError) -> None:
        """One and the same failure for each item; an exception is never shared between tasks."""
        self.answers = [type(error)(*error.args) for _ in self.items]

    def settle(self) -> None:
        """Hand the answers over; whoever has gone meanwhile is not told."""
        if not self.future.done():
            self.future.set_result(self.answers)


class Writer:
    """The writing thread. `make_session` wraps its connection, anew for each transaction."""

    def __init__(
        self,
        path: Path,
        make_session: Callable[[sqlite3.Connection], Session],
        after_commit: Callable[[], None],
        *,
        lock_seconds: float,
        monotonic: Callable[[], float],
        on_commit: CommitTold,
    ) -> None:
        self._path = path
        self._make_session = make_session
        self._after_commit = after_commit
        self._lock_seconds = lock_seconds
        self._monotonic = monotonic
        self._on_commit = on_commit
        self._queue: SimpleQueue[_Call | None] = SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._ending = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="dispatcher-sqlite", daemon=True)

    def start(self) -> None:
        """Begin to take calls."""
        self._thread.start()

    def close(self) -> None:
        """Finish what was asked, then end the thread; blocks. Later calls are refused."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    # --- asking ------------------------------------------------------------------------------

    async def each(
        self, operation: Callable[[Session, Item], Answer], items: Sequence[Item]
    ) -> list[Answer | Exception]:
        """Run `operation` on each item; an item that fails has its exception as its answer.

        When the whole store is in trouble, each answer is a `StoreError` of its own. Raises
        `StoreUnavailable` if the store is closed. Cancelling the wait does not cancel the work.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Answer | Exception]] = loop.create_future()
        self._put(_Call(operation, items, future, loop))
        return await future

    async def one(self, operation: Callable[[Session, Item], Answer], item: Item) -> Answer:
        """Run `operation` on one item; raises what it raised."""
        (answer,) = await self.each(operation, (item,))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def one_blocking(self, operation: Callable[[Session, Item], Answer], item: Item) -> Answer:
        """The same from any thread but this one, event loop or not; in turn with the others."""
        future: Future[list[Answer | Exception]] = Future()
        self._put(_Call(operation, (item,), future, None))
        (answer,) = future.result()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _put(self, call: _Call) -> None:
        with self._lock:
            if self._closed:
                raise StoreUnavailable("The store is closed.")
            self._queue.put(call)

    # --- in the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ending:
            batch = self._gather(self._queue.get(), BATCH_ITEMS)
            if batch:
                self._serve(batch)
        self._disconnect()

    def _gather(self, call: _Call | None, limit: float) -> list[_Call]:
        """That call and what waits behind it, until there are so many items."""
        batch: list[_Call] = []
        count = 0
        with contextlib.suppress(Empty):
            while call is not None:
                batch.append(call)
                count += len(call.items)
                if count >= limit:
                    return batch
                call = self._queue.get_nowait()
            self._ending = True
        return batch

    def _serve(self, batch: list[_Call]) -> None:
        began = self._monotonic()
        failed = False
        try:
            self._commit(batch)
        except Exception as error:  # noqa: BLE001  # whatever it is, those who wait must hear of it
            failure = whole_store(error, self._path) or StoreUnavailable(
                f"The database {self._path} met an unexpected error: {error!r}"
            )
            failure.__cause__ = error
            failed = True
            if primary_code(error) == sqlite3.SQLITE_BUSY:
                batch = batch + self._waiting()
            for call in batch:
                call.fail(failure)
        self._tell(self._monotonic() - began, batch, failed=failed)
        loops: dict[asyncio.AbstractEventLoop, list[_Call]] = {}
        for call in batch:
            if call.loop is None:
                call.settle()
            else:
                loops.setdefault(call.loop, []).append(call)
        for loop, calls in loops.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle_all, calls)

    def _tell(self, seconds: float, batch: list[_Call], *, failed: bool) -> None:
        """Tell who looks on; a defect of theirs must not keep their answers from those who wait."""
        try:
            self._on_commit(seconds, sum([len(call.items) for call in batch]), failed=failed)
        except Exception:  # noqa: BLE001  # whatever it is: it is logged, and the thread must live
            _log.exception("what is told of each commit met a defect")

    def _waiting(self) -> list[_Call]:
        """All that waits: it has waited for the lock as long as the batch that did not get it."""
        try:
            return self._gather(self._queue.get_nowait(), inf)
        except Empty:
            return []

    def _commit(self, batch: list[_Call]) -> None:
        """Run a batch in one transaction; raises what concerns the whole store."""
        try:
            if self._connection is None:
                self._connection = connect(self._path, Use.WRITE, lock_seconds=self._lock_seconds)
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            if not self._run_together(connection, batch):
                connection.execute("ROLLBACK")
                connection.execute("BEGIN IMMEDIATE")
                self._run_apart(connection, batch)
            connection.execute("COMMIT")
        except Exception as error:
            self._recover(error)
            raise
        self._after_commit()

    def _run_together(self, connection: sqlite3.Connection, batch: list[_Call]) -> bool:
        """Run everything; False if an item failed, which makes all of it void."""
        session = self._make_session(connection)
        for call in batch:
            operation = call.operation
            try:
                call.answers = [operation(session, item) for item in call.items]
            except Exception as error:
                if whole_store(error, self._path) is not None:
                    raise
                return False
        return True

    def _run_apart(self, connection: sqlite3.Connection, batch: list[_Call]) -> None:
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
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._disconnect()
        if needs_new_connection(error):
            self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _settle_all(calls: list[_Call]) -> None:
    for call in calls:
        call.settle()
