"""The writing thread: natural batching, items that fail alone, and a store in trouble."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.writer import BATCH_ITEMS
from dispatcher.core.errors import Stopping, StoreCorrupt, StoreUnavailable
from dispatcher.core.model import Job, JobState
from dispatcher.ports.records import Added, Applied, Stale
from dispatcher.ports.views import JobFilter
from tests.store.sqlite_scene import HOLDER, ORIGIN, TERMS, SqliteScene, sqlite_scene

TOO_LATE = 2**63  # no 64-bit integer: the database refuses the item


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[SqliteScene]:
    async with sqlite_scene(tmp_path) as scene:
        yield scene


class Gate:
    """Holds the writing thread in a transaction, so that calls gather behind it."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._entered = threading.Event()
        self._open = threading.Event()

    def _wait(self, _: Session, __: None) -> None:
        self._entered.set()
        assert self._open.wait(30)

    async def __aenter__(self) -> None:
        self._waiting = asyncio.create_task(self._store._writer.one(self._wait, None))
        assert await asyncio.to_thread(self._entered.wait, 30)

    async def __aexit__(self, *_: object) -> None:
        self.open()
        await self._waiting

    def open(self) -> None:
        """Let the writing thread go on."""
        self._open.set()


@contextmanager
def statements(connection: sqlite3.Connection) -> Iterator[list[str]]:
    """What the connection runs: the first word of each statement."""
    seen: list[str] = []
    connection.set_trace_callback(
        lambda sql: seen.append(next(line for line in sql.split("\n") if line[:2] != "--"))
    )
    try:
        yield seen
    finally:
        connection.set_trace_callback(None)


async def gathered(scene: SqliteScene, *jobs: Job) -> list[asyncio.Task[list[Added]]]:
    """Calls that wait together, one a job."""
    tasks = [asyncio.create_task(scene.add([job])) for job in jobs]
    await asyncio.sleep(0)  # each has begun, and asked the writer
    return tasks


class TestBatching:
    async def test_what_arrives_during_a_commit_goes_together_into_the_next(
        self, scene: SqliteScene
    ) -> None:
        with statements(scene.writing) as seen:
            async with Gate(scene.store):
                tasks = await gathered(scene, *(scene.job() for _ in range(20)))
                beat = scene.store.heart(HOLDER, "a test", 3600).beat
                await_beat = asyncio.create_task(asyncio.to_thread(beat))
            await asyncio.gather(*tasks, await_beat)
        commits = seen.count("COMMIT")
        assert 2 <= commits <= 3  # the gate's, the calls', and maybe the beat's, which is a thread

    async def test_a_call_alone_does_not_wait(self, scene: SqliteScene) -> None:
        with statements(scene.writing) as seen:
            for _ in range(3):
                await scene.add([scene.job()])
        assert seen.count("COMMIT") == 3

    async def test_a_batch_is_bounded(self, scene: SqliteScene) -> None:
        share = BATCH_ITEMS // 4
        with statements(scene.writing) as seen:
            async with Gate(scene.store):
                tasks = [
                    asyncio.create_task(scene.add([scene.job() for _ in range(share)]))
                    for _ in range(10)
                ]
                await asyncio.sleep(0)
            added = await asyncio.gather(*tasks)
        assert [len(each) for each in added] == [share] * 10
        assert seen.count("COMMIT") == 1 + 3  # the gate's; then 4, 4 and 2 calls

    async def test_the_event_loop_may_be_blocked_while_a_heart_beats(
        self, scene: SqliteScene
    ) -> None:
        heart = scene.store.heart("hld_2", "a test", 30)
        thread = threading.Thread(target=heart.beat)
        thread.start()
        thread.join(30)  # blocks the loop
        assert not thread.is_alive()
        row = scene.writing.execute("SELECT expires_at FROM holder WHERE id = 'hld_2'").fetchone()
        assert row == (scene.clock.now() + 30_000,)


