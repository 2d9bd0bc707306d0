"""Delivering: the schedule, what receivers answer, and receivers that hurt nobody else."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from dispatcher.core.changes import LeasedJob
from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.facts import (
    DeliveryAttemptEnded,
    JobEnded,
    LoopFailed,
    StoreFailed,
)
from dispatcher.core.model import Caller, DeliveryState, EventType
from dispatcher.core.outcome import Answered, JobOutcome, NotAllowed, NotSent, Succeeded
from dispatcher.core.retry import DEFAULT_SCHEDULE, Schedule
from dispatcher.core.signature import verify
from dispatcher.ports.runner import RunReport
from dispatcher.ports.sender import Callout
from tests.engine.conftest import Stages
from tests.engine.stage import FAILS, OK, SECRET, URL, ScriptedRunner, a_callback

PENDING, DELIVERED, DEAD = DeliveryState.PENDING, DeliveryState.DELIVERED, DeliveryState.DEAD


def webhook_id(callout: Callout) -> str:
    return dict(callout.headers)["webhook-id"]


async def test_it_is_tried_by_the_schedule_until_it_lands(stages: Stages) -> None:
    stage = await stages.start()
    stage.sender.answers[URL] = [FAILS, NotSent(code="timeout", detail="slow", duration_ms=15), OK]
    job = await stage.submit()
    for number, wait in ((1, 5.0), (2, 300.0)):
        await stage.seen(DeliveryAttemptEnded, count=number)
        delivery = await stage.delivery(job)
        assert (delivery.state, delivery.attempt_count) == (PENDING, number)
        stage.advance(wait - 0.001)
        await stage.rest()
        assert len(stage.sender.sent) == number
        stage.advance(0.001)
    facts = await stage.seen(DeliveryAttemptEnded, count=3)
    assert [(fact.attempt, fact.to) for fact in facts] == [
        (1, PENDING),
        (2, PENDING),
        (3, DELIVERED),
    ]
    assert [fact.error_code for fact in facts] == ["status", "timeout", None]
    assert facts[2].next_at is None
    assert {webhook_id(callout) for callout in stage.sender.sent} == {facts[0].event_id}
    assert len({callout.body for callout in stage.sender.sent}) == 1
    assert {callout.caller_id for callout in stage.sender.sent} == {facts[0].caller_id}
    attempts = [dict(callout.headers)["callback-attempt"] for callout in stage.sender.sent]
    assert attempts == ["1", "2", "3"]
    (record,) = await stage.deliveries(job)
    assert [attempt.status_code for attempt in record.attempts] == [500, None, 200]
    assert [attempt.number for attempt in record.attempts] == [1, 2, 3]


async def test_after_the_last_entry_it_is_dead(stages: Stages) -> None:
    stage = await stages.start()
    stage.sender.answers[URL] = [FAILS, FAILS]
    job = await stage.submit(callback=a_callback(schedule=Schedule((0.0, 0.5))))
    await stage.seen(DeliveryAttemptEnded)
    stage.advance(0.5)
    facts = await stage.seen(DeliveryAttemptEnded, count=2)
    assert [fact.to for fact in facts] == [PENDING, DEAD]
    delivery = await stage.delivery(job)
    assert (delivery.state, delivery.finished_at) == (DEAD, stage.clock.now())
    stage.advance(86_400.0)
    await stage.rest()
    assert len(stage.sender.sent) == 2


async def test_a_schedule_of_three_days_takes_no_time(stages: Stages) -> None:
    began = time.process_time()  # of this process, so that a busy machine does no harm
    stage = await stages.start(schedule=DEFAULT_SCHEDULE)
    stage.sender.answers[URL] = [FAILS for _ in range(10)]
    job = await stage.submit()
    start = stage.clock.now()
    for number, wait in enumerate((*DEFAULT_SCHEDULE.seconds[1:], 0), start=1):
        await stage.seen(DeliveryAttemptEnded, count=number)
        stage.advance(wait)
    facts = stage.observer.all(DeliveryAttemptEnded)
    assert [fact.to for fact in facts] == 9 * [PENDING] + [DEAD]
    assert stage.clock.now() - start == sum(DEFAULT_SCHEDULE.seconds) * 1000
    (record,) = await stage.deliveries(job)
    assert [attempt.at - start for attempt in record.attempts] == [
        sum(DEFAULT_SCHEDULE.seconds[: number + 1]) * 1000 for number in range(10)
    ]
    # The signature of each attempt is of its own time.
    for callout, attempt in zip(stage.sender.sent, record.attempts, strict=True):
        verify([SECRET], dict(callout.headers), callout.body, now=attempt.at)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("own", [True, False])
async def test_the_first_entry_of_a_schedule_is_waited_for(stages: Stages, *, own: bool) -> None:
    late = Schedule((10.0, 20.0))
    stage = await stages.start(**({} if own else {"schedule": late}))
    stage.sender.answers[URL] = [FAILS]
    await stage.submit(callback=a_callback(schedule=late if own else None))
    await stage.seen(JobEnded)
    await stage.rest()
    assert stage.sender.sent == []
    for number, wait in ((1, 10.0), (2, 20.0)):
        stage.advance(wait - 0.001)
        await stage.rest()
        assert len(stage.sender.sent) == number - 1
        stage.advance(0.001)
        await stage.seen(DeliveryAttemptEnded, count=number)


# --- What receivers answer ---------------------------------------------------------------------


async def test_410_ends_it(stages: Stages) -> None:
    stage = await stages.start()
    stage.sender.answers[URL] = [Answered(status_code=410, duration_ms=1, body=b"go away")]
    job = await stage.submit()
    (fact,) = await stage.seen(DeliveryAttemptEnded)
    assert (fact.to, fact.error_code) == (DEAD, "gone")
    (record,) = await stage.deliveries(job)
    assert record.attempts[0].body == b"go away"


async def test_a_refused_address_ends_it_with_the_reason(stages: Stages) -> None:
    stage = await stages.start()
    stage.sender.answers[URL] = [NotAllowed("private", "10.0.0.0/8 is refused")]
    job = await stage.submit()
    (fact,) = await stage.seen(DeliveryAttemptEnded)
    assert (fact.to, fact.error_code, fact.error_detail) == (
        DEAD,
        "private",
        "10.0.0.0/8 is refused",
    )
    assert (await stage.delivery(job)).state is DEAD


async def test_retry_after_moves_the_next_attempt_later(stages: Stages) -> None:
    stage = await stages.start()
    busy = Answered(status_code=503, duration_ms=1, retry_after="60")
    stage.sender.answers[URL] = [busy]
    await stage.submit()
    (fact,) = await stage.seen(DeliveryAttemptEnded)
    assert fact.next_at == stage.clock.now() + 60_000
    stage.advance(59.999)
    await stage.rest()
    assert len(stage.sender.sent) == 1
    stage.advance(0.001)
    await stage.sender.until(2)


# --- Attempts whose outcome nobody recorded ----------------------------------------------------


async def test_an_attempt_nobody_recorded_is_made_again_and_costs_no_entry(stages: Stages) -> None:
    stage = await stages.start(send_seconds=15.0)
    stage.sender.hang()
    job = await stage.submit()
    for count in (1, 2, 3, 4):
        await stage.sender.until(count)
        stage.advance(30.0)  # its lease ends: the deadline and a margin
    unknown = await stage.delivery(job)
    assert (unknown.attempt_count, unknown.entries_used, unknown.unknown_count) == (0, 0, 3)
    assert len(stage.sender.sent) == 4
    # The sweep finds what no claim takes any more, and an entry is used up.
    await stage.sweep()
    counted = await stage.delivery(job)
    assert counted.state is PENDING
    assert (counted.attempt_count, counted.entries_used, counted.unknown_count) == (0, 1, 0)
    assert len({webhook_id(callout) for callout in stage.sender.sent}) == 1


async def test_an_answer_that_comes_after_the_lease_changes_nothing(stages: Stages) -> None:
    stage = await stages.start()
    door = stage.sender.hang()
    job = await stage.submit()
    await stage.sender.until(1)
    stage.advance(30.0)
    await stage.sender.until(2)
    door.set()
    facts = await stage.seen(DeliveryAttemptEnded, count=2)
    assert sorted(fact.stale for fact in facts) == [False, True]
    delivery = await stage.delivery(job)
    assert (delivery.state, delivery.attempt_count) == (DELIVERED, 1)


# --- One bad receiver --------------------------------------------------------------------------


async def test_a_dead_destination_does_not_starve_another(stages: Stages) -> None:
    stage = await stages.start(slots=4, deliveries_at_once=16)
    dead, good = "https://dead.example/hook", "https://good.example/hook"
    stage.sender.hang(dead)
    await asyncio.gather(*(stage.submit(callback=a_callback(dead)) for _ in range(2000)))
    await stage.seen(JobEnded, count=2000)
    await stage.rest()
    assert len(stage.sender.sent) == 4  # no more at once than its slots
    await asyncio.gather(*(stage.submit(callback=a_callback(good)) for _ in range(50)))
    await stage.seen(DeliveryAttemptEnded, count=50)
    assert {fact.url for fact in stage.observer.all(DeliveryAttemptEnded)} == {good}
    stage.sender.closed_doors[dead].set()
    await stage.observer.until(DeliveryAttemptEnded, count=2050, seconds=30)
    assert len(stage.sender.sent) == 2050


async def test_no_more_at_once_than_its_slots(stages: Stages) -> None:
    stage = await stages.start(slots=3)
    door = stage.sender.hang()
    for _ in range(10):
        await stage.submit()
    await stage.seen(JobEnded, count=10)
    await stage.rest()
    assert stage.sender.at_once == 3
    door.set()
    await stage.seen(DeliveryAttemptEnded, count=10)
    assert stage.sender.most_at_once == 3


# --- Secrets -----------------------------------------------------------------------------------


async def test_secrets_are_read_once_in_a_while(stages: Stages) -> None:
    stage = await stages.start(secrets_seconds=5.0)
    await asyncio.gather(*(stage.submit() for _ in range(20)))
    await stage.seen(DeliveryAttemptEnded, count=20)
    assert stage.faults.calls["sealed_secrets"] == 1
    stage.advance(5.001)
    await stage.submit()
    await stage.seen(DeliveryAttemptEnded, count=21)
    assert stage.faults.calls["sealed_secrets"] == 2


async def test_each_caller_signs_with_its_own(stages: Stages) -> None:
    stage = await stages.start()
    ben = Caller("clr_00000000000070008000000000000be1", "ben", stage.clock.now())
    await stage.add_caller(ben, b"another secret, also 32 bytes...")
    await stage.submit(caller=ben)
    (callout,) = await stage.sender.until(1)
    headers = dict(callout.headers)
    own = b"another secret, also 32 bytes..."
    verify([own], headers, callout.body, now=stage.clock.now())


async def test_secrets_that_cannot_be_read_delay_it_and_use_up_nothing(stages: Stages) -> None:
    stage = await stages.start()
    stage.faults.fail("sealed_secrets", error=StoreUnavailable("disk full"))
    job = await stage.submit()
    (failed,) = await stage.seen(StoreFailed)
    assert failed.during.startswith("signing")
    async with asyncio.timeout(10):  # on PostgreSQL it may not be given back by then
        while (waiting := await stage.delivery(job)).state is not PENDING:
            await stage.rest()
    assert (waiting.state, waiting.attempt_count, waiting.entries_used) == (PENDING, 0, 0)
    stage.advance(10.0)
    (fact,) = await stage.seen(DeliveryAttemptEnded)
    assert (fact.to, fact.attempt) == (DELIVERED, 1)


async def test_one_that_is_ready_too_late_for_its_lease_is_not_sent_under_it(
    stages: Stages,
) -> None:
    """Sent late, its lease would end under way, and another be sent beside it."""
    stage = await stages.start()
    gate = stage.faults.hold("sealed_secrets")
    job = await stage.submit()
    await gate.reached()
    stage.clock.advance(8.0)
    gate.open()
    await stage.seen(DeliveryAttemptEnded)
    assert stage.faults.calls["apply"] == 3  # the job's end, given back, recorded
    delivery = await stage.delivery(job)
    assert (delivery.state, delivery.attempt_count) == (DELIVERED, 1)
    assert len(stage.sender.sent) == 1


@pytest.mark.parametrize("verb", ["apply", "claim_deliveries"])
async def test_one_whose_lease_the_store_told_of_late_is_not_sent_under_it(
    stages: Stages, verb: str
) -> None:
    """The lease ran while its answer was under way."""
    stage = await stages.start()
    schedule = Schedule((1.0,)) if verb == "claim_deliveries" else None
    callback = a_callback() if schedule is None else a_callback(schedule=schedule)
    if schedule is None:
        gate = stage.faults.hold(verb)
    job = await stage.submit(callback=callback)
    if schedule is not None:
        await stage.seen(JobEnded)
        await stage.rest()
        gate = stage.faults.hold(verb)
        stage.advance(1.0)
    await gate.reached()
    stage.clock.advance(8.0)
    gate.open()
    await stage.seen(DeliveryAttemptEnded)
    releases = stage.faults.calls["apply"] - 2  # the job's end, and what came of it
    assert releases == 1
    delivery = await stage.delivery(job)
    assert (delivery.state, delivery.attempt_count) == (DELIVERED, 1)
    assert len(stage.sender.sent) == 1


async def test_a_defect_while_sending_is_told_and_the_callback_comes(stages: Stages) -> None:
    stage = await stages.start()
    send, calls = stage.sender.send, []

    async def breaks_once(callout: Callout) -> object:
        calls.append(callout)
        if len(calls) == 1:
            raise ZeroDivisionError("ours")
        return await send(callout)

    stage.sender.send = breaks_once  # type: ignore[method-assign, assignment]  # a broken sender
    await stage.submit()
    (told,) = await stage.seen(LoopFailed)
    assert "ours" in told.detail
    assert stage.engine.deliveries.slots.used == 0
    stage.advance(30.0)  # its lease
    (fact,) = await stage.seen(DeliveryAttemptEnded)
    assert fact.to is DELIVERED


# --- Best effort -------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [FAILS, OK])
async def test_what_is_not_the_end_gets_one_attempt(stages: Stages, answer: Answered) -> None:
    go = asyncio.Event()

    async def handler(leased: LeasedJob, report: RunReport) -> JobOutcome:
        await report.output(b'{"page":  1}')
        await go.wait()
        return Succeeded(b"1")

    stage = await stages.start(ScriptedRunner(handler))
    stage.sender.answers[URL] = [answer]
    events = (EventType.JOB_OUTPUT, EventType.JOB_SUCCEEDED)
    job = await stage.submit(callback=a_callback(events=events))
    (fact,) = await stage.seen(DeliveryAttemptEnded)
    assert (fact.event_type, fact.to) == ("job.output", DEAD if answer is FAILS else DELIVERED)
    go.set()
    await stage.seen(DeliveryAttemptEnded, count=2)
    first, last = (json.loads(callout.body) for callout in stage.sender.sent)
    assert b'"output":{"page":  1}' in stage.sender.sent[0].body
    assert (first["data"]["status"], last["data"]["status"]) == ("running", "succeeded")
    assert first["sequence"] < last["sequence"]
    summary = (await stage.read(job)).delivery
    assert summary is not None
    assert summary.state is DELIVERED
