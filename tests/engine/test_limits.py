"""What callers may use: refused over it, and nothing is changed by what is refused."""

from __future__ import annotations

import asyncio
import json

import pytest
from msgspec.structs import replace

from dispatcher.core.errors import OverQuota, QueueFull
from dispatcher.core.facts import DeliveryAttemptEnded, JobEnded, SubmissionRefused
from dispatcher.core.limits import Limits
from dispatcher.core.model import Caller, DeliveryState
from dispatcher.core.quotas import CallerLimits, CallerTerms
from dispatcher.core.ratelimit import Rate
from dispatcher.core.retry import Schedule
from dispatcher.engine.rates import Rates
from dispatcher.ports.records import Added, Idempotency, Replayed
from dispatcher.ports.views import JobFilter
from dispatcher.testing.clock import ManualClock
from dispatcher.testing.observer import RecordingObserver
from tests.engine.conftest import Stages
from tests.engine.handlers import Hanging
from tests.engine.stage import FAILS, OK, URL, ScriptedRunner, Stage, a_callback, a_submission


def with_limits(stage: Stage, **limits: int) -> Caller:
    return replace(stage.caller, terms=CallerTerms(limits=CallerLimits(**limits)))  # type: ignore[arg-type]  # numbers alone


async def job_count(stage: Stage) -> int:
    page = await stage.store.list_jobs(JobFilter(), limit=100, before=None)
    return len(page.items)


async def busy(stages: Stages, **options: object) -> tuple[Stage, Hanging]:
    """A stage whose only place is taken by a job that hangs: what comes now waits."""
    hanging = Hanging()
    stage = await stages.start(ScriptedRunner(hanging), jobs_at_once=1, **options)
    await stage.submit()
    await hanging.begun.wait()
    return stage, hanging


async def test_no_more_of_a_caller_waits_than_may(stages: Stages) -> None:
    stage, hanging = await busy(stages)
    ann = with_limits(stage, jobs_waiting=2)
    for _ in range(2):
        await stage.submit(caller=ann)
    with pytest.raises(OverQuota) as refused:
        await stage.submit(caller=ann)
    assert refused.value.limit == "jobs-waiting"
    assert await job_count(stage) == 3
    (fact,) = stage.observer.all(SubmissionRefused)
    assert (fact.caller_id, fact.limit) == (ann.id, "jobs-waiting")
    hanging.go.set()
    await stage.seen(JobEnded, count=3)
    await stage.submit(caller=ann)
    await stage.seen(JobEnded, count=4)
    assert stage.engine.jobs.slots.used == 0


async def test_bytes_that_wait(stages: Stages) -> None:
    stage, _ = await busy(stages)
    ann = with_limits(stage, bytes_waiting=10)
    await stage.submit(b'"1234567"', caller=ann)
    with pytest.raises(OverQuota) as refused:
        await stage.submit(b"12", caller=ann)
    assert refused.value.limit == "bytes-waiting"
    await stage.submit(b"1", caller=ann)


async def test_a_place_that_was_offered_to_what_is_refused_is_free_again(stages: Stages) -> None:
    """It was to be run at once, and found that others of its queue wait; for it there is no room.

    Without the place that is given back nothing would ever be run again here.
    """
    hanging = Hanging()
    stage = await stages.start(ScriptedRunner(hanging), jobs_at_once=2)
    stage.engine.jobs.loop.stop()  # nothing is claimed, so that what waits goes on waiting
    await stage.turns()
    later = await stage.submit(run_at=stage.clock.now() + 1_000)
    stage.clock.advance(1)
    for _ in range(5):
        with pytest.raises(OverQuota):
            await stage.submit(caller=with_limits(stage, jobs_waiting=1))
    assert stage.engine.jobs.slots.used == 0
    assert (await stage.job(later)).state == "waiting"


async def test_what_runs_at_once_needs_no_room(stages: Stages) -> None:
    stage = await stages.start(limits=Limits(jobs_waiting=1, bytes_waiting=1, queue_jobs=1))
    for _ in range(5):
        job = await stage.submit(b'{"more": "than a byte"}')
        await stage.seen(JobEnded, lambda fact, job=job: fact.job.id == job.id)  # type: ignore[misc]  # a job of its own for each


async def test_a_queue_is_full_for_all_callers(stages: Stages) -> None:
    stage, _ = await busy(stages, limits=Limits(queue_jobs=1))
    await stage.submit()
    ben = Caller("clr_00000000000070008000000000000be1", "ben", 0)
    for caller in (stage.caller, ben):
        with pytest.raises(QueueFull, match="default"):
            await stage.submit(caller=caller)
    await stage.submit(queue="other")
    assert [fact.limit for fact in stage.observer.all(SubmissionRefused)] == ["queue"] * 2


async def test_what_is_set_for_a_caller_comes_before_the_default(stages: Stages) -> None:
    stage, _ = await busy(stages, limits=Limits(jobs_waiting=1))
    await stage.submit()
    with pytest.raises(OverQuota):
        await stage.submit()
    await stage.submit(caller=with_limits(stage, jobs_waiting=2))


