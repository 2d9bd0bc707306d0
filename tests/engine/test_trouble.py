"""A store that fails, answers that get lost, defects of ours: nothing is lost, all is told."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Sequence

import pytest

from dispatcher.core.changes import Audited, Change, FinishJob, LeasedJob
from dispatcher.core.errors import StoreCorrupt, StoreUnavailable
from dispatcher.core.facts import (
    DeliveryAttemptEnded,
    JobAttemptEnded,
    JobEnded,
    LoopFailed,
    StoreFailed,
    StoreRecovered,
)
from dispatcher.core.model import DeliveryState, JobState, Progress
from dispatcher.core.outcome import JobOutcome, Snoozed, Succeeded
from dispatcher.ports.records import (
    Added,
    ApplyResult,
    ClaimedDeliveries,
    ClaimedJobs,
    DeliveryTerms,
    Idempotency,
    Replayed,
)
from dispatcher.ports.runner import RunReport
from tests.engine.conftest import Stages
from tests.engine.stage import ScriptedRunner, Stage, Steady, a_submission


def told(stage: Stage) -> list[tuple[str, str]]:
    """What the store's trouble was told as, in order."""
    return [
        (type(fact).__name__, fact.during)
        for fact in stage.observer.facts
        if isinstance(fact, StoreFailed | StoreRecovered)
    ]


# --- The store fails ---------------------------------------------------------------------------


@pytest.mark.parametrize("error", [StoreUnavailable("disk full"), StoreCorrupt("damaged")])
async def test_an_end_is_written_once_the_store_works_again(
    stages: Stages, error: Exception
) -> None:
    stage = await stages.start()
    stage.faults.fail("apply", times=4, error=error)
    job = await stage.submit()
    await stage.passes_until(stage.seen(DeliveryAttemptEnded))
    assert (await stage.job(job)).state is JobState.SUCCEEDED
    assert len(stage.runner.begun) == 1
    assert len(stage.sender.sent) == 1
    assert told(stage) == [("StoreFailed", "FinishJob"), ("StoreRecovered", "FinishJob")]


@pytest.mark.parametrize("drawn", [0.0, 0.5])
async def test_the_store_is_asked_less_and_less_often_and_not_by_all_at_once(
    stages: Stages, drawn: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Steady, "unit", lambda _: drawn)
    stage = await stages.start(poll_seconds=1e6, sweep_seconds=1e6)
    stage.faults.fail("apply", times=8)
    await stage.submit()
    waits: list[float] = []
    for count in range(1, 9):
        await stage.faults.until_called("apply", count)
        await stage.turns()
        wait = stage.timers.next_in
        assert wait is not None
        waits.append(wait)
        stage.advance(wait)
    longest = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0)
    assert waits == pytest.approx([each * (1.0 - drawn / 2) for each in longest], abs=0.001)
    await stage.seen(DeliveryAttemptEnded)


async def test_an_attempt_to_deliver_is_recorded_once_the_store_works_again(
    stages: Stages,
) -> None:
    stage = await stages.start()
    door = stage.sender.hang()
    job = await stage.submit()
    await stage.sender.until(1)
    stage.faults.fail("apply", times=3)
    door.set()
    await stage.passes_until(stage.seen(DeliveryAttemptEnded))
    assert (await stage.delivery(job)).state is DeliveryState.DELIVERED
    assert len(stage.sender.sent) == 1
    assert told(stage) == [
        ("StoreFailed", "RecordAttempt"),
        ("StoreRecovered", "RecordAttempt"),
    ]


@pytest.mark.parametrize("verb", ["claim_jobs", "claim_deliveries"])
async def test_claims_go_on_once_the_store_works_again(stages: Stages, verb: str) -> None:
    stage = await stages.start()
    stage.faults.fail(verb, times=4)
    job = await stage.submit(run_at=stage.clock.now() + 1_000)
    stage.engine.deliveries.loop.wake()
    await stage.passes_until(stage.seen(DeliveryAttemptEnded))
    await stage.passes_until(stage.seen(StoreRecovered))
    assert (await stage.delivery(job)).state is DeliveryState.DELIVERED
    name = {"claim_jobs": "jobs", "claim_deliveries": "deliveries"}[verb]
    assert told(stage) == [("StoreFailed", name), ("StoreRecovered", name)]
    await stage.rest()
    assert stage.engine.jobs.slots.used == 0
    assert stage.engine.deliveries.slots.used == 0


@pytest.mark.parametrize(
    ("verb", "name"), [("sweep", "sweep"), ("prune", "prune"), ("held_jobs", "held")]
)
async def test_the_sweep_goes_on_once_the_store_works_again(
    stages: Stages, verb: str, name: str
) -> None:
    go = asyncio.Event()

    async def handler(leased: LeasedJob, report: RunReport) -> JobOutcome:
        await go.wait()
        return Succeeded(b"1")

    stage = await stages.start(ScriptedRunner(handler))
    await stage.submit()
    stage.faults.fail(verb, times=2)
    await stage.passes_until(stage.seen(StoreRecovered))
    assert told(stage) == [("StoreFailed", name), ("StoreRecovered", name)]
    go.set()
    await stage.seen(JobEnded)


