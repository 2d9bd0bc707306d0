"""Who runs a batch: while the store is busy the loop what is quick; the thread all else."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dispatcher.adapters.sqlite.quick import LARGEST_BYTES, MOST_ENDPOINTS, MOST_ITEMS
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.writer import BUSY_CALLS
from dispatcher.core.endpoints import DEFAULT_EVENTS, Endpoint
from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.model import ApiKey, Caller, Role
from dispatcher.ports.records import Added, Applied, JobClaim
from tests.store.sqlite_scene import CALLER, HOLDER, ORIGIN, TERMS, SqliteScene, sqlite_scene
from tests.store.test_sqlite_writer import TOO_LATE, Gate

BEGIN = "BEGIN IMMEDIATE"
HERE = "loop"
THERE = "thread"


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[SqliteScene]:
    async with sqlite_scene(tmp_path) as scene:
        yield scene


def watch(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """The statements that begin and end transactions from now on, each with where it was run."""
    home, seen = threading.get_ident(), list[tuple[str, str]]()

    def notice(sql: str) -> None:
        if sql in {BEGIN, "COMMIT", "ROLLBACK"}:
            seen.append((sql, HERE if threading.get_ident() == home else THERE))

    connection.set_trace_callback(notice)
    return seen


BUSY = ("COMMIT", THERE)
"""The end of what the store is busy with."""

ON_THE_LOOP = [(BEGIN, HERE), ("COMMIT", THERE)]
IN_THE_THREAD = [(BEGIN, THERE), ("COMMIT", THERE)]


async def asked(scene: SqliteScene, patch: pytest.MonkeyPatch) -> asyncio.Task[list[Added]]:
    """A call for which the thread has asked the loop; it has not come to it, and does not yet."""
    loop, told = asyncio.get_running_loop(), threading.Event()
    ask = loop.call_soon_threadsafe

    def notice(call: Callable[..., object], *given: Any) -> asyncio.Handle:
        handle = ask(call, *given)
        if call == scene.store._writer._came_back:
            told.set()
        return handle

    gate = Gate(scene.store)
    await gate.__aenter__()
    adding = asyncio.create_task(scene.add([scene.job()]))
    await asyncio.sleep(0)
    patch.setattr(loop, "call_soon_threadsafe", notice)
    gate.open()
    assert told.wait(30)  # blocks the loop
    return adding


async def test_what_is_quick_runs_on_the_loop_and_waits_for_the_disk_in_the_thread(
    scene: SqliteScene,
) -> None:
    (leased,) = await scene.leased(ORIGIN)
    async with Gate(scene.store):
        adding = asyncio.create_task(scene.add([scene.job()]))
        ending = asyncio.create_task(scene.store.apply([scene.finish(leased)], TERMS))
        await asyncio.sleep(0)
        seen = watch(scene.writing)
    await adding
    (answer,) = await ending
    assert isinstance(answer, Applied)
    assert seen == [BUSY, *ON_THE_LOOP]


async def test_a_store_that_rests_leaves_all_to_the_thread(scene: SqliteScene) -> None:
    seen = watch(scene.writing)
    await scene.add([scene.job()])
    await scene.add([scene.job()])
    assert seen == IN_THE_THREAD * 2


async def test_a_store_that_was_busy_a_moment_ago_still_is(scene: SqliteScene) -> None:
    async with Gate(scene.store):
        tasks = [asyncio.create_task(scene.add([scene.job()])) for _ in range(BUSY_CALLS)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    seen = watch(scene.writing)
    await asyncio.gather(scene.add([scene.job()]), scene.add([scene.job()]))
    assert seen == ON_THE_LOOP
    await scene.add([scene.job()])
    assert seen == [*ON_THE_LOOP, *IN_THE_THREAD]


async def test_what_may_take_long_runs_in_the_thread(scene: SqliteScene) -> None:
    claim = JobClaim(HOLDER, {"mail.send": 1}, 1)
    large = scene.new(scene.job(), body=b"1" * (LARGEST_BYTES + 1))
    for ask in (
        lambda: scene.store.add_jobs([large]),
        lambda: scene.add([scene.job() for _ in range(MOST_ITEMS + 1)]),
        lambda: scene.store.claim_jobs(claim),
        lambda: scene.store.prune(10),
    ):
        async with Gate(scene.store):
            asking = asyncio.ensure_future(ask())
            quick = asyncio.create_task(scene.add([scene.job()]))
            await asyncio.sleep(0)
            seen = watch(scene.writing)
        await asyncio.gather(asking, quick)
        assert seen == [BUSY, *IN_THE_THREAD]


async def test_an_end_that_is_owed_to_many_endpoints_is_left_to_the_thread(
    scene: SqliteScene,
) -> None:
    """A thousand of them held the loop for 50 ms. Only the store knows how many there are."""
    now = scene.clock.now()
    key = ApiKey(id="key_1", caller_id=CALLER, role=Role.CALLER, created_at=now)
    await scene.store.add_caller(Caller(CALLER, "a test", now), key, b"digest", b"sealed")
    for number in range(MOST_ENDPOINTS + 1):
        endpoint = Endpoint(
            id=scene.ids.new("ep"),
            caller_id=CALLER,
            url=f"{ORIGIN}/{number}",
            origin=ORIGIN,
            events=DEFAULT_EVENTS,
            created_at=now,
        )
        await scene.store.add_endpoint(endpoint, b"sealed", most=MOST_ENDPOINTS + 1)
    (leased,) = await scene.leased()
    async with Gate(scene.store):
        adding = asyncio.create_task(scene.add([scene.job()]))
        ending = asyncio.create_task(scene.store.apply([scene.finish(leased)], TERMS))
        await asyncio.sleep(0)
        seen = watch(scene.writing)
    assert len(await adding) == 1
    (answer,) = await ending
    assert isinstance(answer, Applied)
    assert seen == [BUSY, (BEGIN, HERE), ("ROLLBACK", THERE), *IN_THE_THREAD]
    owed = scene.writing.execute("SELECT count(*) FROM delivery").fetchone()
    assert owed == (MOST_ENDPOINTS + 1,)


async def test_the_loop_is_held_for_a_few_milliseconds_at_most(scene: SqliteScene) -> None:
    """Each look at the clock is two milliseconds later: a batch begins, and has two calls."""
    ticks = iter(range(10_000))
    async with Gate(scene.store):
        tasks = [asyncio.create_task(scene.add([scene.job()])) for _ in range(6)]
        await asyncio.sleep(0)
        scene.store._writer._monotonic = lambda: next(ticks) * 0.002
        seen = watch(scene.writing)
    assert [len(each) for each in await asyncio.gather(*tasks)] == [1] * 6
    assert seen == [BUSY, *ON_THE_LOOP * 3]


async def test_calls_of_one_kind_run_and_are_answered_in_a_row(scene: SqliteScene) -> None:
    """Each call is one item; numbers and texts stand for submissions, ends and the like."""
    ran: list[object] = []
    answered: list[object] = []

    def run(_: Session, item: object) -> object:
        ran.append(item)
        return item

    async def ask(item: object) -> None:
        answered.extend(await scene.store._writer.each(run, (item,), quick=True))

    items = ["a", 1, "b", 2, 3, "c", 4.0, "d"]
    async with Gate(scene.store):
        tasks = [asyncio.create_task(ask(item)) for item in items]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert ran == ["a", "b", "c", "d", 1, 2, 3, 4.0]
    assert answered == ran


async def test_a_call_that_was_given_up_stays_before_what_is_done_about_it(
    scene: SqliteScene,
) -> None:
    """As when a submission that is handed over is cancelled, and its job is to be put back."""
    ran: list[object] = []

    def run(_: Session, item: object) -> None:
        ran.append(item)

    async def put_back(adding: asyncio.Task[object]) -> None:
        try:
            await adding
        except asyncio.CancelledError:
            await scene.store._writer.each(run, (2,), quick=True)

    each = scene.store._writer.each
    async with Gate(scene.store):
        other = asyncio.create_task(each(run, (1,), quick=True))
        adding = asyncio.create_task(each(run, ("b",), quick=True))
        putting = asyncio.create_task(put_back(adding))
        await asyncio.sleep(0)
        adding.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
    await asyncio.gather(other, putting)
    assert ran == [1, "b", 2]


async def test_no_kind_is_left_behind_by_batches_that_are_cut_short(scene: SqliteScene) -> None:
    """A batch has two calls here, and as each text ends another one comes."""
    ran: list[object] = []
    ticks = iter(range(10_000))
    writer = scene.store._writer
    timely = writer._monotonic

    def run(_: Session, item: object) -> None:
        ran.append(item)

    async def texts(first: str) -> None:
        for again in range(10):
            await writer.each(run, (f"{first}{again}",), quick=True)

    async with Gate(scene.store):
        tasks = [asyncio.create_task(texts(first)) for first in "abcdefg"]
        await asyncio.sleep(0)
        number = asyncio.create_task(writer.each(run, (1,), quick=True))
        await asyncio.sleep(0)
        writer._monotonic = lambda: next(ticks) * 0.002
    await asyncio.gather(*tasks, number)
    assert len(ran) == 71
    assert ran.index(1) == 7

    writer._monotonic = timely
    ran.clear()
    async with Gate(scene.store):
        more = [
            asyncio.create_task(writer.each(run, (each,), quick=True)) for each in ("a", 1, "b")
        ]
        await asyncio.sleep(0)
    await asyncio.gather(*more)
    assert ran == ["a", "b", 1]  # in rows again


async def test_a_bad_item_is_found_in_the_thread(scene: SqliteScene) -> None:
    bad = scene.new(scene.job(due_at=TOO_LATE))
    async with Gate(scene.store):
        adding = asyncio.create_task(scene.store.add_jobs([bad]))
        good = asyncio.create_task(scene.add([scene.job()]))
        await asyncio.sleep(0)
        seen = watch(scene.writing)
    assert [type(answer) for (answer,) in (await adding, await good)] == [OverflowError, Added]
    again = [("ROLLBACK", THERE), (BEGIN, THERE)]
    assert seen == [BUSY, (BEGIN, HERE), *again, *again, ("COMMIT", THERE)]


async def test_another_process_that_holds_the_lock_does_not_hold_the_loop(
    scene: SqliteScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    adding = await asked(scene, monkeypatch)
    with closing(sqlite3.connect(scene.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        seen = watch(scene.writing)
        # It was tried here; the loop goes on, and reads, while the thread waits for the lock.
        assert await scene.store.get_job("job_1", None) is None
        assert not adding.done()
        other.execute("ROLLBACK")
        await adding
    assert seen == [(BEGIN, HERE), *IN_THE_THREAD]


async def test_a_beat_does_not_wait_for_a_loop_that_was_asked_and_is_blocked(
    scene: SqliteScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    adding = await asked(scene, monkeypatch)
    seen = watch(scene.writing)
    beating = threading.Thread(target=scene.store.heart(HOLDER, "a test", 30).beat)
    beating.start()
    beating.join(30)  # blocks the loop
    assert not beating.is_alive()
    assert seen == IN_THE_THREAD
    assert not adding.done()
    assert len(await adding) == 1


async def test_closing_takes_along_what_the_loop_was_asked(
    scene: SqliteScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    adding = await asked(scene, monkeypatch)
    scene.store._writer.close()  # blocks the loop
    assert len(await adding) == 1
    with pytest.raises(StoreUnavailable):
        await scene.add([scene.job()])
