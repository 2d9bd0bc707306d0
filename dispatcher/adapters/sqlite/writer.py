"""Natural batching: one transaction at a time takes all that waits.

While one commit is under way, what arrives gathers for the next; no timer is involved, so that an
idle store commits at once.

A store that rests hands a call to its thread, which does all of it. While it is busy, the
statements of short calls run on the event loop's own thread, a few milliseconds at a time, and only
their COMMIT, which waits for the disk, in the other: two threads that run Python at the same time
take the interpreter's lock from each other at every statement. All else runs in the thread: what
may take long, what other threads ask (heartbeats must not wait for the loop), what has to wait for
another process's lock, and what failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from enum import Enum
from pathlib import Path
from queue import SimpleQueue
from typing import Final, TypeVar

from dispatcher.adapters.sqlite.errors import primary_code, whole_store
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.transactions import Call, Transactions
from dispatcher.core.errors import StoreUnavailable
from dispatcher.ports.observer import CommitTold

_log: Final = logging.getLogger("dispatcher.store")

BATCH_ITEMS: Final = 500
"""A batch takes no more calls once it has this many items: it bounds how long others wait."""

LOOP_SECONDS: Final = 0.004
"""On the event loop a batch takes no more calls once it has run for so long."""

BUSY_CALLS: Final = 4
"""After a batch of so many calls the store is busy, even if nothing waits at that moment."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class _Turn(Enum):
    """Who has the next batch, or the one under way."""

    NOBODY = 0
    ASKED = 1  # the event loop will take the next one
    LOOP = 2
    THREAD = 3


class _Task:
    """What the thread is given: a batch, run already or not; None: to take what waits."""

    __slots__ = ("batch", "began", "ran")

    def __init__(self, batch: list[Call] | None, *, began: float = 0.0, ran: bool = False) -> None:
        self.batch = batch
        self.began = began
        self.ran = ran


