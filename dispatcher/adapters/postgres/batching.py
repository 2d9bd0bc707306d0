"""Natural batching: what arrives while a commit is under way goes together into the next.

A batcher takes calls of one kind, so that a batch is a few statements whatever its size, and has a
connection of its own. An idle store commits at once. After a batch of several calls those whom it
answered have a moment to come back with what they do next, which then shares a transaction: a batch
costs several round trips whatever its size.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.transacting import Transactor
from dispatcher.core.errors import StoreError, StoreUnavailable
from dispatcher.ports.observer import CommitTold

_log: Final = logging.getLogger("dispatcher.store")

BATCH_ITEMS: Final = 500
"""A batch takes no more calls once it has this many items: it bounds how long others wait."""

BATCH_BYTES: Final = 4 * 1024 * 1024
"""Nor one with which it would have more bytes than this to carry: a statement must end in time."""

BUSY_CALLS: Final = 4
"""After a batch of so many calls the store is busy, even if nothing waits at that moment."""

REST_SECONDS: Final = 0.002
"""So long a busy batcher lets calls gather, where it is to (docs/adr/0028)."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Terms = TypeVar("Terms")


class Entry(NamedTuple, Generic[Item]):
    """An item, and the number of the call that it came with: those of one call go in order."""

    call: int
    item: Item


Run = Callable[[Session, Sequence[Entry[Item]]], Awaitable[list[Answer]]]
"""What is done with a batch, in one transaction: an answer for each entry, in order."""

RunBy = Callable[[Session, Sequence[Entry[Item]], Terms], Awaitable[list[Answer]]]
"""The same, by terms: calls go together if theirs are the same."""


class _Call:
    """One call: some items, their size in bytes, and who waits for their answers."""

    __slots__ = ("future", "items", "key", "run", "size")

    def __init__(
        self,
        run: Run[Any, Any],
        key: object,
        items: Sequence[Any],
        size: int,
        future: asyncio.Future[list[Any]],
    ) -> None:
        self.run = run
        self.key = key
        self.items = items
        self.size = size
        self.future = future


class Batcher:
    """Takes calls and commits them in batches; after a busy one it rests for `rest_seconds`."""

    def __init__(
        self,
        transactor: Transactor,
        *,
        on_commit: CommitTold,
        most: int = BATCH_ITEMS,
        rest_seconds: float = 0.0,
    ) -> None:
        self._transactor = transactor
        self._rest_seconds = rest_seconds
        self._on_commit = on_commit
        self._most = most
        self._waiting: deque[_Call] = deque()
        self._arrived = asyncio.Event()
        self._closed = False
        self._worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to take calls."""
        self._worker = asyncio.get_running_loop().create_task(self._work())

    async def close(self) -> None:
        """Finish what was asked, then let go of the connection. Later calls are refused."""
        self._closed = True
        self._arrived.set()
        if self._worker is not None:
            await self._worker
        await self._transactor.close()

    async def each_by(
        self, run: RunBy[Item, Terms, Answer], items: Sequence[Item], terms: Terms, size: int = 0
    ) -> list[Answer | Exception]:
        """As `each`, by terms."""

        async def by_terms(session: Session, entries: Sequence[Entry[Item]]) -> list[Answer]:
            return await run(session, entries, terms)

        return await self._ask(by_terms, (run, terms), items, size)

    async def each(
        self, run: Run[Item, Answer], items: Sequence[Item], size: int = 0
    ) -> list[Answer | Exception]:
        """Run on each item; an item that fails has its exception as its answer.

        `size` is how many bytes the items carry, where that may be much.

        When the whole store is in trouble, each answer is a `StoreError` of its own. Raises
        `StoreUnavailable` if the store is closed. Cancelling the wait does not cancel the work.
        """
        return await self._ask(run, run, items, size)

    async def one(self, run: Run[Item, Answer], item: Item) -> Answer:
        """Run on one item; raises what it raised."""
        (answer,) = await self.each(run, (item,))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _ask(
        self, run: Run[Item, Answer], key: object, items: Sequence[Item], size: int
    ) -> list[Answer | Exception]:
        if self._closed or self._worker is None:
            raise StoreUnavailable("The store is closed.")
        future: asyncio.Future[list[Answer | Exception]] = (
            asyncio.get_running_loop().create_future()
        )
        self._waiting.append(_Call(run, key, items, size, future))
        self._arrived.set()
        return await future

    # --- the worker ----------------------------------------------------------------------------

    async def _work(self) -> None:
        while self._waiting or not self._closed:
            if self._waiting:
                batch = self._gather()
                await self._serve(batch)
                if len(batch) >= BUSY_CALLS and self._rest_seconds and not self._closed:
                    await asyncio.sleep(self._rest_seconds)
            else:
                self._arrived.clear()
                await self._arrived.wait()

    def _gather(self) -> list[_Call]:
        """The call that has waited longest, and those behind it that may go with it.

        Calls of another kind are passed over and keep their places: nobody who waits for an answer
        can tell, and whichever is first then has its turn next.
        """
        first = self._waiting.popleft()
        batch, count, size = [first], len(first.items), first.size
        passed: list[_Call] = []
        while self._waiting and count < self._most:
            call = self._waiting.popleft()
            if call.key != first.key:
                passed.append(call)
                continue
            size += call.size
            if size > BATCH_BYTES:  # those behind it must not overtake it, however small
                passed.append(call)
                break
            batch.append(call)
            count += len(call.items)
        self._waiting.extendleft(reversed(passed))
        return batch

    async def _serve(self, batch: list[_Call]) -> None:
        entries = [Entry(n, item) for n, call in enumerate(batch) for item in call.items]
        clock = asyncio.get_running_loop().time
        began = clock()
        failure: StoreError | None = None
        answers: list[Any] = []
        try:
            answers = await self._transactor.transact(batch[0].run, entries, self._more)
        except StoreError as error:
            failure = error
        except Exception as error:  # noqa: BLE001  # whatever it is, those who wait must hear of it
            failure = StoreUnavailable(f"The store met an unexpected error: {error!r}")
            failure.__cause__ = error
        failed = failure is not None or all(isinstance(each, StoreError) for each in answers)
        self._tell(clock() - began, len(entries), failed=failed)
        at = 0
        for call in batch:
            size = len(call.items)
            if failure is None:
                _settle(call.future, answers[at : at + size])
            else:  # an exception is never shared between tasks
                _settle(call.future, [type(failure)(*failure.args) for _ in call.items])
            at += size

    def _more(self) -> bool:
        """Whether another batch follows, at once or after a rest."""
        return bool(self._waiting)

    def _tell(self, seconds: float, items: int, *, failed: bool) -> None:
        """Tell who looks on; a defect of theirs must not keep their answers from those who wait."""
        try:
            self._on_commit(seconds, items, failed=failed)
        except Exception:  # noqa: BLE001  # whatever it is: it is logged, and the worker must live
            _log.exception("what is told of each commit met a defect")


def _settle(future: asyncio.Future[Any], answer: Any) -> None:
    """Hand an answer over; whoever has gone meanwhile is not told."""
    if not future.done():
        future.set_result(answer)
