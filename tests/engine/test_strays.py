"""Jobs that this process holds and does not run, and handlers that do not want to end."""

from __future__ import annotations

import asyncio

import pytest

from dispatcher.core.changes import LeasedJob
from dispatcher.core.facts import JobEnded, StoreFailed
from dispatcher.core.model import Job, JobError, JobState
from dispatcher.core.outcome import Failed, JobOutcome, Succeeded
from dispatcher.engine.run import INSIST_SECONDS
from dispatcher.ports.runner import RunReport
from dispatcher.ports.views import JobFilter
from tests.engine.conftest import Stages
from tests.engine.handlers import Hanging
from tests.engine.stage import ScriptedRunner, echo


async def test_a_claim_whose_answer_was_lost_costs_no_attempt(stages: Stages) -> None:
    stage = await stages.start()
    stage.faults.lose_answer("claim_jobs")
    job = await stage.submit(run_at=stage.clock.now() + 1_000, max_attempts=1)
    stage.advance(1.0)
    await stage.seen(StoreFailed)
    stray = await stage.job(job)
    assert (stray.state, stray.attempt_count) == (JobState.RUNNING, 1)
    assert stage.runner.begun == []
    await stage.engine.sweep.held()
    assert (await stage.job(job)).state is JobState.RUNNING  # an answer may be on its way
    await stage.engine.sweep.held()
    await stage.passes_until(stage.seen(JobEnded))
    done = await stage.job(job)
    assert (done.state, done.attempt_count) == (JobState.SUCCEEDED, 1)
    assert len(stage.runner.begun) == 1


@pytest.mark.parametrize("verb", ["claim_jobs", "add_jobs"])
async def test_what_the_store_answers_late_is_no_stray(stages: Stages, verb: str) -> None:
    """As long as a commit whose answer is awaited: several looks."""
    stage = await stages.start()
    gate = stage.faults.hold(verb)
    run_at = stage.clock.now() + 1_000 if verb == "claim_jobs" else None
    submitted = asyncio.ensure_future(stage.submit(max_attempts=1, run_at=run_at))
    if run_at is not None:
        await submitted
        stage.advance(1.0)
    await gate.reached()
    for _ in range(4):
        await stage.engine.sweep.held()
    (shown,) = (await stage.store.list_jobs(JobFilter(), limit=9, before=None)).items
    assert (shown.job.state, shown.job.attempt_count) == (JobState.RUNNING, 1)
    gate.open()
    await stage.seen(JobEnded)
    done = await stage.job(await submitted)
    assert (done.state, done.attempt_count) == (JobState.SUCCEEDED, 1)
    assert len(stage.runner.begun) == 1


async def test_one_that_came_back_between_two_looks_is_no_stray(stages: Stages) -> None:
    stage = await stages.start()
    gate = stage.faults.hold("claim_jobs")
    job = await stage.submit(run_at=stage.clock.now() + 1_000)
    stage.advance(1.0)
    await gate.reached()
    await stage.engine.sweep.held()
    gate.open()
    await stage.seen(JobEnded)
    await stage.engine.sweep.held()
    assert (await stage.job(job)).attempt_count == 1


class Judging(ScriptedRunner):
    """Says that a lost attempt ends its job."""

    def lost(self, job: Job) -> JobOutcome:
        return Failed("outcome-unknown", f"attempt {job.attempt_count}")


async def test_a_runner_may_say_what_it_means_that_an_attempt_was_lost(stages: Stages) -> None:
    handler = Hanging()
    stage = await stages.start(Judging(handler), lease_seconds=30.0)
    job = await stage.submit(max_attempts=1)
    await handler.begun.wait()
    stage.faults.break_heart()
    stage.clock.advance(31.0)
    other = await stages.start(Judging(echo), beside=stage)
    await other.engine.sweep.once()
    ended = await other.job(job)
    assert ended.state is JobState.FAILED
    assert ended.error == JobError("outcome-unknown", "attempt 1", 1)


async def test_one_that_ran_and_could_not_be_ended_was_an_attempt(stages: Stages) -> None:
    stage = await stages.start()
    stage.faults.fail("apply", 2, ZeroDivisionError("ours"))
    job = await stage.submit()
    await stage.faults.until_called("apply", 2)
    await stage.turns()
    for _ in range(2):
        await stage.engine.sweep.held()
    await stage.passes_until(stage.seen(JobEnded))
    done = await stage.job(job)
    assert (done.state, done.attempt_count) == (JobState.SUCCEEDED, 2)
    assert stage.engine.jobs.pledged.botched == set()


async def test_one_whose_handler_cancels_its_task_was_an_attempt(stages: Stages) -> None:
    """Nothing is told of it, and it is not run again for nothing, for ever."""

    async def cancels(leased: LeasedJob, report: RunReport) -> JobOutcome:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return Succeeded(b"1")

    stage = await stages.start(ScriptedRunner(cancels))
    job = await stage.submit(max_attempts=1)
    await stage.turns()
    for _ in range(2):
        await stage.engine.sweep.held()
    await stage.seen(JobEnded)
    done = await stage.job(job)
    assert (done.state, done.attempt_count) == (JobState.FAILED, 1)


async def test_what_runs_here_is_no_stray(stages: Stages) -> None:
    handler = Hanging()
    stage = await stages.start(ScriptedRunner(handler))
    job = await stage.submit()
    await handler.begun.wait()
    for _ in range(3):
        await stage.engine.sweep.held()
    await stage.rest()
    assert (await stage.job(job)).attempt_count == 1
    handler.go.set()
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.SUCCEEDED


async def test_a_handler_that_swallows_its_cancel_is_cancelled_again(stages: Stages) -> None:
    cancels: list[int] = []
    canceled = asyncio.Event()

    async def handler(leased: LeasedJob, report: RunReport) -> JobOutcome:
        while len(cancels) < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancels.append(stage.clock.now())
                canceled.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancels.append(stage.clock.now())
        return Succeeded(b"1")

    stage = await stages.start(ScriptedRunner(handler))
    job = await stage.submit(timeout_seconds=5.0, max_attempts=1)
    await stage.turns()
    begun = stage.clock.now()
    stage.advance(5.0)
    for _ in range(2):
        await canceled.wait()
        canceled.clear()
        stage.advance(INSIST_SECONDS)
    (ended,) = await stage.seen(JobEnded)
    assert [(at - begun) / 1000 for at in cancels] == [5.0, 35.0, 65.0]
    assert ended.to is JobState.FAILED
    error = (await stage.job(job)).error
    assert error is not None
    assert error.code == "timeout"
