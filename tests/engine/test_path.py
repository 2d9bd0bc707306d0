"""The whole path: submitted, run, ended, delivered; by hand-off and by claim alike."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.facts import (
    DeliveryAttemptEnded,
    Fact,
    JobAccepted,
    JobAttemptEnded,
    JobEnded,
    LoopFailed,
    StoreFailed,
)
from dispatcher.core.model import DeliveryState, Job, JobState, Trace
from dispatcher.core.signature import format_secret, verify
from dispatcher.ports.sender import Callout
from tests.engine.conftest import Stages
from tests.engine.stage import SECRET, URL, Stage, a_callback


def header(callout: Callout, name: str) -> str:
    (value,) = (value for each, value in callout.headers if each == name)
    return value


async def test_a_job_is_run_and_its_callback_sent(stages: Stages) -> None:
    stage = await stages.start()
    job = await stage.submit(b'{"a":  1.0}')
    (sent,) = await stage.seen(DeliveryAttemptEnded)
    assert (sent.to, sent.status_code, sent.attempt, sent.stale) == (
        DeliveryState.DELIVERED,
        200,
        1,
        False,
    )
    record = await stage.read(job)
    assert record.job.state is JobState.SUCCEEDED
    assert record.result == b'{"a":  1.0}'
    assert record.job.attempt_count == 1
    delivery = await stage.delivery(job)
    assert delivery.state is DeliveryState.DELIVERED
    assert (delivery.attempt_count, delivery.entries_used) == (1, 1)
    (callout,) = stage.sender.sent
    assert callout.url == URL
    assert b'"result":{"a":  1.0}' in callout.body


async def test_what_happened_is_told_in_order(stages: Stages) -> None:
    stage = await stages.start()
    job = await stage.submit()
    await stage.seen(DeliveryAttemptEnded)
    told: list[Fact] = [
        fact
        for fact in stage.observer.facts
        if isinstance(fact, JobAccepted | JobEnded | JobAttemptEnded | DeliveryAttemptEnded)
    ]
    assert [type(fact).__name__ for fact in told] == [
        "JobAccepted",
        "JobEnded",
        "JobAttemptEnded",
        "DeliveryAttemptEnded",
    ]
    accepted, ended, attempt, _ = told
    assert isinstance(accepted, JobAccepted)
    assert accepted.handed_off
    assert isinstance(ended, JobEnded)
    assert (ended.job.id, ended.to) == (job.id, JobState.SUCCEEDED)
    assert isinstance(attempt, JobAttemptEnded)
    assert (attempt.outcome, attempt.error_code, attempt.stale) == ("Succeeded", None, False)


async def test_the_callback_is_signed_and_says_what_it_must(stages: Stages) -> None:
    stage = await stages.start()
    trace = Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=1")
    job = await stage.submit(
        correlation_id="order-7",
        trace=trace,
        callback=a_callback(
            headers=("x-team",),
            sealed_headers=stage.vault.seal(b'{"x-team":"blue s3cret"}', stage.caller.id),
        ),
    )
    (callout,) = await stage.sender.until(1)
    verify([SECRET], dict(callout.headers), callout.body, now=stage.clock.now())
    body = json.loads(callout.body)
    names = [name for name, _ in callout.headers]
    assert len(names) == len(set(names))
    assert dict(callout.headers) | {"webhook-signature": ""} == {
        "webhook-id": body["id"],
        "webhook-timestamp": str(stage.clock.now() // 1000),
        "webhook-signature": "",
        "content-type": "application/json",
        "user-agent": "dispatcher/test",
        "callback-attempt": "1",
        "traceparent": trace.traceparent,
        "tracestate": "vendor=1",
        "correlation-id": "order-7",
        "x-team": "blue s3cret",
    }
    assert (body["type"], body["callerId"], body["callbackUrl"]) == (
        "job.succeeded",
        stage.caller.id,
        URL,
    )
    assert body["data"]["id"] == job.id
    assert body["data"]["callback"] == {"headers": {"x-team": "***"}}
    assert b"s3cret" not in callout.body


async def test_a_public_library_verifies_it(
    stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await stages.start()
    await stage.submit()
    (callout,) = await stage.sender.until(1)

    class Then(datetime):
        """The library asks for the time of day itself."""

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.fromtimestamp(stage.clock.now() / 1000, tz)

    monkeypatch.setattr("standardwebhooks.webhooks.datetime", Then)
    webhook = Webhook(format_secret(SECRET))
    assert webhook.verify(callout.body, dict(callout.headers))["type"] == "job.succeeded"


async def test_without_a_callback_nothing_is_owed(stages: Stages) -> None:
    stage = await stages.start()
    job = await stage.submit(callback=a_callback(events=()))
    await stage.seen(JobEnded)
    await stage.rest()
    assert await stage.deliveries(job) == ()
    assert stage.sender.sent == []


# --- Hand-off and claim ------------------------------------------------------------------------


def without_ids(value: Any) -> Any:
    """JSON with every id replaced, to compare two runs."""
    if isinstance(value, dict):
        return {name: without_ids(each) for name, each in value.items()}
    if isinstance(value, str) and "_0000" in value:
        return "an id"
    return value


async def test_a_claim_and_a_hand_off_come_to_the_same(stages: Stages) -> None:
    stage = await stages.start()
    handed = await stage.submit(b"[1, 2]")
    await stage.seen(DeliveryAttemptEnded)

    # Leave no room for hand-offs while the second is accepted and ended.
    await stage.rest()
    jobs, deliveries = stage.engine.jobs.slots, stage.engine.deliveries.slots
    taken = [0, 0]
    while jobs.take("work"):
        taken[0] += 1
    while deliveries.take(stage.caller.id):
        taken[1] += 1
    claimed = await stage.submit(b"[1, 2]")
    assert (await stage.job(claimed)).state is JobState.WAITING
    for _ in range(taken[0]):
        jobs.give("work")
    stage.engine.jobs.loop.wake()
    await stage.seen(JobEnded, count=2)
    assert (await stage.delivery(claimed)).state is DeliveryState.PENDING
    for _ in range(taken[1]):
        deliveries.give(stage.caller.id)
    stage.engine.deliveries.loop.wake()
    await stage.seen(DeliveryAttemptEnded, count=2)

    accepted = stage.observer.all(JobAccepted)
    assert [fact.handed_off for fact in accepted] == [True, False]
    first, second = (without_ids(json.loads(callout.body)) for callout in stage.sender.sent)
    assert first == second
    records = [await stage.read(job) for job in (handed, claimed)]
    assert [each.result for each in records] == [b"[1, 2]"] * 2
    shown = [await stage.delivery(job) for job in (handed, claimed)]
    for delivery in shown:
        assert (delivery.state, delivery.attempt_count, delivery.unknown_count) == (
            DeliveryState.DELIVERED,
            1,
            0,
        )


async def test_a_job_for_later_waits_for_its_time(stages: Stages) -> None:
    stage = await stages.start()
    job = await stage.submit(run_at=stage.clock.now() + 90_000)
    await stage.rest()
    stage.advance(89.999)
    await stage.rest()
    assert stage.runner.begun == []
    stage.advance(0.001)
    (ended,) = await stage.seen(JobEnded)
    assert ended.job.id == job.id
    assert (await stage.job(job)).started_at == stage.clock.now()


async def test_a_run_at_in_the_past_means_now(stages: Stages) -> None:
    stage = await stages.start()
    await stage.submit(run_at=stage.clock.now() - 90_000)
    await stage.seen(JobEnded)
    assert stage.observer.all(JobAccepted)[0].handed_off


async def test_a_type_that_runs_elsewhere_waits(stages: Stages) -> None:
    stage = await stages.start()
    job = await stage.submit(kind="elsewhere")
    await stage.rest()
    assert (await stage.job(job)).state is JobState.WAITING
    assert stage.engine.jobs.slots.used == 0


# --- Many at once ------------------------------------------------------------------------------


async def test_a_thousand_jobs_at_once_each_run_and_are_delivered_once(stages: Stages) -> None:
    stage = await stages.start(jobs_at_once=8, deliveries_at_once=8, slots=4)
    urls = [f"https://r{number % 7}.example/hook" for number in range(1000)]
    jobs: list[Job] = await asyncio.gather(
        *(stage.submit(b"%d" % n, callback=a_callback(url)) for n, url in enumerate(urls))
    )
    await stage.observer.until(DeliveryAttemptEnded, count=1000, seconds=30)
    ids = [json.loads(callout.body)["data"]["id"] for callout in stage.sender.sent]
    assert sorted(ids) == sorted(job.id for job in jobs)
    assert len({header(callout, "webhook-id") for callout in stage.sender.sent}) == 1000
    assert stage.runner.most_at_once <= 8
    assert stage.sender.most_at_once <= 8
    assert len(stage.runner.begun) == 1000
    assert stage.observer.all(StoreFailed) + stage.observer.all(LoopFailed) == []
    await stage.rest()
    assert stage.engine.jobs.slots.used == 0
    assert stage.engine.deliveries.slots.used == 0


# --- Callers who go away -----------------------------------------------------------------------


async def test_a_caller_that_goes_away_does_not_stop_its_job(stages: Stages) -> None:
    stage = await stages.start()
    gate = stage.faults.hold("add_jobs")
    waiting = asyncio.create_task(stage.submit())
    await gate.reached()
    waiting.cancel()
    await asyncio.wait((waiting,))
    assert waiting.cancelled()
    gate.open()
    (sent,) = await stage.seen(DeliveryAttemptEnded)
    assert sent.to is DeliveryState.DELIVERED


async def test_nor_does_it_wait_for_a_poll_if_there_was_no_room(stages: Stages) -> None:
    stage = await stages.start()
    taken = 0
    while stage.engine.jobs.slots.take("work"):
        taken += 1
    gate = stage.faults.hold("add_jobs")
    waiting = asyncio.create_task(stage.submit())
    await gate.reached()
    for _ in range(taken):
        stage.engine.jobs.slots.give("work")
    waiting.cancel()
    await asyncio.wait((waiting,))
    await stage.seen(DeliveryAttemptEnded)  # though no time passes


async def test_a_submission_that_the_store_refuses_is_told_to_the_caller(stages: Stages) -> None:
    stage = await stages.start()
    stage.faults.fail("add_jobs")
    with pytest.raises(StoreUnavailable, match="disk full"):
        await stage.submit()
    await stage.faults.until_called("apply", 1)  # in case the job is there: it is put back
    await stage.rest()
    assert stage.engine.jobs.slots.used == 0
    await stage.submit()
    await stage.seen(DeliveryAttemptEnded)
    assert len(stage.runner.begun) == 1


async def test_two_stages_share_the_work(stages: Stages) -> None:
    first = await stages.start(jobs_at_once=2)
    second: Stage = await stages.start(beside=first, jobs_at_once=2)
    jobs = await asyncio.gather(*(first.submit() for _ in range(50)))
    for job in jobs:
        while not (await first.job(job)).done:
            second.engine.jobs.loop.wake()
            await second.rest()
    begun = [leased.job.id for stage in (first, second) for leased in stage.runner.begun]
    assert sorted(begun) == sorted(job.id for job in jobs)
