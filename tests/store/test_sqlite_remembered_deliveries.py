"""What the store remembers of deliveries that it leased: see `test_sqlite_remembered`."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from dispatcher.adapters.sqlite.delivering import record_attempt
from dispatcher.core.changes import (
    AskCancelDelivery,
    PauseDestination,
    RecordAttempt,
    Redeliver,
    ReleaseDelivery,
)
from dispatcher.core.model import Attempt, DeliveryState
from dispatcher.ports.records import Applied, LeasedDelivery, Stale
from dispatcher.ports.views import DeliveryFilter, DeliveryRecord
from tests.store.sqlite_scene import ORIGIN, TERMS, SqliteScene, sqlite_scene
from tests.store.test_sqlite_remembered import handed, has, one, owed, statements

READS = "WHERE delivery.id ="
FILLED = TERMS.slots + 2


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[SqliteScene]:
    async with sqlite_scene(tmp_path) as made:
        yield made


async def found(scene: SqliteScene, leased: LeasedDelivery) -> DeliveryRecord:
    page = await scene.store.list_deliveries(DeliveryFilter(), limit=100, before=None)
    (record,) = [each for each in page.items if each.delivery.id == leased.delivery.id]
    return record


async def full(scene: SqliteScene) -> list[LeasedDelivery]:
    """As many as there are slots, with two more that wait for one."""
    jobs = await scene.leased(ORIGIN, FILLED)
    answers = await scene.store.apply([scene.finish(each, hand_off=True) for each in jobs], TERMS)
    sent = [each.handed[0] for each in answers if isinstance(each, Applied) and each.handed]
    assert len(sent) == TERMS.slots
    return sent


def failed(scene: SqliteScene, leased: LeasedDelivery) -> RecordAttempt:
    """An answer that is tried again in a minute."""
    now = scene.clock.now()
    attempt = Attempt(number=1, at=now, duration_ms=3, status_code=429)
    later = {"to": DeliveryState.PENDING, "due_at": now + 60_000, "attempt": attempt}
    return replace(scene.delivered(leased), **later)


async def test_a_first_attempt_made_here_is_recorded_without_reading_it(
    scene: SqliteScene,
) -> None:
    leased = await owed(scene)
    record = scene.delivered(leased)
    with statements(scene) as ran:
        assert isinstance(await one(scene, record), Applied)
    assert not has(ran, READS)
    stands = await found(scene, leased)
    assert stands.delivery.state is DeliveryState.DELIVERED
    assert stands.delivery.finished_at == scene.clock.now()
    assert stands.attempts == (record.attempt,)


async def test_what_waits_gets_the_slot_in_two_statements_once_it_did(scene: SqliteScene) -> None:
    first, second, *_ = await full(scene)
    handed(await one(scene, replace(scene.delivered(first), hand_off=True)))
    with statements(scene) as ran:
        taken = handed(await one(scene, replace(scene.delivered(second), hand_off=True)))
    assert len(ran) == len(["BEGIN", "record", "hand on", "COMMIT"]), ran
    assert isinstance(await one(scene, scene.delivered(taken)), Applied)


async def test_a_slot_for_which_nobody_waits_is_told_as_free(scene: SqliteScene) -> None:
    sent = await full(scene)
    for each in sent:
        answer = await one(scene, replace(scene.delivered(each), hand_off=True))
        sent += answer.handed if isinstance(answer, Applied) else ()
    assert len(sent) == FILLED
    assert (await owed(scene)).delivery.state is DeliveryState.SENDING


async def test_one_that_is_tried_again_is_recorded_so_too(scene: SqliteScene) -> None:
    leased = await owed(scene)
    change = failed(scene, leased)
    with statements(scene) as ran:
        answer = await one(scene, change)
    assert not has(ran, READS)
    assert answer == Applied(delivery_ready_at=change.due_at)
    assert (await found(scene, leased)).delivery.state is DeliveryState.PENDING
    scene.clock.advance(60)
    (again,) = (await scene.store.claim_deliveries(5, TERMS)).deliveries
    second = replace(
        scene.delivered(again),
        attempt=Attempt(number=2, at=scene.clock.now(), duration_ms=3, status_code=204),
    )
    with statements(scene) as ran:
        assert isinstance(await one(scene, second), Applied)
    assert has(ran, READS), "later attempts have rows of their own"
    assert len((await found(scene, leased)).attempts) == 2


async def test_cancelling_asked_meanwhile_is_seen(scene: SqliteScene) -> None:
    leased = await owed(scene)
    await one(scene, AskCancelDelivery(leased.delivery.id, scene.clock.now()))
    with statements(scene) as ran:
        answer = await one(scene, failed(scene, leased))
    assert has(ran, READS)
    assert not has(ran, "ROLLBACK")
    assert isinstance(answer, Applied)
    assert answer.canceled
    assert (await found(scene, leased)).delivery.state is DeliveryState.CANCELED


async def test_a_lease_that_another_took_over_records_nothing(scene: SqliteScene) -> None:
    leased = await owed(scene)
    scene.clock.advance(TERMS.lease_seconds + 1)
    other = scene.another()
    await other.open()
    (again,) = (await other.claim_deliveries(5, TERMS)).deliveries
    await other.close()
    assert await one(scene, scene.delivered(leased)) == Stale()
    assert (await found(scene, leased)).delivery.state is DeliveryState.SENDING
    assert isinstance(await one(scene, scene.delivered(again)), Applied)


async def test_so_does_one_that_was_given_back(scene: SqliteScene) -> None:
    leased = await owed(scene)
    await one(scene, ReleaseDelivery(leased.delivery.id, leased.lease, scene.clock.now()))
    assert await one(scene, scene.delivered(leased)) == Stale()
    assert (await found(scene, leased)).delivery.state is DeliveryState.PENDING


async def test_the_same_record_sent_twice_is_one(scene: SqliteScene) -> None:
    leased = await owed(scene)
    record = scene.delivered(leased)
    assert isinstance(await one(scene, record), Applied)
    assert await one(scene, record) == Applied()
    assert len((await found(scene, leased)).attempts) == 1


async def test_a_lease_records_nothing_of_another_delivery(scene: SqliteScene) -> None:
    one_of, other = await owed(scene), await owed(scene)
    wrong = replace(scene.delivered(one_of), delivery_id=other.delivery.id)
    assert await one(scene, wrong) == Stale()
    for each in (one_of, other):
        assert (await found(scene, each)).delivery.state is DeliveryState.SENDING


async def test_a_new_round_is_not_taken_for_the_first(scene: SqliteScene) -> None:
    leased = await owed(scene)
    await one(scene, scene.delivered(leased))
    await one(scene, Redeliver(delivery_id=leased.delivery.id, round=2, at=scene.clock.now()))
    (again,) = (await scene.store.claim_deliveries(5, TERMS)).deliveries
    assert again.delivery.round == 2
    assert await one(scene, scene.delivered(leased)) == Applied(), "it stands already"
    assert (await found(scene, leased)).delivery.state is DeliveryState.SENDING


async def test_nothing_is_handed_on_at_a_destination_paused_by_another(
    scene: SqliteScene,
) -> None:
    first, second, *_ = await full(scene)
    handed(await one(scene, replace(scene.delivered(first), hand_off=True)))
    ((destination_id,),) = scene.writing.execute("SELECT id FROM destination").fetchall()
    other = scene.another()
    await other.open()
    await other.apply([PauseDestination(destination_id, scene.clock.now())], TERMS)
    await other.close()
    answer = await one(scene, replace(scene.delivered(second), hand_off=True))
    assert answer == Applied()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE destination SET rate_per_second = 0.001, rate_us = 9e15",
        "UPDATE destination SET held_at = 1",
        "INSERT INTO target (destination_seq, url, breaker_at) SELECT seq, 'u', 1 FROM destination",
    ],
)
async def test_nor_at_one_that_is_held_back_otherwise(scene: SqliteScene, change: str) -> None:
    first, second, *_ = await full(scene)
    handed(await one(scene, replace(scene.delivered(first), hand_off=True)))
    with closing(sqlite3.connect(scene.path, isolation_level=None)) as outside:
        outside.execute(change)
    with statements(scene) as ran:
        answer = await one(scene, replace(scene.delivered(second), hand_off=True))
    assert isinstance(answer, Applied)
    assert has(ran, "destination_seq = :seq") or has(ran, "What decides how many more"), ran
    if "target" not in change:
        assert answer.handed == ()


async def test_a_record_that_was_rolled_back_can_come_again(scene: SqliteScene) -> None:
    leased = await owed(scene)
    record = scene.delivered(leased)
    scene.writing.execute("BEGIN IMMEDIATE")
    record_attempt(scene.store._session(scene.writing), record, TERMS)
    scene.writing.execute("ROLLBACK")
    assert (await found(scene, leased)).delivery.state is DeliveryState.SENDING
    assert isinstance(await one(scene, record), Applied)
    assert (await found(scene, leased)).attempts == (record.attempt,)