@pytest.mark.parametrize("verb", ["claim_jobs", "claim_deliveries"])
async def test_a_store_that_promises_more_than_it_has_is_not_asked_without_end(
    stages: Stages, verb: str
) -> None:
    """`next_at` is a lower bound: a claim may find nothing although something should be ready."""
    stage = await stages.start()
    at_once = {
        "claim_jobs": ClaimedJobs((), stage.clock.now()),
        "claim_deliveries": ClaimedDeliveries((), stage.clock.now()),
    }[verb]
    calls: list[int] = []

    async def promises(*_: object) -> object:
        calls.append(stage.clock.now())
        return at_once

    setattr(stage.faults.real, verb, promises)
    stage.engine.jobs.loop.wake()
    stage.engine.deliveries.loop.wake()
    await stage.turns()
    assert len(calls) == 1
    stage.advance(0.02)
    await stage.turns()
    assert len(calls) == 2


# --- Answers get lost --------------------------------------------------------------------------


async def test_an_end_whose_answer_was_lost_is_known_as_written(stages: Stages) -> None:
    stage = await stages.start()
    stage.faults.lose_answer("apply", times=2)
    job = await stage.submit()
    await stage.passes_until(stage.seen(JobAttemptEnded))
    (attempt,) = stage.observer.all(JobAttemptEnded)
    assert (attempt.to, attempt.stale) == (JobState.SUCCEEDED, False)
    # Its callback was handed off in the lost answer: it comes when that lease has ended.
    stage.advance(30.0)
    (sent,) = await stage.seen(DeliveryAttemptEnded)
    assert sent.to is DeliveryState.DELIVERED
    assert len(stage.sender.sent) == 1
    assert len(await stage.deliveries(job)) == 1
    await stage.rest()
    assert stage.engine.deliveries.slots.used == 0


async def test_a_recorded_attempt_whose_answer_was_lost_is_not_made_again(
    stages: Stages,
) -> None:
    stage = await stages.start()
    door = stage.sender.hang()
    job = await stage.submit()
    await stage.sender.until(1)
    stage.faults.lose_answer("apply", times=2)
    door.set()
    await stage.passes_until(stage.seen(DeliveryAttemptEnded))
    stage.advance(60.0)
    await stage.rest()
    assert len(stage.sender.sent) == 1
    delivery = await stage.delivery(job)
    assert (delivery.state, delivery.attempt_count) == (DeliveryState.DELIVERED, 1)


async def test_a_hand_off_whose_answer_was_lost_is_run_all_the_same(stages: Stages) -> None:
    stage = await stages.start()
    stage.faults.lose_answer("add_jobs")
    key = Idempotency("key", b"digest", stage.clock.now() + 86_400_000)
    with pytest.raises(StoreUnavailable):
        await stage.engine.accept.submit(stage.caller, a_submission(), key)
    (ended,) = await stage.seen(JobEnded)  # though this process, which holds it, lives on
    assert ended.to is JobState.SUCCEEDED
    again = await stage.engine.accept.submit(stage.caller, a_submission(), key)
    assert isinstance(again, Replayed)
    assert again.job.id == ended.job.id
    assert (await stage.job(again.job)).attempt_count == 1
    assert len(stage.runner.begun) == 1
    await stage.rest()
    assert stage.engine.jobs.slots.used == 0


async def test_no_more_is_doubted_than_there_are_slots(stages: Stages) -> None:
    """Each doubt is asked about again and again: without a bound they would add up for hours."""
    stage = await stages.start(jobs_at_once=4)
    stage.faults.fail("add_jobs", times=20)
    stage.faults.fail("apply", times=1_000)
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            await stage.submit()
    assert stage.engine.jobs.slots.used == 4
    assert len(stage.engine.jobs._doubts) == 4
    await stage.turns()
    stage.faults.heal()
    await stage.passes_until(stage.faults.until_called("apply", 8))
    await stage.rest()
    assert stage.engine.jobs.slots.used == 0
    await stage.submit()
    await stage.seen(JobEnded)


async def test_a_submission_that_was_refused_leaves_nothing_to_doubt(stages: Stages) -> None:
    stage = await stages.start()
    stage.faults.fail("add_jobs")
    with pytest.raises(StoreUnavailable):
        await stage.submit()
    await stage.rest()
    assert stage.runner.begun == []
    assert stage.observer.all(JobEnded) == []


# --- Defects -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "name"),
    [("claim_jobs", "jobs"), ("claim_deliveries", "deliveries"), ("sweep", "sweep")],
)
async def test_a_loop_that_met_a_defect_is_started_again(
    stages: Stages, verb: str, name: str
) -> None:
    stage = await stages.start()
    stage.faults.fail(verb, error=ZeroDivisionError("ours"))
    stage.engine.jobs.loop.wake()
    stage.engine.deliveries.loop.wake()
    await stage.passes_until(stage.seen(LoopFailed))
    (failed,) = stage.observer.all(LoopFailed)
    assert (failed.loop, failed.detail) == (name, "ZeroDivisionError: ours")
    assert "ZeroDivisionError" in failed.trace_back
    stage.advance(1.0)
    await stage.submit(run_at=stage.clock.now() + 1_000)
    await stage.passes_until(stage.seen(DeliveryAttemptEnded))


