"""Redelivering and canceling one delivery."""

from __future__ import annotations

import asyncio

import pytest

from dispatcher.core.errors import DeliveryPending, NotFound
from dispatcher.core.facts import DeliveryAttemptEnded, DeliverySwept
from dispatcher.core.lifecycle import DELIVERY_LIFE_MS
from dispatcher.core.model import Delivery, DeliveryState, Job
from dispatcher.core.outcome import Answered
from dispatcher.core.retry import Schedule
from tests.engine.conftest import Stages
from tests.engine.stage import FAILS, OK, URL, Stage, a_callback

TWICE = Schedule((0.0, 5.0))
SOMEBODY = "clr_00000000000070008000000000000be1"


async def dead(stage: Stage) -> Job:
    """A job whose callback has failed twice, and is not tried again."""
    stage.sender.answers[URL] = [FAILS, FAILS]
    job = await stage.submit(callback=a_callback(schedule=TWICE))
    await stage.seen(DeliveryAttemptEnded)
    stage.advance(5.0)
    await stage.seen(DeliveryAttemptEnded, count=2)
    assert (await stage.delivery(job)).state is DeliveryState.DEAD
    return job


async def begin_again(stage: Stage, delivery: Delivery) -> Delivery:
    record = await stage.engine.redeliver.redeliver(delivery.id, stage.caller.id)
    return record.delivery


async def test_a_new_round_has_the_same_id_and_bytes_and_the_whole_schedule(
    stages: Stages,
) -> None:
    stage = await stages.start()
    job = await dead(stage)
    stage.sender.answers[URL] = [FAILS, OK]
    again = await begin_again(stage, await stage.delivery(job))
    assert (again.round, again.attempt_count) == (2, 2)
    (_, _, third) = await stage.seen(DeliveryAttemptEnded, count=3)
    assert (third.to, third.next_at) == (DeliveryState.PENDING, stage.clock.now() + 5_000)
    stage.advance(5.0)
    facts = await stage.seen(DeliveryAttemptEnded, count=4)
    assert facts[3].to is DeliveryState.DELIVERED
    assert len({callout.body for callout in stage.sender.sent}) == 1
    headers = [dict(callout.headers) for callout in stage.sender.sent]
    assert {each["webhook-id"] for each in headers} == {again.event_id}
    assert [each["callback-attempt"] for each in headers] == ["1", "2", "3", "4"]
    (record,) = await stage.deliveries(job)
    assert [attempt.number for attempt in record.attempts] == [1, 2, 3, 4]


@pytest.mark.parametrize("first", [OK, Answered(status_code=410, duration_ms=1)])
async def test_what_was_delivered_or_gone_can_be_sent_again(
    stages: Stages, first: Answered
) -> None:
    stage = await stages.start()
    stage.sender.answers[URL] = [first]
    job = await stage.submit()
    await stage.seen(DeliveryAttemptEnded)
    await begin_again(stage, await stage.delivery(job))
    facts = await stage.seen(DeliveryAttemptEnded, count=2)
    assert (facts[1].attempt, facts[1].to) == (2, DeliveryState.DELIVERED)


async def test_long_after_it_was_made_it_has_its_whole_life(stages: Stages) -> None:
    stage = await stages.start()
    job = await dead(stage)
    stage.advance(DELIVERY_LIFE_MS / 1000 - 6)
    stage.sender.answers[URL] = [FAILS, OK]
    await begin_again(stage, await stage.delivery(job))
    await stage.seen(DeliveryAttemptEnded, count=3)
    stage.advance(5.0)
    await stage.seen(DeliveryAttemptEnded, count=4)
    assert (await stage.delivery(job)).state is DeliveryState.DELIVERED


async def test_one_under_way_is_not_begun_again(stages: Stages) -> None:
    stage = await stages.start()
    stage.sender.answers[URL] = [FAILS]
    job = await stage.submit()
    await stage.seen(DeliveryAttemptEnded)
    with pytest.raises(DeliveryPending, match="pending"):
        await begin_again(stage, await stage.delivery(job))
    door = stage.sender.hang()
    stage.advance(5.0)
    await stage.sender.until(2)
    with pytest.raises(DeliveryPending, match="sending"):
        await begin_again(stage, await stage.delivery(job))
    door.set()
    await stage.seen(DeliveryAttemptEnded, count=2)


