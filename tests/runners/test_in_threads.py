"""`def` handlers: in threads, with the same names and the same outcomes."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from typing import Any

import pytest

from dispatcher import Cancel, Fail, JobContext, Retry, Snooze
from dispatcher.adapters.runners.threads import Threads
from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.outcome import (
    AttemptFailed,
    Canceled,
    Failed,
    JobOutcome,
    Snoozed,
    Succeeded,
)
from tests.runners.fakes import Recorder, leased, run, runner_of

tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="none")


class Gate:
    """A handler in a thread tells that it has begun, and waits to be let go."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.begun = asyncio.Event()
        self.go = threading.Event()
        self.left = threading.Event()

    def enter(self) -> None:
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self.go.wait(10)


async def test_a_def_handler_runs_in_another_thread_with_the_contextvars() -> None:
    def handler(given: list[int]) -> list[Any]:
        return [sum(given), threading.get_ident() != home, tenant.get()]

    home = threading.get_ident()
    tenant.set("blue")
    assert await run(handler, [1, 2]) == Succeeded(b'[3,true,"blue"]')


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Fail("no-data", "x"), Failed("no-data", "x")),
        (Retry(3, "x"), AttemptFailed("retry", "x", 3.0)),
        (Cancel("x"), Canceled("x")),
        (Snooze(3), Snoozed(3.0)),
        (ValueError("secret"), AttemptFailed("handler-error", "ValueError")),
        (StopIteration(), AttemptFailed("handler-error", "StopIteration")),
        (SystemExit(1), AttemptFailed("handler-error", "SystemExit")),
        (KeyboardInterrupt(), AttemptFailed("handler-error", "KeyboardInterrupt")),
        (asyncio.CancelledError(), AttemptFailed("handler-error", "CancelledError")),
    ],
    ids=repr,
)
async def test_what_a_handler_raises(error: BaseException, outcome: JobOutcome) -> None:
    def handler() -> None:
        raise error

    assert await run(handler) == outcome


async def test_bad_inputs_and_bad_results() -> None:
    def handler(given: int) -> Any:
        return object()

    async def other() -> None:
        raise AssertionError

    def forgets_to_wait() -> Any:
        return other()  # and no warning comes of it: the runner closes it

    assert await run(handler, "1") == Failed("bad-input", "Expected `int`, got `str`")
    told = Failed("bad-result", "The handler's result can't be written as JSON.")
    assert await run(handler, 1) == told
    assert await run(forgets_to_wait) == told


async def test_progress_and_output_are_plain_calls() -> None:
    seen = []

    def handler(job: JobContext) -> None:
        job.progress(1, total=2)
        job.output({"page": 1})
        seen.append(list(report.kept))  # durable when the call returns
        job.output({"page": 2})

    report = Recorder()
    assert await run(handler, report=report) == Succeeded(b"null")
    assert [each.current for each in report.told] == [1]
    assert seen == [[b'{"page":1}']]
    assert report.kept == [b'{"page":1}', b'{"page":2}']


async def test_an_output_that_the_store_cannot_keep_raises_in_the_handler() -> None:
    def catches(job: JobContext) -> str:
        try:
            job.output(1)
        except StoreUnavailable as error:
            return str(error)
        return "kept"

    def leaves(job: JobContext) -> None:
        job.output(1)

    report = Recorder()
    report.refusal = StoreUnavailable("disk full")
    assert await run(catches, report=report) == Succeeded(b'"disk full"')
    outcome = await run(leaves, report=report)
    assert outcome == AttemptFailed("handler-error", "StoreUnavailable")


async def test_a_lost_lease_stops_the_handler_at_its_next_output() -> None:
    def handler(job: JobContext) -> None:
        try:
            job.output(1)
        finally:
            stopped.append(job.cancel_requested)

    stopped: list[bool] = []
    report = Recorder()
    report.refusal = asyncio.CancelledError()
    assert await run(handler, report=report) == Canceled("The job was asked to stop.")
    assert stopped == [True]


# --- Stopping ----------------------------------------------------------------------------------


async def test_a_cancelled_run_ends_only_when_the_thread_has_left_the_handler() -> None:
    gate = Gate()

    def handler(job: JobContext) -> None:
        gate.enter()
        try:
            job.raise_if_canceled()
        finally:
            gate.left.set()

    task = asyncio.create_task(runner_of(handler).run(leased(), Recorder()))
    await gate.begun.wait()
    for _ in range(3):  # however often it is cancelled
        task.cancel()
        await asyncio.wait({task}, timeout=0.01)
        assert not task.done()
    assert not gate.left.is_set()
    gate.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gate.left.is_set()


async def test_a_handler_that_does_not_ask_finishes_and_its_result_counts() -> None:
    gate = Gate()

    def handler() -> str:
        gate.enter()
        return "done"

    task = asyncio.create_task(runner_of(handler).run(leased(), Recorder()))
    await gate.begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    gate.go.set()
    assert await task == Succeeded(b'"done"')


