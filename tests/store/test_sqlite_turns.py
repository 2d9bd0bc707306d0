"""Who runs a batch: the event loop what is quick, the thread all else, one of them at a time."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from dispatcher.adapters.sqlite.quick import LARGEST_BYTES, MOST_ITEMS
from dispatcher.core.errors import StoreUnavailable
from dispatcher.ports.records import Added, Applied, JobClaim
from tests.store.sqlite_scene import HOLDER, ORIGIN, TERMS, SqliteScene, sqlite_scene
from tests.store.test_sqlite_writer import TOO_LATE

BEGIN = "BEGIN IMMEDIATE"
HERE = "loop"
THERE = "thread"


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[SqliteScene]:
    async with sqlite_scene(tmp_path) as scene:
        yield scene


@contextmanager
def places(connection: sqlite3.Connection) -> Iterator[list[tuple[str, str]]]:
    """The statements that begin and end transactions, each with where it was run."""
    home, seen = threading.get_ident(), list[tuple[str, str]]()

    def notice(sql: str) -> None:
        if sql in {BEGIN, "COMMIT", "ROLLBACK"}:
            seen.append((sql, HERE if threading.get_ident() == home else THERE))

    connection.set_trace_callback(notice)
    try:
        yield seen
    finally:
        connection.set_trace_callback(None)


ON_THE_LOOP = [(BEGIN, HERE), ("COMMIT", THERE)]
IN_THE_THREAD = [(BEGIN, THERE), ("COMMIT", THERE)]


async def test_what_is_quick_runs_on_the_loop_and_waits_for_the_disk_in_the_thread(
    scene: SqliteScene,
) -> None:
    (leased,) = await scene.leased(ORIGIN)
    with places(scene.writing) as seen:
        await scene.add([scene.job()])
        (answer,) = await scene.store.apply([scene.finish(leased)], TERMS)
    assert isinstance(answer, Applied)
    assert seen == ON_THE_LOOP * 2


async def test_what_may_take_long_runs_in_the_thread(scene: SqliteScene) -> None:
    with places(scene.writing) as seen:
        await scene.store.add_jobs([scene.new(scene.job(), body=b"1" * (LARGEST_BYTES + 1))])
        await scene.add([scene.job() for _ in range(MOST_ITEMS + 1)])
        await scene.store.claim_jobs(JobClaim(HOLDER, {"mail.send": 1}, 1))
        await scene.store.prune(10)
    assert seen == IN_THE_THREAD * 4


async def test_quick_ones_go_with_what_waits_for_the_thread(scene: SqliteScene) -> None:
    with places(scene.writing) as seen:
        await asyncio.gather(scene.add([scene.job()]), scene.store.prune(10))
    assert seen == IN_THE_THREAD


async def test_what_asks_in_one_turn_of_the_loop_goes_together(scene: SqliteScene) -> None:
    with places(scene.writing) as seen:
        await asyncio.gather(*(scene.add([scene.job()]) for _ in range(20)))
    assert seen == ON_THE_LOOP


async def test_the_loop_is_held_for_a_few_milliseconds_at_most(scene: SqliteScene) -> None:
    """Each look at the clock is two milliseconds later: a batch begins, and has three calls."""
    ticks = iter(range(10_000))
    scene.store._writer._monotonic = lambda: next(ticks) * 0.002
    with places(scene.writing) as seen:
        added = await asyncio.gather(*(scene.add([scene.job()]) for _ in range(6)))
    assert [len(each) for each in added] == [1] * 6
    assert seen == ON_THE_LOOP * 3


async def test_a_bad_item_is_found_in_the_thread(scene: SqliteScene) -> None:
    bad = scene.new(scene.job(due_at=TOO_LATE))
    with places(scene.writing) as seen:
        answers = await asyncio.gather(scene.store.add_jobs([bad]), scene.add([scene.job()]))
    assert [type(answer) for (answer,) in answers] == [OverflowError, Added]
    there = [("ROLLBACK", THERE), (BEGIN, THERE)]
    assert seen == [(BEGIN, HERE), *there, *there, ("COMMIT", THERE)]


async def test_another_process_that_holds_the_lock_does_not_hold_the_loop(
    scene: SqliteScene,
) -> None:
    with closing(sqlite3.connect(scene.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with places(scene.writing) as seen:
            adding = asyncio.create_task(scene.add([scene.job()]))
            # It was tried here; the loop goes on, and reads, while the thread waits for the lock.
            assert await scene.store.get_job("job_1", None) is None
            assert not adding.done()
            other.execute("ROLLBACK")
            await adding
    assert seen == [(BEGIN, HERE), *IN_THE_THREAD]


async def test_a_beat_does_not_wait_for_a_loop_that_was_asked_and_is_blocked(
    scene: SqliteScene,
) -> None:
    adding = asyncio.create_task(scene.add([scene.job()]))
    await asyncio.sleep(0)
    assert not adding.done()
    with places(scene.writing) as seen:
        beating = threading.Thread(target=scene.store.heart(HOLDER, "a test", 30).beat)
        beating.start()
        beating.join(30)  # blocks the loop
    assert not beating.is_alive()
    assert [len(await adding), *seen] == [1, *IN_THE_THREAD]


async def test_closing_takes_along_what_the_loop_was_asked(tmp_path: Path) -> None:
    async with sqlite_scene(tmp_path) as scene:
        adding = asyncio.create_task(scene.add([scene.job()]))
        await asyncio.sleep(0)
        scene.store._writer.close()  # blocks the loop
        assert len(await adding) == 1
        with pytest.raises(StoreUnavailable):
            await scene.add([scene.job()])
