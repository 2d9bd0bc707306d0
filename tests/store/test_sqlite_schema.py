"""The schema: what it repeats of the core, and how it is made, checked and refused."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dispatcher.adapters.sqlite import SqliteStore, rows, schema
from dispatcher.adapters.sqlite.connection import require_sqlite
from dispatcher.core.errors import (
    SchemaMismatch,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
)
from dispatcher.core.lifecycle import (
    FINAL_DELIVERY_STATES,
    FINAL_JOB_STATES,
    TERMINAL_EVENTS,
    UNKNOWN_ATTEMPTS,
)
from dispatcher.core.model import DeliveryState, EventType, JobState, Role
from dispatcher.testing.clock import CountingIds, ManualClock


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "store.db"
    schema.prepare(path)
    with closing(sqlite3.connect(path)) as connection:
        yield connection


def table_sql(database: sqlite3.Connection, table: str) -> str:
    (sql,) = database.execute(
        "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)
    ).fetchone()
    return re.sub(r"\s+", " ", sql)


def told_apart(sql: str, constraint: str) -> set[str]:
    """The words that the CASE of a constraint tells apart."""
    found = re.search(rf"CONSTRAINT {constraint} CHECK \((.*?ELSE.*?END)", sql)
    assert found is not None, f"{constraint} is not in the schema"
    return set(re.findall(r"WHEN '([^']*)'", found[1]))


class TestWhatTheSchemaRepeats:
    def test_the_states_of_jobs(self, database: sqlite3.Connection) -> None:
        assert told_apart(table_sql(database, "job"), "job_state") == set(JobState)
        final = {state for state in JobState if takes(database, "job", JOB | DONE, state)}
        assert final == FINAL_JOB_STATES

    def test_the_states_of_deliveries(self, database: sqlite3.Connection) -> None:
        sql = table_sql(database, "delivery")
        assert told_apart(sql, "delivery_state") == set(DeliveryState)
        assert f"unknown_count BETWEEN 0 AND {UNKNOWN_ATTEMPTS}" in sql
        insert(database, "job", JOB)
        ended = DELIVERY | {"finished_at": 1}
        final = {state for state in DeliveryState if takes(database, "delivery", ended, state)}
        assert final == FINAL_DELIVERY_STATES

    def test_the_types_of_events_and_the_roles_of_keys(self, database: sqlite3.Connection) -> None:
        sql = table_sql(database, "event")
        assert told_apart(sql, "event_type") == set(EventType)
        without_data = re.findall(r"WHEN '([^']*)' THEN (?:(?!WHEN).)* AND data IS NULL", sql)
        assert set(without_data) == TERMINAL_EVENTS
        roles = re.search(r"CHECK \(role IN \(([^()]*)\)", table_sql(database, "api_key"))
        assert roles is not None
        assert set(re.findall(r"'([^']*)'", roles[1])) == set(Role)

    @pytest.mark.parametrize(
        ("table", "columns"),
        [
            ("job", rows.JOB_COLUMNS),
            ("event", rows.EVENT_COLUMNS),
            ("delivery", rows.DELIVERY_COLUMNS),
            ("endpoint", rows.ENDPOINT_COLUMNS),
        ],
    )
    def test_rows_are_read_in_the_order_of_the_columns(
        self, database: sqlite3.Connection, table: str, columns: tuple[str, ...]
    ) -> None:
        found = database.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
        assert [name for (name,) in found] == list(columns)

    def test_every_table_is_strict(self, database: sqlite3.Connection) -> None:
        listed = database.execute("PRAGMA table_list").fetchall()
        strict = {row[1]: row[5] for row in listed if not row[1].startswith("sqlite_")}
        assert len(strict) > 10
        assert set(strict.values()) == {1}


JOB = {
    "id": "job_1",
    "caller_id": "clr_1",
    "type": "t",
    "queue": "q",
    "lane_seq": 1,
    "priority": 5,
    "state": "waiting",
    "attempt_count": 0,
    "max_attempts": 3,
    "timeout_seconds": 1.0,
    "retention_seconds": 1.0,
    "created_at": 0,
    "due_at": 0,
    "retrying": 0,
    "api_version": "1",
    "version": 1,
    "event_count": 0,
}
RUNNING = {"state": "running", "lease": "lse_1", "holder_id": "hld_1", "started_at": 0}
DONE = {"state": "succeeded", "finished_at": 1, "expires_at": 2}
DELIVERY = {
    "id": "dlv_1",
    "destination_seq": 1,
    "job_seq": 1,
    "event_seq": 1,
    "caller_id": "clr_1",
    "url": "u",
    "origin": "o",
    "state": "pending",
    "created_at": 0,
    "due_at": 0,
    "attempt_count": 0,
    "entries_used": 0,
    "unknown_count": 0,
}
SENDING = {"state": "sending", "lease": "lse_1", "lease_until": 1}


def insert(database: sqlite3.Connection, table: str, row: dict[str, object]) -> None:
    names, places = ", ".join(row), ", ".join("?" * len(row))
    sql = f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608  # names of this file
    database.execute(sql, tuple(row.values()))


def takes(
    database: sqlite3.Connection,
    table: str,
    row: dict[str, object],
    state: JobState | DeliveryState,
) -> bool:
    """Whether a row may stand in that state."""
    database.execute("SAVEPOINT trial")
    try:
        insert(database, table, row | {"state": state.value})
    except sqlite3.IntegrityError:
        return False
    finally:
        database.execute("ROLLBACK TO trial")
    return True


class TestConstraints:
    def test_only_one_secret_and_one_key_of_the_service_have_no_end(
        self, database: sqlite3.Connection
    ) -> None:
        insert(database, "caller", {"id": "clr_1", "name": "ann", "created_at": 1})
        secret = {"caller_id": "clr_1", "sealed": b"s", "created_at": 1}
        key = {"id": "kid", "public": bytes(32), "sealed": b"s", "created_at": 1}
        for table, row, end in (
            ("secret", secret, "expires_at"),
            ("service_key", key, "retired_at"),
        ):
            insert(database, table, row | {end: 5})
            insert(database, table, row | ({"id": "kid 2"} if "id" in row else {}))
            with pytest.raises(sqlite3.IntegrityError):
                insert(database, table, row | ({"id": "kid 3"} if "id" in row else {}))

    def test_a_public_key_has_its_length(self, database: sqlite3.Connection) -> None:
        key = {"id": "kid", "public": bytes(31), "sealed": b"s", "created_at": 1}
        with pytest.raises(sqlite3.IntegrityError):
            insert(database, "service_key", key)

    @pytest.mark.parametrize("change", [{}, RUNNING, DONE])
    def test_a_sound_job_is_taken(
        self, database: sqlite3.Connection, change: dict[str, object]
    ) -> None:
        insert(database, "job", JOB | change)

    @pytest.mark.parametrize(
        "change",
        [
            {"state": "paused"},
            {"lease": "lse_1"},
            {"holder_id": "hld_1"},
            {"finished_at": 1, "expires_at": 2},
            {"priority": 10},
            {"attempt_count": -1},
            {"retrying": 2},
            {"attempt_count": "many"},
            RUNNING | {"lease": None},
            RUNNING | {"holder_id": None},
            RUNNING | {"started_at": None},
            RUNNING | {"retrying": 1},
            DONE | {"finished_at": None},
            DONE | {"expires_at": None},
            DONE | {"lease": "lse_1"},
        ],
    )
    def test_an_unsound_job_is_refused(
        self, database: sqlite3.Connection, change: dict[str, object]
    ) -> None:
        with pytest.raises(sqlite3.IntegrityError):
            insert(database, "job", JOB | change)

    @pytest.mark.parametrize(
        "change",
        [
            {"state": "lost"},
            {"lease": "lse_1"},
            {"lease_until": 1},
            {"finished_at": 1},
            {"unknown_count": 4},
            {"attempt_count": 1},
            {"first_number": 1, "first_at": 1, "first_duration_ms": 1, "first_lease": "lse_1"},
            {"attempt_count": 1, "first_number": 1, "first_at": 1, "first_duration_ms": 1},
            SENDING | {"lease": None},
            SENDING | {"lease_until": None},
            {"state": "dead"},
            {"round": 0},
            {"redelivered_at": 1},
            {"cancel_requested_at": 1},
        ],
    )
    def test_an_unsound_delivery_is_refused(
        self, database: sqlite3.Connection, change: dict[str, object]
    ) -> None:
        insert(database, "job", JOB)
        insert(database, "delivery", DELIVERY)
        insert(database, "delivery", DELIVERY | SENDING | {"id": "dlv_2"})
        with pytest.raises(sqlite3.IntegrityError):
            insert(database, "delivery", DELIVERY | {"id": "dlv_3"} | change)


def a_store(path: Path) -> SqliteStore:
    return SqliteStore(path, clock=ManualClock(), ids=CountingIds())


def modes_in(folder: Path) -> dict[str, int]:
    return {each.name: each.stat().st_mode & 0o777 for each in folder.iterdir()}


class TestOpening:
    async def test_its_owner_alone_may_read_what_is_made(self, tmp_path: Path) -> None:
        """Inputs and results stand in it in clear text, whatever the umask."""
        before = os.umask(0)
        try:
            store = SqliteStore(tmp_path / "store.db", clock=ManualClock(), ids=CountingIds())
            await store.open()
            await store.check()
            modes = modes_in(tmp_path)
            await store.close()
        finally:
            os.umask(before)
        assert set(modes) >= {"store.db", "store.db-wal", "store.db-shm"}
        assert set(modes.values()) == {0o600}

    async def test_a_new_file_is_set_up_to_last(self, tmp_path: Path) -> None:
        path = tmp_path / "with space, % and ?.db"
        store = a_store(path)
        await store.open()
        await store.check()
        await store.close()
        with closing(sqlite3.connect(path)) as found:
            assert found.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert found.execute("PRAGMA auto_vacuum").fetchone() == (2,)  # INCREMENTAL
            assert found.execute("PRAGMA application_id").fetchone() == (schema.APPLICATION_ID,)
            assert found.execute("PRAGMA user_version").fetchone() == (
                schema.migrations()[-1].number,
            )

    async def test_the_writer_syncs_each_commit(self, tmp_path: Path) -> None:
        store = a_store(tmp_path / "store.db")
        await store.open()
        await store.check()
        connection = store._writer._transactions.connection
        assert connection is not None
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        await store.close()

    async def test_many_may_open_a_new_file_at_once(self, tmp_path: Path) -> None:
        stores = [a_store(tmp_path / "store.db") for _ in range(6)]
        await asyncio.gather(*(store.open() for store in stores))
        for store in stores:
            await store.check()
            await store.close()

    async def test_one_may_open_while_another_writes(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        schema.prepare(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            store = a_store(path)
            await store.open()
            await store.list_types()
            other.execute("ROLLBACK")
            await store.close()

    async def test_an_empty_file_left_by_a_crash_is_filled(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        path.touch()
        store = a_store(path)
        await store.open()
        await store.check()
        await store.close()

    async def test_a_newer_schema_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        schema.prepare(path)
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA user_version = 9999")
        with pytest.raises(SchemaMismatch, match="has schema 9999"):
            await a_store(path).open()

    async def test_a_migration_that_was_another_is_told(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        schema.prepare(path)
        with closing(sqlite3.connect(path)) as other:
            other.execute("UPDATE meta SET value = x'00' WHERE name = 'migration 0001'")
            other.commit()
        with pytest.raises(SchemaMismatch, match="0001_first"):
            await a_store(path).open()

    async def test_another_program_s_database_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE theirs (x)")
        before = path.read_bytes()
        with pytest.raises(StoreCorrupt, match="choose another path"):
            await a_store(path).open()
        assert path.read_bytes() == before

    async def test_what_is_no_database_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        path.write_bytes(b"notes to myself\n" * 100)
        with pytest.raises(StoreCorrupt, match="not a database"):
            await a_store(path).open()
        assert path.read_bytes() == b"notes to myself\n" * 100

    async def test_a_directory_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "nowhere" / "store.db"
        with pytest.raises(StoreUnavailable, match=re.escape(str(path))):
            await a_store(path).open()

    def test_an_old_sqlite_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
        with pytest.raises(StoreError, match=r"3\.37\.0 or newer"):
            require_sqlite()
