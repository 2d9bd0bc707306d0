"""Callbacks of an order that two processes end and change: neither waits for the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from dispatcher.adapters.postgres import transacting
from dispatcher.adapters.postgres.errors import Meaning, RowHeld, meaning
from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.model import DeliveryState
from dispatcher.ports.records import Applied
from dispatcher.testing.conformance.ordering import end, only, ordered
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import TERMS
from tests.store.postgres_backend import PostgresBackend

DELIVERED = DeliveryState.DELIVERED


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
    """Somebody else's transactions."""
    connection = await asyncpg.connect(backend.url)
    yield connection
    await connection.close()


async def circles(backend: PostgresBackend) -> int:
    """How many transactions have been ended because they waited in a circle, of all that ended."""
    connection = await asyncpg.connect(backend.url)
    try:
        return int(await connection.fetchval("SELECT sum(deadlocks) FROM pg_stat_database"))
    finally:
        await connection.close()


async def hold(aside: asyncpg.Connection, delivery_id: str) -> None:
    sql = "SELECT 1 FROM dispatcher.delivery WHERE id = $1 FOR UPDATE"
    assert await aside.fetchval(sql, delivery_id) == 1


async def test_the_end_of_one_and_a_cancel_of_the_next(
    scene: Scene, backend: PostgresBackend
) -> None:
    before = await circles(backend)
    for _ in range(15):
        first, second, third = await ordered(scene, 3)
        sent = await only(scene)
        assert sent.delivery.id == first
        await asyncio.gather(
            scene.apply(scene.tried(sent, DELIVERED)),
            scene.apply(end(second, scene), store=scene.other),
        )
        last = await only(scene)
        assert last.delivery.id == third
        await scene.apply(scene.tried(last, DELIVERED))
    await backend.drop()  # whoever waited in a circle tells of it when he goes
    assert await circles(backend) == before


async def test_who_changes_the_next_is_let_have_the_destination(
    scene: Scene, aside: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, second = await ordered(scene, 2)
    sent = await only(scene)
    met_it = asyncio.Event()

    def noted(error: BaseException) -> Meaning:
        if isinstance(error, RowHeld):
            met_it.set()
        return meaning(error)

    monkeypatch.setattr(transacting, "meaning", noted)
    monkeypatch.setattr(transacting, "_PAUSE_SECONDS", 0.2)  # it does not give up meanwhile
    async with aside.transaction():
        await hold(aside, second)
        ending = asyncio.create_task(scene.apply(scene.tried(sent, DELIVERED)))
        await asyncio.wait_for(met_it.wait(), 20)
        await aside.execute("SELECT 1 FROM dispatcher.destination FOR UPDATE")
        assert not ending.done()
    await ending
    assert (await only(scene)).delivery.id == second


async def test_only_the_end_before_one_that_is_held_for_long_fails(
    scene: Scene, aside: asyncpg.Connection
) -> None:
    _, second = await ordered(scene, 2)
    sent = await only(scene)
    other = await scene.running()
    ends = (scene.tried(sent, DELIVERED), scene.finish(other))
    async with aside.transaction():
        await hold(aside, second)
        held, free = await scene.store.apply(ends, TERMS)
    assert isinstance(held, StoreUnavailable)
    assert "a lock was held for too long" in str(held)
    assert isinstance(free, Applied)
    await scene.apply(ends[0])
    assert (await only(scene)).delivery.id == second