class TestBadItems:
    async def test_the_bad_one_fails_alone_across_calls(self, scene: SqliteScene) -> None:
        good, bad = [scene.job() for _ in range(5)], scene.job(due_at=TOO_LATE)
        async with Gate(scene.store):
            tasks = [
                asyncio.create_task(scene.store.add_jobs([scene.new(job)]))
                for job in (*good[:3], bad, *good[3:])
            ]
            await asyncio.sleep(0)
        answers = [answer for (answer,) in await asyncio.gather(*tasks)]
        assert [type(answer) for answer in answers] == [*[Added] * 3, OverflowError, *[Added] * 2]
        page = await scene.store.list_jobs(JobFilter(), limit=100, before=None)
        assert {item.job.id for item in page.items} == {job.id for job in good}

    async def test_one_that_was_half_written_leaves_nothing(self, scene: SqliteScene) -> None:
        """The delivery is refused after result, event and state were written."""
        first, second = await scene.leased(ORIGIN, 2)
        (answer,) = await scene.store.apply([scene.finish(first)], TERMS)
        assert isinstance(answer, Applied)
        same = replace(scene.finish(second), event_id=scene.finish(first).event_id)
        taken = scene.writing.execute("SELECT id FROM event").fetchone()[0]
        changes = [replace(same, event_id=taken), scene.finish(second)]
        bad, good = await scene.store.apply(changes, TERMS)
        assert isinstance(bad, sqlite3.IntegrityError)
        assert isinstance(good, Applied)

    async def test_stale_ones_roll_back_nobody(self, scene: SqliteScene) -> None:
        first, second = await scene.leased(count=2)
        stale = scene.finish(first, lease="lse_of_another")
        with statements(scene.writing) as seen:
            answers = await scene.store.apply([stale, scene.finish(second), stale], TERMS)
        assert [type(answer) for answer in answers] == [Stale, Applied, Stale]
        assert "ROLLBACK" not in seen

    async def test_an_impossible_end_is_a_programming_error(self, scene: SqliteScene) -> None:
        (leased,) = await scene.leased()
        (answer,) = await scene.store.apply([scene.finish(leased, to=JobState.WAITING)], TERMS)
        assert isinstance(answer, ValueError)


class TestCancelling:
    async def test_whoever_stops_waiting_stops_no_work(self, scene: SqliteScene) -> None:
        gone, stays = scene.job(), scene.job()
        async with Gate(scene.store):
            first, second = await gathered(scene, gone, stays)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
        assert [added.job.id for added in await second] == [stays.id]
        assert await scene.store.get_job(gone.id, None) is not None

    async def test_a_loop_that_is_gone_does_no_harm(self, scene: SqliteScene) -> None:
        left = scene.job()

        def leave() -> None:
            async def ask() -> None:
                task = asyncio.create_task(scene.add([left]))
                await asyncio.sleep(0)
                task.cancel()

            asyncio.run(ask())

        async with Gate(scene.store):
            await asyncio.to_thread(leave)
        await scene.add([scene.job()])
        assert await scene.store.get_job(left.id, None) is not None


