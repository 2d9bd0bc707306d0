"""Moving from SQLite to PostgreSQL: all arrives, nothing is served twice, what was told stands."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import asyncpg
import pytest

from dispatcher.adapters.postgres.arriving import ArrivingDatabase
from dispatcher.adapters.sqlite import ServeLock
from dispatcher.adapters.sqlite.connection import Use, connect
from dispatcher.adapters.sqlite.leaving import LeavingFile
from dispatcher.core.errors import StoreError, StoreLocked, StoreMoved
from dispatcher.core.model import DeliveryState, JobState
from dispatcher.moving import move, undo
from dispatcher.ports.records import Idempotency, KeySpent, Replayed
from dispatcher.ports.store import Store
from dispatcher.testing.conformance.feeding import part, whole
from dispatcher.testing.conformance.scene import Scene, scene
from dispatcher.testing.conformance.values import ANN, TERMS
from tests.store.conftest import SqliteBackend
from tests.store.moving_backend import Fuse, FusedTarget, Killed, MovingBackend, moving_backend
from tests.store.moving_scene import done_one_by_one, everything, told
from tests.store.postgres_backend import PostgresBackend

__all__ = ["scene"]

NOT_MOVED = {"meta", "migration", "ordering_key", "submission_rate"}
CHANGED = {
    "holder": {"expires_at"},
    "delivery": {"lease_until"},
    "destination": {"ready_at"},
    "target": {"ready_at"},
}
"""What the end of leases changes."""


@pytest.fixture
async def backend() -> AsyncIterator[MovingBackend]:
    async with moving_backend() as made:
        yield made


@pytest.fixture
async def database(backend: MovingBackend) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(backend.postgres.url)
    yield connection
    await connection.close()


async def rows_there(backend: MovingBackend) -> dict[str, list[dict[str, Any]]]:
    """All rows of the file, as they leave it."""
    with LeavingFile(backend.sqlite.path) as source:
        return {
            table: [
                dict(zip(batch.columns, row, strict=True))
                for batch in source.batches(table, ())
                for row in batch.rows
            ]
            for table in source.tables()
        }


async def rows_here(
    database: asyncpg.Connection, tables: dict[str, list[dict[str, Any]]]
) -> dict[str, list[dict[str, Any]]]:
    """The same rows of the database, in the order of the same columns."""
    return {
        table: [
            dict(row)
            for row in await database.fetch(
                f"SELECT {', '.join(rows[0])} FROM dispatcher.{table}"  # noqa: S608  # the schema's own names
            )
        ]
        for table, rows in tables.items()
    }


def sorted_without(rows: list[dict[str, Any]], names: set[str]) -> list[str]:
    kept = [{k: v for k, v in row.items() if k not in names} for row in rows]
    # What is 1 there is True here, which is equal, and shown as the same.
    return sorted(str({k: v + 0 if isinstance(v, bool) else v for k, v in r.items()}) for r in kept)


class TestWhatArrives:
    async def test_every_row_of_every_table(
        self, scene: Scene, backend: MovingBackend, database: asyncpg.Connection
    ) -> None:
        await everything(scene)
        for store in backend.sqlite.stores:
            await store.close()
        backend.sqlite.stores = []
        there = await rows_there(backend)
        assert [table for table, rows in there.items() if not rows] == []
        moved = await backend.move()
        assert moved.rows == {table: len(rows) for table, rows in there.items()}
        here = await rows_here(database, there)
        for table, rows in there.items():
            names = CHANGED.get(table, set())
            assert sorted_without(here[table], names) == sorted_without(rows, names), table

    async def test_every_table_and_column_is_named(
        self, scene: Scene, backend: MovingBackend, database: asyncpg.Connection
    ) -> None:
        """Who adds one must say how it moves."""
        await everything(scene)
        await backend.crash(scene.store)
        await backend.crash(scene.other)
        there = await rows_there(backend)
        with closing(connect(backend.sqlite.path, Use.READ)) as file:
            names = file.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        assert {name for (name,) in names if not name.startswith("sqlite_")} - NOT_MOVED == set(
            there
        )
        found = await database.fetch(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_schema = 'dispatcher'"
        )
        columns = {(row[0], row[1]) for row in found if row[0] not in NOT_MOVED}
        assert columns == {(table, name) for table, rows in there.items() for name in rows[0]}

    async def test_the_read_verbs_tell_the_same(self, scene: Scene, backend: MovingBackend) -> None:
        await everything(scene)
        await scene.store.end_other_leases("")  # as the move does
        before = await told(scene.store, scene)
        assert {job.state for job in before["jobs"]} == set(JobState)
        assert {each.delivery.state for each in before["deliveries"]} == set(DeliveryState)
        fed = await whole(scene.other, None)
        await backend.move()
        after = await told(await backend.open(), scene)
        for what, answer in before.items():
            assert after[what] == answer, what
        assert await whole(scene.other, None) == fed

    async def test_what_waits_is_done_and_what_is_due_is_sent(
        self, scene: Scene, backend: MovingBackend
    ) -> None:
        await everything(scene)
        keyed = [job.id for job in (await scene.jobs())[::-1] if job.ordering_key is not None]
        await backend.move()
        scene.store, scene.other = await backend.open(), await backend.open()
        await scene.advance(40)
        assert await done_one_by_one(scene) == keyed
        open_jobs = [job for job in await scene.jobs() if job.finished_at is None]
        # One is held by a remote worker, whose lease lasts; one is in a queue that is paused.
        assert {job.queue for job in open_jobs} == {"remote", "other"}
        await scene.advance(1000)
        sent = set()
        while claimed := (await scene.lease()).deliveries:
            done = [scene.tried(each, DeliveryState.DELIVERED) for each in claimed]
            await scene.apply_all(*done)
            sent |= {each.delivery.origin for each in claimed}
            await scene.advance(3)
        left = {one.origin for one in await scene.deliveries() if one.finished_at is None}
        assert "https://waits.example" in sent | left
        assert "https://s.example" in left, "its endpoint is disabled"
        assert len(left) <= 2, "one is disabled, one is paused"

    async def test_an_idempotency_key_is_still_known(
        self, scene: Scene, backend: MovingBackend
    ) -> None:
        await everything(scene)
        (job, *_) = [each for each in await scene.jobs() if each.queue == "default"]
        await backend.move()
        store = await backend.open()
        key = Idempotency("a key", b"d" * 32, scene.now + 10**9)
        (answer,) = await store.add_jobs([scene.new(key=key)])
        assert isinstance(answer, Replayed)
        assert answer.job.id == job.id

    async def test_so_is_one_whose_job_was_erased(
        self, scene: Scene, backend: MovingBackend
    ) -> None:
        key = Idempotency("a key", b"d" * 32, scene.now + 10**9)
        await scene.add_all(scene.new(scene.job(retention_seconds=1), key=key))
        await scene.apply(scene.finish((await scene.claim()).jobs[0]))
        await scene.advance(2)
        assert await scene.store.prune(100) == 1
        await backend.move()
        store = await backend.open()
        assert await store.add_jobs([scene.new(key=key)]) == [KeySpent()]

    async def test_what_was_under_way_is_taken_back_at_once(
        self, scene: Scene, backend: MovingBackend
    ) -> None:
        """However long the leases would have lasted: nobody holds them any more."""
        sending = await scene.sending()
        running = await scene.running(await scene.hold(seconds=3600))
        await backend.move()
        scene.store = scene.other = await backend.open()
        (again,) = (await scene.claim()).jobs
        assert (again.job.id, again.job.attempt_count) == (running.job.id, 2)
        assert [one.delivery.id for one in (await scene.lease()).deliveries] == [
            sending.delivery.id
        ]

    @pytest.mark.parametrize("queue", [None, "default"])
    async def test_what_was_paused_is_resumed_there(
        self, scene: Scene, backend: MovingBackend, queue: str | None
    ) -> None:
        """The two mark lanes otherwise: a pause of all once stayed in them for ever."""
        (job,) = await scene.add()
        await scene.store.pause(queue, scene.now)
        await backend.move()
        scene.store = scene.other = await backend.open()
        assert (await scene.claim()).jobs == ()
        await scene.store.resume(queue)
        assert [one.job.id for one in (await scene.claim()).jobs] == [job.id]


class TestNumbers:
    async def test_what_was_given_out_never_comes_again(
        self, scene: Scene, backend: MovingBackend, database: asyncpg.Connection
    ) -> None:
        await scene.end()
        last = await scene.end()
        await scene.store.erase_job(last.id, None, TERMS, cancel_deliveries=False)
        await backend.move()
        scene.store = scene.other = await backend.open()
        await scene.end()
        assert await database.fetchval("SELECT max(seq) FROM dispatcher.job") == 3
        assert await database.fetchval("SELECT max(seq) FROM dispatcher.event") == 3


class TestTheFeed:
    async def test_a_cursor_from_before_goes_on_behind_the_same_event(
        self, scene: Scene, backend: MovingBackend
    ) -> None:
        ids = [(await scene.events((await scene.end()).id))[0].id for _ in range(5)]
        cursors = [item.cursor for item in (await part(scene.store)).items]
        end = (await part(scene.store)).next
        await backend.move()
        scene.store = scene.other = await backend.open()
        ids += [(await scene.events((await scene.end()).id))[0].id for _ in range(2)]
        for n, cursor in enumerate(cursors):
            assert await whole(scene.store, after=cursor) == ids[n + 1 :]
            assert await whole(scene.store, None, after=cursor, limit=1) == ids[n + 1 :]
        assert await whole(scene.store, after=end) == ids[5:]
        heads = await scene.store.heads([], [ANN, None])
        assert await whole(scene.store, after=heads.feeds[ANN]) == []

    @pytest.mark.parametrize("erased_before", [False, True])
    async def test_who_missed_something_is_told(
        self, scene: Scene, backend: MovingBackend, erased_before: bool
    ) -> None:
        _, second, third = [await scene.end() for _ in range(3)]
        cursor = (await part(scene.store, limit=1)).next
        if erased_before:
            await scene.store.erase_job(second.id, None, TERMS, cancel_deliveries=False)
        await backend.move()
        store: Store = await backend.open()
        if not erased_before:
            await store.erase_job(second.id, None, TERMS, cancel_deliveries=False)
        page = await part(store, after=cursor)
        assert page.gap
        assert [item.job.id for item in page.items if item.job] == [third.id]
        assert not (await part(store, after=page.next)).gap


class TestKilled:
    async def test_at_any_step_and_gone_on_with(
        self, scene: Scene, backend: MovingBackend, database: asyncpg.Connection
    ) -> None:
        await everything(scene)
        await scene.store.end_other_leases("")  # as the move does
        before = await told(scene.store, scene)
        chance = random.Random(6)  # noqa: S311  # a choice that can be repeated
        kills = [0, 1, 2, 3] + [chance.randrange(40) for _ in range(12)]
        await backend.move(kills)
        after = await told(await backend.open(), scene)
        assert after == before

    @pytest.mark.parametrize("kill", range(10))
    async def test_wherever_it_ends_one_of_the_two_may_be_served_at_most(
        self, backend: MovingBackend, kill: int
    ) -> None:
        assert await opens(backend.sqlite)
        with pytest.raises(Killed):
            await backend._move(Fuse(kill))
        assert await opens(backend.sqlite) is (kill == 0), "what is marked is not served"
        # Before it has begun there, and after it has ended.
        assert await opens(backend.postgres) is (kill in (0, 1, 2, 9))
        assert (await backend.move()).before is (kill == 9)
        assert not await opens(backend.sqlite)
        assert await opens(backend.postgres)


async def opens(side: SqliteBackend | PostgresBackend) -> bool:
    """Whether a store may be served."""
    try:
        await side.crash(await side.open())
    except StoreMoved:
        return False
    return True


class TestRefused:
    async def test_a_file_that_is_served(self, scene: Scene, backend: MovingBackend) -> None:
        with ServeLock(backend.sqlite.path), pytest.raises(StoreLocked, match="stop it first"):
            await backend._move(Fuse(None))
        assert await scene.store.list_types()

    async def test_a_database_that_holds_something(
        self, scene: Scene, backend: MovingBackend, database: asyncpg.Connection
    ) -> None:
        await scene.end()
        await database.execute(
            "INSERT INTO dispatcher.job_type (name, declared) VALUES ('x', '{}')"
        )
        with pytest.raises(StoreError, match=r"is not empty \(it has rows of job_type\)"):
            await backend.move()
        assert await database.fetchval("SELECT count(*) FROM dispatcher.job") == 0
        assert await database.fetchval("SELECT count(*) FROM dispatcher.meta") == 0
        await backend.open()  # nothing was changed there either

    async def test_a_database_with_a_part_of_another_file(
        self, scene: Scene, backend: MovingBackend
    ) -> None:
        await scene.end()
        with pytest.raises(Killed):
            await backend._move(Fuse(8))
        with LeavingFile(backend.sqlite.path) as source:
            assert undo(source) is not None
        with pytest.raises(
            StoreError, match=r"a part of .*store\.db, from a move that is not this"
        ):
            await backend.move()

    async def test_both_sides_while_it_is_not_whole(
        self, scene: Scene, backend: MovingBackend
    ) -> None:
        await scene.end()
        with pytest.raises(Killed):
            await backend._move(Fuse(8))
        with pytest.raises(StoreMoved, match="is being moved to postgresql"):
            await backend.sqlite.open()
        with pytest.raises(StoreMoved, match=r"does not hold all of .*store\.db yet"):
            await backend.postgres.open()

    async def test_the_file_afterwards_until_it_is_undone(
        self, scene: Scene, backend: MovingBackend
    ) -> None:
        await scene.end()
        await backend.move()
        with pytest.raises(StoreMoved, match=r"was moved to postgresql://\S+: serve that"):
            await backend.sqlite.open()
        again = await backend._move(Fuse(None))
        assert again.before
        with LeavingFile(backend.sqlite.path) as source:
            assert undo(source) is not None
            assert undo(source) is None
        await backend.sqlite.open()

    async def test_another_mover_at_the_same_time(
        self, scene: Scene, backend: MovingBackend, database: asyncpg.Connection
    ) -> None:
        await scene.end()

        class Overtaken(FusedTarget):
            async def settle(self, numbers: Any) -> None:
                await database.execute("UPDATE dispatcher.meta SET value = '{}'")
                await super().settle(numbers)

        for store in backend.sqlite.stores:
            await store.close()
        backend.sqlite.stores = []
        with LeavingFile(backend.sqlite.path) as source:
            async with Overtaken(backend.postgres.url, Fuse(None), backend.now) as target:
                with pytest.raises(StoreMoved, match="Another process moves"):
                    await move(source, target, move_id="mov_1", tell=lambda *_: None)

    async def test_rows_that_did_not_arrive(
        self, scene: Scene, backend: MovingBackend, database: asyncpg.Connection
    ) -> None:
        await scene.end()

        class Losing(ArrivingDatabase):
            async def settle(self, numbers: Any) -> None:
                await database.execute("DELETE FROM dispatcher.job_result")
                await super().settle(numbers)

        for store in backend.sqlite.stores:
            await store.close()
        backend.sqlite.stores = []
        with LeavingFile(backend.sqlite.path) as source:
            async with Losing(backend.postgres.url, injected_now=backend.now) as target:
                with pytest.raises(StoreError, match=r"job_result \(0 of 1 rows\)"):
                    await move(source, target, move_id="mov_1", tell=lambda *_: None)
            assert source.mark() is not None
        with pytest.raises(StoreMoved):
            await backend.postgres.open()
