"""Shutting down: what is in flight finishes, the rest is given back with its attempt."""

from __future__ import annotations

import asyncio
import time

import pytest

from dispatcher.core.changes import LeasedJob
from dispatcher.core.errors import Stopping
from dispatcher.core.facts import DeliveryAttemptEnded, JobAttemptEnded, JobEnded, StoreFailed
from dispatcher.core.model import DeliveryState, JobState
from dispatcher.core.outcome import JobOutcome, Succeeded
from dispatcher.ports.runner import RunReport
from tests.engine.conftest import Stages
from tests.engine.stage import LONG, ScriptedRunner, Stage, a_callback

PATIENT = 30.0
"""A grace that no test uses up."""


class Door:
    """A handler that hangs until the door is opened, and may hold out against being stopped."""

    def __init__(self, *, swallows: int = 0) -> None:
        self.begun = asyncio.Event()
        self.opened = asyncio.Event()
        self._swallows = swallows

    async def __call__(self, leased: LeasedJob, report: RunReport) -> JobOutcome:
        self.begun.set()
        while not self.opened.is_set():
            try:
                await self.opened.wait()
            except asyncio.CancelledError:
                if self._swallows == 0:
                    raise
                self._swallows -= 1
        return Succeeded(b"1")


async def stopping(stage: Stage) -> asyncio.Task[None]:
    """Begin to stop, and wait until nothing more is accepted."""
    task = asyncio.create_task(stage.engine.stop())
    stage.started = False
    await stage.turns()
    assert stage.engine.accept.closed
    return task


async def restart(stages: Stages, stage: Stage) -> Stage:
    """The next process on the same database."""
    return await stages.start(beside=stage)


async def test_a_job_in_flight_ends_and_its_callback_is_sent(stages: Stages) -> None:
    handler = Door()
    stage = await stages.start(ScriptedRunner(handler), grace_seconds=PATIENT)
    job = await stage.submit()
    await handler.begun.wait()
    stop = await stopping(stage)
    handler.opened.set()
    await stop
    assert not stage.engine.stuck
    assert (await stage.job(job)).state is JobState.SUCCEEDED
    assert len(stage.sender.sent) == 1
    assert (await stage.delivery(job)).state is DeliveryState.DELIVERED


async def test_a_delivery_in_flight_is_waited_for(stages: Stages) -> None:
    stage = await stages.start(grace_seconds=PATIENT)
    door = stage.sender.hang()
    job = await stage.submit()
    await stage.sender.until(1)
    stop = await stopping(stage)
    door.set()
    await stop
    assert (await stage.delivery(job)).state is DeliveryState.DELIVERED


async def test_nothing_more_is_accepted(stages: Stages) -> None:
    stage = await stages.start()
    await stage.engine.ready()
    stop = await stopping(stage)
    with pytest.raises(Stopping):
        await stage.submit()
    with pytest.raises(Stopping):
        await stage.engine.ready()
    await stop


async def test_nothing_more_is_claimed(stages: Stages) -> None:
    handler = Door()
    stage = await stages.start(ScriptedRunner(handler), jobs_at_once=1, grace_seconds=PATIENT)
    await stage.submit()
    await handler.begun.wait()
    waiting = await stage.submit()
    stop = await stopping(stage)
    handler.opened.set()
    await stop
    assert (await stage.job(waiting)).state is JobState.WAITING
    assert len(stage.runner.begun) == 1


async def test_a_job_that_takes_too_long_is_given_back_with_its_attempt(stages: Stages) -> None:
    handler = Door()
    stage = await stages.start(ScriptedRunner(handler), grace_seconds=0.5)
    job = await stage.submit(max_attempts=1)
    await handler.begun.wait()
    await (await stopping(stage))
    assert not stage.engine.stuck
    (attempt,) = stage.observer.all(JobAttemptEnded)
    assert (attempt.outcome, attempt.to) == ("GivenBack", JobState.WAITING)
    back = await stage.job(job)
    assert (back.state, back.attempt_count, back.due_at) == (
        JobState.WAITING,
        0,
        stage.clock.now(),
    )
    after = await restart(stages, stage)
    (ended,) = await after.seen(JobEnded)
    assert ended.to is JobState.SUCCEEDED


async def test_a_handler_that_swallowed_a_cancel_is_stopped_once_more(stages: Stages) -> None:
    handler = Door(swallows=1)
    stage = await stages.start(ScriptedRunner(handler), grace_seconds=0.5)
    job = await stage.submit()
    await handler.begun.wait()
    await stage.engine.cancel.cancel(job.id, None)
    await (await stopping(stage))
    assert not stage.engine.stuck
    assert (await stage.job(job)).state is JobState.CANCELED


async def test_a_handler_that_nothing_stops_keeps_its_lease(stages: Stages) -> None:
    handler = Door(swallows=1)
    stage = await stages.start(ScriptedRunner(handler), lease_seconds=30.0, grace_seconds=0.05)
    job = await stage.submit()
    await handler.begun.wait()
    await (await stopping(stage))
    assert stage.engine.stuck
    other = await restart(stages, stage)
    await other.rest()
    assert (await stage.job(job)).state is JobState.RUNNING
    assert other.runner.begun == []
    stage.clock.advance(30.0)
    other.engine.jobs.loop.wake()
    await other.seen(JobEnded)
    handler.opened.set()
    (late,) = await stage.seen(JobAttemptEnded)
    assert late.stale


