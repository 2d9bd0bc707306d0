"""What a running job tells: progress coalesces, each output is kept, threads may tell too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from dispatcher.core.changes import LeasedJob
from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.facts import DeliveryAttemptEnded, JobEnded
from dispatcher.core.limits import Limits
from dispatcher.core.model import Event, EventType, Job, Progress
from dispatcher.core.outcome import JobOutcome, Succeeded
from dispatcher.ports.runner import RunReport
from tests.engine.conftest import Stages
from tests.engine.stage import ScriptedRunner, Stage, a_callback

EVERYTHING = a_callback(events=tuple(EventType))


class Script:
    """A handler that a test leads step by step."""

    def __init__(self) -> None:
        self._steps: asyncio.Queue[Callable[[RunReport], Awaitable[None]] | None] = asyncio.Queue()
        self._done = asyncio.Event()

    async def __call__(self, leased: LeasedJob, report: RunReport) -> JobOutcome:
        while (step := await self._steps.get()) is not None:
            await step(report)
            self._done.set()
        return Succeeded(b"1")

    async def does(self, step: Callable[[RunReport], Awaitable[None]]) -> None:
        """Have the handler do something, and wait until it has."""
        self._done.clear()
        self._steps.put_nowait(step)
        async with asyncio.timeout(60):
            await self._done.wait()

    async def tells(self, *values: float) -> None:
        async def step(report: RunReport) -> None:
            for value in values:
                report.progress(Progress(value, 10))

        await self.does(step)

    def ends(self) -> None:
        self._steps.put_nowait(None)


async def begin(stages: Stages, script: Script, callback: bool = True) -> tuple[Stage, Job]:
    stage = await stages.start(ScriptedRunner(script))
    job = await stage.submit(callback=EVERYTHING if callback else a_callback())
    return stage, job


async def events_of(stage: Stage, job: Job) -> list[Event]:
    found = await stage.store.list_events(job.id, None, limit=1000, after=0)
    assert found is not None
    return [event for event, _ in found[1]]


async def told(stage: Stage, job: Job) -> list[float]:
    """The progress events that were stored."""
    return [
        msgspec.json.decode(event.data or b"{}")["progress"]["current"]
        for event in await events_of(stage, job)
        if event.type is EventType.JOB_PROGRESS
    ]


async def until_shown(stage: Stage, job: Job, current: float) -> None:
    while True:
        written = stage.faults.calls.get("apply", 0)
        if (await stage.job(job)).progress == Progress(current, 10):
            return
        await stage.faults.until_called("apply", written + 1)


async def test_the_first_is_written_at_once_and_then_one_in_half_a_second(stages: Stages) -> None:
    script = Script()
    stage, job = await begin(stages, script)
    await script.tells(1)
    await until_shown(stage, job, 1)
    await script.tells(2, 3)
    stage.advance(0.499)
    await stage.rest()
    assert (await stage.job(job)).progress == Progress(1, 10)
    stage.advance(0.001)
    await until_shown(stage, job, 3)
    assert await told(stage, job) == [1, 3]
    stage.advance(60.0)
    await script.tells(4)  # long after the last: at once again
    await until_shown(stage, job, 4)
    script.ends()
    await stage.seen(JobEnded)
    assert await told(stage, job) == [1, 3, 4]


async def test_a_hundred_in_one_turn_cost_one_write_at_most_in_half_a_second(
    stages: Stages,
) -> None:
    script = Script()
    stage, job = await begin(stages, script)
    for turn in range(4):
        before = len(await told(stage, job))
        await script.tells(*(turn + number / 100 for number in range(100)))
        stage.advance(0.5)
        await until_shown(stage, job, turn + 0.99)
        assert len(await told(stage, job)) - before <= 2
    script.ends()
    await stage.seen(JobEnded)


async def test_the_last_comes_with_the_end(stages: Stages) -> None:
    script = Script()
    stage, job = await begin(stages, script)
    await script.tells(1)
    await until_shown(stage, job, 1)
    await script.tells(2, 3)
    script.ends()
    await stage.seen(JobEnded)
    assert (await stage.job(job)).progress == Progress(3, 10)
    assert await told(stage, job) == [1]
    stage.advance(5.0)
    await stage.rest()
    assert await told(stage, job) == [1]  # nothing follows the end
    assert (await events_of(stage, job))[-1].type is EventType.JOB_SUCCEEDED


async def test_without_anybody_asking_progress_is_shown_but_no_event(stages: Stages) -> None:
    script = Script()
    stage, job = await begin(stages, script, callback=False)
    await script.tells(5)
    await until_shown(stage, job, 5)
    script.ends()
    await stage.seen(JobEnded)
    kinds = [event.type for event in await events_of(stage, job)]
    assert kinds == [EventType.JOB_SUCCEEDED]


async def test_progress_does_not_wait_for_the_store(stages: Stages) -> None:
    script = Script()
    stage = await stages.start(ScriptedRunner(script))
    job = await stage.submit(callback=a_callback(events=(EventType.JOB_PROGRESS,)))
    gate = stage.faults.hold("apply")
    await script.tells(1)
    await gate.reached()
    await script.tells(2)  # the handler goes on
    gate.open()
    stage.faults.heal()
    await until_shown(stage, job, 1)
    await stage.turns()
    stage.advance(0.5)
    await until_shown(stage, job, 2)
    script.ends()
    await stage.seen(JobEnded)
    assert await told(stage, job) == [1, 2]


async def test_a_defect_with_one_progress_keeps_back_no_later_one(stages: Stages) -> None:
    """The task that had failed was taken for one that still writes, to the end of the job."""
    script = Script()
    stage, job = await begin(stages, script, callback=False)
    written = stage.faults.calls.get("apply", 0)
    stage.faults.fail("apply", error=RuntimeError("a defect of the store"))
    await script.tells(1)
    await stage.faults.until_called("apply", written + 1)
    await stage.turns()
    stage.advance(0.5)
    await script.tells(2)
    async with asyncio.timeout(60):
        await until_shown(stage, job, 2)
    script.ends()
    await stage.seen(JobEnded)


async def test_each_output_is_kept_in_order_as_it_is(stages: Stages) -> None:
    script = Script()
    stage, job = await begin(stages, script)
    outputs = [b'{"page":  %d}' % number for number in range(20)] + [b"null", b"1e400"]

    async def tell(report: RunReport) -> None:
        for output in outputs:
            await report.output(output)

    await script.does(tell)
    script.ends()
    await stage.seen(JobEnded)
    events = await events_of(stage, job)
    kept = [event for event in events if event.type is EventType.JOB_OUTPUT]
    assert [
        event.data is not None and event.data.endswith(b',"output":' + output + b"}")
        for event, output in zip(kept, outputs, strict=True)
    ] == [True] * 22
    sequences = [event.sequence or 0 for event in events]
    assert sequences == sorted(sequences)
    assert len(set(sequences)) == len(sequences)


async def test_an_output_that_is_too_large_is_refused_and_nothing_is_kept(stages: Stages) -> None:
    """It would be in memory whole wherever its event is read, and in the receiver's."""
    refused: list[str] = []
    most = Limits().output_bytes

    async def handler(leased: LeasedJob, report: RunReport) -> JobOutcome:
        await report.output(b"1" * most)
        with pytest.raises(ValueError, match="at most 1,048,576 bytes") as caught:
            await report.output(b"1" * (most + 1))
        refused.append(str(caught.value))
        return Succeeded(b"1")

    stage = await stages.start(ScriptedRunner(handler))
    job = await stage.submit()
    await stage.seen(JobEnded)
    assert "limit_output_bytes" in refused[0]
    found = await stage.store.list_events(job.id, None, limit=9, after=0)
    assert found is not None
    types = [event.type for event, _ in found[1]]
    assert types == [EventType.JOB_OUTPUT, EventType.JOB_SUCCEEDED]


