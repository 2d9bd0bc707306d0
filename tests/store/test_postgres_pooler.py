"""Behind a pooler of transactions: nothing depends on the state of a session."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dispatcher.core.model import JobState
from dispatcher.ports.store import Store
from dispatcher.testing.conformance import (
    Scene,
    TestDurability,
    TestEachItemAlone,
    TestManyAtOnce,
    scene,
)
from dispatcher.testing.conformance.values import a_callback
from tests.store.postgres_backend import PostgresBackend
from tests.store.postgres_pooler import SESSIONS, Pooler

__all__ = ["TestDurability", "TestEachItemAlone", "TestManyAtOnce", "scene"]


class PooledBackend(PostgresBackend):
    """Stores that share the few sessions of a pooler."""

    def __init__(self) -> None:
        super().__init__()
        self.pooler = Pooler()

    async def create(self) -> None:
        await super().create()
        await self.pooler.start()

    async def open(self) -> Store:
        store = self.make(url=self.pooler.url)
        await store.open()
        self.stores.append(store)
        return store


@pytest.fixture
async def backend() -> AsyncIterator[PooledBackend]:
    made = PooledBackend()
    yield made
    await made.pooler.close()


async def test_more_clients_than_sessions(
    scene: Scene, backend: PooledBackend
) -> None:  # the fixture
    """And what each of them asked before says nothing to the next."""
    for _ in range(3):
        leased = await scene.running(callback=a_callback())
        await scene.apply(scene.finish(leased, hand_off=True), store=scene.other)
        assert await scene.state(leased.job.id) is JobState.SUCCEEDED
        assert len(await scene.delivery_records(leased.job.id)) == 1
        await scene.store.sweep(10)
        await scene.store.backlog(10)
        await scene.store.check()
    assert backend.pooler.most_clients > SESSIONS