async def test_one_that_cannot_be_settled_keeps_up_no_other(stages: Stages) -> None:
    stage = await stages.start()
    start_by = stage.clock.now() + 1_000
    jobs = [await stage.submit(kind="elsewhere", start_by=start_by) for _ in range(3)]
    stage.clock.advance(1.0)
    stage.faults.fail("apply", error=ZeroDivisionError("ours"))
    await stage.engine.sweep.once()
    assert [(await stage.job(job)).state for job in jobs] == [JobState.EXPIRED] * 3
    (told,) = stage.observer.all(LoopFailed)
    assert jobs[0].id in told.loop
    await stage.seen(DeliveryAttemptEnded, count=3)


async def test_an_engine_that_cannot_start_leaves_no_heart_behind(stages: Stages) -> None:
    stage = await stages.make().open()
    stage.faults.fail("end_other_leases")
    with pytest.raises(StoreUnavailable):
        await stage.engine.start(alone=True)
    assert not [thread for thread in threading.enumerate() if "heart" in thread.name]


async def raising(leased: LeasedJob, report: RunReport) -> JobOutcome:
    raise ZeroDivisionError("a runner never raises")


async def test_a_runner_that_raises_costs_an_attempt_and_no_more(stages: Stages) -> None:
    stage = await stages.start(ScriptedRunner(raising))
    job = await stage.submit(max_attempts=1)
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.FAILED
    error = (await stage.job(job)).error
    assert error is not None
    assert error.code == "internal-error"
    assert "never raises" not in error.detail  # it may hold what is not the caller's
    (failed,) = stage.observer.all(LoopFailed)
    assert "a runner never raises" in failed.detail
    await stage.rest()
    assert stage.engine.jobs.slots.used == 0


async def test_a_senseless_snooze_does_not_keep_the_job(stages: Stages) -> None:
    async def handler(leased: LeasedJob, report: RunReport) -> JobOutcome:
        return Snoozed(math.nan) if len(stage.runner.begun) == 1 else Succeeded(b"1")

    stage = await stages.start(ScriptedRunner(handler))
    await stage.submit()
    await stage.passes_until(stage.seen(JobEnded))


async def test_an_end_that_the_store_refuses_ends_the_attempt_otherwise(
    stages: Stages,
) -> None:
    """One bad item fails alone; the job must not hang for it."""

    async def too_much(leased: LeasedJob, report: RunReport) -> JobOutcome:
        report.progress(Progress(1))
        return Succeeded(b"1")

    stage = await stages.start(ScriptedRunner(too_much))
    apply = stage.faults.real.apply

    async def refuses(
        changes: Sequence[Change | Audited], terms: DeliveryTerms
    ) -> list[ApplyResult | Exception]:
        if isinstance(changes[0], FinishJob) and changes[0].progress is not None:
            return [OverflowError("an integer out of range")]
        return await apply(changes, terms)

    stage.faults.real.apply = refuses  # type: ignore[method-assign]  # it refuses one
    job = await stage.submit(max_attempts=1)
    (ended,) = await stage.seen(JobEnded)
    assert ended.to is JobState.FAILED
    assert (await stage.job(job)).state is JobState.FAILED
    (failed,) = stage.observer.all(LoopFailed)
    assert "out of range" in failed.detail
    await stage.seen(DeliveryAttemptEnded)


async def test_many_troubles_at_once_lose_no_job(stages: Stages) -> None:
    stage = await stages.start(jobs_at_once=8, deliveries_at_once=8)
    for verb in ("apply", "claim_jobs", "claim_deliveries", "sealed_secrets", "sweep"):
        stage.faults.fail(verb, times=10)

    async def submit() -> str:
        while True:
            try:
                added = await stage.engine.accept.submit(stage.caller, a_submission())
            except StoreUnavailable:
                continue
            assert isinstance(added, Added)
            return added.job.id

    stage.faults.lose_answer("apply", times=10)
    stage.faults.fail("add_jobs", times=10)
    ids = await asyncio.gather(*(submit() for _ in range(100)))
    await stage.passes_until(stage.seen(DeliveryAttemptEnded, count=100))
    ended = {fact.job.id for fact in stage.observer.all(JobEnded)}
    assert ended == set(ids)
    delivered = [
        fact.job_id
        for fact in stage.observer.all(DeliveryAttemptEnded)
        if fact.to is DeliveryState.DELIVERED
    ]
    assert set(delivered) == set(ids)
    await stage.rest()
    assert stage.engine.jobs.slots.used == 0
    assert stage.engine.deliveries.slots.used == 0
