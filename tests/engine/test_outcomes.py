"""How a job's attempts come out: retries, snoozes, cancels, timeouts, deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from dispatcher.core.changes import LeasedJob
from dispatcher.core.facts import DeliveryAttemptEnded, JobAttemptEnded, JobEnded
from dispatcher.core.lifecycle import shown_status
from dispatcher.core.model import EventType, JobState, JobStatus, Progress
from dispatcher.core.outcome import (
    AttemptFailed,
    Canceled,
    Failed,
    JobOutcome,
    Snoozed,
    Succeeded,
)
from dispatcher.ports.runner import RunReport
from dispatcher.testing.clock import NOON
from tests.engine.conftest import Stages
from tests.engine.handlers import BACKOFF, Hanging, begin, last_callback
from tests.engine.stage import ScriptedRunner, a_callback


def in_turn(*outcomes: JobOutcome) -> ScriptedRunner:
    """A handler that ends with these, one an attempt."""
    left = list(outcomes)

    async def handler(leased: LeasedJob, report: RunReport) -> JobOutcome:
        return left.pop(0)

    return ScriptedRunner(handler, backoff=BACKOFF)


# --- Retries -----------------------------------------------------------------------------------


async def test_a_failed_attempt_is_tried_again_after_the_backoff(stages: Stages) -> None:
    stage = await stages.start(
        in_turn(
            AttemptFailed("handler-error", "ValueError"),
            AttemptFailed("handler-error", "KeyError"),
            Succeeded(b"1"),
        )
    )
    job = await stage.submit()
    for number, wait in ((1, 2.0), (2, 20.0)):
        await stage.seen(JobAttemptEnded, count=number)
        now = await stage.job(job)
        assert (now.state, now.retrying, now.attempt_count) == (JobState.WAITING, True, number)
        assert now.due_at == stage.clock.now() + round(wait * 1000)
        assert shown_status(now, stage.clock.now()) is JobStatus.RETRYING
        stage.advance(wait - 0.001)
        await stage.rest()
        assert len(stage.runner.begun) == number
        stage.advance(0.001)
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.SUCCEEDED
    done = await stage.job(job)
    assert (done.attempt_count, done.retrying) == (3, False)
    attempts = stage.observer.all(JobAttemptEnded)
    assert [fact.attempt for fact in attempts] == [1, 2, 3]
    assert [fact.error_detail for fact in attempts] == ["ValueError", "KeyError", None]


async def test_the_last_attempt_that_fails_fails_the_job(stages: Stages) -> None:
    stage = await stages.start(
        in_turn(AttemptFailed("retry", "one", 0.0), AttemptFailed("handler-error", "two"))
    )
    job = await stage.submit(max_attempts=2)
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.FAILED
    error = (await stage.job(job)).error
    assert error is not None
    assert (error.code, error.detail, error.attempt) == ("handler-error", "two", 2)
    await stage.seen(DeliveryAttemptEnded)
    assert last_callback(stage)["type"] == "job.failed"


async def test_retry_after_is_what_the_handler_asked_for(stages: Stages) -> None:
    stage = await stages.start(in_turn(AttemptFailed("retry", "", 7.5), Succeeded(b"1")))
    await stage.submit()
    await stage.seen(JobAttemptEnded)
    stage.advance(7.499)
    await stage.rest()
    assert len(stage.runner.begun) == 1
    stage.advance(0.001)
    await stage.seen(JobEnded)


async def test_fail_ends_it_at_the_first_attempt(stages: Stages) -> None:
    stage = await stages.start(in_turn(Failed("no-data", "there is none")))
    job = await stage.submit()
    await stage.seen(JobEnded)
    error = (await stage.job(job)).error
    assert error is not None
    assert (error.code, error.detail) == ("no-data", "there is none")


async def test_a_handler_cancels_its_own_job(stages: Stages) -> None:
    stage = await stages.start(in_turn(Canceled("not needed any more")))
    job = await stage.submit()
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.CANCELED
    error = (await stage.job(job)).error
    assert error is not None
    assert error.detail == "not needed any more"
    await stage.seen(DeliveryAttemptEnded)
    assert last_callback(stage)["type"] == "job.canceled"


async def test_a_snooze_gives_the_attempt_back(stages: Stages) -> None:
    stage = await stages.start(in_turn(Snoozed(60), Snoozed(60), Succeeded(b"1")))
    job = await stage.submit(max_attempts=1)
    for number in (1, 2):
        await stage.seen(JobAttemptEnded, count=number)
        snoozed = await stage.job(job)
        assert snoozed.attempt_count == 0
        assert shown_status(snoozed, stage.clock.now()) is JobStatus.SCHEDULED
        stage.advance(60.0)
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.SUCCEEDED
    assert (await stage.job(job)).attempt_count == 1


async def test_the_last_progress_stands_with_the_end(stages: Stages) -> None:
    async def handler(leased: LeasedJob, report: RunReport) -> JobOutcome:
        for number in range(10):
            report.progress(Progress(number, 10))
        return Succeeded(b"1")

    stage, job = await begin(stages, handler)
    await stage.seen(JobEnded)
    assert (await stage.job(job)).progress == Progress(9, 10)


# --- Timeouts ----------------------------------------------------------------------------------


async def test_an_attempt_has_its_time(stages: Stages) -> None:
    handler = Hanging()
    stage, job = await begin(stages, handler, timeout_seconds=30.0)
    await handler.begun.wait()
    stage.advance(29.999)
    assert handler.cancels == 0
    stage.advance(0.001)
    (attempt,) = await stage.seen(JobAttemptEnded)
    assert (attempt.error_code, attempt.to) == ("timeout", JobState.WAITING)
    assert attempt.error_detail == "The attempt took longer than 30 s."
    assert handler.asked_to_stop
    assert (await stage.job(job)).due_at == stage.clock.now() + 2_000


async def test_a_timeout_at_the_last_attempt_fails_the_job(stages: Stages) -> None:
    handler = Hanging()
    stage, job = await begin(stages, handler, timeout_seconds=30.0, max_attempts=1)
    await handler.begun.wait()
    stage.advance(30.0)
    await stage.seen(JobEnded)
    error = (await stage.job(job)).error
    assert error is not None
    assert error.code == "timeout"


async def test_the_timeout_counts_from_each_attempts_own_beginning(stages: Stages) -> None:
    seen: list[int] = []
    second = Hanging()

    async def handler(leased: LeasedJob, report: RunReport) -> JobOutcome:
        seen.append(leased.job.attempt_count)
        if len(seen) == 1:
            return AttemptFailed("retry", "", 29.0)
        return await second(leased, report)

    stage, _ = await begin(stages, handler, timeout_seconds=30.0)
    await stage.seen(JobAttemptEnded)
    stage.advance(29.0)
    await second.begun.wait()
    stage.advance(29.0)
    assert second.cancels == 0
    second.go.set()
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.SUCCEEDED


# --- startBy and deadline ----------------------------------------------------------------------


async def test_a_job_not_started_by_its_start_by_expires(stages: Stages) -> None:
    handler = Hanging()
    stage = await stages.start(ScriptedRunner(handler), jobs_at_once=1)
    first = await stage.submit()
    await handler.begun.wait()
    second = await stage.submit(start_by=stage.clock.now() + 10_000)
    stage.advance(10.0)
    await stage.sweep()
    (ended,) = await stage.seen(JobEnded)
    assert (ended.job.id, ended.to) == (second.id, JobState.EXPIRED)
    error = (await stage.job(second)).error
    assert error is not None
    assert error.code == "start-by"
    await stage.seen(DeliveryAttemptEnded)
    assert last_callback(stage)["type"] == "job.expired"
    assert (await stage.job(first)).state is JobState.RUNNING


async def test_a_running_job_is_stopped_at_its_deadline(stages: Stages) -> None:
    handler = Hanging()
    stage, job = await begin(stages, handler, deadline=NOON + 10_000)
    await handler.begun.wait()
    stage.advance(10.0)
    await stage.sweep()
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.EXPIRED
    error = (await stage.job(job)).error
    assert error is not None
    assert error.code == "deadline"
    await handler.canceled.wait()
    await stage.rest()
    assert stage.engine.jobs.slots.used == 0
    assert len(stage.observer.all(JobEnded)) == 1


async def test_one_sweep_settles_all_that_is_overdue(stages: Stages) -> None:
    stage = await stages.start(sweep_items=2)
    start_by = stage.clock.now() + 1_000
    for _ in range(5):
        await stage.submit(kind="elsewhere", start_by=start_by)
    stage.clock.advance(1.0)
    await stage.engine.sweep.once()
    assert [fact.to for fact in stage.observer.all(JobEnded)] == [JobState.EXPIRED] * 5


async def test_what_is_past_its_time_is_erased_batch_by_batch(stages: Stages) -> None:
    stage = await stages.start(prune_items=2)
    jobs = [
        await stage.submit(retention_seconds=60.0, callback=a_callback(events=())) for _ in range(5)
    ]
    await stage.seen(JobEnded, count=5)
    kept = await stage.submit(retention_seconds=61.0, callback=a_callback(events=()))
    await stage.seen(JobEnded, count=6)
    stage.clock.advance(60.0)
    await stage.engine.prune.all()
    assert [await stage.store.get_job(job.id, None) for job in jobs] == [None] * 5
    assert (await stage.job(kept)).state is JobState.SUCCEEDED


async def test_a_retry_past_the_deadline_expires_at_once(stages: Stages) -> None:
    stage = await stages.start(in_turn(AttemptFailed("handler-error", "ValueError")))
    job = await stage.submit(deadline=stage.clock.now() + 1_999)
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.EXPIRED
    error = (await stage.job(job)).error
    assert error is not None
    assert error.code == "deadline"


# --- Cancellations that nobody but the handler asked for ----------------------------------------


async def _cancels_what_it_waits_for() -> JobOutcome:
    """`task.cancel(); await task` lets the other task's cancellation out."""
    inner = asyncio.ensure_future(asyncio.Event().wait())
    inner.cancel()
    await inner
    raise AssertionError("unreachable")


