"""Leases: a process that lost touch stops its work, and what it says too late changes nothing."""

from __future__ import annotations

import asyncio
import threading

from msgspec.structs import replace

from dispatcher.core.changes import LeasedJob
from dispatcher.core.facts import (
    DeliveryAttemptEnded,
    JobAttemptEnded,
    JobEnded,
    LeaseLost,
    LoopFailed,
    StoreFailed,
    StoreRecovered,
)
from dispatcher.core.model import Job, JobState, Progress
from dispatcher.core.outcome import JobOutcome, Succeeded
from dispatcher.ports.records import HandOff, NewJob
from dispatcher.ports.runner import RunReport
from tests.engine.conftest import Stages
from tests.engine.stage import ScriptedRunner, Stage, a_submission

LEASE = 0.25
"""Seconds of a lease whose beats come while a test runs: each 50 ms of real time."""


class Watched:
    """A handler that hangs until it is let go; one entry an attempt."""

    def __init__(self, *, swallows: bool = False) -> None:
        self.begun: list[int] = []
        self.stopped: list[int] = []
        self.reports: list[RunReport] = []
        self.go = asyncio.Event()
        self._swallows = swallows
        self._changed = asyncio.Event()

    async def __call__(self, leased: LeasedJob, report: RunReport) -> JobOutcome:
        number = leased.job.attempt_count
        self.begun.append(number)
        self.reports.append(report)
        self._changed.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.stopped.append(number)
            self._changed.set()
            if not self._swallows:
                raise
            await self.go.wait()
        return Succeeded(b'"attempt %d"' % number)

    async def until(self, *, begun: int = 0, stopped: int = 0) -> None:
        async with asyncio.timeout(60):
            while len(self.begun) < begun or len(self.stopped) < stopped:
                self._changed.clear()
                await self._changed.wait()


async def a_lost_lease(stage: Stage) -> None:
    """No beat reaches the store until the lease has ended."""
    stage.faults.break_heart()
    lost = len(stage.observer.all(LeaseLost))
    stage.advance(LEASE)
    await stage.seen(LeaseLost, count=lost + 1)


async def test_while_it_beats_a_lease_lasts(stages: Stages) -> None:
    handler = Watched()
    stage = await stages.start(ScriptedRunner(handler), lease_seconds=LEASE)
    job = await stage.submit()
    await handler.until(begun=1)
    beats = BeatCounter(stage)
    for _ in range(8):
        await beats.next()
        stage.advance(LEASE / 4)
    await stage.rest()
    await stage.sweep()
    assert stage.observer.all(LeaseLost) == []
    assert handler.begun == [1]
    handler.go.set()
    await stage.seen(JobEnded)
    assert (await stage.job(job)).state is JobState.SUCCEEDED


class BeatCounter:
    """Waits for beats that reached the store."""

    def __init__(self, stage: Stage) -> None:
        self._loop = asyncio.get_running_loop()
        self._beat = asyncio.Event()
        stage.faults.after_beat = self._told

    def _told(self) -> None:
        self._loop.call_soon_threadsafe(self._beat.set)

    async def next(self) -> None:
        self._beat.clear()
        async with asyncio.timeout(60):
            await self._beat.wait()


async def test_a_process_out_of_touch_stops_its_jobs_and_takes_no_more(stages: Stages) -> None:
    handler = Watched()
    stage = await stages.start(ScriptedRunner(handler), lease_seconds=LEASE)
    await stage.submit()
    await handler.until(begun=1)
    await a_lost_lease(stage)
    await handler.until(stopped=1)
    assert handler.reports[0].cancel_requested()
    assert stage.observer.all(JobAttemptEnded) == []  # nothing is said of it
    second = await stage.submit()
    await stage.rest_out_of_touch()
    assert (await stage.job(second)).state is JobState.WAITING
    assert handler.begun == [1]


async def test_it_stops_before_the_lease_ends(stages: Stages) -> None:
    handler = Watched()
    stage = await stages.start(ScriptedRunner(handler), lease_seconds=LEASE)
    await stage.submit()
    await handler.until(begun=1)
    stage.faults.break_heart()
    stage.advance(LEASE * 0.8)  # a fifth is left
    await handler.until(stopped=1)


async def test_a_handler_that_outlives_its_lease_has_nothing_to_say(stages: Stages) -> None:
    handler = Watched(swallows=True)
    stage = await stages.start(ScriptedRunner(handler), lease_seconds=LEASE)
    await stage.submit()
    await handler.until(begun=1)
    await a_lost_lease(stage)
    handler.go.set()
    await stage.rest_out_of_touch()
    assert stage.engine.jobs.running == 0
    assert stage.observer.all(JobAttemptEnded) == []


