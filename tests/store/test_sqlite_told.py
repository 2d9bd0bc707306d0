"""Who watches the store is told of each commit."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.core.errors import StoreUnavailable
from tests.store.sqlite_scene import SqliteScene
from tests.store.test_sqlite_writer import TOO_LATE, Gate, gathered

TICK = 1 / 1024


class Told(NamedTuple):
    seconds: float
    items: int
    failed: bool


class Watched(SqliteScene):
    """A scene whose clock ticks each time that it is asked how long something took."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.told: list[Told] = []
        self.ticks = 0

    def another(self) -> SqliteStore:
        store = SqliteStore(
            self.path, clock=self.clock, ids=self.ids, lock_seconds=0.001, on_commit=self.on_commit
        )
        store._writer._monotonic = self.monotonic
        return store

    def monotonic(self) -> float:
        self.ticks += 1
        return self.ticks * TICK

    def on_commit(self, seconds: float, items: int, *, failed: bool) -> None:
        self.told.append(Told(seconds, items, failed))


async def opened(tmp_path: Path) -> Watched:
    scene = Watched(tmp_path / "store.db")
    await scene.store.open()
    return scene


async def test_of_a_commit_how_long_it_took_and_how_much_it_held(tmp_path: Path) -> None:
    scene = await opened(tmp_path)
    await scene.add([scene.job() for _ in range(3)])
    assert scene.told == [Told(TICK, 3, failed=False)]
    await scene.store.close()


async def test_calls_that_share_a_commit_are_told_as_one(tmp_path: Path) -> None:
    scene = await opened(tmp_path)
    async with Gate(scene.store):
        tasks = await gathered(scene, *(scene.job() for _ in range(3)))
    await asyncio.gather(*tasks)
    assert [told.items for told in scene.told] == [1, 3]
    await scene.store.close()


async def test_a_bad_item_is_no_failure_of_the_store(tmp_path: Path) -> None:
    scene = await opened(tmp_path)
    bad = scene.new(scene.job(due_at=TOO_LATE))
    (answer,) = await scene.store.add_jobs([bad])
    assert isinstance(answer, Exception)
    assert [told.failed for told in scene.told] == [False]
    await scene.store.close()


async def test_a_store_that_can_not_be_written_is(tmp_path: Path) -> None:
    scene = await opened(tmp_path)
    with closing(sqlite3.connect(scene.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        (answer,) = await scene.store.add_jobs([scene.new(scene.job())])
    assert isinstance(answer, StoreUnavailable)
    assert [(told.items, told.failed) for told in scene.told] == [(1, True)]
    await scene.store.close()


async def test_a_defect_of_who_watches_keeps_no_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Else the writing thread would end, and whoever waits would wait for ever."""
    scene = await opened(tmp_path)

    def breaks(seconds: float, items: int, *, failed: bool) -> None:
        raise ZeroDivisionError("theirs")

    scene.store._writer._on_commit = breaks
    async with asyncio.timeout(10):
        await scene.add([scene.job()])
        await scene.add([scene.job()])
    assert "met a defect" in caplog.text
    await scene.store.close()
