"""The SQL: every statement finds its rows by index, and a claim costs the same at any size."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Self

import pytest
from msgspec.structs import replace

import dispatcher.adapters.sqlite
from dispatcher.adapters.sqlite import leaving, schema
from dispatcher.adapters.sqlite.statements import statement, statement_names
from dispatcher.core.breaker import Sign
from dispatcher.ports.records import JobClaim
from tests.store.plan_indexes import INDEXES
from tests.store.sqlite_scene import HOLDER, ORIGIN, TERMS, SqliteScene, sqlite_scene

GROWING = (
    "audit",
    "job",
    "head",
    "job_input",
    "job_result",
    "idempotency",
    "event",
    "delivery",
    "attempt",
    "bulk",
    "erased",
)
"""The tables that grow with the work done (`head` stands for `job`)."""

SCANS = {
    "deliveries_end_leases": "SCAN delivery USING INDEX delivery_sending",  # at a start, of few
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("plans") / "store.db"
    schema.prepare(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


def plan(database: sqlite3.Connection, name: str) -> list[str]:
    sql = statement(name)
    code = re.sub(r"--.*", "", sql)
    named = dict.fromkeys(re.findall(r":(\w+)", code))
    values = named or (None,) * code.count("?")
    steps = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    return [step.replace(" EXISTS USING ", " USING ") for step in steps]  # newer ones tell of joins


class TestPlans:
    @pytest.mark.parametrize("name", sorted(set(statement_names()) - {"move_counts"}))
    def test_no_statement_reads_a_growing_table_whole(
        self, database: sqlite3.Connection, name: str
    ) -> None:
        for step in plan(database, name):
            table = re.match(r"SCAN (\w+)", step)
            if table is not None and table[1] in GROWING:
                assert SCANS.get(name) == step, f"{name}: {step}"
            assert "AUTOMATIC" not in step, f"{name}: {step}"

    @pytest.mark.parametrize("name", sorted(INDEXES))
    def test_each_finds_its_rows_by_the_index_meant_for_it(
        self, database: sqlite3.Connection, name: str
    ) -> None:
        found = "\n".join(plan(database, name))
        for index in INDEXES[name]:
            assert index in found, found

    def test_what_moves_away_is_read_by_its_key(self, database: sqlite3.Connection) -> None:
        """So that a move that goes on does not read again what it has moved."""
        for table, sql in leaving._pages().items():
            values = {"after": None, "and_after": None}
            steps = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
            assert "TEMP B-TREE" not in str(steps), table
            if table != "paused_queue":
                assert steps[0].startswith(f"SEARCH {table} USING "), steps

    @pytest.mark.parametrize(
        "name",
        ["deliveries_due", "destinations_ready", "lanes_ready", "sweep_late_jobs"],
    )
    def test_order_comes_from_the_index(self, database: sqlite3.Connection, name: str) -> None:
        assert not [step for step in plan(database, name) if "TEMP B-TREE" in step]


class TestFiles:
    def test_each_says_what_it_is_for(self) -> None:
        for name in statement_names():
            assert statement(name).startswith("-- "), name

    def test_each_is_used_and_each_that_is_used_is_there(self) -> None:
        directory = Path(dispatcher.adapters.sqlite.__file__).parent
        code = "\n".join(path.read_text(encoding="utf-8") for path in directory.glob("*.py"))
        assert sorted(set(re.findall(r'statement\("(\w+)"\)', code))) == statement_names()


OTHER = "https://well.example"


class Steps:
    """Counts the steps of SQLite's virtual machine: a cost without noise."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.count = 0

    def _step(self) -> int:
        self.count += 1
        return 0

    def __enter__(self) -> Self:
        self.connection.set_progress_handler(self._step, 1)
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.set_progress_handler(None, 1)


async def cost_of_job_claim(scene: SqliteScene) -> int:
    await scene.add([scene.job() for _ in range(8)])
    with Steps(scene.writing) as steps:
        claimed = await scene.store.claim_jobs(JobClaim(HOLDER, {"mail.send": 8}, 8))
    assert len(claimed.jobs) == 8
    await scene.store.apply([scene.finish(each) for each in claimed.jobs], TERMS)
    return steps.count


async def cost_of_delivery_claim(scene: SqliteScene, origin: str) -> int:
    await scene.ended(3, origin)
    with Steps(scene.writing) as steps:
        claimed = await scene.store.claim_deliveries(50, TERMS)
    mine = [each for each in claimed.deliveries if each.delivery.origin == origin]
    assert len(mine) == 3
    await scene.store.apply([scene.delivered(each) for each in mine], TERMS)
    return steps.count