async def test_two_who_ask_at_once_get_one_round(stages: Stages) -> None:
    stage = await stages.start()
    delivery = await stage.delivery(await dead(stage))
    door = stage.sender.hang()  # else one who reads late may find the round over, and begin a third
    asked = [stage.engine.redeliver.redeliver(delivery.id, None) for _ in range(5)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            assert isinstance(answer, DeliveryPending)
        else:
            assert answer.delivery.round == 2
    door.set()
    await stage.looks_until(stage.seen(DeliveryAttemptEnded, count=3))
    await stage.rest()
    assert len(stage.sender.sent) == 3


async def test_what_is_another_callers_is_not_there(stages: Stages) -> None:
    stage = await stages.start()
    delivery = await stage.delivery(await dead(stage))
    with pytest.raises(NotFound):
        await stage.engine.redeliver.redeliver(delivery.id, SOMEBODY)
    with pytest.raises(NotFound):
        await stage.engine.cancel_delivery.cancel(delivery.id, SOMEBODY)


# --- Canceling ---------------------------------------------------------------------------------


async def cancel(stage: Stage, job: Job) -> Delivery:
    delivery = await stage.delivery(job)
    return (await stage.engine.cancel_delivery.cancel(delivery.id, stage.caller.id)).delivery


async def test_one_that_waits_is_tried_no_more(stages: Stages) -> None:
    stage = await stages.start()
    stage.sender.answers[URL] = [FAILS]
    job = await stage.submit()
    await stage.seen(DeliveryAttemptEnded)
    canceled = await cancel(stage, job)
    assert (canceled.state, canceled.finished_at) == (DeliveryState.CANCELED, stage.clock.now())
    assert await cancel(stage, job) == canceled
    stage.advance(5.0)
    await stage.rest()
    assert len(stage.sender.sent) == 1


@pytest.mark.parametrize(
    ("answer", "to"), [(FAILS, DeliveryState.CANCELED), (OK, DeliveryState.DELIVERED)]
)
async def test_one_that_is_being_sent_is_not_tried_again(
    stages: Stages, answer: Answered, to: DeliveryState
) -> None:
    stage = await stages.start()
    stage.sender.answers[URL] = [answer]
    door = stage.sender.hang()
    job = await stage.submit()
    await stage.sender.until(1)
    asked = await cancel(stage, job)
    assert (asked.state, asked.cancel_requested_at) == (DeliveryState.SENDING, stage.clock.now())
    assert await cancel(stage, job) == asked
    door.set()
    (fact,) = await stage.seen(DeliveryAttemptEnded)
    assert (fact.to, fact.next_at) == (to, None)
    assert (await stage.delivery(job)).state is to
    stage.advance(5.0)
    await stage.rest()
    assert len(stage.sender.sent) == 1


async def test_one_that_was_canceled_can_be_sent_again(stages: Stages) -> None:
    stage = await stages.start()
    stage.sender.answers[URL] = [FAILS]
    job = await stage.submit()
    await stage.seen(DeliveryAttemptEnded)
    await begin_again(stage, await cancel(stage, job))
    await stage.seen(DeliveryAttemptEnded, count=2)
    assert (await stage.delivery(job)).state is DeliveryState.DELIVERED


async def test_one_that_has_ended_stays_as_it_is(stages: Stages) -> None:
    stage = await stages.start()
    job = await dead(stage)
    assert (await cancel(stage, job)).state is DeliveryState.DEAD


async def test_one_whose_sender_died_is_told_as_canceled(stages: Stages) -> None:
    stage = await stages.start()
    stage.sender.hang()
    job = await stage.submit()
    await stage.sender.until(1)
    await cancel(stage, job)
    other = await stages.start(beside=stage)
    await other.store.end_other_leases(other.engine.holder.id)
    await other.rest()
    assert other.sender.sent == []
    await other.sweep()
    (swept,) = await other.seen(DeliverySwept)
    assert swept.to is DeliveryState.CANCELED
    assert (await other.delivery(job)).state is DeliveryState.CANCELED