async def _cancels_itself() -> JobOutcome:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


@pytest.mark.parametrize("canceling", [_cancels_what_it_waits_for, _cancels_itself])
async def test_a_handler_whose_own_cancellation_comes_out_has_failed(
    stages: Stages, canceling: Callable[[], Awaitable[JobOutcome]]
) -> None:
    async def handler(leased: LeasedJob, report: RunReport) -> JobOutcome:
        return await canceling()

    stage = await stages.start(ScriptedRunner(handler))
    job = await stage.submit(max_attempts=1)
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.FAILED
    error = (await stage.job(job)).error
    assert error is not None
    assert (error.code, error.detail) == ("handler-error", "CancelledError")
    await stage.rest()
    assert stage.engine.jobs.slots.used == 0


async def test_a_handler_that_cancels_itself_as_it_returns_has_done_its_job(
    stages: Stages,
) -> None:
    async def handler(leased: LeasedJob, report: RunReport) -> JobOutcome:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return Succeeded(b"1")

    stage = await stages.start(ScriptedRunner(handler))
    await stage.submit()
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.SUCCEEDED


# --- job.started -------------------------------------------------------------------------------


async def test_started_is_told_to_who_asked_for_it(stages: Stages) -> None:
    handler = Hanging()
    events = (EventType.JOB_STARTED, EventType.JOB_FAILED)
    stage, _ = await begin(stages, handler, callback=a_callback(events=events))
    await stage.sender.until(1)
    handler.go.set()
    await stage.seen(JobEnded)
    body = last_callback(stage)
    assert isinstance(body["data"], dict)
    assert (body["type"], body["data"]["status"]) == ("job.started", "running")
    await stage.rest()
    assert len(stage.sender.sent) == 1
