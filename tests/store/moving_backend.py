"""A database for the conformance suite that is on SQLite at first, and moves to PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final
from unittest.mock import patch

from dispatcher.adapters.postgres.arriving import ArrivingDatabase
from dispatcher.adapters.sqlite import leaving
from dispatcher.adapters.sqlite.leaving import LeavingFile
from dispatcher.core.model import Instant
from dispatcher.moving import Moved, move
from dispatcher.ports.moving import Batch, MoveMark, Progress
from dispatcher.ports.store import Store
from tests.store.conftest import SqliteBackend
from tests.store.postgres_backend import PostgresBackend

SMALL: Final = 3
"""Rows in a batch: so that many batches are tried with few rows."""


class Killed(Exception):
    """The move ends here, as if its process had been killed."""


class Fuse:
    """Lets a number of steps through, half of what a step does counted too; None: all of them."""

    def __init__(self, steps: int | None) -> None:
        self._left = steps

    def burn(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise Killed

    async def around(self, step: Callable[[], Awaitable[None]]) -> None:
        """Before the step, or after what it did was committed."""
        self.burn()
        await step()
        self.burn()


class FusedTarget(ArrivingDatabase):
    """A target whose mover may be killed before and after all that it does."""

    def __init__(self, url: str, fuse: Fuse, now: Callable[[], Instant] | None = None) -> None:
        super().__init__(url, injected_now=now)
        self._fuse = fuse

    async def begin(self, progress: Progress, key_proof: bytes | None) -> None:
        await self._fuse.around(lambda: super(FusedTarget, self).begin(progress, key_proof))

    async def take(self, batch: Batch, progress: Progress) -> None:
        await self._fuse.around(lambda: super(FusedTarget, self).take(batch, progress))

    async def settle(self, numbers: Mapping[str, int]) -> None:
        await self._fuse.around(lambda: super(FusedTarget, self).settle(numbers))

    async def end(self) -> None:
        await self._fuse.around(lambda: super(FusedTarget, self).end())


class FusedSource(LeavingFile):
    """A source whose mark may be the last thing that was written."""

    fuse = Fuse(None)

    def put_mark(self, mark: MoveMark | None) -> None:
        self.fuse.burn()
        super().put_mark(mark)
        self.fuse.burn()


class MovingBackend:
    """SQLite until `move`, then PostgreSQL; one clock, and ids that never come again."""

    def __init__(self) -> None:
        self.sqlite = SqliteBackend()
        self.postgres = PostgresBackend()
        self.postgres.clock, self.postgres.ids = self.sqlite.clock, self.sqlite.ids
        self.moved = False

    @property
    def _now_on(self) -> SqliteBackend | PostgresBackend:
        return self.postgres if self.moved else self.sqlite

    async def create(self) -> None:
        self.moved = False
        await self.sqlite.create()
        await self.postgres.create()

    async def open(self) -> Store:
        return await self._now_on.open()

    async def crash(self, store: Store) -> None:
        await self._now_on.crash(store)

    async def drop(self) -> None:
        await self.sqlite.drop()
        await self.postgres.drop()

    async def count_rows(self) -> int:
        return await self._now_on.count_rows()

    def under_way(self, caller_id: str) -> AbstractAsyncContextManager[str]:
        return self._now_on.under_way(caller_id)

    def now(self) -> Instant:
        return self.sqlite.now()

    async def advance(self, seconds: float) -> None:
        await self.sqlite.advance(seconds)

    async def move(self, kills: Sequence[int] = ()) -> Moved:
        """Move all, killed after so many steps each time, and gone on with.

        The stores that are open are closed as by a crash.
        """
        stores, self.sqlite.stores = self.sqlite.stores, []
        for store in stores:
            await store.close()
        for kill in kills:
            try:
                await self._move(Fuse(kill))
            except Killed:
                continue
            break
        moved = await self._move(Fuse(None))
        self.moved = True
        return moved

    async def _move(self, fuse: Fuse) -> Moved:
        with patch.object(leaving, "MOST_ROWS", SMALL), FusedSource(self.sqlite.path) as source:
            source.fuse = fuse
            async with FusedTarget(self.postgres.url, fuse, self.now) as target:
                move_id = self.sqlite.ids.new("mov")
                return await move(source, target, move_id=move_id, tell=lambda *_: None)


@asynccontextmanager
async def moving_backend() -> AsyncIterator[MovingBackend]:
    """One for a test, empty; dropped at the end."""
    backend = MovingBackend()
    await backend.create()
    try:
        yield backend
    finally:
        await backend.drop()
