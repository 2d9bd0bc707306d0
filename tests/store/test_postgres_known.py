"""What a plain job costs in statements: nothing is read again that this process wrote itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from dispatcher.adapters.postgres import PostgresStore, remembered
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement, statement_names
from dispatcher.core.changes import AskCancel, LeasedJob
from dispatcher.core.model import DeliveryState
from dispatcher.ports.records import Added, LeasedDelivery
from dispatcher.testing.conformance.delivering import ONE_SLOT
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import TERMS, a_callback
from tests.store.postgres_backend import PostgresBackend

NAMES = {statement(name): name for name in statement_names()}

ENDS = ["jobs_end", "destinations_lock", "destinations_loads", "events_owe"]
RECORDS = ["deliveries_tried", "destinations_lock", "destinations_loads"]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    backend = PostgresBackend()
    await backend.create()
    scene = Scene(backend, await backend.open(), await backend.open())
    await scene.populate()
    yield scene
    await backend.drop()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the statements that were asked."""
    names: list[str] = []

    def note(verb: str) -> None:
        ask = getattr(Session, verb)

        async def noted(session: Session, sql: str, *args: Any) -> Any:
            names.append(NAMES[sql])
            return await ask(session, sql, *args)

        monkeypatch.setattr(Session, verb, noted)

    for verb in ("execute", "fetch", "one"):
        note(verb)
    return names


async def handed_off(scene: Scene) -> LeasedJob:
    holder = await scene.hold()
    new = scene.new(scene.job(callback=a_callback()), holder=holder)
    (added,) = await scene.add_all(new)
    assert isinstance(added, Added)
    assert added.leased is not None
    return added.leased


async def warm(scene: Scene) -> None:
    """A first job, so that its destination is there."""
    job = await handed_off(scene)
    (sending,) = (await scene.apply(scene.finish(job, hand_off=True))).handed
    await scene.apply(scene.tried(sending, DeliveryState.DELIVERED, hand_off=True))


async def test_a_job_that_is_handed_off_all_the_way(scene: Scene, asked: list[str]) -> None:
    await warm(scene)
    asked.clear()
    job = await handed_off(scene)
    assert asked == ["adding_begin", "jobs_add"]
    asked.clear()
    (sending,) = (await scene.apply(scene.finish(job, hand_off=True))).handed
    assert asked == ENDS
    asked.clear()
    await scene.apply(scene.tried(sending, DeliveryState.DELIVERED, hand_off=True))
    assert asked == RECORDS


async def test_one_that_waits_for_a_slot_is_not_read_again(scene: Scene, asked: list[str]) -> None:
    first = await handed_off(scene)
    (sending,) = (await scene.apply(scene.finish(first, hand_off=True), terms=ONE_SLOT)).handed
    second = await handed_off(scene)
    await scene.apply(scene.finish(second, hand_off=True), terms=ONE_SLOT)
    asked.clear()
    done = scene.tried(sending, DeliveryState.DELIVERED, hand_off=True)
    (handed,) = (await scene.apply(done, terms=ONE_SLOT)).handed
    assert handed.job is not None
    assert handed.job.id == second.job.id
    assert "deliveries_lease_known" in asked
    assert "deliveries_lease" not in asked


async def test_what_has_changed_is_read_under_its_lock(scene: Scene, asked: list[str]) -> None:
    job = await handed_off(scene)
    await scene.apply(AskCancel(job.job.id, scene.now), store=scene.other)
    asked.clear()
    await scene.apply(scene.finish(job))
    assert asked[:2] == ["jobs_end", "jobs_lock"]
    assert "jobs_finish" in asked


async def test_so_much_is_kept_and_no_more(
    scene: Scene, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "MOST_KEPT", 2)
    jobs = [await handed_off(scene) for _ in range(3)]
    asked.clear()
    await scene.apply_all(*(scene.finish(job) for job in jobs))
    assert {"jobs_end", "jobs_lock"} <= set(asked)
    assert [await scene.state(job.job.id) for job in jobs] == ["succeeded"] * 3


async def test_a_batch_of_both_kinds_looks_at_destinations_once(
    scene: Scene, asked: list[str]
) -> None:
    await warm(scene)
    first = await handed_off(scene)
    sending: LeasedDelivery
    (sending,) = (await scene.apply(scene.finish(first, hand_off=True))).handed
    second = await handed_off(scene)
    asked.clear()
    done = scene.tried(sending, DeliveryState.DELIVERED, hand_off=True)
    await scene.apply_all(scene.finish(second, hand_off=True), done)
    assert asked.count("destinations_loads") == 1


async def test_a_batch_that_waits_is_begun_by_the_commit_before_it(scene: Scene) -> None:
    await warm(scene)
    store = scene.store
    assert isinstance(store, PostgresStore)
    jobs = [await handed_off(scene) for _ in range(3)]
    connection = store._changes._transactor._connection  # what is said on it is the point
    assert connection is not None
    said: list[str] = []
    connection.add_query_logger(lambda each: said.append(each.query))
    each = zip(jobs, (TERMS, ONE_SLOT, ONE_SLOT), strict=True)  # other terms, another batch
    await asyncio.gather(*(scene.apply(scene.finish(job), terms=terms) for job, terms in each))
    begins = [sql for sql in said if sql == statement("begin")]
    chained = [sql for sql in said if sql == statement("commit_and_begin")]
    assert (len(begins), len(chained)) == (1, 1)
    assert said[-1] == statement("commit")
    assert not connection.is_in_transaction()
    assert [await scene.state(job.job.id) for job in jobs] == ["succeeded"] * 3