async def test_back_in_touch_it_takes_the_job_up_again_without_a_poll(stages: Stages) -> None:
    handler = Watched()
    stage = await stages.start(ScriptedRunner(handler), lease_seconds=LEASE)
    job = await stage.submit()
    await handler.until(begun=1)
    await a_lost_lease(stage)
    await handler.until(stopped=1)
    stage.faults.mend_heart()
    await handler.until(begun=2)
    handler.go.set()
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.SUCCEEDED
    assert (await stage.read(job)).result == b'"attempt 2"'
    assert handler.begun == [1, 2]


async def test_the_outage_of_the_heart_is_told_once_with_its_end(stages: Stages) -> None:
    stage = await stages.start(lease_seconds=LEASE)
    stage.faults.break_heart()
    await stage.seen(StoreFailed)
    stage.faults.mend_heart()
    await stage.seen(StoreRecovered)
    assert [fact.during for fact in stage.observer.all(StoreFailed)] == ["heartbeat"]
    assert stage.observer.all(StoreRecovered) == [StoreRecovered("heartbeat")]
    assert stage.observer.all(LeaseLost) == []


async def test_a_heart_that_was_too_late_holds_anew(stages: Stages) -> None:
    stage = await stages.start(lease_seconds=LEASE)
    before = stage.engine.holder.id
    stage.advance(LEASE * 2)  # as after a suspended machine: the next beat finds its lease ended
    (lost,) = await stage.seen(LeaseLost)
    assert lost.holder_id == before
    assert stage.engine.holder.id != before
    await stage.submit()
    await stage.seen(DeliveryAttemptEnded)


async def test_a_defect_of_the_heart_is_told_and_it_beats_on(stages: Stages) -> None:
    stage = await stages.start(lease_seconds=LEASE)
    broken = threading.Event()

    def defect() -> None:
        broken.set()
        raise ZeroDivisionError("ours")

    stage.faults.break_heart(defect)
    (told,) = await stage.seen(LoopFailed)
    assert "ours" in told.detail
    stage.faults.mend_heart()
    beats = BeatCounter(stage)
    await beats.next()
    await stage.submit()
    await stage.seen(DeliveryAttemptEnded)


async def test_a_heart_that_hangs_does_not_keep_a_lost_lease(stages: Stages) -> None:
    handler = Watched()
    stage = await stages.start(ScriptedRunner(handler), lease_seconds=LEASE)
    await stage.submit()
    await handler.until(begun=1)
    hangs, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        go_on.wait(10)

    stage.faults.break_heart(hang)
    await asyncio.to_thread(hangs.wait, 10)
    try:
        stage.advance(LEASE)
        await handler.until(stopped=1)
        assert len(stage.observer.all(LeaseLost)) == 1
    finally:
        stage.faults.mend_heart()
        go_on.set()
    await handler.until(begun=2)
    handler.go.set()
    await stage.seen(JobEnded)


# --- Too late ----------------------------------------------------------------------------------


async def test_what_another_took_over_cannot_be_ended_by_the_first(stages: Stages) -> None:
    slow, quick = Watched(swallows=True), Watched()
    first = await stages.start(ScriptedRunner(slow), lease_seconds=30.0)
    job = await first.submit()
    await slow.until(begun=1)
    first.clock.advance(30.0)  # it does not know: as if it were paused between two beats
    quick.go.set()
    second = await stages.start(ScriptedRunner(quick), beside=first, lease_seconds=30.0)
    (ended,) = await second.seen(JobEnded)
    assert ended.to is JobState.SUCCEEDED
    slow.go.set()
    (late,) = await first.seen(JobAttemptEnded)
    assert late.stale
    record = await first.read(job)
    assert record.result == b'"attempt 2"'
    assert first.observer.all(JobEnded) == []
    await second.seen(DeliveryAttemptEnded)
    assert len(first.sender.sent) + len(second.sender.sent) == 1


async def test_a_late_word_of_an_old_attempt_does_not_stop_the_new_one(stages: Stages) -> None:
    handler = Watched(swallows=True)
    stage = await stages.start(ScriptedRunner(handler), lease_seconds=LEASE)
    job = await stage.submit()
    await handler.until(begun=1)
    await a_lost_lease(stage)
    stage.faults.mend_heart()
    await handler.until(begun=2)
    handler.reports[0].progress(Progress(1))  # under the lease that was lost
    await handler.reports[0].output(b"1")
    await stage.rest()
    assert handler.stopped == [1]
    handler.go.set()
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.SUCCEEDED
    assert (await stage.read(job)).result == b'"attempt 2"'
    await stage.rest()
    assert stage.engine.jobs.running == 0
    assert [fact.attempt for fact in stage.observer.all(JobAttemptEnded)] == [2]


