"""The schema on PostgreSQL: what it repeats of the core; how it is made, checked, refused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from dispatcher.adapters.postgres import Patience, PostgresStore, rows, schema
from dispatcher.adapters.postgres.connection import Address
from dispatcher.adapters.postgres.looking import look
from dispatcher.core.errors import SchemaMismatch, StoreError, StoreUnavailable
from dispatcher.core.lifecycle import (
    FINAL_DELIVERY_STATES,
    FINAL_JOB_STATES,
    TERMINAL_EVENTS,
    UNKNOWN_ATTEMPTS,
)
from dispatcher.core.model import DeliveryState, EventType, JobState, Role
from dispatcher.ports.records import Added
from dispatcher.testing.clock import CountingIds
from dispatcher.testing.conformance.scene import Scene
from tests.store.postgres_backend import PostgresBackend
from tests.store.postgres_server import empty_database, shared_server

JOB = """
INSERT INTO dispatcher.job (
  id, caller_id, type, queue, lane_seq, priority, state, lease, holder_id, attempt_count,
  max_attempts, timeout_seconds, retention_seconds, created_at, due_at, started_at, finished_at,
  expires_at, retrying, api_version, version, event_count
) VALUES (
  'job_' || $1::text, 'clr', 't', 'q', 1, 5, $1, $2, $2, 1, 1, 1, 1, 0, 0, 0, $3, $3, FALSE, '1',
  1, 0
)
"""
DELIVERY = """
INSERT INTO dispatcher.delivery (
  id, destination_seq, job_seq, event_seq, url, origin, state, lease, lease_until, created_at,
  due_at, finished_at, attempt_count, entries_used, unknown_count, caller_id
) VALUES ('dlv_' || $1::text, 1, 1, 1, '', '', $1, $2, length($2), 0, 0, $3, 0, 0, $4, 'clr')
"""
WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation IS NOT NULL)"
EVENT = """
INSERT INTO dispatcher.event (id, caller_id, job_seq, type, sequence, at, links_base, data)
VALUES (gen_random_uuid()::text, 'clr', $3, $1, $4, 0, '', $2)
"""


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with empty_database() as made:
        yield made


@pytest.fixture
async def database(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    await schema.prepare(connection, Address.parse(url), migrate=False)
    yield connection
    await connection.close()


async def takes(database: asyncpg.Connection, sql: str, *row: object) -> bool:
    try:
        await database.execute(sql, *row)
    except asyncpg.CheckViolationError:
        return False
    return True


class TestWhatTheSchemaRepeats:
    async def test_the_states_of_jobs(self, database: asyncpg.Connection) -> None:
        final = {state for state in JobState if await takes(database, JOB, state, None, 1)}
        assert final == FINAL_JOB_STATES
        running = {state for state in JobState if await takes(database, JOB, state, "lse", None)}
        assert running == {JobState.RUNNING}
        assert await takes(database, JOB, JobState.WAITING, None, None)
        assert not await takes(database, JOB, "napping", None, 1)

    async def test_the_states_of_deliveries(self, database: asyncpg.Connection) -> None:
        states = DeliveryState
        final = {each for each in states if await takes(database, DELIVERY, each, None, 1, 0)}
        assert final == FINAL_DELIVERY_STATES
        assert not await takes(database, DELIVERY, "sending", "lse", None, UNKNOWN_ATTEMPTS + 1)
        assert await takes(database, DELIVERY, "sending", "lse", None, UNKNOWN_ATTEMPTS)
        assert await takes(database, DELIVERY, "pending", None, None, 0)
        assert not await takes(database, DELIVERY, "lost", None, 1, 0)

    async def test_the_types_of_events(self, database: asyncpg.Connection) -> None:
        numbered = list(enumerate(EventType, 1))
        last = {each for n, each in numbered if await takes(database, EVENT, each, None, n, 1)}
        assert last == TERMINAL_EVENTS
        noted = {each for n, each in numbered if await takes(database, EVENT, each, b"{}", n, 2)}
        assert noted == {EventType.JOB_STARTED, EventType.JOB_PROGRESS, EventType.JOB_OUTPUT}
        assert await takes(database, EVENT, EventType.DELIVERY_DEAD, b"{}", 1, None)
        for each in (EventType.ENDPOINT_DISABLED, EventType.PING):
            assert await takes(database, EVENT, each, b"{}", None, None)

    async def test_the_roles_of_keys(self) -> None:
        (first, *_) = schema.migrations()
        found = re.search(r"CHECK \(role IN \(([^()]*)\)", first.sql)
        assert found is not None
        assert set(re.findall(r"'([^']*)'", found[1])) == set(Role)

    @pytest.mark.parametrize(
        ("table", "columns"),
        [
            ("job", rows.JOB_COLUMNS),
            ("event", rows.EVENT_COLUMNS),
            ("delivery", rows.DELIVERY_COLUMNS),
            ("endpoint", rows.ENDPOINT_COLUMNS),
        ],
    )
    async def test_rows_are_read_in_the_order_of_the_columns(
        self, database: asyncpg.Connection, table: str, columns: tuple[str, ...]
    ) -> None:
        found = await database.fetch(
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_schema = 'dispatcher' AND table_name = $1 ORDER BY ordinal_position",
            table,
        )
        assert [name for (name,) in found] == list(columns)

    async def test_whoever_follows_events_reads_them_in_order(
        self, database: asyncpg.Connection
    ) -> None:
        """The transaction of each is kept, by which readers know what can still appear before."""
        async with database.transaction():
            mine = await database.fetchval("SELECT pg_current_xact_id()")
            await takes(database, EVENT, EventType.PING, b"{}", None, None)
        assert await database.fetchval("SELECT xid FROM dispatcher.event") == mine


def a_store(url: str, *, migrate: bool = False, patience: Patience | None = None) -> PostgresStore:
    return PostgresStore(url, ids=CountingIds(), migrate=migrate, patience=patience)


class TestMaking:
    async def test_of_many_that_open_an_empty_database_at_once_one_makes_the_schema(
        self, url: str
    ) -> None:
        stores = [a_store(url) for _ in range(5)]
        await asyncio.gather(*(store.open() for store in stores))
        for store in stores:
            await store.check()
            await store.close()
        found = await look(url)
        assert (found.schema, found.newest) == (found.newest, schema.migrations()[-1].number)
        assert (found.standbys, found.waits_for_standbys) == (0, False)

    async def test_looking_makes_nothing(self, url: str) -> None:
        assert (await look(url)).schema is None
        assert (await look(url)).schema is None

    async def test_one_with_data_is_migrated_only_when_asked(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = a_store(url)
        await first.open()
        await first.close()
        known = schema.migrations()
        further = schema.Migration(
            9998, "9998_more", "CREATE TABLE dispatcher.more (x int);\nSELECT 1;"
        )
        broken = schema.Migration(9999, "9999_broken", "CREATE TABLE dispatcher.job (x int)")
        monkeypatch.setattr(schema, "migrations", lambda: [*known, further])
        with pytest.raises(SchemaMismatch, match="dispatcher migrate"):
            await a_store(url).open()
        monkeypatch.setattr(schema, "migrations", lambda: [*known, further, broken])
        with pytest.raises(StoreError):
            await a_store(url, migrate=True).open()
        assert (await look(url)).schema == further.number  # each step stands by itself
        monkeypatch.setattr(schema, "migrations", lambda: [*known, further])
        store = a_store(url, migrate=True)
        await store.open()
        await store.close()

    @pytest.mark.parametrize("name", ["9998_more", "9998_after_more"])
    async def test_one_of_a_newer_version_is_served_as_long_as_that_only_added(
        self, url: str, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        known = schema.migrations()
        further = schema.Migration(9998, name, "CREATE TABLE dispatcher.more (x int)")
        monkeypatch.setattr(schema, "migrations", lambda: [*known, further])
        store = a_store(url)
        await store.open()
        await store.close()
        monkeypatch.setattr(schema, "migrations", lambda: known)
        older = a_store(url)
        assert (await look(url)).refused is ("after" in name)
        if "after" in name:
            with pytest.raises(SchemaMismatch, match="run the newer version"):
                await older.open()
        else:
            await older.open()
            await older.check()
            await older.close()

    async def test_a_step_gives_way_to_who_holds_the_table(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who comes while it waits is not held up until it has the lock, but let past."""
        store = a_store(url)
        await store.open()
        known = schema.migrations()
        further = schema.Migration(9998, "9998_more", "ALTER TABLE dispatcher.meta ADD x int")
        monkeypatch.setattr(schema, "migrations", lambda: [*known, further])
        monkeypatch.setattr(schema, "GIVE_WAY_SECONDS", 0.2)
        holder, mover = await asyncpg.connect(url), await asyncpg.connect(url)
        try:
            holding = holder.transaction()
            await holding.start()
            await holder.execute("SELECT FROM dispatcher.meta")
            address = Address.parse(url)
            moving = asyncio.create_task(schema.prepare(mover, address, migrate=True))
            while not await holder.fetchval(WAITS):
                pass  # each look takes a moment
            await store.check()  # it writes to that table
            assert not moving.done()
            await holding.rollback()
            await moving
            await store.check()
            monkeypatch.setattr(schema, "TRIES", 1)
            more = further._replace(number=9999, name="9999_more", sql="DROP TABLE dispatcher.meta")
            monkeypatch.setattr(schema, "migrations", lambda: [*known, further, more])
            async with holder.transaction():
                await holder.execute("SELECT FROM dispatcher.meta")
                with pytest.raises(StoreUnavailable, match="a transaction holds what is to be"):
                    await schema.prepare(mover, address, migrate=True)
        finally:
            await holder.close()
            await mover.close()
            await store.close()

    async def test_a_step_may_take_longer_than_a_statement_of_the_service(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever holds for its connection, here or on the server."""
        first = a_store(url)
        await first.open()
        await first.close()
        operator = await asyncpg.connect(url)
        name = await operator.fetchval("SELECT current_database()")
        await operator.execute(f"ALTER DATABASE {name} SET statement_timeout = '1s'")
        await operator.close()
        known = schema.migrations()
        slow = schema.Migration(9998, "9998_slow", "SELECT pg_sleep(1.3)")
        monkeypatch.setattr(schema, "migrations", lambda: [*known, slow])
        store = a_store(url, migrate=True, patience=Patience(answer_seconds=1.0))
        await store.open()
        await store.close()
        assert (await look(url)).schema == slow.number

    async def test_another_text_of_the_same_number_is_refused(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = a_store(url)
        await store.open()
        await store.close()
        (first, *rest) = schema.migrations()
        monkeypatch.setattr(
            schema, "migrations", lambda: [first._replace(sql=first.sql + "-- other\n"), *rest]
        )
        with pytest.raises(SchemaMismatch, match="development version"):
            await a_store(url).open()

    async def test_a_server_that_loses_what_it_confirms_is_refused(self, url: str) -> None:
        operator = await asyncpg.connect(url)
        name = await operator.fetchval("SELECT current_database()")
        await operator.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        await operator.close()
        with pytest.raises(StoreError, match="synchronous_commit"):
            await a_store(url).open()

    async def test_a_database_that_is_not_there(self) -> None:
        gone = shared_server().replace("postgres:@/postgres?", "postgres:hunter2@/gone?")
        with pytest.raises(StoreUnavailable, match="no such database") as caught:
            await a_store(gone).open()
        assert "hunter2" not in str(caught.value)


class TestAddress:
    @pytest.mark.parametrize(
        ("given", "dsn", "shown", "pooled"),
        [
            (
                "postgres://u:p%40ss@h:6432/d?pgbouncer=true&sslmode=require",
                "postgresql://u:p%40ss@h:6432/d?sslmode=require",
                "postgresql://h:6432/d",
                True,
            ),
            ("postgresql://u@h/d?statement_cache_size=0", "postgresql://u@h/d", None, True),
            (
                "postgresql://u:p@a:1,b:2/d",
                "postgresql://u:p@a:1,b:2/d",
                "postgresql://a:1,b:2/d",
                False,
            ),
            (
                "postgresql://u:@/d?host=/run/pg",
                "postgresql://u:@/d?host=/run/pg",
                "postgresql:///run/pg/d",
                False,
            ),
        ],
    )
    def test_a_url_says_where_and_whether_pooled_and_is_shown_without_a_password(
        self, given: str, dsn: str, shown: str | None, pooled: bool
    ) -> None:
        address = Address.parse(given)
        assert (address.dsn, address.pooled) == (dsn, pooled)
        assert address.shown == (shown or "postgresql://h/d")

    @pytest.mark.parametrize(
        ("given", "hosts"),
        [
            ("u:p@a/d?sslmode=require", ["u:p@a/d?sslmode=require"]),
            ("u:p@a:1,b/d?user=v", ["u:p@a:1/d?user=v", "u:p@b/d?user=v"]),
            ("u@/d", ["u@/d"]),
            ("u:@/d?host=/run/pg", ["u:@/d?host=/run/pg"]),
            ("u:@/d?host=/run/a,b&port=1,2", ["u:@/d?host=/run/a&port=1", "u:@/d?host=b&port=2"]),
            ("u@/d?host=a,b&port=1", ["u@/d?host=a&port=1", "u@/d?host=b&port=1"]),
            ("u@/d?host=a:1,b", ["u@/d?host=a%3A1", "u@/d?host=b"]),
            ("u@/d?host=a,b", ["u@/d?host=a", "u@/d?host=b"]),
            ("u@/d?host=a,b&port=1,2,3", ["u@/d?host=a%2Cb&port=1%2C2%2C3"]),
        ],
    )
    def test_hosts_of_a_url(self, given: str, hosts: list[str]) -> None:
        address = Address.parse(f"postgresql://{given}")
        assert address.hosts() == tuple(f"postgresql://{host}" for host in hosts)

    async def test_one_that_nobody_understands(self) -> None:
        with pytest.raises(StoreError, match="can't be understood") as caught:
            await a_store("postgresql://h:hunter2/d").open()
        assert "hunter2" not in str(caught.value)


class TestPutBack:
    """A backup of before a step was restored under nodes that serve."""

    async def test_nobody_takes_it_for_a_fault_of_what_is_written(self) -> None:
        backend = PostgresBackend()
        await backend.create()
        scene = Scene(backend, await backend.open(), await backend.open())
        await scene.populate()
        rename = "ALTER TYPE dispatcher.{0} RENAME TO {1}"
        operator = await asyncpg.connect(backend.url)
        try:
            await operator.execute(rename.format("job_new", "gone"))
            store = await backend.open()
            added = await store.add_jobs([scene.new(scene.job()), scene.new(scene.job())])
            assert [type(each) for each in added] == [SchemaMismatch, SchemaMismatch]
        finally:
            await operator.execute(rename.format("gone", "job_new"))
            await operator.close()
        (again,) = await store.add_jobs([scene.new(scene.job())])
        assert isinstance(again, Added)
        await backend.drop()