async def test_an_output_is_durable_when_the_call_returns(stages: Stages) -> None:
    script = Script()
    stage, job = await begin(stages, script, callback=False)

    async def tell(report: RunReport) -> None:
        report.progress(Progress(7, 10))
        await report.output(b"[1]")
        (event,) = await events_of(stage, job)
        assert (event.type, event.sequence) == (EventType.JOB_OUTPUT, 1)

    await script.does(tell)
    assert (await stage.job(job)).progress == Progress(7, 10)
    script.ends()
    await stage.seen(JobEnded)


async def test_an_output_waits_out_an_outage(stages: Stages) -> None:
    script = Script()
    stage, job = await begin(stages, script, callback=False)
    stage.faults.fail("apply", times=3, error=StoreUnavailable("disk full"))

    async def tell(report: RunReport) -> None:
        await report.output(b"[1]")

    await stage.passes_until(script.does(tell))
    assert len(await events_of(stage, job)) == 1
    script.ends()
    await stage.seen(JobEnded)


async def test_threads_tell_progress_and_output(stages: Stages) -> None:
    script = Script()
    stage, job = await begin(stages, script)
    loop = asyncio.get_running_loop()

    def in_thread(report: RunReport) -> None:
        for number in range(50):
            report.progress(Progress(number / 10, 10))
        asyncio.run_coroutine_threadsafe(report.output(b'"from a thread"'), loop).result(10)

    async def tell(report: RunReport) -> None:
        await asyncio.to_thread(in_thread, report)

    await script.does(tell)
    stage.advance(0.5)
    await until_shown(stage, job, 4.9)
    assert len(await told(stage, job)) <= 3
    script.ends()
    await stage.seen(JobEnded)
    assert EventType.JOB_OUTPUT in [event.type for event in await events_of(stage, job)]