async def test_a_run_without_a_thread_yet_is_cancelled_at_once_and_never_begins() -> None:
    gate = Gate()
    inputs = []

    def handler(given: int) -> None:
        inputs.append(given)
        gate.enter()

    runner = runner_of(handler, concurrency=1)
    first = asyncio.create_task(runner.run(leased(1), Recorder()))
    await gate.begun.wait()
    second = asyncio.create_task(runner.run(leased(2), Recorder()))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    gate.go.set()
    assert await first == Succeeded(b"null")
    assert await runner.run(leased(3), Recorder()) == Succeeded(b"null")
    assert inputs == [1, 3]


async def test_a_cancel_request_reaches_the_thread_through_the_report() -> None:
    gate = Gate()

    def handler(job: JobContext) -> None:
        assert not job.cancel_requested
        gate.enter()
        job.raise_if_canceled()

    report = Recorder()
    task = asyncio.create_task(runner_of(handler).run(leased(), report))
    await gate.begun.wait()
    report.to_stop = True
    gate.go.set()
    assert await task == Canceled("The job was asked to stop.")


async def test_a_closed_loop_does_not_trouble_a_thread_that_goes_on() -> None:
    go, left = threading.Event(), threading.Event()
    begun = threading.Event()

    def handler() -> None:
        begun.set()
        assert go.wait(10)

    runner = runner_of(handler)

    def other_loop() -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(runner.run(leased(), Recorder()))
        loop.call_soon(loop.stop)
        loop.run_forever()
        assert begun.wait(10)
        loop.close()
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is left on purpose
        del task
        left.set()

    await asyncio.to_thread(other_loop)
    assert left.is_set()
    go.set()
    # The same thread is free again, and nothing was printed or raised by it.
    assert await runner.run(leased(), Recorder()) == Succeeded(b"null")


# --- The pool ----------------------------------------------------------------------------------


async def test_as_many_run_at_once_as_there_are_threads_and_no_more() -> None:
    barrier = threading.Barrier(3)
    running: list[int] = []
    most: list[int] = []

    def handler() -> None:
        running.append(1)
        most.append(len(running))
        barrier.wait(10)  # breaks unless three run at once
        running.pop()

    runner = runner_of(handler, concurrency=3)
    outcomes = await asyncio.gather(*(runner.run(leased(), Recorder()) for _ in range(9)))
    assert outcomes == [Succeeded(b"null")] * 9
    assert max(most) <= 3


def test_threads_are_started_as_needed_kept_and_daemons() -> None:
    pool: Threads[threading.Thread] = Threads("test", 4)
    first = pool.submit(threading.current_thread).result(10)
    assert first.daemon
    assert first.name == "test-0"
    names = {pool.submit(threading.current_thread).result(10).name for _ in range(20)}
    assert len(names) <= 2  # one may be taking its leave of the last work when the next comes
    assert len(pool._threads) <= 2


def test_an_error_belongs_to_whoever_waits_and_the_thread_goes_on() -> None:
    pool: Threads[int] = Threads("test", 1)

    def fails() -> int:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        pool.submit(fails).result(10)
    assert pool.submit(lambda: 3).result(10) == 3


def no_more_threads(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_what_was_refused_for_want_of_a_thread_never_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its attempt was recorded as failed, and is made again: it would run twice."""
    pool: Threads[None] = Threads("test", 1)
    ran: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more_threads)
        with pytest.raises(RuntimeError, match="can't start"):
            pool.submit(lambda: ran.append("refused"))
    pool.submit(lambda: ran.append("next")).result(10)
    assert ran == ["next"]
    assert [thread.is_alive() for thread in pool._threads] == [True]


def test_where_a_thread_lives_it_does_the_work_of_those_that_could_not_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool: Threads[threading.Thread] = Threads("test", 3)
    go = threading.Event()

    def wait() -> threading.Thread:
        assert go.wait(10)
        return threading.current_thread()

    works = [pool.submit(wait)]
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more_threads)
        works += [pool.submit(threading.current_thread) for _ in range(5)]
    go.set()
    assert {work.result(10) for work in works} == set(pool._threads)
    assert len(pool._threads) == 1

    # As soon as there may be more, there are: three that wait for each other all begin.
    together = threading.Barrier(3)

    def meet() -> threading.Thread:
        together.wait(10)
        return threading.current_thread()

    assert len({work.result(10) for work in [pool.submit(meet) for _ in range(3)]}) == 3


def test_the_threads_end_with_their_pool() -> None:
    pool: Threads[threading.Thread] = Threads("test", 2)
    thread = pool.submit(threading.current_thread).result(10)
    gone = weakref.ref(pool)
    del pool
    gc.collect()
    assert gone() is None
    thread.join(10)
    assert not thread.is_alive()