class TestTrouble:
    async def test_a_full_disk_fails_all_and_goes_on_when_there_is_room(
        self, scene: SqliteScene
    ) -> None:
        (leased,) = await scene.leased(ORIGIN)
        (pages,) = scene.writing.execute("PRAGMA page_count").fetchone()
        scene.writing.execute(f"PRAGMA max_page_count = {pages}")
        large = [scene.new(scene.job(), body=b"x" * 100_000) for _ in range(3)]
        with statements(scene.writing) as seen:
            answers = await scene.store.add_jobs(large)
        assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
        assert "the disk is full: make room" in str(answers[0])
        assert len({id(answer) for answer in answers}) == 3
        assert not [sql for sql in seen if sql.startswith("SAVEPOINT")]  # not tried one by one

        scene.writing.execute("PRAGMA max_page_count = 1000000")
        assert [type(each) for each in await scene.store.add_jobs(large)] == [Added] * 3
        (answer,) = await scene.store.apply([scene.finish(leased)], TERMS)
        assert isinstance(answer, Applied)

    async def test_a_database_locked_by_another(self, scene: SqliteScene) -> None:
        scene.wait_for_locks(1)
        job = scene.job()
        with closing(sqlite3.connect(scene.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            (answer,) = await scene.store.add_jobs([scene.new(job)])
            assert isinstance(answer, StoreUnavailable)
            assert "another process keeps it locked" in str(answer)
            with pytest.raises(StoreUnavailable):
                await scene.store.check()
            with pytest.raises(StoreUnavailable):
                await scene.store.claim_deliveries(1, TERMS)
            assert await scene.store.get_job(job.id, None) is None  # reading goes on
            other.execute("ROLLBACK")
        await scene.store.check()
        assert [type(each) for each in await scene.store.add_jobs([scene.new(job)])] == [Added]

    async def test_what_waits_behind_a_lock_fails_with_the_first(self, scene: SqliteScene) -> None:
        """Else each batch would wait for the lock anew, and callers for all of them."""
        scene.wait_for_locks(300)
        waits, begun = threading.Event(), []

        def notice(sql: str) -> None:
            if sql == "BEGIN IMMEDIATE":
                begun.append(sql)
                waits.set()

        scene.writing.set_trace_callback(notice)
        with closing(sqlite3.connect(scene.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            calls = [asyncio.create_task(scene.store.add_jobs([scene.new(scene.job())]))]
            assert await asyncio.to_thread(waits.wait, 30)
            calls += [
                asyncio.create_task(scene.store.add_jobs([scene.new(scene.job())]))
                for _ in range(20)
            ]
            answers = [answer for (answer,) in await asyncio.gather(*calls)]
            other.execute("ROLLBACK")
        assert {type(answer) for answer in answers} == {StoreUnavailable}
        assert len(begun) == 1

    async def test_a_connection_that_broke_is_replaced(self, scene: SqliteScene) -> None:
        scene.writing.close()
        (answer,) = await scene.store.add_jobs([scene.new(scene.job())])
        assert isinstance(answer, StoreUnavailable)
        assert [type(each) for each in await scene.store.add_jobs([scene.new(scene.job())])] == [
            Added
        ]

    @pytest.mark.parametrize("at_once", [1, 20])
    async def test_a_file_that_was_removed_or_replaced_is_told(
        self, scene: SqliteScene, at_once: int
    ) -> None:
        """SQLite goes on without a word: jobs were answered 202 and gone with the process."""

        async def added() -> list[type[object]]:
            calls = [scene.store.add_jobs([scene.new(scene.job())]) for _ in range(at_once)]
            return [type(answer) for (answer,) in await asyncio.gather(*calls)]

        assert (
            await added() == await added() == [Added] * at_once
        )  # the second on the loop, if many
        away = scene.path.with_name("away.db")
        scene.path.rename(away)
        assert await added() == [StoreUnavailable] * at_once
        scene.path.touch()
        assert await added() == [StoreUnavailable] * at_once
        with pytest.raises(StoreUnavailable, match="removed or replaced"):
            await scene.store.check()
        away.rename(scene.path)
        assert await added() == [Added] * at_once

    async def test_a_damaged_file_is_told(self, tmp_path: Path) -> None:
        async with sqlite_scene(tmp_path) as first:
            await first.ended(50, ORIGIN)
        damage(first.path)
        scene = SqliteScene(first.path)
        await scene.store.open()
        (answer,) = await scene.store.add_jobs([scene.new(scene.job())])
        assert isinstance(answer, StoreCorrupt)
        assert "restore a backup" in str(answer)
        with pytest.raises(StoreCorrupt):
            await scene.store.list_jobs(JobFilter(), limit=10, before=None)
        await scene.store.close()

    async def test_a_beat_hears_of_it(self, scene: SqliteScene) -> None:
        scene.wait_for_locks(1)
        heart = scene.store.heart(HOLDER, "a test", 30)
        with closing(sqlite3.connect(scene.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable):
                await asyncio.to_thread(heart.beat)
        await asyncio.to_thread(heart.beat)

    async def test_a_beat_that_comes_too_late_fails_alone(self, scene: SqliteScene) -> None:
        heart = scene.store.heart("hld_late", "a test", 30)
        await asyncio.to_thread(heart.beat)
        scene.clock.advance(31)
        with statements(scene.writing) as seen, pytest.raises(Stopping, match="hold anew"):
            await asyncio.to_thread(heart.beat)
        assert "ROLLBACK" not in seen

    async def test_a_holder_that_was_forgotten_does_not_come_back(self, scene: SqliteScene) -> None:
        heart = scene.store.heart("hld_late", "a test", 30)
        await asyncio.to_thread(heart.beat)
        scene.clock.advance(31)
        await scene.store.prune(10)
        with pytest.raises(Stopping):
            await asyncio.to_thread(heart.beat)


def damage(path: Path) -> None:
    """Overwrite the database from its second page on, but for the table that `open` reads."""
    with closing(sqlite3.connect(path)) as found:
        found.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page_size,) = found.execute("PRAGMA page_size").fetchone()
        kept = {
            page
            for (page,) in found.execute(
                "SELECT rootpage FROM sqlite_schema WHERE name IN ('meta', 'sqlite_sequence')"
            )
        }
        tables = found.execute("SELECT rootpage FROM sqlite_schema WHERE rootpage > 0").fetchall()
    content = bytearray(path.read_bytes())
    for (page,) in tables:
        if page not in kept:
            content[(page - 1) * page_size : page * page_size] = b"\xff" * page_size
    path.write_bytes(content)


class TestClosing:
    async def test_what_was_asked_is_finished(self, tmp_path: Path) -> None:
        async with sqlite_scene(tmp_path) as scene:
            jobs = [scene.job() for _ in range(10)]
            async with Gate(scene.store):
                tasks = await gathered(scene, *jobs)
                closing_ = asyncio.create_task(scene.store.close())
                await asyncio.sleep(0)
            await asyncio.gather(*tasks, closing_)
            assert [len(task.result()) for task in tasks] == [1] * 10

    async def test_afterwards_everything_is_refused(self, scene: SqliteScene) -> None:
        heart = scene.store.heart(HOLDER, "a test", 30)
        await scene.store.close()
        with pytest.raises(StoreUnavailable):
            await scene.store.add_jobs([scene.new(scene.job())])
        with pytest.raises(StoreUnavailable):
            await scene.store.get_job("job_1", None)
        with pytest.raises(StoreUnavailable):
            heart.beat()
        await scene.store.close()

    async def test_one_that_was_never_opened_can_be_closed(self, tmp_path: Path) -> None:
        await SqliteScene(tmp_path / "store.db").store.close()

    async def test_no_threads_are_left(self, tmp_path: Path) -> None:
        async with sqlite_scene(tmp_path) as scene:
            await scene.store.get_job("job_1", None)
        ours = [each for each in threading.enumerate() if "dispatcher-sqlite" in each.name]
        assert ours == []