async def fail(scene: SqliteScene, sign: Sign) -> None:
    """Open a breaker of `ORIGIN`, or of its URL."""
    for _ in range(TERMS.breaker.failures):
        await scene.ended(1, ORIGIN)
        (leased,) = (await scene.store.claim_deliveries(50, TERMS)).deliveries
        await scene.store.apply([replace(scene.delivered(leased), sign=sign)], TERMS)


async def cost_of_the_whole_path(scene: SqliteScene) -> int:
    with Steps(scene.writing) as steps:
        (leased,) = await scene.leased(ORIGIN)
        change = scene.finish(leased, hand_off=True)
        (answer,) = await scene.store.apply([change], TERMS)
        assert not isinstance(answer, Exception)
        (handed,) = answer.handed  # type: ignore[union-attr]  # Stale has none, and fails here
        await scene.store.apply([scene.delivered(handed)], TERMS)
    return steps.count


class TestCostStaysFlat:
    async def test_of_the_claim_of_jobs(self, tmp_path: Path) -> None:
        async with sqlite_scene(tmp_path) as scene:
            await scene.ended(10)
            small = await cost_of_job_claim(scene)
            for _ in range(10):
                await scene.ended(400)
            # and of what waits for its time, in the same lane
            later = scene.clock.now() + 60_000
            for priority in (0, 5, 9):
                await scene.add([scene.job(due_at=later, priority=priority) for _ in range(400)])
            assert await cost_of_job_claim(scene) <= small * 1.1

    async def test_of_the_claim_of_deliveries(self, tmp_path: Path) -> None:
        """A receiver that is down, with all its slots taken, and thousands due behind them."""
        dead = "https://dead.example"
        async with sqlite_scene(tmp_path) as scene:
            await scene.ended(TERMS.slots + 1, dead)
            await scene.store.claim_deliveries(50, TERMS)
            small = await cost_of_delivery_claim(scene, ORIGIN)
            for _ in range(10):
                await scene.ended(400, dead)
            scene.clock.advance(1)
            await scene.store.claim_deliveries(50, TERMS)
            assert await cost_of_delivery_claim(scene, ORIGIN) <= small * 1.1

    async def test_of_the_claim_beside_a_url_in_trouble(self, tmp_path: Path) -> None:
        """Its breaker is open, and thousands wait for it at the very origin that is claimed for."""
        async with sqlite_scene(tmp_path) as scene:
            await fail(scene, Sign.NO_SERVICE)
            await scene.ended(3, ORIGIN)
            await scene.store.claim_deliveries(50, TERMS)
            small = await cost_of_delivery_claim(scene, OTHER)
            for _ in range(10):
                await scene.ended(400, ORIGIN)
            await scene.store.claim_deliveries(50, TERMS)
            assert await cost_of_delivery_claim(scene, OTHER) <= small * 1.1

    async def test_of_the_claim_beside_an_open_breaker(self, tmp_path: Path) -> None:
        async with sqlite_scene(tmp_path) as scene:
            await fail(scene, Sign.NO_CONNECTION)
            await scene.ended(3, ORIGIN)
            await scene.store.claim_deliveries(50, TERMS)
            small = await cost_of_delivery_claim(scene, OTHER)
            for _ in range(10):
                await scene.ended(400, ORIGIN)
            await scene.store.claim_deliveries(50, TERMS)
            assert await cost_of_delivery_claim(scene, OTHER) <= small * 1.1

    async def test_of_the_whole_path_of_a_job(self, tmp_path: Path) -> None:
        async with sqlite_scene(tmp_path) as scene:
            await cost_of_the_whole_path(scene)
            small = await cost_of_the_whole_path(scene)
            for _ in range(10):
                await scene.ended(400)
            assert await cost_of_the_whole_path(scene) <= small * 1.1


class TestFewRows:
    async def test_a_job_that_succeeds_at_once_adds_five_rows(self, tmp_path: Path) -> None:
        """Job, input, event, delivery, result; besides, job and delivery are updated once each."""
        async with sqlite_scene(tmp_path) as scene:
            await cost_of_the_whole_path(scene)  # makes the lane and the destination
            rows, changes = count_rows(scene.writing), scene.writing.total_changes
            await cost_of_the_whole_path(scene)
            assert count_rows(scene.writing) - rows == 5
            assert scene.writing.total_changes - changes == 7


def count_rows(connection: sqlite3.Connection) -> int:
    listed = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    ).fetchall()
    counts = (
        connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608  # the schema's own names
        for (name,) in listed
    )
    return sum(counts)
