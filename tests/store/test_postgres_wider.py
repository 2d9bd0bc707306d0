"""Tables that a later version gave more columns, under this version: as in a rolling upgrade."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from dispatcher.adapters.postgres.statements import statement, statement_names
from dispatcher.core.model import DeliveryState, EventType, JobState
from dispatcher.ports.store import Store
from dispatcher.testing.conformance import (
    Backend,
    Scene,
    TestFinishing,
    TestSweep,
    scene,
)
from dispatcher.testing.conformance.registered import registered
from dispatcher.testing.conformance.values import ANN, LEASE_SECONDS, a_callback
from tests.store.postgres_backend import PostgresBackend
from tests.store.postgres_server import empty_database

__all__ = [  # these suites are run here too
    "TestFinishing",
    "TestSweep",
    "scene",
]

TABLES = ("job", "delivery", "event", "endpoint", "attempt", "lane", "destination", "holder")


class WiderBackend(PostgresBackend):
    """Its first store is opened before its tables get further columns, and the others after."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    async def open(self) -> Store:
        store = await super().open()
        if len(self.stores) == 1:
            await self.widen("later")
        return store

    async def widen(self, column: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            for table in TABLES:
                await connection.execute(
                    f"ALTER TABLE dispatcher.{table} ADD COLUMN {column} text DEFAULT 'later'"
                )
        finally:
            await connection.close()


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    async with empty_database() as url:
        yield WiderBackend(url)


class TestWider:
    async def test_a_store_goes_on_that_has_asked_everything_before(self, scene: Scene) -> None:
        assert isinstance(scene.backend, WiderBackend)
        await registered(scene)
        for column in ("later_still", "last"):
            await whole_course(scene, scene.store)
            await whole_course(scene, scene.other)
            await scene.backend.widen(column)
        await whole_course(scene, scene.store)

    def test_no_statement_asks_for_columns_that_it_does_not_name(self) -> None:
        """But for `SELECT * FROM` what the statement itself has named, or an inner query."""
        for name in statement_names():
            text = re.sub(r"--.*", "", statement(name))
            assert not re.search(r"\w\.\*|RETURNING \*", text), name


async def whole_course(scene: Scene, store: Store) -> None:
    """What becomes of jobs, asked of one store: all that reads whole rows."""
    holder = await scene.hold(store=store)
    callback = a_callback()
    one, two, three = [scene.job(callback=callback) for _ in range(3)]
    await scene.add_all(*map(scene.new, (one, two, three)), store=store)
    claimed = {each.job.id: each for each in (await scene.claim(holder, store=store)).jobs}
    assert claimed.keys() == {one.id, two.id, three.id}
    await scene.apply_all(
        scene.finish(claimed[one.id]),
        scene.finish(claimed[two.id], JobState.FAILED),
        store=store,
    )
    sent = (await scene.lease(store=store)).deliveries
    assert len(sent) == 4  # to the callback URL and to the endpoint
    assert {each.event.type for each in sent} == {EventType.JOB_SUCCEEDED, EventType.JOB_FAILED}
    assert {each.job.id for each in sent if each.job is not None} == {one.id, two.id}
    for each in sent:
        to = DeliveryState.DEAD if each.delivery.endpoint_id else DeliveryState.DELIVERED
        await scene.apply(scene.tried(each, to), store=store)
    await scene.advance(LEASE_SECONDS + 1)
    lost = (await store.sweep(10)).lost_jobs
    assert [job.id for job, _ in lost] == [three.id]
    again = scene.finish(claimed[three.id], JobState.FAILED)
    await scene.apply(again, store=store)
    for each in (await scene.lease(store=store)).deliveries:
        await scene.apply(scene.tried(each, DeliveryState.DELIVERED), store=store)
    record = await scene.record(one.id, store=store)
    assert (record.job.id, record.job.state) == (one.id, JobState.SUCCEEDED)
    assert {job.id for job in await scene.jobs()} >= {one.id, two.id, three.id}
    assert {each.url for each in await scene.deliveries(one.id)} >= {callback.url}
    assert [each.type for each in await scene.events(two.id)] == [EventType.JOB_FAILED]
    page = await store.list_endpoints(ANN, limit=10, before=None)
    assert [each.endpoint.caller_id for each in page.items] == [ANN]