class Writer:
    """Takes calls and commits them. `make_session` wraps the connection, anew for each batch."""

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
        self._transactions = Transactions(path, make_session, lock_seconds=lock_seconds)
        self._after_commit = after_commit
        self._monotonic = monotonic
        self._on_commit = on_commit
        self._tasks: SimpleQueue[_Task] = SimpleQueue()
        self._home: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="dispatcher-sqlite", daemon=True)
        # Under the lock:
        self._lock = threading.Lock()
        self._waiting: deque[Call] = deque()
        self._left = 0  # so many of these, the first, are what a batch had no time for
        self._turn = _Turn.NOBODY
        self._busy = False
        self._closed = False

    def start(self, home: asyncio.AbstractEventLoop) -> None:
        """Begin to take calls. The short ones of `home` are run there."""
        self._home = home
        self._thread.start()

    def close(self) -> None:
        """Finish what was asked, then end the thread; blocks. Later calls are refused."""
        with self._lock:
            if not self._closed:
                self._closed = True
                if self._turn in {_Turn.NOBODY, _Turn.ASKED}:
                    self._to_thread(_Task(None))
        if self._thread.ident is not None:
            self._thread.join()

    # --- asking ------------------------------------------------------------------------------

    async def each(
        self,
        operation: Callable[[Session, Item], Answer],
        items: Sequence[Item],
        *,
        quick: bool = False,
    ) -> list[Answer | Exception]:
        """Run `operation` on each item; an item that fails has its exception as its answer.

        `quick`: it takes some tens of microseconds, and reads only what was lately written.
        When the whole store is in trouble, each answer is a `StoreError` of its own. Raises
        `StoreUnavailable` if the store is closed. Cancelling the wait does not cancel the work.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Answer | Exception]] = loop.create_future()
        self._put(Call(operation, items, future, loop, quick=quick and loop is self._home))
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
        self._put(Call(operation, (item,), future, None))
        (answer,) = future.result()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _put(self, call: Call) -> None:
        with self._lock:
            if self._closed:
                raise StoreUnavailable("The store is closed.")
            self._waiting.append(call)
            if self._turn is _Turn.NOBODY and call.quick and self._busy and self._home is not None:
                self._turn = _Turn.ASKED
                self._home.call_soon(self._serve_here)
            # If the loop was asked and has not come to it, what other threads ask does not wait.
            elif self._turn is _Turn.NOBODY or (self._turn is _Turn.ASKED and not call.quick):
                self._to_thread(_Task(None))

    def _to_thread(self, task: _Task) -> None:
        self._turn = _Turn.THREAD
        self._tasks.put(task)

    def _gather(self) -> list[Call]:
        """What waits, until there are so many items; calls of one kind in a row.

        What a batch had no time for goes first (all of it: it was part of one batch), so that
        nothing overtakes it again. If somebody has given up a call, all that came stays as it
        came: what is done about it may be waiting behind it.
        """
        batch: list[Call] = []
        count = 0
        while self._waiting and count < BATCH_ITEMS:
            batch.append(self._waiting.popleft())
            count += len(batch[-1].items)
        left, self._left = self._left, 0
        if any([call.future.done() for call in batch]):  # noqa: C419  # a list: quicker for a few
            return batch
        return batch[:left] + _alike_together(batch[left:])

    def _all_quick(self) -> bool:
        """Whether all that waits may run on the event loop."""
        return all([call.quick for call in self._waiting])  # noqa: C419  # a list: quicker for a few

    # --- on the event loop ---------------------------------------------------------------------

    def _serve_here(self) -> None:
        """Take the next batch: run it here, or leave it to the thread."""
        with self._lock:
            if self._turn is not _Turn.ASKED:
                return  # the thread was quicker
            if not self._all_quick():
                self._to_thread(_Task(None))
                return
            batch = self._gather()
            self._turn = _Turn.LOOP
        began = self._monotonic()
        ran = False
        try:
            # Whatever fails here will fail in the thread too, which tells items and store apart.
            with contextlib.suppress(Exception):
                session = self._transactions.begin()
                if session is not None:
                    self._run_here(session, batch, began + LOOP_SECONDS)
                    ran = True
        finally:
            with self._lock:
                self._to_thread(_Task(batch, began=began, ran=ran))

    def _run_here(self, session: Session, batch: list[Call], until: float) -> None:
        """Run a batch, as far as it gets in time; what is left waits for the next."""
        for number, call in enumerate(batch, 1):
            call.run(session)
            if number < len(batch) and self._monotonic() >= until:
                with self._lock:
                    self._waiting.extendleft(reversed(batch[number:]))
                    self._left = len(batch) - number
                del batch[number:]
                return

    def _came_back(self, calls: list[Call]) -> None:
        """A batch was committed: first the next one, so that the disk does not rest meanwhile."""
        try:
            self._serve_here()
        finally:
            _settle_all(calls)

    # --- in the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        ended = False
        while not ended:
            task = self._tasks.get()
            if task.batch is None:
                with self._lock:
                    task.batch = self._gather()
                task.began = self._monotonic()
            ended = self._serve(task, task.batch)
        self._transactions.disconnect()

    def _serve(self, task: _Task, batch: list[Call]) -> bool:
        """Commit a batch, hand over its answers and the turn; True: nothing more will come."""
        failed = False
        if batch:
            try:
                if task.ran:
                    self._transactions.end()
                else:
                    self._transactions.commit(batch)
                self._after_commit()
            except Exception as error:  # noqa: BLE001  # whatever it is, those who wait must hear of it
                failure = whole_store(error, self._path) or StoreUnavailable(
                    f"The database {self._path} met an unexpected error: {error!r}"
                )
                failure.__cause__ = error
                failed = True
                if primary_code(error) == sqlite3.SQLITE_BUSY:
                    with self._lock:  # all that waits has waited for the lock as long as this batch
                        batch = batch + list(self._waiting)
                        self._waiting.clear()
                        self._left = 0
                for call in batch:
                    call.fail(failure)
            self._tell(self._monotonic() - task.began, batch, failed=failed)
        return self._pass_on(batch)

    def _pass_on(self, batch: list[Call]) -> bool:
        """Give answers to those who wait, and the turn to whom it is; True: nobody is left."""
        home = self._home
        mine = [call for call in batch if call.loop is home]
        others: dict[asyncio.AbstractEventLoop, list[Call]] = {}
        for call in batch if len(mine) < len(batch) else ():
            if call.loop is None:
                call.settle()
            elif call.loop is not home:
                others.setdefault(call.loop, []).append(call)
        with self._lock:
            self._busy = len(batch) >= BUSY_CALLS
            ended = self._closed and not self._waiting
            if not self._waiting:
                self._turn = _Turn.NOBODY
            elif self._closed or not self._all_quick():
                self._to_thread(_Task(None))
            else:
                self._turn = _Turn.ASKED
            asked = self._turn is _Turn.ASKED
        for loop, calls in others.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle_all, calls)
        if home is not None and (mine or asked):
            try:
                home.call_soon_threadsafe(self._came_back, mine)
            except RuntimeError:  # it is closed; what it asked is done all the same
                with self._lock:
                    if self._turn is _Turn.ASKED:
                        self._to_thread(_Task(None))
        return ended

    def _tell(self, seconds: float, batch: list[Call], *, failed: bool) -> None:
        """Tell who looks on; a defect of theirs must not keep their answers from those who wait."""
        try:
            self._on_commit(seconds, sum([len(call.items) for call in batch]), failed=failed)
        except Exception:  # noqa: BLE001  # whatever it is: it is logged, and the thread must live
            _log.exception("what is told of each commit met a defect")


def _alike_together(batch: list[Call]) -> list[Call]:
    """Group calls by the type of their (first) item, groups and calls in the order they came in.

    Like statements then run one after another, and so do the tasks that wait for them, while what
    they need is in the processor's caches: docs/adr/0033.
    """
    kinds: dict[type, list[Call]] = {}
    for call in batch:
        kind = type(call.items[0]) if call.items else type(None)
        if kind in kinds:  # quicker than `setdefault`, which makes a list each time
            kinds[kind].append(call)
        else:
            kinds[kind] = [call]
    return [call for calls in kinds.values() for call in calls]


def _settle_all(calls: list[Call]) -> None:
    for call in calls:
        call.settle()
