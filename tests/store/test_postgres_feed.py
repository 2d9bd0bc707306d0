"""The feed on PostgreSQL: the order under locks, what holds it back, and who erases at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from dispatcher.adapters.postgres import Patience, schema
from dispatcher.adapters.postgres.connection import Address
from dispatcher.adapters.postgres.schema import prepare
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.errors import SchemaMismatch
from dispatcher.core.model import DeliveryState
from dispatcher.ports.erasing import Erasure
from dispatcher.testing.conformance import Scene, scene
from dispatcher.testing.conformance.feeding import part
from dispatcher.testing.conformance.values import ANN, BEN, TERMS, a_callback
from tests.store.postgres_backend import PostgresBackend
from tests.store.postgres_server import empty_database

__all__ = ["scene"]

EVENT = """
INSERT INTO dispatcher.event (id, caller_id, type, at, links_base, data)
VALUES ($1, $2, 'ping', 0, '', '{}')
"""

AHEAD = """
UPDATE dispatcher.event SET xid = (xid::text::bigint + 1000000000)::text::xid8
"""


@pytest.fixture
def backend() -> PostgresBackend:
    return PostgresBackend()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def ids(scene: Scene, caller_id: str | None = ANN) -> list[str]:
    return [item.event.id for item in (await part(scene.other, caller_id)).items]


class TestOrder:
    async def test_who_waited_for_a_lock_comes_behind_whoever_had_it(
        self, scene: Scene, backend: PostgresBackend
    ) -> None:
        """Its transaction has the lower number: it had locked something else before."""
        async with connected(backend.url) as early, connected(backend.url) as late:
            waiting, having = early.transaction(), late.transaction()
            await waiting.start()
            lower = await early.fetchval("SELECT pg_current_xact_id()")
            await having.start()
            assert await late.fetchval("SELECT pg_current_xact_id()") > lower
            await late.execute(EVENT, "evt_first", ANN)
            await having.commit()
            await early.execute(EVENT, "evt_second", ANN)
            assert await ids(scene) == []
            await waiting.commit()
        assert await ids(scene) == ["evt_first", "evt_second"]
        assert await ids(scene, None) == ["evt_first", "evt_second"]

    async def test_of_one_transaction_in_the_order_written(
        self, scene: Scene, backend: PostgresBackend
    ) -> None:
        written = [f"evt_{n}" for n in (3, 1, 2)]
        async with connected(backend.url) as connection, connection.transaction():
            await connection.executemany(EVENT, [(each, ANN) for each in written])
        assert await ids(scene) == written


class TestWhatHoldsItBack:
    async def test_nobody_who_only_reads_however_long(
        self, scene: Scene, backend: PostgresBackend
    ) -> None:
        """A dump: one state of everything, with locks that keep tables from being changed."""
        async with connected(backend.url) as dump:
            reading = dump.transaction(isolation="repeatable_read")
            await reading.start()
            await dump.execute("LOCK TABLE dispatcher.event, dispatcher.job IN ACCESS SHARE MODE")
            await dump.fetchval("SELECT pg_export_snapshot()")
            await dump.fetchval("SELECT count(*) FROM dispatcher.event")
            job = await scene.end()
            page = await part(scene.other)
            assert [item.event.job_id for item in page.items] == [job.id]
            assert not page.held_back
            await reading.rollback()

    async def test_whoever_writes_in_another_database_of_the_server(self, scene: Scene) -> None:
        async with empty_database() as url, connected(url) as elsewhere:
            async with elsewhere.transaction():
                await elsewhere.execute("CREATE TABLE theirs (n int)")
                job = await scene.end()
                page = await part(scene.other)
                assert (page.items, page.held_back) == ((), True)
            page = await part(scene.other)
            assert [item.event.job_id for item in page.items] == [job.id]

    async def test_what_was_given_up_leaves_no_hole(
        self, scene: Scene, backend: PostgresBackend
    ) -> None:
        async with connected(backend.url) as connection:
            writing = connection.transaction()
            await writing.start()
            await connection.execute(EVENT, "evt_never", ANN)
            job = await scene.end()
            assert await ids(scene) == []
            await writing.rollback()
        page = await part(scene.other)
        assert [item.event.job_id for item in page.items] == [job.id]
        assert not page.held_back


class TestRestored:
    async def test_events_of_a_server_that_had_counted_more(
        self, scene: Scene, backend: PostgresBackend
    ) -> None:
        """As after a dump was restored: without new places nobody could read them."""
        jobs = [await scene.end() for _ in range(3)]
        before = await part(scene.store)
        async with connected(backend.url) as operator:
            await operator.execute(AHEAD)
            with pytest.raises(SchemaMismatch, match="dispatcher migrate"):
                await backend.open()
            await prepare(operator, Address.parse(backend.url), migrate=True)
        await backend.open()
        jobs.append(await scene.end())
        expected = [job.id for job in jobs]
        assert [item.event.job_id for item in (await part(scene.other)).items] == expected
        cursor = re.sub("^[0-9]+", "1000000099", before.next)
        page = await part(scene.other, after=cursor)
        assert ([item.event.job_id for item in page.items], page.gap) == (expected, True)

    async def test_places_may_take_longer_than_a_statement_of_the_service(
        self, scene: Scene, backend: PostgresBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = await scene.end()
        renumber = f"SELECT pg_sleep(1.3);\n{statement('feed_renumber')}"
        monkeypatch.setattr(schema, "_RENUMBER", renumber)
        async with connected(backend.url) as operator:
            await operator.execute(AHEAD)
        store = backend.make(migrate=True, patience=Patience(answer_seconds=1.0))
        await store.open()
        await store.close()
        assert [item.event.job_id for item in (await part(scene.other)).items] == [job.id]


class TestErasedMark:
    async def test_it_is_kept_whoever_erases(self, scene: Scene, backend: PostgresBackend) -> None:
        starts = {caller_id: await part(scene.store, caller_id) for caller_id in (ANN, BEN)}
        for caller_id in (ANN, BEN, ANN):
            await scene.end(caller_id=caller_id)
        async with connected(backend.url) as operator:
            await operator.execute("DELETE FROM dispatcher.event WHERE caller_id = $1", ANN)
        assert (await part(scene.store, ANN, after=starts[ANN].next)).gap
        assert not (await part(scene.store, BEN, after=starts[BEN].next)).gap

    async def test_it_never_goes_back(self, scene: Scene) -> None:
        """The newer event is erased before the older."""
        older, newer = await scene.end(), await scene.end()
        behind = (await part(scene.store, limit=1)).next
        for job in (newer, older):
            erased = await scene.store.erase_job(job.id, ANN, TERMS, cancel_deliveries=False)
            assert erased is Erasure.ERASED
        page = await part(scene.other, after=behind)
        assert (page.items, page.gap) == ((), True)
        assert not (await part(scene.other, after=page.next)).gap

    async def test_many_erase_at_once(self, scene: Scene) -> None:
        """Over two stores, with deliveries to end, beside a pruning: nobody is left waiting."""
        jobs = []
        for number in range(24):
            caller_id = (ANN, BEN)[number % 2]
            callback = a_callback(f"https://r{number % 3}.example")
            jobs.append(await scene.end(caller_id=caller_id, callback=callback))
        pruned = [await scene.end(caller_id=each, retention_seconds=1) for each in (ANN, BEN) * 6]
        await scene.advance(1)
        stores = (scene.store, scene.other)
        pruning = asyncio.gather(scene.store.prune(6), scene.other.prune(6))
        erased = await asyncio.gather(
            *(
                stores[number // 2 % 2].erase_job(job.id, None, TERMS, cancel_deliveries=True)
                for number, job in enumerate(jobs)
            )
        )
        assert erased == [Erasure.ERASED] * len(jobs)
        assert sum(await pruning) + await scene.store.prune(100) == len(pruned)
        assert await scene.jobs() == []
        assert await scene.deliveries() == []

    async def test_erasing_beside_whoever_records(self, scene: Scene) -> None:
        """It is erased with all of its own, or asks the sender to stop: never half of it."""
        for _ in range(8):
            sending = await scene.sending()
            job_id = sending.delivery.job_id or ""
            erased, _ = await asyncio.gather(
                scene.other.erase_job(job_id, ANN, TERMS, cancel_deliveries=True),
                scene.store.apply([scene.tried(sending, DeliveryState.DELIVERED)], TERMS),
            )
            assert erased in (Erasure.ERASED, Erasure.SENDING)
            left = await scene.delivery_records(job_id)
            assert len(left) == (erased is Erasure.SENDING)