async def test_a_word_after_the_end_changes_nothing(stages: Stages) -> None:
    script = Script()
    stage, job = await begin(stages, script)
    reports: list[RunReport] = []

    async def keep(report: RunReport) -> None:
        reports.append(report)

    await script.does(keep)
    script.ends()
    await stage.seen(JobEnded)
    reports[0].progress(Progress(9, 10))
    await reports[0].output(b"1")
    stage.advance(1.0)
    await stage.rest()
    ended = await stage.job(job)
    assert ended.progress is None
    assert [event.type for event in await events_of(stage, job)][-1] is EventType.JOB_SUCCEEDED


@pytest.mark.parametrize("kind", [EventType.JOB_PROGRESS, EventType.JOB_OUTPUT])
async def test_what_was_not_sent_before_the_end_is_dropped(stages: Stages, kind: EventType) -> None:
    script = Script()
    stage = await stages.start(ScriptedRunner(script), slots=1)
    door = stage.sender.hang()
    events = (kind, EventType.JOB_SUCCEEDED)
    job = await stage.submit(callback=a_callback(events=events))

    async def tell(report: RunReport) -> None:
        await report.output(b"1")

    for number in range(3):
        stage.advance(0.5)
        if kind is EventType.JOB_OUTPUT:
            await script.does(tell)
        else:
            await script.tells(number)
            await until_shown(stage, job, number)
    await stage.sender.until(1)
    script.ends()
    await stage.seen(JobEnded)
    door.set()
    await stage.seen(DeliveryAttemptEnded, count=2)
    await stage.rest()
    sent = [json.loads(callout.body)["type"] for callout in stage.sender.sent]
    assert sent == [kind.value, "job.succeeded"]
    states = sorted(record.delivery.state.value for record in await stage.deliveries(job))
    assert states == ["canceled", "canceled", "delivered", "delivered"]


async def test_outputs_are_sent_one_in_half_a_second_and_each_is_kept(stages: Stages) -> None:
    """Callbacks of a kind that is not a job's last: at most one in 500 ms (API.md, Callbacks)."""

    async def handler(leased: LeasedJob, report: RunReport) -> JobOutcome:
        for number in range(20):
            await report.output(b"%d" % number)
        return Succeeded(b"1")

    stage = await stages.start(ScriptedRunner(handler))
    callback = a_callback(events=(EventType.JOB_OUTPUT, EventType.JOB_SUCCEEDED))
    job = await stage.submit(callback=callback)
    await stage.seen(JobEnded)
    found = await stage.store.list_events(job.id, None, limit=100, after=0)
    assert found is not None
    assert len(found[1]) == 21
    kinds = [each.delivery.event_type for each in await stage.deliveries(job)]
    assert sorted(kinds) == [EventType.JOB_OUTPUT, EventType.JOB_SUCCEEDED]