async def test_the_same_key_again_is_not_refused(stages: Stages) -> None:
    stage, _ = await busy(stages)
    ann = with_limits(stage, jobs_waiting=1)
    key = Idempotency("k", b"d" * 32, stage.clock.now() + 60_000)
    first = await stage.engine.accept.submit(ann, a_submission(), key)
    assert isinstance(first, Added)
    with pytest.raises(OverQuota):
        await stage.engine.accept.submit(ann, a_submission())
    again = await stage.engine.accept.submit(ann, a_submission(), key)
    assert isinstance(again, Replayed)
    assert again.job.id == first.job.id


async def test_a_refused_key_is_not_remembered(stages: Stages) -> None:
    stage, _ = await busy(stages)
    ann = with_limits(stage, jobs_waiting=1)
    await stage.submit(caller=ann)
    key = Idempotency("k", b"d" * 32, stage.clock.now() + 60_000)
    with pytest.raises(OverQuota):
        await stage.engine.accept.submit(ann, a_submission(), key)
    added = await stage.engine.accept.submit(stage.caller, a_submission(), key)
    assert isinstance(added, Added)


async def test_a_flood_at_once_leaves_as_many_as_may_wait(stages: Stages) -> None:
    stage, hanging = await busy(stages)
    ann = with_limits(stage, jobs_waiting=10)
    answers = await asyncio.gather(
        *(stage.submit(caller=ann) for _ in range(50)), return_exceptions=True
    )
    assert sum(isinstance(each, OverQuota) for each in answers) == 40
    assert await job_count(stage) == 11
    hanging.go.set()
    await stage.seen(JobEnded, count=11)


# --- Rates -------------------------------------------------------------------------------------


async def test_each_caller_has_a_bucket_of_its_own() -> None:
    clock, observer = ManualClock(), RecordingObserver()
    rates = Rates(CallerLimits(rate=Rate(2, 10)), clock, observer)
    ann, ben = Caller("clr_a", "ann", 0), Caller("clr_b", "ben", 0)
    free = Caller("clr_c", "cid", 0, CallerTerms(limits=CallerLimits(rate=Rate(100, 1))))
    taken = [await rates.take(caller) for caller in (ann, ann, ann, ben, free)]
    assert [each is not None and each.taken for each in taken] == [True, True, False, True, True]
    assert [(fact.caller_id, fact.limit) for fact in observer.all(SubmissionRefused)] == [
        ("clr_a", "rate")
    ]
    clock.advance(5)
    again = await rates.take(ann)
    assert again is not None
    assert again.taken


async def test_without_a_rate_nothing_is_kept() -> None:
    rates = Rates(CallerLimits(), ManualClock(), RecordingObserver())
    assert await rates.take(Caller("clr_a", "ann", 0)) is None
    assert not rates._buckets


async def test_buckets_that_are_full_are_forgotten() -> None:
    clock = ManualClock()
    rates = Rates(CallerLimits(rate=Rate(2, 10)), clock, RecordingObserver())
    for number in range(100):
        await rates.take(Caller(f"clr_{number}", "x", 0))
    assert len(rates._buckets) == 100
    clock.advance(10)
    await rates.take(Caller("clr_new", "x", 0))
    assert list(rates._buckets) == ["clr_new"]


# --- A caller's own schedule -------------------------------------------------------------------


def with_schedule(stage: Stage, *seconds: float) -> Caller:
    return replace(stage.caller, terms=CallerTerms(schedule=Schedule(seconds)))


async def test_a_caller_s_schedule_is_in_force_for_jobs_that_name_none(stages: Stages) -> None:
    stage = await stages.start()
    stage.sender.answers[URL] = [FAILS, FAILS]
    job = await stage.submit(caller=with_schedule(stage, 1, 7))
    await stage.seen(JobEnded)
    waiting = await stage.delivery(job)
    assert waiting.due_at == stage.clock.now() + 1_000
    stage.advance(1)
    await stage.seen(DeliveryAttemptEnded, count=1)
    assert (await stage.delivery(job)).due_at == stage.clock.now() + 7_000
    stage.advance(7)
    await stage.seen(DeliveryAttemptEnded, count=2)
    assert (await stage.delivery(job)).state is DeliveryState.DEAD


async def test_a_job_s_own_comes_first_and_is_the_only_one_shown(stages: Stages) -> None:
    stage = await stages.start()
    caller = with_schedule(stage, 60, 60)
    named = await stage.submit(caller=caller, callback=a_callback(schedule=Schedule((0.0, 3.0))))
    await stage.sender.until(1)
    bare = await stage.submit(caller=caller)
    await stage.seen(JobEnded, count=2)
    stage.advance(60)
    await stage.sender.until(2)
    first, second = (json.loads(each.body)["data"]["callback"] for each in stage.sender.sent)
    assert first == {"schedule": [0, 3]}
    assert "schedule" not in (second or {})
    assert named.callback is not None
    assert named.callback.caller_schedule is None
    assert bare.callback is not None
    assert bare.callback.schedule is None


async def test_a_change_of_it_leaves_what_was_submitted(stages: Stages) -> None:
    """It stays with the job: the next attempt is when it was to be when the job was submitted."""
    stage = await stages.start()
    stage.sender.answers[URL] = [FAILS, OK]
    job = await stage.submit(caller=with_schedule(stage, 0, 30))
    await stage.seen(DeliveryAttemptEnded)
    await stage.store.set_terms(
        stage.caller.id, CallerTerms(), CallerTerms(schedule=Schedule((0.0, 1.0)))
    )
    assert (await stage.delivery(job)).due_at == stage.clock.now() + 30_000
