"""How deliveries flow: receivers in trouble are left alone, rates are kept, callers share."""

from __future__ import annotations

import asyncio

from dispatcher.core.breaker import BreakerState
from dispatcher.core.facts import BreakerChanged, DeliveryAttemptEnded, JobEnded
from dispatcher.core.model import Caller
from dispatcher.core.outcome import NotSent
from dispatcher.core.retry import Schedule
from tests.engine.conftest import Stages
from tests.engine.stage import FAILS, URL, a_callback

REFUSED = NotSent(code="connect", detail="no connection", duration_ms=1)
ONCE = Schedule((0.0,))


async def test_a_receiver_out_of_reach_is_left_alone_then_probed(stages: Stages) -> None:
    stage = await stages.start(slots=4)
    stage.sender.answers[URL] = [REFUSED] * 6
    for count in range(1, 6):
        await stage.submit(callback=a_callback(schedule=ONCE))
        await stage.seen(DeliveryAttemptEnded, count=count)
    (opened,) = await stage.seen(BreakerChanged)
    assert (opened.state, opened.url) == (BreakerState.OPEN, None)
    for _ in range(8):
        await stage.submit()
    await stage.rest()
    stage.advance(29.999)
    await stage.rest()
    assert len(stage.sender.sent) == 5
    stage.advance(0.001)
    await stage.seen(DeliveryAttemptEnded, count=6)
    await stage.rest()
    assert len(stage.sender.sent) == 6
    stage.advance(60.0)
    await stage.seen(DeliveryAttemptEnded, count=14)
    changes = [fact.state for fact in stage.observer.all(BreakerChanged)]
    assert changes == [
        *(BreakerState.OPEN, BreakerState.OPEN),
        *(BreakerState.HALF_OPEN, BreakerState.CLOSED),
    ]


async def test_a_url_in_trouble_keeps_no_other_of_its_origin_waiting(stages: Stages) -> None:
    stage = await stages.start()
    well = URL + "/well"
    stage.sender.answers[URL] = [FAILS] * 5
    for count in range(1, 6):
        await stage.submit(callback=a_callback(schedule=ONCE))
        await stage.seen(DeliveryAttemptEnded, count=count)
    await stage.submit()
    await stage.submit(callback=a_callback(well))
    await stage.seen(DeliveryAttemptEnded, count=6)
    await stage.rest()
    assert [each.url for each in stage.sender.sent] == [URL] * 5 + [well]


async def test_a_rate_is_kept_by_claims_and_hand_offs(stages: Stages) -> None:
    stage = await stages.start(rate_per_second=2.0)
    for _ in range(6):
        await stage.submit()
    await stage.seen(JobEnded, count=6)
    began, at = stage.clock.now(), list[int]()
    for _ in range(60):
        await stage.rest()
        at += [stage.clock.now() - began] * (len(stage.sender.sent) - len(at))
        stage.advance(0.05)
    assert at == [0, 500, 1000, 1500, 2000, 2500]


async def test_a_caller_whose_receivers_all_hang_leaves_room(stages: Stages) -> None:
    """Each hangs with few of its slots, and together they would take every place."""
    stage = await stages.start(deliveries_at_once=16)
    hanging = [f"https://r{number}.example/hook" for number in range(40)]
    for url in hanging:
        stage.sender.hang(url)
    for url in hanging:
        await stage.submit(callback=a_callback(url))
    await stage.seen(JobEnded, count=40)
    await stage.rest()
    assert stage.sender.at_once == 12
    ben = Caller("clr_00000000000070008000000000000be1", "ben", stage.clock.now())
    await stage.add_caller(ben)
    for number in range(5):
        await stage.submit(caller=ben, callback=a_callback("https://ben.example/hook"))
        await stage.seen(DeliveryAttemptEnded, count=number + 1)
    for url in hanging:
        stage.sender.hang(url).set()
    await stage.seen(DeliveryAttemptEnded, count=45)
    await stage.rest()
    assert stage.engine.deliveries.slots.used == 0


async def test_a_stage_rests_only_once_what_was_claimed_is_being_sent(stages: Stages) -> None:
    stage = await stages.start()
    stage.sender.hang()
    gate = stage.faults.hold("sealed_secrets")
    await stage.submit()
    await stage.seen(JobEnded)
    await gate.reached()
    resting = asyncio.ensure_future(stage.rest())
    for loop in (stage.jobs_watch, stage.deliveries_watch):
        await loop.until_it_looked(2)
    for _ in range(3):  # longer than it takes a stage to see that all is done
        await stage.turns()
    assert (stage.sender.at_once, resting.done()) == (0, False)
    gate.open()
    await resting
    assert stage.sender.at_once == 1


async def test_claims_are_told_who_has_enough(stages: Stages) -> None:
    """Due a moment later, deliveries are claimed rather than handed off."""
    stage = await stages.start(deliveries_at_once=16)
    ben = Caller("clr_00000000000070008000000000000be1", "ben", stage.clock.now())
    await stage.add_caller(ben)
    later = Schedule((1.0,))
    for number in range(40):
        stage.sender.hang(f"https://r{number}.example/hook")
        callback = a_callback(f"https://r{number}.example/hook", schedule=later)
        await stage.submit(callback=callback)
    for _ in range(3):
        await stage.submit(caller=ben, callback=a_callback("https://ben.example", schedule=later))
    await stage.seen(JobEnded, count=43)
    await stage.rest()
    assert stage.sender.sent == []
    stage.advance(1.0)
    await stage.sender.until(3, "https://ben.example")
    await stage.rest()
    assert stage.sender.most_at_once <= 15
    assert stage.sender.at_once == 12
