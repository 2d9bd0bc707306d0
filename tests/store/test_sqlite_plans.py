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
from dispatcher.adapters.sqlite import schema
from dispatcher.adapters.sqlite.statements import statement, statement_names
from dispatcher.core.breaker import Sign
from dispatcher.ports.records import JobClaim
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
)
"""The tables that grow with the work done (`head` stands for `job`)."""

SCANS = {
    "deliveries_end_leases": "SCAN delivery USING INDEX delivery_sending",  # at a start, of few
}

LINE = "delivery_pending (destination_seq=? AND target_seq=? AND retried=?"

INDEXES = {
    "api_key_find": ["api_key USING INDEX sqlite_autoindex_api_key", "caller USING INDEX"],
    "api_key_revoke": ["api_key USING PRIMARY KEY (id=?)"],
    "api_keys_count": ["api_key USING INDEX api_key_of_caller (caller_id=?)"],
    "api_keys_of_caller": ["api_key USING INDEX api_key_of_caller (caller_id=?)"],
    "attempts_of_delivery": ["attempt USING PRIMARY KEY (delivery_seq=?)"],
    "audit_before": ["audit USING INTEGER PRIMARY KEY (rowid<?)"],
    "audit_of_caller": ["audit USING INDEX audit_of_caller (caller_id=? AND rowid<?)"],
    "audit_of_target": ["audit USING INDEX audit_of_target (target=? AND rowid<?)"],
    "backlog_deliveries": ["delivery USING COVERING INDEX delivery_pending (destination_seq=?)"],
    "backlog_oldest": ["job USING COVERING INDEX job_waiting (lane_seq=? AND priority=?)"],
    "backlog_oldest_delivery": [
        "COVERING INDEX delivery_pending (destination_seq=? AND target_seq=? AND retried=?)"
    ],
    "backlog_running": ["job USING INDEX job_held (holder_id=?)"],
    "backlog_sending": ["COVERING INDEX delivery_sending (destination_seq=?)"],
    "backlog_waiting": ["job USING COVERING INDEX job_waiting (lane_seq=?)"],
    "caller_by_id": ["caller USING INDEX sqlite_autoindex_caller_1 (id=?)"],
    "callers_before": ["caller USING INTEGER PRIMARY KEY (rowid<?)"],
    "chain_active": ["delivery_chain (chain=?)"],
    "chain_head": ["delivery_chain (chain=?)"],
    "chain_running": ["delivery_chain (chain=?)"],
    "deliveries_due": [f"COVERING INDEX {LINE} AND due_at<?)"],
    "deliveries_due_lined": [f"{LINE} AND due_at<?)", "(destination_seq=? AND url=?)"],
    "deliveries_lost_lined": ["delivery_sending (destination_seq=? AND lease_until<?)"],
    "deliveries_drop": ["delivery USING INDEX delivery_of_job (job_seq=?)"],
    "deliveries_leased": [
        "delivery USING INTEGER PRIMARY KEY",
        "job_result USING INTEGER PRIMARY",
        "endpoint USING INDEX sqlite_autoindex_endpoint_1 (id=?)",
    ],
    "deliveries_unknown": ["delivery_sending (destination_seq=? AND lease_until<?)"],
    "deliveries_end_blocked": ["delivery_blocked (destination_seq=?)"],
    "deliveries_end_some": ["delivery USING COVERING INDEX delivery_pending (destination_seq=?)"],
    "destinations_rate": ["destination USING INDEX destination_of_endpoint (endpoint_id=?)"],
    "deliveries_end_sending": ["delivery USING INDEX delivery_sending (destination_seq=?)"],
    "deliveries_open": [
        "delivery_pending (destination_seq=?)",
        "delivery_sending (destination_seq=?)",
    ],
    "deliveries_put_back": ["delivery_sending (destination_seq=? AND lease_until<?)"],
    "destinations_held": [
        "destination_held",
        "delivery_sending (destination_seq=? AND lease_until<?)",
    ],
    "destinations_of_endpoint": ["destination_of_endpoint (endpoint_id=?)"],
    "delivery_by_id": ["delivery USING INDEX sqlite_autoindex_delivery_1 (id=?)"],
    "delivery_found": ["delivery USING INDEX sqlite_autoindex_delivery_1 (id=?)"],
    "delivery_record_first": ["delivery USING INTEGER PRIMARY KEY"],
    "delivery_summary": ["delivery USING INDEX delivery_of_job (job_seq=?)"],
    "destination_find": [
        (
            "destination USING INDEX sqlite_autoindex_destination_1 "
            "(caller_id=? AND origin=? AND endpoint_id=?)"
        ),
        "delivery USING COVERING INDEX delivery_sending (destination_seq=? AND lease_until>?)",
        f"{LINE} AND due_at<?)",
        "COVERING INDEX sqlite_autoindex_target_1 (destination_seq=?)",
    ],
    "delivery_hand_on": [f"COVERING INDEX {LINE} AND due_at<?)"],
    "destination_gate": [
        "COVERING INDEX delivery_sending (destination_seq=? AND lease_until>?)",
        "COVERING INDEX sqlite_autoindex_target_1 (destination_seq=?)",
    ],
    "destination_next": [
        f"COVERING INDEX {LINE})",
        "delivery USING COVERING INDEX delivery_sending (destination_seq=?)",
    ],
    "destinations_full": ["destination_full (full_slots<?)"],
    "destinations_next": ["destination_ready"],
    "destinations_ready": ["destination_ready (ready_at<?)"],
    "endpoint_found": ["endpoint USING INDEX sqlite_autoindex_endpoint_1 (id=?)"],
    "endpoint_secrets_in_force": ["endpoint_secret_of_endpoint (endpoint_id=?)"],
    "endpoints_count": ["endpoint USING INDEX endpoint_of_caller (caller_id=?)"],
    "endpoints_deleted": ["endpoint USING INDEX endpoint_deleted"],
    "endpoints_of_caller": ["endpoint USING INDEX endpoint_of_caller (caller_id=?)"],
    "list_endpoints": ["endpoint USING INTEGER PRIMARY KEY (rowid<?)"],
    "list_endpoints_of_caller": ["endpoint_of_caller (caller_id=? AND rowid<?)"],
    "event_of_job": ["event USING INDEX sqlite_autoindex_event_1 (id=?)"],
    "line_load": ["COVERING INDEX delivery_sending (destination_seq=? AND lease_until>?)"],
    "events_of_job": ["sqlite_autoindex_event_2 (job_seq=? AND sequence>?)"],
    "holders_next": ["job USING INDEX job_held (holder_id=?)"],
    "idempotency_find": ["idempotency USING PRIMARY KEY (caller_id=? AND key=?)"],
    "input_bytes": ["job_input USING INTEGER PRIMARY KEY (rowid=?)"],
    "job_by_id": ["job USING INDEX sqlite_autoindex_job_1 (id=?)"],
    "job_finish": ["job USING INTEGER PRIMARY KEY"],
    "jobs_held": ["job_held (holder_id=?)"],
    "jobs_leased": ["job USING INTEGER PRIMARY KEY", "job_input USING INTEGER PRIMARY KEY"],
    "jobs_lost": ["job_held (holder_id=?)"],
    "lane_count": ["lane USING INTEGER PRIMARY KEY (rowid=?)"],
    "lane_heads": ["job_waiting (lane_seq=? AND priority=? AND due_at<?)"],
    "lane_next": ["job_waiting (lane_seq=? AND priority=?)"],
    "lanes_next": ["lane_ready (type=?"],
    "lanes_of_queue": ["lane USING INDEX sqlite_autoindex_lane_1 (caller_id=? AND queue=?)"],
    "lanes_ready": ["lane_ready (type=? AND ready_at<?)"],
    "list_deliveries": ["delivery USING INTEGER PRIMARY KEY (rowid<?)"],
    "list_deliveries_in_rare_end": ["delivery_rare_end (state=? AND rowid<?)"],
    "list_deliveries_in_rare_end_of_caller": [
        "delivery_rare_end_of_caller (caller_id=? AND state=? AND rowid<?)"
    ],
    "list_deliveries_of_caller": ["delivery_of_caller (caller_id=? AND rowid<?)"],
    "list_deliveries_of_job": ["delivery_of_job (job_seq=? AND rowid<?)"],
    "list_jobs": ["job USING INTEGER PRIMARY KEY (rowid<?)"],
    "list_jobs_correlated": ["job_correlation (correlation_id=? AND rowid<?)"],
    "list_jobs_in_rare_end": ["job_rare_end (state=? AND rowid<?)"],
    "list_jobs_of_caller": ["job_of_caller (caller_id=? AND rowid<?)"],
    "secrets_count": ["secret USING INDEX secret_of_caller (caller_id=?)"],
    "secrets_end": ["secret USING INDEX secret_of_caller (caller_id=?)"],
    "secrets_of_caller": ["secret USING INDEX secret_of_caller (caller_id=?)"],
    "prune_alone_candidates": ["event_alone", "delivery_alone (event_seq=?)"],
    "prune_alone_deliveries": ["delivery_alone (event_seq=?)"],
    "prune_candidates": ["job_expiry", "delivery_of_job (job_seq=?)"],
    "prune_audit": ["audit_at (at<?)"],
    "prune_idempotency": ["idempotency_expiry (expires_at<?)"],
    "sweep_late_jobs": ["job_late (late_at<?)"],
    "sweep_lost_deliveries": ["delivery_lost (lease_until<?)"],
    "sweep_lost_jobs": ["job_held (holder_id=?)"],
    "waiting_in_queue": ["lane USING INDEX lane_of_queue (queue=?)"],
    "waiting_of_caller": ["lane USING INDEX sqlite_autoindex_lane_1 (caller_id=?)"],
    "sweep_old_deliveries": ["delivery_age (<expr><?)"],
    "prune_destinations": ["delivery_blocked (destination_seq=?)"],
    "prune_targets": ["target_idle (breaker_at<?)"],
    "target_find": ["sqlite_autoindex_target_1 (destination_seq=? AND url=?)"],
    "target_line": ["sqlite_autoindex_target_1 (destination_seq=? AND url=?)"],
    "targets_next": ["target_ready (destination_seq=?"],
    "targets_ready": ["target_ready (destination_seq=? AND ready_at<?)"],
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
    return [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


class TestPlans:
    @pytest.mark.parametrize("name", statement_names())
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
