"""The SQL on PostgreSQL: every statement finds its rows by index, whatever is finished."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import dispatcher.adapters.postgres
from dispatcher.adapters.postgres.connection import SETTINGS, Address
from dispatcher.adapters.postgres.schema import prepare
from dispatcher.adapters.postgres.statements import statement, statement_names
from tests.store.postgres_server import empty_database

GROWING = (
    *("job", "job_input", "job_result", "idempotency", "event", "delivery", "attempt", "erased"),
    *("bulk", "ordering_key", "endpoint"),
)
"""The tables that grow with the work done, or are asked for each of it."""

NOT_PLANNED = {
    *("begin", "begin_read", "begin_migration", "commit", "commit_and_begin", "lock_briefly"),
    *("rollback", "schema_make"),
    *("savepoint", "savepoint_keep", "savepoint_undo", "service_keys_lock", "pauses_lock"),
    *("feed_renumber", "hints_unsynced", "move_analyze", "move_counts", "move_filled"),
}
"""These have no plan, or read whole tables once: when all is moved in from another store."""

OPEN = ["delivery_pending", "delivery_blocked", "delivery_sending"]
INDEXES = {
    "attempts_last": ["attempt_pkey"],
    "attempts_of_deliveries": ["attempt_pkey"],
    "backlog_deliveries": [],  # any of what is pending: it reads no more than it was asked
    "backlog_oldest": ["job_waiting"],
    "backlog_oldest_delivery": ["delivery_pending"],
    "backlog_running": ["job_held"],
    "backlog_sending": ["delivery_sending"],
    "backlog_waiting": ["job_waiting"],
    "bulk_find": ["job_id_key", "bulk_pkey"],
    "bounds_count": ["job_held"],
    "chains_active": ["delivery_chain"],
    "chains_heads": ["delivery_chain"],
    "chains_running": ["delivery_chain"],
    "claim_next": ["lane_ready", "job_held"],
    "claim_opens": ["lane_ready", "holder_expiry", "job_held"],
    "clear_done": [
        "endpoint_id_key",
        "destination_of_endpoint",
        "delivery_pending",
        "delivery_sending",
    ],
    "clear_end": ["delivery_pkey"],
    "clear_lock": ["destination_of_endpoint", *OPEN],
    "deliveries_drop": ["delivery_of_job"],
    "deliveries_due_lined": ["delivery_pending"],
    "deliveries_found": ["delivery_id_key"],
    "deliveries_heads": ["delivery_pending", "delivery_sending"],
    "deliveries_held": ["destination_held", "delivery_sending"],
    "deliveries_lease": ["delivery_pkey", "event_pkey", "job_pkey", "job_result_pkey"],
    "deliveries_lease_known": ["delivery_pkey"],
    "deliveries_lock": ["delivery_id_key", "endpoint_id_key"],
    "deliveries_lock_to_erase": ["delivery_of_job"],
    "deliveries_lock_seqs": ["delivery_pkey"],
    "deliveries_lost_lined": ["delivery_sending"],
    "deliveries_move": ["delivery_pkey"],
    "deliveries_put_back": ["delivery_pkey"],
    "deliveries_record_first": ["delivery_pkey"],
    "deliveries_redeliver": ["delivery_pkey"],
    "delivery_summaries": ["delivery_of_job"],
    "destinations_gates": ["delivery_sending"],
    "destinations_hold": ["destination_of_endpoint"],
    "deliveries_lock_of_jobs": ["delivery_of_job", "delivery_id_key"],
    "deliveries_tried": ["delivery_id_key"],
    "destinations_loads": ["delivery_pending", "delivery_sending"],
    "destinations_lock": ["endpoint_id_key"],
    "destinations_of_endpoints": ["destination_of_endpoint"],
    "destinations_pace": ["destination_of_endpoint"],
    "destinations_ready": ["destination_ready", "destination_full"],
    "destinations_ready_locked": ["destination_ready", "destination_full"],
    "endpoint_found": ["endpoint_id_key"],
    "endpoint_secrets_in_force": ["endpoint_secret_of_endpoint"],
    "endpoints_by_id": ["endpoint_id_key"],
    "endpoints_callers": ["endpoint_id_key"],
    "endpoints_count": ["endpoint_of_caller"],
    "endpoints_deleted": ["endpoint_deleted"],
    "endpoints_fare": ["endpoint_id_key"],
    "endpoints_lock": ["endpoint_of_caller"],
    "endpoints_share": ["endpoint_of_caller"],
    "erased_find": ["erased_pkey"],
    "events_find": ["event_id_key"],
    "events_of_job": ["event_job_seq_sequence_key"],
    "feed": ["event_order"],
    "feed_ahead": ["event_order"],
    "feed_head": ["event_order"],
    "feed_heads": ["event_of_caller", "event_erased_pkey"],
    "feed_look": ["event_order"],
    "feed_look_of_caller": ["event_of_caller"],
    "feed_of_caller": ["event_of_caller"],
    "feed_stands": ["event_order"],
    "feed_stands_of_caller": ["event_of_caller", "event_erased_pkey"],
    "holders_forget": ["job_held"],
    "idempotency_find": ["idempotency_pkey", "job_id_key"],
    "input_sizes": ["job_input_pkey"],
    "inputs_until": ["job_input_pkey"],
    "job_of_last_lease": ["job_last_lease"],
    "job_of_lease": ["job_held", "endpoint_of_caller"],
    "job_seq_of": ["job_id_key"],
    "job_versions": ["job_id_key"],
    "jobs_add": ["endpoint_of_caller"],
    "jobs_by_seq": ["job_pkey"],
    "jobs_end": ["job_id_key", "endpoint_of_caller"],
    "jobs_finish": ["job_pkey"],
    "jobs_held": ["job_held"],
    "jobs_lease": ["job_pkey", "job_input_pkey", "endpoint_of_caller"],
    "jobs_lock": ["job_id_key", "job_keyed", "ordering_key_pkey", "endpoint_of_caller"],
    "jobs_lost": ["job_held", "job_input_pkey"],
    "keys_advance": ["job_behind", "job_scheduled_of_key", "job_pkey"],
    "keys_forget": ["job_front", "job_scheduled_of_key", "job_behind", "ordering_key_pkey"],
    "keys_lock_free": ["ordering_key_pkey"],
    "keys_look": ["job_front", "job_scheduled_of_key"],
    "keys_move": ["job_pkey"],
    "keys_next_lanes": ["job_behind"],
    "keys_of_heads": ["job_pkey"],
    "keys_stand": ["job_front", "job_scheduled_of_key"],
    "lanes_heads": ["job_claimable"],
    "lanes_next_in": ["job_claimable"],
    "leases_renew": ["job_held"],
    "line_heads": ["delivery_pending", "delivery_sending"],
    "line_load": ["delivery_sending"],
    "line_next": ["delivery_pending", "delivery_sending"],
    "list_deliveries": ["delivery_pkey"],
    "list_deliveries_in_rare_end": ["delivery_rare_end"],
    "list_deliveries_in_rare_end_of_caller": ["delivery_rare_end_of_caller"],
    "list_deliveries_of_caller": ["delivery_of_caller"],
    "list_deliveries_of_job": ["delivery_of_job"],
    "list_endpoints": ["endpoint_pkey"],
    "list_endpoints_of_caller": ["endpoint_of_caller"],
    "list_jobs": ["job_pkey"],
    "list_jobs_correlated": ["job_correlation"],
    "list_jobs_in_rare_end": ["job_rare_end"],
    "list_jobs_of_caller": ["job_of_caller"],
    "prune_alone": ["event_pkey", "delivery_alone"],
    "prune_alone_candidates": ["event_alone", "delivery_alone"],
    "prune_alone_lock": ["delivery_alone"],
    "prune_candidates": ["job_expiry", "delivery_of_job"],
    "prune_destinations": ["destination_pkey", *OPEN],
    "prune_destinations_lock": OPEN,
    "prune_erased": ["erased_age"],
    "prune_idempotency": ["idempotency_expiry"],
    "prune_jobs": ["job_pkey", "delivery_of_job", "event_job_seq_sequence_key", "bulk_pkey"],
    "prune_take": ["job_pkey"],
    "results_of_jobs": ["job_result_pkey"],
    "select_deliveries": ["delivery_of_caller", "event_pkey"],
    "select_deliveries_in_rare_end": ["delivery_rare_end_of_caller", "event_pkey"],
    "select_deliveries_in_rare_end_look": ["delivery_rare_end_of_caller"],
    "select_deliveries_look": ["delivery_of_caller"],
    "select_jobs": ["job_of_caller"],
    "select_jobs_in_rare_end": ["job_rare_end"],
    "select_jobs_in_rare_end_look": ["job_rare_end"],
    "select_jobs_look": ["job_of_caller"],
    "sweep_late_jobs": ["job_late"],
    "sweep_lost_deliveries": ["delivery_lost"],
    "sweep_lost_jobs": ["job_held"],
    "sweep_old_deliveries": ["delivery_age"],
    "targets_lines": ["delivery_sending"],
}

BY_NUMBER = (
    *("deliveries_drop", "deliveries_lease", "deliveries_lease_known", "deliveries_tried"),
    *("delivery_ask_cancel", "deliveries_unblock", "jobs_end", "jobs_lease"),
)
"""These know which rows they want, and must not go through all that is open."""

OF_WHAT_IS_OPEN = re.compile(
    r"\b(job_(waiting|claimable|held)|delivery_(age|pending|sending|blocked|chain|lost))\b"
)

FILL = """
INSERT INTO dispatcher.lane (caller_id, queue, type)
SELECT 'clr_' || n, 'default', 'mail.send' FROM generate_series(1, 200) AS n;
INSERT INTO dispatcher.destination (id, caller_id, origin)
SELECT 'dst_' || n, 'clr_' || n, 'https://r.example' FROM generate_series(1, 200) AS n;
INSERT INTO dispatcher.caller (id, name, created_at)
SELECT 'clr_' || n, 'clr_' || n, 0 FROM generate_series(1, 200) AS n;
INSERT INTO dispatcher.endpoint (
  id, caller_id, url, origin, events, headers, ordered, created_at, version
)
SELECT 'ep_' || n, 'clr_' || 1 + n % 200, '', '', '[]', '[]', FALSE, 0, 1
FROM generate_series(1, 2000) AS n;
INSERT INTO dispatcher.endpoint_secret (endpoint_id, sealed, created_at)
SELECT id, '', 0 FROM dispatcher.endpoint;
INSERT INTO dispatcher.destination (id, caller_id, origin, endpoint_id)
SELECT 'dst_' || id, caller_id, '', id FROM dispatcher.endpoint;
INSERT INTO dispatcher.job (
  id, caller_id, type, queue, lane_seq, priority, state, attempt_count, max_attempts,
  timeout_seconds, retention_seconds, created_at, due_at, started_at, finished_at, expires_at,
  retrying, correlation_id, api_version, version, event_count
)
SELECT
  'job_' || n, 'clr_' || n % 200, 'mail.send', 'default', 1 + n % 200, 5,
  CASE WHEN n % 50 = 0 THEN 'failed' ELSE 'succeeded' END, 1, 3, 60, 3600, n, n, n, n, n + 9, FALSE,
  'c-' || n, '1', 3, 1
