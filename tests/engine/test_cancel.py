"""Requests to cancel: the first committed end wins, and nothing is left behind."""

from __future__ import annotations

import asyncio

import pytest

from dispatcher.core.errors import NotFound, StoreUnavailable
from dispatcher.core.facts import DeliveryAttemptEnded, JobAttemptEnded, JobEnded
from dispatcher.core.model import JobState
from tests.engine.conftest import Stages
from tests.engine.handlers import Hanging, begin, failing_after, last_callback


async def test_a_waiting_job_is_canceled_at_once(stages: Stages) -> None:
    stage = await stages.start()
    job = await stage.submit(run_at=stage.clock.now() + 60_000)
    canceled = await stage.engine.cancel.cancel(job.id, stage.caller.id)
    assert canceled.state is JobState.CANCELED
    await stage.seen(DeliveryAttemptEnded)
    assert last_callback(stage)["type"] == "job.canceled"
    stage.advance(60.0)
    await stage.rest()
    assert stage.runner.begun == []


async def test_a_running_job_that_obeys_is_canceled(stages: Stages) -> None:
    handler = Hanging()
    stage, job = await begin(stages, handler)
    await handler.begun.wait()
    asked = await stage.engine.cancel.cancel(job.id, stage.caller.id)
    assert asked.cancel_requested_at == stage.clock.now()
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.CANCELED
    assert handler.asked_to_stop
    again = await stage.engine.cancel.cancel(job.id, stage.caller.id)
    assert again.state is JobState.CANCELED
    assert again.error is not None
    assert again.error.code == "canceled"


async def test_a_running_job_that_swallows_the_cancel_ends_as_it_ends(stages: Stages) -> None:
    handler = Hanging(swallows=True)
    stage, job = await begin(stages, handler)
    await handler.begun.wait()
    await stage.engine.cancel.cancel(job.id, stage.caller.id)
    await stage.rest()
    still = await stage.job(job)
    assert (still.state, still.cancel_requested_at) == (JobState.RUNNING, stage.clock.now())
    handler.go.set()
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.SUCCEEDED


async def test_a_job_that_fails_after_the_cancel_is_not_tried_again(stages: Stages) -> None:
    hanging = Hanging(swallows=True)
    stage, job = await begin(stages, failing_after(hanging))
    await hanging.begun.wait()
    await stage.engine.cancel.cancel(job.id, None)
    hanging.go.set()
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.CANCELED
    assert (await stage.job(job)).attempt_count == 1


async def test_a_cancel_after_the_timeout_does_not_wait_for_the_next_try(stages: Stages) -> None:
    hanging = Hanging(swallows=True)
    stage, job = await begin(stages, failing_after(hanging), timeout_seconds=5.0)
    await hanging.begun.wait()
    stage.advance(5.0)
    await hanging.canceled.wait()
    await stage.engine.cancel.cancel(job.id, None)
    hanging.go.set()
    (ended,) = await stage.seen(JobEnded)  # though no time passes: the backoff is two seconds
    assert ended.to is JobState.CANCELED
    assert len(stage.runner.begun) == 1


async def test_canceling_what_is_another_callers_finds_nothing(stages: Stages) -> None:
    stage = await stages.start()
    job = await stage.submit(run_at=stage.clock.now() + 60_000)
    with pytest.raises(NotFound):
        await stage.engine.cancel.cancel(job.id, "clr_00000000000070008000000000000be1")
    assert (await stage.job(job)).state is JobState.WAITING


async def test_a_cancel_that_another_process_took_reaches_the_run(stages: Stages) -> None:
    handler = Hanging()
    stage, job = await begin(stages, handler)
    await handler.begun.wait()
    other = await stages.start(beside=stage)
    await other.engine.cancel.cancel(job.id, None)
    assert handler.cancels == 0
    await stage.sweep()
    (ended,) = await stage.seen(JobEnded)
    assert (ended.to, handler.cancels) == (JobState.CANCELED, 1)


async def test_a_cancel_that_the_run_did_not_hear_of_still_holds(stages: Stages) -> None:
    handler = Hanging()
    stage, job = await begin(stages, failing_after(handler))
    await handler.begun.wait()
    other = await stages.start(beside=stage)
    await other.engine.cancel.cancel(job.id, None)
    handler.go.set()
    await stage.seen(JobAttemptEnded)
    stage.advance(2.0)
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.CANCELED
    assert len(stage.runner.begun) == 1


async def test_a_cancel_while_the_store_fails_is_told_and_loses_nothing(stages: Stages) -> None:
    stage = await stages.start()
    job = await stage.submit(run_at=stage.clock.now() + 60_000)
    stage.faults.fail("apply")
    with pytest.raises(StoreUnavailable):
        async with asyncio.timeout(2):
            await stage.engine.cancel.cancel(job.id, None)
    assert stage.engine.deliveries.slots.used == 0
    assert (await stage.engine.cancel.cancel(job.id, None)).state is JobState.CANCELED
    await stage.seen(DeliveryAttemptEnded)


async def test_who_asked_to_cancel_and_went_away_leaves_nothing_behind(stages: Stages) -> None:
    stage = await stages.start()
    job = await stage.submit(run_at=stage.clock.now() + 60_000)
    gate = stage.faults.hold("apply")
    canceling = asyncio.create_task(stage.engine.cancel.cancel(job.id, None))
    await gate.reached()
    canceling.cancel()
    await asyncio.wait((canceling,))
    gate.open()
    await stage.seen(DeliveryAttemptEnded)
    assert (await stage.job(job)).state is JobState.CANCELED
    await stage.rest()
    assert stage.engine.deliveries.slots.used == 0
