"""Bounds of types over all processes: which of their names a claim locks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from dispatcher.ports.records import Concurrency, JobClaim
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


async def ask(backend: PostgresBackend, sql: str) -> Any:
    connection = await asyncpg.connect(backend.url)
    try:
        return await connection.fetchval(sql)
    finally:
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
            while not await ask(backend, WAITS):
                assert not claiming.done()
        await aside.execute("COMMIT")
        assert sorted(await claiming) == sorted(job.id for job in jobs)

    async def test_what_comes_back_to_a_bounded_type_is_claimed_at_once(self, scene: Scene) -> None:
        """Nothing of it waited when the claim began."""
        lost = await scene.running(await scene.hold())
        await scene.advance(LEASE_SECONDS + 1)
        assert await bounded(scene, await scene.hold(store=scene.other)) == [lost.job.id]


async def bounded(scene: Scene, holder: str) -> list[str]:
    """What a claim of mail, of which three may run at once, and of reports leases."""
    most = Concurrency(types={MAIL: 3}, queues={})
    found = await scene.store.claim_jobs(JobClaim(holder, {MAIL: 10, REPORT: 10}, 10, most))
    return [leased.job.id for leased in found.jobs]