FROM generate_series(1, {count}) AS n;
INSERT INTO dispatcher.ordering_key
SELECT 'clr_' || n % 200, 'key_' || n FROM generate_series(1, {count}) AS n;
INSERT INTO dispatcher.job_input SELECT seq, '{{}}' FROM dispatcher.job;
INSERT INTO dispatcher.job_result SELECT seq, '{{}}' FROM dispatcher.job;
INSERT INTO dispatcher.idempotency
SELECT caller_id, id, '', id, expires_at FROM dispatcher.job;
INSERT INTO dispatcher.event (id, caller_id, job_seq, type, sequence, at, links_base)
SELECT 'evt_' || seq, caller_id, seq, 'job.succeeded', 1, seq, '' FROM dispatcher.job;
INSERT INTO dispatcher.delivery (
  id, destination_seq, job_seq, event_seq, url, origin, state, created_at, due_at, finished_at,
  attempt_count, entries_used, unknown_count, caller_id, first_lease, first_number, first_at,
  first_duration_ms
)
SELECT
  'dlv_' || seq, 1 + seq % 200, job_seq, seq, '', '',
  CASE WHEN seq % 50 = 0 THEN 'dead' ELSE 'delivered' END, seq, seq, seq, 1, 1, 0, caller_id,
  'lse_' || seq, 1, 1, 1
