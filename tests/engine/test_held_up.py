"""Callbacks that this machine has nothing to send with: no open file is left, say."""

from __future__ import annotations

import asyncio

from dispatcher.core.facts import (
    BreakerChanged,
    DeliveryAttemptEnded,
    DeliverySwept,
    SendingHeldUp,
)
from dispatcher.core.model import DeliveryState
from dispatcher.core.outcome import NotTried
from dispatcher.core.retry import Schedule
from tests.engine.conftest import Stages
from tests.engine.stage import URL

PENDING, DELIVERED = DeliveryState.PENDING, DeliveryState.DELIVERED


async def test_what_this_machine_can_not_send_is_no_attempt_and_tells_nothing(
    stages: Stages,
) -> None:
    """More in a row than a breaker bears, and more than the schedule has entries."""
    stage = await stages.start(schedule=Schedule((0.0, 0.5)))
    tries = 70
    stage.sender.answers[URL] = [NotTried("no open file left") for _ in range(tries)]
    job = await stage.submit()
    for number in range(1, tries + 1):
        await stage.sender.until(number)
        await stage.rest()
        stage.advance(0.999)
        await stage.rest()
        assert len(stage.sender.sent) == number
        stage.advance(0.001)
    (fact,) = await stage.seen(DeliveryAttemptEnded)
    assert (fact.attempt, fact.to) == (1, DELIVERED)
    assert {dict(callout.headers)["callback-attempt"] for callout in stage.sender.sent} == {"1"}
    (record,) = await stage.deliveries(job)
    assert [attempt.number for attempt in record.attempts] == [1]
    assert stage.observer.all(BreakerChanged) == []
    # Once a minute, not once a try.
    held_up = stage.observer.all(SendingHeldUp)
    assert [fact.detail for fact in held_up] == ["no open file left"] * 2


async def test_what_is_held_up_holds_a_place_here_and_nothing_of_others(stages: Stages) -> None:
    stage = await stages.start()
    stage.sender.answers[URL] = [NotTried("no open file left")]
    job = await stage.submit()
    await stage.seen(SendingHeldUp)
    await stage.rest()
    assert (stage.engine.deliveries.sending, stage.engine.deliveries.held_up) == (1, 1)
    # Its slot at the destination is free, and another process may have it in a second.
    delivery = await stage.delivery(job)
    assert (delivery.state, delivery.attempt_count) == (PENDING, 0)
    assert delivery.due_at == stage.clock.now() + 1_000
    await asyncio.wait_for(stage.engine.deliveries.drain(30), 20)  # its second never comes
    assert (stage.engine.deliveries.sending, stage.engine.deliveries.held_up) == (0, 0)


async def test_one_that_was_canceled_meanwhile_ends_when_it_is_given_back(stages: Stages) -> None:
    stage = await stages.start()
    door = stage.sender.hang()
    stage.sender.answers[URL] = [NotTried("no open file left")]
    job = await stage.submit()
    await stage.sender.until(1)
    delivery = await stage.delivery(job)
    await stage.engine.cancel_delivery.cancel(delivery.id, stage.caller.id)
    door.set()
    (fact,) = await stage.seen(DeliverySwept)
    assert (fact.delivery.id, fact.to) == (delivery.id, DeliveryState.CANCELED)
    assert (await stage.delivery(job)).state is DeliveryState.CANCELED
    stage.advance(2.0)
    await stage.rest()
    assert len(stage.sender.sent) == 1
