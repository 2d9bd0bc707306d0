"""What a handler asks of its job and tells about it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher import JobContext
from dispatcher.core.outcome import Canceled, Succeeded
from tests.runners.fakes import Recorder, leased, run, runner_of


async def test_a_handler_knows_its_job() -> None:
    async def handler(job: JobContext) -> list[Any]:
        return [
            job.id,
            job.type,
            job.queue,
            job.attempt,
            job.max_attempts,
            job.caller_id,
            job.correlation_id,
            job.metadata,
            job.traceparent,
            job.tracestate,
            job.created_at,
            job.deadline,
            job.timeout_seconds,
            repr(job),
        ]

    outcome = await runner_of(handler).run(leased(deadline=1_769_851_900_001), Recorder())
    assert outcome == Succeeded(
        b'["job_01890a5d000070008000000000000001","test.job","default",1,3,'
        b'"clr_01890a5d000070008000000000000002","order-7",{"tenant":"blue"},'
        b'"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","a=1",'
        b'"2026-01-31T09:30:00.123000Z","2026-01-31T09:31:40.001000Z",600.0,'
        b'"<JobContext job_01890a5d000070008000000000000001 test.job attempt 1>"]'
    )


async def test_a_handler_knows_what_its_job_has_not() -> None:
    async def handler(job: JobContext) -> list[Any]:
        return [job.deadline, job.correlation_id, job.metadata, job.traceparent, job.tracestate]

    bare = leased(correlation_id=None, metadata=None, trace=None)
    assert await runner_of(handler).run(bare, Recorder()) == Succeeded(b"[null,null,{},null,null]")


async def test_progress_and_output_reach_the_report() -> None:
    async def handler(job: JobContext) -> None:
        await job.progress(3, total=10, message="ren\0dering")
        await job.progress(3.5)
        await job.output({"page": 1})
        job.progress(4)  # forgetting to await it costs a turn, nothing else

    report = Recorder()
    assert await run(handler, report=report) == Succeeded(b"null")
    told = [(each.current, each.total, each.message) for each in report.told]
    assert told == [(3, 10, "ren\ufffddering"), (3.5, None, None), (4, None, None)]
    assert report.kept == [b'{"page":1}']


async def test_awaiting_progress_lets_others_run_and_a_stop_take_effect() -> None:
    begun = asyncio.Event()

    async def handler(job: JobContext) -> None:
        begun.set()
        for turn in range(1_000):
            await job.progress(turn)

    report = Recorder()
    task = asyncio.create_task(runner_of(handler).run(leased(), report))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(report.told) < 10


@pytest.mark.parametrize(
    ("current", "total", "error"),
    [
        (float("nan"), None, ValueError),
        (float("inf"), None, ValueError),
        (1, float("-inf"), ValueError),
        (10**400, None, ValueError),
        ("1", None, TypeError),
        (None, None, TypeError),
        (True, None, TypeError),
        (1, "10", TypeError),
    ],
)
def test_progress_takes_finite_numbers(current: Any, total: Any, error: type[Exception]) -> None:
    report = Recorder()
    with pytest.raises(error, match="progress: "):
        JobContext(leased().job, report).progress(current, total)
    assert report.told == []


class Scalar(float):
    """As numpy's float64, which is a subclass of float."""


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**64), 2**64))
def test_progress_tells_any_finite_number_as_it_is(number: float) -> None:
    report = Recorder()
    context = JobContext(leased().job, report)
    context.progress(number, number)
    context.progress(Scalar(number) if isinstance(number, float) else number)
    assert [each.current for each in report.told] == [number, number]
    assert report.told[0].total == number
    assert all(type(each.current) in {int, float} for each in report.told)


async def test_an_output_that_cannot_be_written_raises_where_it_is_made() -> None:
    async def handler(job: JobContext) -> str:
        try:
            await job.output(object())
        except TypeError as error:
            return str(error)
        return "kept"

    told = b'"objects of type object can\'t be written as JSON"'
    assert await run(handler) == Succeeded(told)


async def test_a_handler_can_ask_whether_it_is_to_stop() -> None:
    report = Recorder()

    async def handler(job: JobContext) -> None:
        job.raise_if_canceled()
        assert not job.cancel_requested
        report.to_stop = True
        job.raise_if_canceled()

    assert await run(handler, report=report) == Canceled("The job was asked to stop.")