FROM dispatcher.event;
INSERT INTO dispatcher.attempt
SELECT seq, 2, 'lse', 1, 1 FROM dispatcher.delivery;
INSERT INTO dispatcher.erased
SELECT 'job_x' || seq, caller_id, seq FROM dispatcher.job;
INSERT INTO dispatcher.event_erased
SELECT 'clr_' || n, '3', n FROM generate_series(1, 5000) AS n;
INSERT INTO dispatcher.bulk
SELECT seq, 1, 0, 0, 0, NULL, TRUE FROM dispatcher.job;
ANALYZE;
"""
WAIT = """
UPDATE dispatcher.job SET state = 'waiting', finished_at = NULL, expires_at = NULL
WHERE seq <= {count};
UPDATE dispatcher.delivery SET state = 'pending', finished_at = NULL WHERE seq <= {count};
ANALYZE;
"""
BEHIND = """
UPDATE dispatcher.job SET
  state = 'waiting', finished_at = NULL, expires_at = NULL, started_at = NULL,
  ordering_key = 'key', key_place = 3
WHERE lane_seq <= 3;
ANALYZE;
"""
FINISHED = 20_000


WHOLE = {
    "bounds_count": {"job"},  # what runs is counted
    "clear_done": {"endpoint"},  # those that were deleted, until they are cleared
    "destinations_wake": {"delivery"},  # what is being sent, once a process starts
    "move_keys": {"job"},  # once, when all is moved in
    "prune_alone": {"event", "delivery"},  # pings and the like
}
"""These go through all of a kind, and why."""


@pytest.fixture
async def database() -> AsyncIterator[asyncpg.Connection]:
    async with fresh() as connection:
        yield connection


@asynccontextmanager
async def fresh() -> AsyncIterator[asyncpg.Connection]:
    """A database that nobody has used: in one that was emptied the statistics of before stay."""
    settings = {**SETTINGS, "statement_timeout": "60s"}
    async with empty_database() as url:
        connection = await asyncpg.connect(url, statement_cache_size=0, server_settings=settings)
        await prepare(connection, Address.parse(url), migrate=True)
        yield connection
        await connection.close()


async def plan(database: asyncpg.Connection, name: str) -> dict[str, Any]:
    """The plan of a statement, whatever it is given; it stays prepared."""
    sql = re.sub(r"--.*", "", statement(name))
    count = max((int(each) for each in re.findall(r"\$(\d+)", sql)), default=0)
    nothing = f"({', '.join(['NULL'] * count)})" if count else ""
    await database.execute(f"PREPARE {name} AS {sql}")
    (row,) = await database.fetch(f"EXPLAIN (COSTS OFF, FORMAT JSON) EXECUTE {name}{nothing}")
    found: dict[str, Any] = json.loads(row[0])[0]["Plan"]
    return found


def whole(node: dict[str, Any], *, limited: bool = False) -> set[str]:
    """The growing tables of which a plan reads all, or all that is in an index, without end."""
    limited = limited or node["Node Type"] == "Limit"
    table, kind = node.get("Relation Name"), node["Node Type"]
    found = set().union(*(whole(each, limited=limited) for each in node.get("Plans", ())))
    if table in GROWING and "Scan" in kind and kind != "Tid Scan":
        bounded = limited and kind != "Seq Scan"
        if "Index Cond" not in node and not bounded:
            found.add(table)
    return found


class TestPlans:
    """A backlog may come after hours in which nothing waited: the planner then expects none."""

    @pytest.mark.parametrize("waiting", [0, 4_000])
    async def test_each_finds_its_rows_by_the_index_meant_for_it(
        self, database: asyncpg.Connection, waiting: int
    ) -> None:
        """With as much finished as in a few seconds of a busy service."""
        await database.execute(FILL.format(count=FINISHED))
        await database.execute(WAIT.format(count=waiting))
        for name in sorted(set(statement_names()) - NOT_PLANNED):
            found = await plan(database, name)
            text = json.dumps(found, indent=1)
            assert whole(found) <= WHOLE.get(name, set()), f"{name}:\n{text}"
            if name in BY_NUMBER:
                assert OF_WHAT_IS_OPEN.search(text) is None, f"{name}:\n{text}"
            for index in INDEXES.get(name, []):
                assert re.search(rf"\b{index}\b", text), f"{name}, {index}:\n{text}"

    async def test_none_reads_all_though_it_was_planned_when_nothing_was_there(
        self, database: asyncpg.Connection
    ) -> None:
        """Such a plan is kept while the tables grow.

        Of endpoints there are none then, and few later: their table may be read.
        """
        for name in sorted(set(statement_names()) - NOT_PLANNED):
            found = await plan(database, name)
            allowed = WHOLE.get(name, set()) | {"endpoint"}
            assert whole(found) <= allowed, f"{name}:\n{json.dumps(found, indent=1)}"
            if name.startswith("prune_destinations"):  # else: of each all that waits anywhere
                assert "Join Filter" not in json.dumps(found), name

    async def test_all_that_are_named_are_there(self) -> None:
        assert set(INDEXES) <= set(statement_names())
        assert set(statement_names()) >= NOT_PLANNED


class TestFiles:
    def test_each_says_what_it_is_for(self) -> None:
        for name in statement_names():
            assert statement(name).startswith("-- "), name

    def test_each_is_used_and_each_that_is_used_is_there(self) -> None:
        directory = Path(dispatcher.adapters.postgres.__file__).parent
        code = "\n".join(path.read_text(encoding="utf-8") for path in directory.glob("*.py"))
        assert sorted(set(re.findall(r'statement\("(\w+)"\)', code))) == statement_names()


async def blocks(database: asyncpg.Connection, name: str, *args: Any) -> int:
    """How many blocks a statement touches: a cost without noise."""
    given = ", ".join(args)
    (row,) = await database.fetch(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {name}({given})"
    )
    found = json.loads(row[0])[0]["Plan"]
    return int(found["Shared Hit Blocks"]) + int(found["Shared Read Blocks"])


class TestCostStaysFlat:
    async def test_of_what_claims_and_changes_ask(self, database: asyncpg.Connection) -> None:
        asked = {
            "lanes_heads": ("'{1,2,3}'", "'{9,9,9}'", "1000000", "60000"),
            "lanes_next_in": ("'{1,2,3}'", "1000000"),
            "deliveries_heads": ("'{1,2,3}'", "'{9,9,9}'", "1000000"),
            "destinations_loads": (
                *("'{clr_1,clr_2}'", "'{https://r.example,https://r.example}'", '\'{"",""}\''),
                "1000000",
            ),
        }
        await database.execute(FILL.format(count=400))
        small = {}
        for name, given in asked.items():
            await plan(database, name)
            await blocks(database, name, *given)
            small[name] = await blocks(database, name, *given)
        async with fresh() as large:
            await large.execute(FILL.format(count=FINISHED))
            for name, given in asked.items():
                await plan(large, name)
                await blocks(large, name, *given)
                assert await blocks(large, name, *given) <= small[name] + 10, name

    async def test_of_claims_whatever_stands_behind_the_fronts_of_keys(
        self, database: asyncpg.Connection
    ) -> None:
        await database.execute(FILL.format(count=FINISHED))
        asked = {
            "lanes_heads": ("'{1,2,3}'", "'{9,9,9}'", "1000000", "60000"),
            "lanes_next_in": ("'{1,2,3}'", "1000000"),
        }
        await database.execute(BEHIND)
        for name, given in asked.items():
            await plan(database, name)
            await blocks(database, name, *given)
            # three lanes of ten priorities, each a seek of two pages at most
            assert await blocks(database, name, *given) <= 60, name
