"""Bulk operations: of many things each once, whatever comes in between."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dispatcher.core.bulk import BulkKind
from dispatcher.core.facts import (
    CancelAsked,
    DeliveryAttemptEnded,
    JobAttemptEnded,
    JobEnded,
    Redelivered,
    StoreFailed,
)
from dispatcher.core.limits import Limits
from dispatcher.core.model import DeliveryState, Job, JobState, Progress
from dispatcher.core.outcome import Failed
from dispatcher.core.retry import Schedule
from dispatcher.engine import bulk, picking
from dispatcher.ports.records import RemoteTerms
from tests.engine.bulk_stage import (
    BEN,
    OTHER_URL,
    BulkStage,
    dead,
    ended,
    failing,
    order,
    order_at_once,
    result_of,
)
from tests.engine.conftest import Stages
from tests.engine.handlers import Hanging
from tests.engine.stage import URL, Stage, a_callback

ONCE = Schedule((0.0,))


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "STEP_ITEMS", 2)
    monkeypatch.setattr(picking, "COUNT_ITEMS", 3)


async def rounds(stage: Stage, jobs: list[Job]) -> list[int]:
    return [(await stage.delivery(job)).round for job in jobs]


# --- dispatcher.redeliver ----------------------------------------------------------------------


async def test_each_dead_one_of_its_caller_is_redelivered_once(stages: Stages) -> None:
    stage = await BulkStage(stages).start()
    mine = await dead(stage, 5, schedule=ONCE)
    bens = await dead(stage, 1, schedule=ONCE, caller=BEN)
    await stage.submit()
    job = await order(stage, BulkKind.REDELIVER)
    assert await result_of(stage, job) == {
        "matched": 5,
        "redelivered": 5,
        "skipped": 0,
        "dryRun": False,
    }
    told = await stage.seen(Redelivered, count=5)
    assert {fact.delivery.job_id for fact in told} == {each.id for each in mine}
    for each in mine:
        await stage.seen(
            DeliveryAttemptEnded,
            lambda fact, id_=each.id: fact.job_id == id_,  # type: ignore[misc]  # bound now
            count=2,
        )
        assert (await stage.delivery(each)).state is DeliveryState.DELIVERED
    assert await rounds(stage, [*mine, *bens]) == [2, 2, 2, 2, 2, 1]
    assert (await stage.job(job)).progress == Progress(5, 5)


async def test_those_that_are_meant_and_no_others(stages: Stages) -> None:
    stage = await BulkStage(stages).start()
    (old,) = await dead(stage, 1, schedule=ONCE)
    stage.advance(1)
    (new,) = await dead(stage, 1, schedule=ONCE)
    (elsewhere,) = await dead(stage, 1, URL, schedule=ONCE)
    since = (await stage.delivery(old)).created_at
    text = f"2026-01-31T12:00:00.{since % 1000:03d}Z"
    job = await order(
        stage, BulkKind.REDELIVER, url=OTHER_URL, createdAfter=text, eventType="job.succeeded"
    )
    assert (await result_of(stage, job))["matched"] == 1
    assert await rounds(stage, [old, new, elsewhere]) == [1, 2, 1]
    await stage.seen(DeliveryAttemptEnded, lambda fact: fact.attempt == 2)
    job = await order(stage, BulkKind.REDELIVER, status="delivered", url=OTHER_URL)
    assert (await result_of(stage, job))["redelivered"] == 1
    assert await rounds(stage, [old, new, elsewhere]) == [1, 3, 1]


async def test_a_dry_run_counts_and_changes_nothing(stages: Stages) -> None:
    stage = await BulkStage(stages).start()
    jobs = await dead(stage, 5, schedule=ONCE)
    job = await order(stage, BulkKind.REDELIVER, dryRun=True)
    assert await result_of(stage, job) == {
        "matched": 5,
        "redelivered": 0,
        "skipped": 0,
        "dryRun": True,
    }
    assert await rounds(stage, jobs) == [1] * 5


async def test_what_is_made_later_is_left_out(stages: Stages) -> None:
    """Even if it is asked for: else what dies again would be sent again without end."""
    stage = await BulkStage(stages).start()
    await dead(stage, 1, schedule=ONCE)
    gate = stage.faults.hold("bulk_state")
    job = await order(stage, BulkKind.REDELIVER, createdBefore="2099-01-01T00:00:00Z")
    await gate.reached()
    (late,) = await dead(stage, 1, URL, schedule=ONCE)
    gate.open()
    assert (await result_of(stage, job))["matched"] == 1
    assert await rounds(stage, [late]) == [1]


async def test_an_operator_names_whose_things_they_are(stages: Stages) -> None:
    stage = await BulkStage(stages).start()
    mine = await dead(stage, 1, schedule=ONCE)
    bens = await dead(stage, 2, URL, schedule=ONCE, caller=BEN)
    job = await order(stage, BulkKind.REDELIVER, callerId=BEN.id)
    assert (await result_of(stage, job))["redelivered"] == 2
    assert await rounds(stage, [*mine, *bens]) == [1, 2, 2]


# --- dispatcher.cancel -------------------------------------------------------------------------


async def test_what_waits_is_canceled_and_what_runs_is_stopped(stages: Stages) -> None:
    hanging = Hanging()
    stage = await BulkStage(stages, hanging).start()
    running = await stage.submit()
    await hanging.begun.wait()
    later = stage.clock.now() + 60_000
    waiting = [await stage.submit(run_at=later) for _ in range(4)]
    built_in = await stage.submit(kind="dispatcher.echo", run_at=later)
    bens = await stage.submit(run_at=later, caller=BEN)
    job = await order(stage, BulkKind.CANCEL)
    assert await result_of(stage, job) == {
        "matched": 5,
        "canceled": 5,
        "skipped": 0,
        "dryRun": False,
    }
    ended = await stage.seen(JobEnded, lambda fact: fact.to is JobState.CANCELED, count=5)
    assert {fact.job.id for fact in ended} == {running.id, *(each.id for each in waiting)}
    (asked,) = stage.observer.all(CancelAsked)
    assert asked.job.id == running.id
    for each in (built_in, bens):
        assert (await stage.job(each)).state is JobState.WAITING
    await stage.seen(DeliveryAttemptEnded, lambda f: f.event_type == "job.canceled", count=5)


async def test_jobs_of_one_type_queue_and_status(stages: Stages) -> None:
    stage = await BulkStage(stages).start()
    later = stage.clock.now() + 60_000
    meant = await stage.submit(run_at=later, queue="flood")
    other = await stage.submit(run_at=later)
    others: list[dict[str, Any]] = [{"queue": "x"}, {"type": "x"}, {"status": "queued"}]
    for asked in others:
        job = await order(stage, BulkKind.CANCEL, **asked)
        assert (await result_of(stage, job))["matched"] == 0
    job = await order(stage, BulkKind.CANCEL, queue="flood", type="work", status="scheduled")
    assert (await result_of(stage, job))["canceled"] == 1
    assert (await stage.job(meant)).state is JobState.CANCELED
    assert (await stage.job(other)).state is JobState.WAITING


async def test_what_came_before_it_is_meant_even_in_the_same_millisecond(stages: Stages) -> None:
    stage = await BulkStage(stages).start()
    later = stage.clock.now() + 60_000
    meant = [await stage.submit(run_at=later) for _ in range(3)]
    gate = stage.faults.hold("bulk_state")
    job = await order_at_once(stage, BulkKind.CANCEL)
    await gate.reached()
    late = await stage.submit(run_at=later)
    gate.open()
    assert (await result_of(stage, job))["canceled"] == 3
    assert {(await stage.job(each)).state for each in meant} == {JobState.CANCELED}
    assert (await stage.job(late)).state is JobState.WAITING
    at = f"2026-01-31T12:00:00.{late.created_at % 1000:03d}Z"
    job = await order(stage, BulkKind.CANCEL, createdBefore=at)
    assert (await result_of(stage, job))["matched"] == 0


# --- dispatcher.replay -------------------------------------------------------------------------


async def test_each_that_failed_is_submitted_once_more(stages: Stages) -> None:
    """Those that it makes fail too, and are not replayed by it again."""
    here = BulkStage(stages, failing)
    stage = await here.start()
    failed = await ended(stage, 5, correlation_id="c-1")
    here.unfit.add("3")
    job = await order(stage, BulkKind.REPLAY, createdBefore="2099-01-01T00:00:00Z")
    assert await result_of(stage, job) == {
        "matched": 5,
        "replayed": 4,
        "skipped": 1,
        "dryRun": False,
    }
    facts = await stage.seen(JobEnded, lambda fact: fact.job.replay_of is not None, count=4)
    fit = failed[:3] + failed[4:]
    assert sorted(str(fact.job.replay_of) for fact in facts) == sorted(each.id for each in fit)
    assert {fact.job.correlation_id for fact in facts} == {"c-1"}
    await stage.rest()
    assert len(stage.runner.begun) == 9
    inputs = [each.input for each in stage.runner.begun[5:]]
    assert sorted(inputs) == [b"0", b"1", b"2", b"4"]


async def test_a_replay_wakes_remote_workers_who_wait(stages: Stages) -> None:
    stage = await BulkStage(stages, remote=("audio",)).start()
    job = await stage.submit(kind="audio")
    terms = RemoteTerms(stage.caller.id, 30.0)
    (leased,) = await stage.engine.remote.lease(["audio"], 1, terms)
    await stage.engine.remote.fail(leased.lease, stage.caller.id, Failed("no", "said the test"))
    waiting = asyncio.create_task(
        stage.engine.remote.lease(["audio"], 1, terms, wait_seconds=3_600)
    )
    await order(stage, BulkKind.REPLAY)
    async with asyncio.timeout(60):  # the clock stands still: no look in between helps it
        (again,) = await waiting
    assert again.job.replay_of == job.id


async def test_replays_wait_until_there_is_room_for_them(stages: Stages) -> None:
    here = BulkStage(stages, failing, limits=Limits(jobs_waiting=3))
    stage = await here.start()
    failed = await ended(stage, 5)
    for _ in range(2):
        await stage.submit(run_at=stage.clock.now() + 864_000_000)
    job = await order(stage, BulkKind.REPLAY)
    result = await stage.passes_until(result_of(stage, job))
    assert (result["matched"], result["replayed"]) == (5, 5)
    replays = await stage.seen(JobEnded, lambda fact: fact.job.replay_of is not None, count=5)
    assert {fact.job.replay_of for fact in replays} == {each.id for each in failed}


async def test_a_replay_for_which_there_will_never_be_room_holds_up_no_others(
    stages: Stages,
) -> None:
    """The first of it ran at once: it never had to wait, and was not too large for that."""
    here = BulkStage(stages, failing, limits=Limits(bytes_waiting=10))
    stage = await here.start()
    fit = await ended(stage, 1)
    large = await stage.submit(b'"%s"' % (20 * b"x"), callback=a_callback(OTHER_URL))
    await stage.seen(JobEnded, lambda fact: fact.job.id == large.id)
    fit += await ended(stage, 2)
    job = await order(stage, BulkKind.REPLAY)
    result = await stage.passes_until(result_of(stage, job))
    assert (result["matched"], result["replayed"], result["skipped"]) == (4, 3, 1)
    replays = await stage.seen(JobEnded, lambda fact: fact.job.replay_of is not None, count=3)
    assert {fact.job.replay_of for fact in replays} == {each.id for each in fit}


# --- what comes in between ---------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["advance_bulk", "select_deliveries", "bulk_state"])
async def test_a_store_that_fails_or_loses_answers_makes_no_second_round(
    stages: Stages, verb: str
) -> None:
    stage = await BulkStage(stages).start()
    jobs = await dead(stage, 5, schedule=ONCE)
    stage.faults.fail(verb)
    stage.faults.lose_answer(verb, 2)
    job = await order(stage, BulkKind.REDELIVER)
    result = await stage.passes_until(result_of(stage, job))
    assert (result["matched"], result["redelivered"]) == (5, 5)
    assert await rounds(stage, jobs) == [2] * 5
    assert len([fact for fact in stage.observer.all(StoreFailed) if fact.during == "bulk"]) == 1


async def test_canceled_in_the_middle_it_begins_nothing_more(stages: Stages) -> None:
    stage = await BulkStage(stages).start()
    jobs = await dead(stage, 5, schedule=ONCE)
    gate = stage.faults.hold("advance_bulk")
    job = await order(stage, BulkKind.REDELIVER)
    await gate.reached()
    canceling = asyncio.ensure_future(stage.engine.cancel.cancel(job.id, None))
    await canceling
    gate.open()
    (fact,) = await stage.seen(JobEnded, lambda fact: fact.job.id == job.id)
    assert fact.to is JobState.CANCELED
    assert await rounds(stage, jobs) == [2, 2, 1, 1, 1]
    state = await stage.store.bulk_state(job.id)
    assert (state.matched, state.changed) == (2, 2)
    # The step that had begun was seen through: what it redelivered is sent.
    await stage.seen(DeliveryAttemptEnded, lambda fact: fact.attempt == 2, count=2)


async def test_a_shutdown_gives_it_back_and_the_next_start_goes_on(stages: Stages) -> None:
    stage = await BulkStage(stages, grace_seconds=5.0).start()
    jobs = await dead(stage, 5, schedule=ONCE)
    gate = stage.faults.hold("advance_bulk")
    job = await order(stage, BulkKind.REDELIVER)
    await gate.reached()
    stopping = asyncio.ensure_future(stage.engine.stop())
    await stage.turns()
    gate.open()
    await stopping
    (fact,) = stage.observer.all(JobAttemptEnded)[-1:]
    assert (fact.outcome, fact.to) == ("GivenBack", JobState.WAITING)
    assert await rounds(stage, jobs) == [2, 2, 1, 1, 1]
    stage.started = False

    after = await BulkStage(stages, beside=stage).start()
    assert (await result_of(after, job))["redelivered"] == 5
    assert (await after.job(job)).attempt_count == 1
    assert await rounds(after, jobs) == [2] * 5
    assert (await after.job(job)).progress == Progress(5, 5)
