"""What the engine tells of how long something waited, and of what the sweep settled."""

from __future__ import annotations

import pytest

from dispatcher.core.facts import DeliveryAttemptEnded, DeliverySwept, JobAttemptEnded
from dispatcher.core.lifecycle import DELIVERY_LIFE_MS
from dispatcher.core.model import DeliveryState
from tests.engine.conftest import Stages
from tests.engine.stage import FAILS, OK, URL, ScriptedRunner, echo


async def test_an_attempt_at_a_job_tells_how_long_it_was_due(stages: Stages) -> None:
    waiting = await stages.make(ScriptedRunner(echo)).open()
    run_at = waiting.clock.now() + 60_000
    await waiting.submit(run_at=run_at)
    waiting.advance(62.5)
    stage = await waiting.start()
    (fact,) = await stage.seen(JobAttemptEnded)
    assert fact.waited_ms == 2_500


async def test_what_is_handed_off_has_not_waited(stages: Stages) -> None:
    stage = await stages.start()
    await stage.submit()
    (sent,) = await stage.seen(DeliveryAttemptEnded)
    (ran,) = stage.observer.all(JobAttemptEnded)
    assert (ran.waited_ms, sent.waited_ms) == (0, 0)


async def test_an_attempt_to_deliver_tells_how_long_it_was_due(stages: Stages) -> None:
    stage = await stages.start()
    stage.sender.answers[URL] = [FAILS, OK]
    await stage.submit()
    await stage.seen(DeliveryAttemptEnded)
    await stage.rest()
    stage.advance(6.5)  # its next attempt was due after 5
    _, second = await stage.seen(DeliveryAttemptEnded, count=2)
    assert second.waited_ms == pytest.approx(1_500, abs=500)  # the schedule's jitter


async def test_a_delivery_that_is_too_old_is_told(stages: Stages) -> None:
    stage = await stages.start()
    stage.sender.answers[URL] = [FAILS]
    job = await stage.submit()
    await stage.seen(DeliveryAttemptEnded)
    await stage.rest()
    await stage.engine.stop()
    stage.started = False
    stage.advance(DELIVERY_LIFE_MS / 1000)
    await stage.engine.sweep.once()
    (fact,) = stage.observer.all(DeliverySwept)
    assert (fact.to, fact.delivery.job_id) == (DeliveryState.DEAD, job.id)
    assert (await stage.delivery(job)).state is DeliveryState.DEAD


async def test_a_delivery_whose_attempts_nobody_recorded_is_told(stages: Stages) -> None:
    stage = await stages.start(send_seconds=15.0)
    stage.sender.hang()
    job = await stage.submit()
    for count in (1, 2, 3, 4):
        await stage.sender.until(count)
        stage.advance(30.0)  # its lease ends: the deadline and a margin
    await stage.sweep()
    (fact,) = stage.observer.all(DeliverySwept)
    assert (fact.to, fact.delivery.job_id) == (DeliveryState.PENDING, job.id)