async def test_a_drained_process_leaves_no_lease(stages: Stages) -> None:
    stage = await stages.start(lease_seconds=LONG)
    holder_id = stage.engine.holder.id
    await (await stopping(stage))
    heart = stage.store.heart(holder_id, "the same", 30.0)
    with pytest.raises(Stopping):
        await asyncio.to_thread(heart.beat)
    heart.close()


async def test_a_delivery_that_takes_too_long_is_given_back_with_its_attempt(
    stages: Stages,
) -> None:
    stage = await stages.start(grace_seconds=0.05)
    stage.sender.hang()
    job = await stage.submit()
    await stage.sender.until(1)
    await (await stopping(stage))
    back = await stage.delivery(job)
    assert (back.state, back.attempt_count, back.entries_used, back.unknown_count) == (
        DeliveryState.PENDING,
        0,
        0,
        0,
    )
    after = await restart(stages, stage)
    (sent,) = await after.seen(DeliveryAttemptEnded)
    assert (sent.to, sent.attempt) == (DeliveryState.DELIVERED, 1)


async def test_what_came_of_a_delivery_is_recorded_even_past_the_grace(stages: Stages) -> None:
    """A callback that landed must not be given back because the store was slow to note it."""
    stage = await stages.start(grace_seconds=0.05)
    door = stage.sender.hang()
    job = await stage.submit()
    await stage.sender.until(1)
    stage.faults.fail("apply")
    door.set()
    await stage.seen(StoreFailed)  # the record waits, to be tried again
    drain = asyncio.create_task(stage.engine.deliveries.drain(0))
    await stage.turns()
    await stage.passes_until(drain)
    delivery = await stage.delivery(job)
    assert (delivery.state, delivery.attempt_count) == (DeliveryState.DELIVERED, 1)


async def test_a_store_that_never_comes_back_does_not_keep_the_process(stages: Stages) -> None:
    stage = await stages.start()
    door = stage.sender.hang()
    other = "https://other.example/hook"
    stage.sender.hang(other)
    await stage.submit()
    await stage.submit(callback=a_callback(other))
    await stage.sender.until(2)
    stage.faults.fail("apply", times=1_000_000)
    door.set()
    await stage.seen(StoreFailed)
    tasks = list(stage.engine.deliveries._tasks)  # one is being recorded, one is being sent
    assert len(tasks) == 2
    for task in tasks:  # as the end of the event loop does, once
        task.cancel()
    ended, _ = await asyncio.wait(tasks, timeout=2)
    assert ended == set(tasks)


async def test_a_submission_on_its_way_is_waited_for(stages: Stages) -> None:
    stage = await stages.start(grace_seconds=PATIENT)
    gate = stage.faults.hold("add_jobs")
    submitting = asyncio.create_task(stage.submit())
    await gate.reached()
    stop = await stopping(stage)
    gate.open()
    job = await submitting
    await stop
    assert (await stage.job(job)).state is JobState.SUCCEEDED
    assert len(stage.sender.sent) == 1


async def test_a_claim_on_its_way_is_waited_for(stages: Stages) -> None:
    stage = await stages.start(grace_seconds=PATIENT)
    job = await stage.submit(run_at=stage.clock.now() + 1_000)
    gate = stage.faults.hold("claim_jobs")
    stage.advance(1.0)
    await gate.reached()
    stop = await stopping(stage)
    gate.open()
    await stop
    assert (await stage.job(job)).state is JobState.SUCCEEDED


async def test_a_cancel_on_its_way_is_seen_through(stages: Stages) -> None:
    stage = await stages.start(grace_seconds=PATIENT)
    job = await stage.submit(run_at=stage.clock.now() + 1_000)
    gate = stage.faults.hold("apply")
    canceling = asyncio.create_task(stage.engine.cancel.cancel(job.id, None))
    await gate.reached()
    stop = await stopping(stage)
    ended, _ = await asyncio.wait((stop,), timeout=0.1)
    assert not ended
    gate.open()
    await stop
    assert (await canceling).state is JobState.CANCELED
    assert (await stage.delivery(job)).state is DeliveryState.DELIVERED


async def test_an_idle_process_stops_at_once(stages: Stages) -> None:
    stage = await stages.make(grace_seconds=PATIENT).open()
    before = asyncio.all_tasks()  # the store's own among them: it is closed later
    await stage.start()
    assert asyncio.all_tasks() > before
    began = time.monotonic()
    await (await stopping(stage))
    assert time.monotonic() - began < 1.0
    assert asyncio.all_tasks() == before


async def test_a_stop_under_load_loses_nothing(stages: Stages) -> None:
    stage = await stages.start(jobs_at_once=4, deliveries_at_once=4, grace_seconds=0.01)
    submitting = [asyncio.create_task(stage.submit()) for _ in range(300)]
    await stage.seen(DeliveryAttemptEnded, count=50)
    await (await stopping(stage))
    answers = await asyncio.gather(*submitting, return_exceptions=True)
    jobs = [answer for answer in answers if not isinstance(answer, BaseException)]
    after = await restart(stages, stage)
    for job in jobs:
        while (await after.job(job)).state is not JobState.SUCCEEDED:
            await after.rest()
        while (await after.delivery(job)).state is not DeliveryState.DELIVERED:
            await after.rest()
    assert len(stage.sender.sent) + len(after.sender.sent) >= len(jobs) >= 50
