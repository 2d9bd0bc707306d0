"""What the database refuses to erase: it is passed over, told of once a run, and tried again."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest

from dispatcher.adapters.postgres import PostgresStore
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.writer import Writer
from dispatcher.core.errors import StoreUnavailable
from dispatcher.testing.conformance.scene import Scene
from tests.store.postgres_backend import PostgresBackend
from tests.store.sqlite_scene import SqliteScene, sqlite_scene

LIMIT = 4
JOBS = 3 * LIMIT


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "dispatcher.store" and record.levelno == logging.ERROR
    ]


class TestOnSqlite:
    @pytest.fixture
    async def scene(self, tmp_path: Path) -> AsyncIterator[SqliteScene]:
        async with sqlite_scene(tmp_path) as scene:
            yield scene

    async def run(self, scene: SqliteScene) -> int:
        """One run of pruning, as the engine does it; gives how many jobs went."""
        before = self.left(scene)
        for _ in range(3 * JOBS):
            if await scene.store.prune(LIMIT) < LIMIT:
                return before - self.left(scene)
        raise AssertionError("pruning has no end")

    def left(self, scene: SqliteScene) -> int:
        with closing(sqlite3.connect(scene.path)) as reading:
            (count,) = reading.execute("SELECT count(*) FROM job").fetchone()
            return int(count)

    def run_sql(self, scene: SqliteScene, sql: str) -> None:
        with closing(sqlite3.connect(scene.path, isolation_level=None)) as writing:
            writing.execute(sql)

    async def test_the_others_go_and_it_is_tried_again(
        self, scene: SqliteScene, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One row stopped all of pruning for good."""
        await scene.ended(JOBS)
        scene.clock.advance(3601)
        self.run_sql(
            scene,
            "CREATE TRIGGER stuck BEFORE DELETE ON job WHEN OLD.seq IN (2, 3, 7) "
            "BEGIN SELECT RAISE(ABORT, 'it is stuck'); END",
        )
        assert await self.run(scene) == JOBS - 3
        (first,) = told(caplog)
        assert first.startswith("row 2 of `job` can't be erased (IntegrityError('it is stuck'))")
        assert "dispatcher check" in first
        caplog.clear()
        assert await self.run(scene) == 0
        assert len(told(caplog)) == 1
        self.run_sql(scene, "DROP TRIGGER stuck")
        assert await self.run(scene) == 3

    async def test_one_that_is_no_job_holds_up_no_job(
        self, scene: SqliteScene, caplog: pytest.LogCaptureFixture
    ) -> None:
        await scene.ended(JOBS)
        scene.clock.advance(3601)
        self.run_sql(
            scene,
            "CREATE TRIGGER stuck BEFORE DELETE ON holder "
            "BEGIN SELECT RAISE(ABORT, 'it is stuck'); END",
        )
        assert await self.run(scene) == JOBS
        (first,) = told(caplog)
        assert first.startswith("a holder can't be erased")

    async def test_what_was_rolled_back_was_not_looked_at(self, scene: SqliteScene) -> None:
        await scene.ended(2)
        scene.clock.advance(3601)
        pruning = scene.store._pruning
        before = pruning._cursors

        class Full:
            async def one(self, run: Callable[[Session, int], Any], item: int) -> Any:
                def fails(session: Session, item: int) -> None:
                    run(session, item)
                    raise StoreUnavailable("the disk is full")

                return await scene.store._writer.one(fails, item)

        with pytest.raises(StoreUnavailable):
            await pruning.prune(cast("Writer", Full()), LIMIT)
        assert pruning._cursors == before
        assert await scene.store.prune(LIMIT) == 2
        assert pruning._cursors.after > before.after


class TestOnPostgres:
    @pytest.fixture
    async def backend(self) -> AsyncIterator[PostgresBackend]:
        backend = PostgresBackend()
        await backend.create()
        yield backend
        await backend.drop()

    @pytest.fixture
    async def scene(self, backend: PostgresBackend) -> Scene:
        scene = Scene(backend, await backend.open(), await backend.open())
        await scene.populate()
        return scene

    @pytest.fixture
    async def operator(self, backend: PostgresBackend) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(backend.url)
        yield connection
        await connection.execute("DROP FUNCTION IF EXISTS stuck CASCADE")
        await connection.close()

    async def run(self, scene: Scene) -> None:
        """One run of pruning, as the engine does it."""
        for _ in range(3 * JOBS):
            if await scene.store.prune(LIMIT) < LIMIT:
                return
        raise AssertionError("pruning has no end")

    async def left(self, operator: asyncpg.Connection) -> list[int]:
        rows = await operator.fetch("SELECT seq FROM dispatcher.job ORDER BY seq")
        return [row["seq"] for row in rows]

    async def refuse(self, operator: asyncpg.Connection, when: str) -> None:
        await operator.execute(
            "CREATE FUNCTION stuck() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'it is stuck'; END $$"
        )
        await operator.execute(f"CREATE {when} EXECUTE FUNCTION stuck()")

    async def ended(self, scene: Scene, operator: asyncpg.Connection, count: int) -> list[int]:
        for _ in range(count):
            await scene.end(retention_seconds=1.0)
        await scene.advance(2)
        return await self.left(operator)

    async def test_the_others_go_and_it_is_tried_again(
        self, scene: Scene, operator: asyncpg.Connection, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One row stopped all of pruning for good."""
        seqs = await self.ended(scene, operator, JOBS)
        stuck = [seqs[1], seqs[2], seqs[6]]
        rows = ", ".join(map(str, stuck))
        await self.refuse(
            operator,
            "TRIGGER stuck BEFORE DELETE ON dispatcher.job FOR EACH ROW "
            f"WHEN (OLD.seq IN ({rows}))",
        )
        await self.run(scene)
        assert await self.left(operator) == stuck
        (first,) = told(caplog)
        assert first.startswith(f"row {stuck[0]} of `job` can't be erased (RaiseError('it is")
        caplog.clear()
        await self.run(scene)
        assert len(told(caplog)) == 1
        await operator.execute("DROP FUNCTION stuck CASCADE")
        await self.run(scene)
        assert await self.left(operator) == []

    async def test_one_that_is_no_job_holds_up_no_job(
        self, scene: Scene, operator: asyncpg.Connection, caplog: pytest.LogCaptureFixture
    ) -> None:
        await self.ended(scene, operator, JOBS)
        await self.refuse(operator, "TRIGGER stuck BEFORE DELETE ON dispatcher.lane")
        await self.run(scene)
        assert await self.left(operator) == []
        (first,) = told(caplog)
        assert first.startswith("a lane can't be erased")

    async def test_what_was_rolled_back_was_not_looked_at(
        self, scene: Scene, operator: asyncpg.Connection
    ) -> None:
        await self.ended(scene, operator, 2)
        store = scene.store
        assert isinstance(store, PostgresStore)
        pruning = store._pruning
        before = pruning._cursors
        await self.refuse(
            operator,
            "CONSTRAINT TRIGGER stuck AFTER DELETE ON dispatcher.job "
            "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW",
        )
        with pytest.raises(StoreUnavailable, match="it is stuck"):  # at its COMMIT
            await store.prune(LIMIT)
        await operator.execute("DROP FUNCTION stuck CASCADE")
        assert await store.prune(LIMIT) == 2
        assert pruning._cursors == before
        assert await store.prune(LIMIT) == 0
        assert pruning._cursors.after > before.after
