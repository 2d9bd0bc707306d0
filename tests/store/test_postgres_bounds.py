"""Bounds of types over all processes: which of their names a claim locks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from dispatcher.ports.records import ClaimedJobs, Concurrency, JobClaim
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import LEASE_SECONDS, MAIL, REPORT
from tests.store.postgres_backend import PostgresBackend

BOUND = """
SELECT pg_advisory_xact_lock(hashtextextended($1, 0))
"""
"""As `bounds_lock.sql` locks the names of what is bounded."""

WAITS = """
SELECT EXISTS (
  SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
  WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()
)
"""


@pytest.fixture
async def backend() -> AsyncIterator[PostgresBackend]:
    made = PostgresBackend()
    await made.create()
    yield made
    await made.drop()


@pytest.fixture
async def scene(backend: PostgresBackend) -> Scene:
    made = Scene(backend, await backend.open(), await backend.open())
    await made.populate()
    return made


@pytest.fixture
async def aside(backend: PostgresBackend) -> AsyncIterator[asyncpg.Connection]:
    """A transaction of somebody else."""
    connection = await asyncpg.connect(backend.url)
    async with connection.transaction():
        yield connection
    await connection.close()


class TestBounds:
    """A claim locks those names alone of which there is something to claim."""

    async def test_a_claim_waits_for_no_bound_of_a_type_that_has_nothing(
        self, scene: Scene, aside: asyncpg.Connection
    ) -> None:
        await aside.execute(BOUND, f"dispatcher type {MAIL}")
        await scene.add(type=MAIL, due_at=scene.now + 60_000)
        (job,) = await scene.add(type=REPORT)
        holder = await scene.hold()
        async with asyncio.timeout(10):
            assert await bounded(scene, holder) == [job.id]

    async def test_a_claim_waits_for_the_bound_of_a_type_that_has_something(
        self, scene: Scene, backend: PostgresBackend, aside: asyncpg.Connection
    ) -> None:
        await aside.execute(BOUND, f"dispatcher type {MAIL}")
        jobs = [*await scene.add(type=MAIL), *await scene.add(type=REPORT)]
        claiming = asyncio.create_task(bounded(scene, await scene.hold()))
        async with asyncio.timeout(20):
            while not await backend.ask(WAITS):
                assert not claiming.done()
        await aside.execute("COMMIT")
        assert sorted(await claiming) == sorted(job.id for job in jobs)

    async def test_what_comes_while_a_claim_waits_for_another_bound_is_left_to_the_next(
        self, scene: Scene, backend: PostgresBackend, aside: asyncpg.Connection
    ) -> None:
        """Its own bound is not locked by that claim, nor was it counted under it."""
        most = Concurrency(types={MAIL: 3}, queues={"q9": 5})
        await aside.execute(BOUND, "dispatcher queue q9")
        (report,) = await scene.add(type=REPORT)
        holder = await scene.hold()
        claiming = asyncio.create_task(claim(scene, holder, most))
        async with asyncio.timeout(20):
            while not await backend.ask(WAITS):
                assert not claiming.done()
        await scene.add(type=MAIL, count=8)
        await aside.execute("COMMIT")
        found = await claiming
        assert [leased.job.id for leased in found.jobs] == [report.id]
        assert found.next_at == scene.now
        assert len((await claim(scene, holder, most)).jobs) == 3

    async def test_a_type_of_which_as_many_run_as_may_holds_back_though_nothing_of_it_is_due(
        self, scene: Scene
    ) -> None:
        holder = await scene.hold()
        await scene.add(type=MAIL, count=3)
        assert len(await bounded(scene, holder)) == 3
        await scene.add(type=MAIL, due_at=scene.now + 60_000)
        found = await claim(scene, holder, Concurrency(types={MAIL: 3}, queues={}))
        assert (found.jobs, found.held_back, found.next_at) == ((), True, None)

    async def test_an_ended_holder_that_holds_nothing_has_no_claim_wait(
        self, scene: Scene, aside: asyncpg.Connection
    ) -> None:
        await scene.hold()
        await scene.advance(LEASE_SECONDS + 1)
        await aside.execute(BOUND, f"dispatcher type {MAIL}")
        (job,) = await scene.add(type=REPORT)
        holder = await scene.hold()
        async with asyncio.timeout(10):
            assert await bounded(scene, holder) == [job.id]

    async def test_what_comes_back_to_a_bounded_type_is_claimed_at_once(self, scene: Scene) -> None:
        """Nothing of it waited when the claim began."""
        lost = await scene.running(await scene.hold())
        await scene.advance(LEASE_SECONDS + 1)
        assert await bounded(scene, await scene.hold(store=scene.other)) == [lost.job.id]


async def bounded(scene: Scene, holder: str) -> list[str]:
    """What a claim of mail, of which three may run at once, and of reports leases."""
    found = await claim(scene, holder, Concurrency(types={MAIL: 3}, queues={}))
    return [leased.job.id for leased in found.jobs]


async def claim(scene: Scene, holder: str, most: Concurrency) -> ClaimedJobs:
    return await scene.store.claim_jobs(JobClaim(holder, {MAIL: 10, REPORT: 10}, 10, most))
