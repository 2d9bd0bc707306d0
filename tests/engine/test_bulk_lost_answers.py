"""Steps of bulk operations that were taken, though their answer was lost: all is told, once."""

from __future__ import annotations

import pytest

from dispatcher.core.bulk import BulkKind
from dispatcher.core.facts import (
    CancelAsked,
    DeliveryAttemptEnded,
    JobAccepted,
    JobEnded,
    Redelivered,
    StoreFailed,
)
from dispatcher.core.model import JobState
from dispatcher.core.retry import Schedule
from dispatcher.engine import bulk
from dispatcher.engine.bulk import RETRY_SECONDS
from tests.engine.bulk_stage import OTHER_URL, BulkStage, dead, ended, failing, order, result_of
from tests.engine.conftest import Stages
from tests.engine.handlers import Hanging
from tests.engine.stage import Stage, a_callback


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "STEP_ITEMS", 2)


async def tried_again(stage: Stage) -> None:
    """The store has failed, and now it is asked again: long before any loop looks by itself."""
    await stage.seen(StoreFailed, lambda fact: fact.during == "bulk")
    stage.advance(RETRY_SECONDS)


async def test_what_was_redelivered_is_told_and_sent(stages: Stages) -> None:
    stage = await BulkStage(stages).start()
    jobs = await dead(stage, 2, schedule=Schedule((0.0,)))
    stage.faults.lose_answer("advance_bulk")
    job = await order(stage, BulkKind.REDELIVER)
    await tried_again(stage)
    assert (await result_of(stage, job))["redelivered"] == 2
    told = [fact.delivery.job_id for fact in stage.observer.all(Redelivered)]
    assert told == [each.id for each in jobs]
    await stage.seen(DeliveryAttemptEnded, lambda fact: fact.attempt == 2, count=2)


async def test_what_was_replayed_is_told_and_runs(stages: Stages) -> None:
    stage = await BulkStage(stages, failing).start()
    jobs = await ended(stage, 2)
    stage.faults.lose_answer("advance_bulk")
    job = await order(stage, BulkKind.REPLAY)
    await tried_again(stage)
    assert (await result_of(stage, job))["replayed"] == 2
    told = [fact.job.replay_of for fact in stage.observer.all(JobAccepted) if fact.job.replay_of]
    assert told == [each.id for each in jobs]
    await stage.seen(JobEnded, lambda fact: fact.job.replay_of is not None, count=2)


async def test_what_was_canceled_is_told_and_stopped(stages: Stages) -> None:
    hanging = Hanging()
    stage = await BulkStage(stages, hanging).start()
    running = await stage.submit()
    await hanging.begun.wait()
    waiting = await stage.submit(run_at=stage.clock.now() + 60_000)
    stage.faults.lose_answer("advance_bulk")
    job = await order(stage, BulkKind.CANCEL)
    await tried_again(stage)
    assert (await result_of(stage, job))["canceled"] == 2
    assert [fact.job.id for fact in stage.observer.all(CancelAsked)] == [running.id]
    canceled = await stage.seen(JobEnded, lambda fact: fact.to is JobState.CANCELED, count=2)
    assert {fact.job.id for fact in canceled} == {running.id, waiting.id}
    await stage.seen(DeliveryAttemptEnded, lambda f: f.event_type == "job.canceled", count=2)


async def test_if_not_all_of_it_was_done_what_it_owes_is_sent_all_the_same(stages: Stages) -> None:
    """Nobody knows then which of it was done, so nothing of it is told."""
    stage = await BulkStage(stages).start()
    later = stage.clock.now() + 60_000
    jobs = [await stage.submit(run_at=later, callback=a_callback(OTHER_URL)) for _ in range(4)]
    first = stage.faults.hold("advance_bulk")
    job = await order(stage, BulkKind.CANCEL)
    await first.reached()
    selected = stage.faults.hold("select_jobs")
    first.open()
    await selected.reached()
    await stage.engine.cancel.cancel(jobs[2].id, None)
    await stage.seen(DeliveryAttemptEnded, lambda f: f.event_type == "job.canceled", count=3)
    await stage.rest()
    stage.faults.lose_answer("advance_bulk")
    selected.open()
    await tried_again(stage)
    result = await result_of(stage, job)
    assert (result["matched"], result["canceled"], result["skipped"]) == (4, 3, 1)
    await stage.seen(DeliveryAttemptEnded, lambda f: f.event_type == "job.canceled", count=4)
    told = [fact.job.id for fact in stage.observer.all(JobEnded) if fact.job.id != job.id]
    assert told == [each.id for each in jobs[:3]]