async def test_a_job_taken_back_here_is_not_run_twice_at_once(stages: Stages) -> None:
    handler = Watched()
    stage = await stages.start(ScriptedRunner(handler), lease_seconds=LEASE)
    await stage.submit()
    await handler.until(begun=1)
    stage.clock.advance(LEASE)  # no beat came between, and a claim finds its own job to take back
    stage.engine.jobs.loop.wake()
    await handler.until(begun=2)
    assert handler.stopped == [1]
    assert stage.runner.most_at_once == 1


async def test_a_hand_off_that_comes_back_after_the_lease_is_not_run(stages: Stages) -> None:
    handler = Watched()
    stage = await stages.start(ScriptedRunner(handler), lease_seconds=LEASE)
    gate = stage.faults.hold("add_jobs")
    submitting = asyncio.create_task(stage.submit())
    await gate.reached()
    await a_lost_lease(stage)
    gate.open()
    job: Job = await submitting
    await stage.seen(JobAttemptEnded)
    await stage.rest_out_of_touch()
    assert handler.begun == []
    assert stage.engine.jobs.slots.used == 0
    stage.faults.mend_heart()
    handler.go.set()
    (ended,) = await stage.seen(JobEnded)
    assert (ended.job.id, ended.to) == (job.id, JobState.SUCCEEDED)


async def test_a_claim_that_comes_back_after_the_lease_is_not_run(stages: Stages) -> None:
    handler = Watched()
    stage = await stages.start(ScriptedRunner(handler), lease_seconds=LEASE)
    job = await stage.submit(run_at=stage.clock.now() + 10)
    gate = stage.faults.hold("claim_jobs")
    stage.advance(0.01)
    await gate.reached()
    await a_lost_lease(stage)
    gate.open()
    (given_back,) = await stage.seen(JobAttemptEnded)
    assert given_back.outcome == "GivenBack"
    await stage.rest_out_of_touch()
    assert handler.begun == []
    assert stage.engine.jobs.slots.used == 0
    assert (await stage.job(job)).attempt_count == 0
    stage.faults.mend_heart()
    handler.go.set()
    await stage.seen(JobEnded)


async def test_a_job_leased_here_again_ends_the_attempt_before(stages: Stages) -> None:
    handler = Watched()
    stage = await stages.start(ScriptedRunner(handler))
    await stage.submit()
    await handler.until(begun=1)
    jobs = stage.engine.jobs
    assert jobs.slots.take("work")
    jobs.start(replace(stage.runner.begun[0], lease="lse_new"), stage.engine.holder.id)
    await handler.until(begun=2, stopped=1)
    handler.go.set()
    await stage.seen(JobAttemptEnded)
    await stage.rest()
    assert (jobs.running, jobs.slots.used) == (0, 0)


# --- What a dead process leaves ----------------------------------------------------------------


async def test_what_a_dead_process_held_is_taken_back(stages: Stages) -> None:
    stage = stages.make()
    await stage.open()
    dead = stage.store.heart("hld_dead", "dead", 30.0)
    await asyncio.to_thread(dead.beat)
    dead.close()
    job = await leave_running(stage, "hld_dead")
    await stage.start()
    assert (await stage.job(job)).state is JobState.RUNNING
    stage.advance(30.0)
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.SUCCEEDED
    assert (await stage.job(job)).attempt_count == 2


async def test_a_job_that_killed_its_last_worker_has_failed(stages: Stages) -> None:
    stage = stages.make()
    await stage.open()
    dead = stage.store.heart("hld_dead", "dead", 30.0)
    await asyncio.to_thread(dead.beat)
    dead.close()
    job = await leave_running(stage, "hld_dead", max_attempts=1)
    await stage.start()
    stage.advance(30.0)
    await stage.sweep()
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.FAILED
    error = (await stage.job(job)).error
    assert error is not None
    assert error.code == "worker-lost"
    await stage.seen(DeliveryAttemptEnded)


async def test_a_job_that_was_to_be_canceled_when_its_worker_died_is_not_run(
    stages: Stages,
) -> None:
    stage = stages.make()
    await stage.open()
    dead = stage.store.heart("hld_dead", "dead", 30.0)
    await asyncio.to_thread(dead.beat)
    dead.close()
    job = await leave_running(stage, "hld_dead")
    await stage.engine.cancel.cancel(job.id, None)
    await stage.start()
    stage.advance(30.0)
    await stage.sweep()
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.CANCELED
    assert stage.runner.begun == []


async def leave_running(stage: Stage, holder_id: str, **changes: object) -> Job:
    """A job as a process leaves it that was handed it and died."""
    waiting = stage.engine.accept.job(stage.caller, a_submission(**changes))
    added = await stage.store.add_jobs(
        [NewJob(waiting, b"{}", None, HandOff(holder_id, "lse_dead"))]
    )
    assert not isinstance(added[0], Exception)
    assert (await stage.job(waiting)).state is JobState.RUNNING
    return waiting
