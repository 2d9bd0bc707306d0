"""`async def` handlers: what they get, and what becomes of what they return or raise."""

from __future__ import annotations

import asyncio
import builtins
import logging
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from msgspec import Struct

from dispatcher import Cancel, Fail, Retry, Snooze
from dispatcher.core.errors import Verdict
from dispatcher.core.outcome import (
    AttemptFailed,
    Canceled,
    Failed,
    JobOutcome,
    Snoozed,
    Succeeded,
)
from tests.runners.fakes import Recorder, leased, run, runner_of

YEAR = 365 * 86_400


class Picky(Struct):
    size: int

    def __post_init__(self) -> None:
        if self.size > 9:
            raise ValueError("the size is at most 9")
        if self.size < 0:
            raise KeyError("a defect")


class Rude(Struct):
    raises: str

    def __post_init__(self) -> None:
        raise getattr(builtins, self.raises)


class RudeResult:
    def model_dump_json(self, **_: Any) -> NoReturn:  # as pydantic's models have it
        raise SystemExit


def raising(error: BaseException) -> Callable[[], Any]:
    async def handler() -> NoReturn:
        raise error

    return handler


async def test_the_result_is_what_the_handler_returns() -> None:
    async def handler(given: dict[str, int]) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"twice": [given, given]}

    assert await run(handler, {"a": 1}) == Succeeded(b'{"twice":[{"a":1},{"a":1}]}')


async def test_an_input_that_the_type_refuses_fails_the_job() -> None:
    called = []

    async def handler(given: Picky) -> None:
        called.append(given)

    outcome = await run(handler, {"size": "1"})
    assert outcome == Failed("bad-input", "Expected `int`, got `str` - at `$.size`")
    assert await run(handler, {"size": 10}) == Failed("bad-input", "the size is at most 9")
    assert called == []


async def test_a_defect_in_the_type_is_a_failed_attempt() -> None:
    async def handler(given: Picky) -> None:
        pass

    assert await run(handler, {"size": -1}) == AttemptFailed("handler-error", "KeyError")


async def test_a_decode_error_of_the_handlers_own_is_not_a_bad_input() -> None:
    async def handler() -> None:
        await runner_of(handler_of_picky).run(leased({"size": 1}), Recorder())
        decode: Any = Picky
        decode(size=10)

    async def handler_of_picky(given: Picky) -> None:
        pass

    assert await run(handler) == AttemptFailed("handler-error", "ValueError")


async def test_a_result_that_cannot_be_written_fails_the_job_and_tells_operators_what(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler() -> Any:
        return {"key": object()}

    with caplog.at_level(logging.ERROR, "dispatcher.handlers"):
        outcome = await run(handler)
    assert outcome == Failed("bad-result", "The handler's result can't be written as JSON.")
    assert "objects of type object can't be written as JSON" in caplog.text


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Fail("no-data", "nothing there"), Failed("no-data", "nothing there")),
        (Fail("no-data"), Failed("no-data", "")),
        (Fail("No Data!", "x"), Failed("failed", "x")),
        (Fail("a\n", "x"), Failed("failed", "x")),
        (Fail("a", "x" * 2_000), Failed("a", "x" * 2_000)),
        (Fail("a", "x" * 3_000), Failed("a", "x" * 1_999 + "…")),
        (Fail("a", "\ud800 \0 ü😀"), Failed("a", "\ufffd \ufffd ü😀")),
        (Retry(30), AttemptFailed("retry", "The handler asked to be tried again.", 30.0)),
        (Retry(None, "later"), AttemptFailed("retry", "later", None)),
        (Retry(0), AttemptFailed("retry", "The handler asked to be tried again.", 0.0)),
        (Retry(1e300, "x"), AttemptFailed("retry", "x", YEAR)),
        (Retry(10**400, "x"), AttemptFailed("retry", "x", YEAR)),
        (Retry(float("nan"), "x"), AttemptFailed("retry", "x", None)),
        (Retry(-1, "x"), AttemptFailed("retry", "x", None)),
        (Cancel("not needed"), Canceled("not needed")),
        (Cancel(), Canceled("The handler canceled the job.")),
        (Snooze(60), Snoozed(60.0)),
        (Snooze(float("inf")), Snoozed(YEAR)),
        (Snooze(float("nan")), AttemptFailed("handler-error", "Snooze")),
        (Snooze(-1), AttemptFailed("handler-error", "Snooze")),
        (ValueError("secret"), AttemptFailed("handler-error", "ValueError")),
        (Verdict("of no kind"), AttemptFailed("handler-error", "Verdict")),
        (SystemExit(1), AttemptFailed("handler-error", "SystemExit")),
        # Ctrl-C comes through the loop's signal handler: these are the handler's own doing.
        (KeyboardInterrupt(), AttemptFailed("handler-error", "KeyboardInterrupt")),
        (GeneratorExit(), AttemptFailed("handler-error", "GeneratorExit")),
        (StopIteration(), AttemptFailed("handler-error", "RuntimeError")),
        (BaseException("rude"), AttemptFailed("handler-error", "BaseException")),
        (ExceptionGroup("g", [Fail("a")]), Failed("a", "")),
        (
            ExceptionGroup("g", [Fail("a"), ValueError()]),
            AttemptFailed("handler-error", "ExceptionGroup"),
        ),
    ],
    ids=repr,
)
async def test_what_a_handler_raises(error: BaseException, outcome: JobOutcome) -> None:
    assert await run(raising(error)) == outcome


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Fail("No Data!", "x"), "the code 'No Data!'; callers see 'failed' instead"),
        (Retry(-1, "x"), "asked to wait -1 seconds, which is not understood"),
        (Snooze(-1), "asked to wait -1 seconds, which is not understood"),
        (Fail("no-data"), None),
        (Retry(None, "later"), None),
        (Retry(1e300), None),
        (Snooze(60), None),
    ],
    ids=repr,
)
async def test_what_a_verdict_got_wrong_is_told_in_the_log(
    error: Exception, told: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "dispatcher.handlers"):
        await run(raising(error))
    found = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert len(found) == (told is not None)
    for record in found:
        assert str(told) in record.getMessage()
        assert record.__dict__["job_id"] == "job_01890a5d000070008000000000000001"


async def test_arguments_of_any_type_end_the_job_all_the_same() -> None:
    class Rude:
        def __str__(self) -> str:
            raise RuntimeError

    rude: Any = Rude()
    words: Any = "soon"
    assert await run(raising(Fail(rude, rude))) == Failed("failed", "Rude")
    assert await run(raising(Retry(words, "x"))) == AttemptFailed("retry", "x", None)
    assert await run(raising(Snooze(words))) == AttemptFailed("handler-error", "Snooze")
    assert await run(raising(Cancel(rude))) == Canceled("Rude")


async def test_a_verdict_in_a_task_group_counts() -> None:
    async def part() -> None:
        raise Fail("no-data", "in part 2")

    async def handler() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.Event().wait())
            group.create_task(part())

    assert await run(handler) == Failed("no-data", "in part 2")


async def test_the_message_of_an_unexpected_exception_is_for_operators_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR, "dispatcher.handlers"):
        outcome = await run(raising(ValueError("password=hunter2")))
    assert "hunter2" not in repr(outcome)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "hunter2" in str(record.exc_info[1])
    assert "hunter2" not in record.getMessage()
    assert (
        record.__dict__.items()
        >= {
            "job_id": "job_01890a5d000070008000000000000001",
            "job_type": "test.job",
            "attempt": 1,
            "caller_id": "clr_01890a5d000070008000000000000002",
            "correlation_id": "order-7",
        }.items()
    )


# --- Stopping ----------------------------------------------------------------------------------


async def stopped(handler: Callable[[asyncio.Event], Any]) -> asyncio.Task[JobOutcome]:
    """The run of a handler that was cancelled once it had begun."""
    begun = asyncio.Event()

    async def call() -> Any:
        return await handler(begun)

    task = asyncio.create_task(runner_of(call).run(leased(), Recorder()))
    await begun.wait()
    task.cancel()
    await asyncio.wait({task})
    return task


async def test_cancelling_the_run_cancels_the_handler() -> None:
    cleaned = []

    async def handler(begun: asyncio.Event) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    assert (await stopped(handler)).cancelled()
    assert cleaned == [True]


async def test_a_result_that_comes_in_spite_of_it_counts() -> None:
    async def handler(begun: asyncio.Event) -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done all the same"
        return "never"

    assert (await stopped(handler)).result() == Succeeded(b'"done all the same"')


@pytest.mark.parametrize("error", [Cancel(), Retry(), Snooze(1), ValueError()], ids=repr)
async def test_other_words_at_the_end_do_not_hide_why_it_was_stopped(error: Exception) -> None:
    async def handler(begun: asyncio.Event) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise error from None

    assert (await stopped(handler)).cancelled()


async def test_a_cancellation_of_the_handlers_own_is_a_failed_attempt() -> None:
    async def handler() -> None:
        own = asyncio.create_task(asyncio.Event().wait())
        own.cancel()
        await own

    assert await run(handler) == AttemptFailed("handler-error", "CancelledError")


async def test_a_run_within_a_task_that_was_cancelled_before_is_not_taken_for_stopped() -> None:
    async def outer() -> JobOutcome:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await run(raising(ValueError()))
        raise AssertionError

    task = asyncio.create_task(outer())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == AttemptFailed("handler-error", "ValueError")


async def test_a_run_that_is_closed_from_outside_says_nothing_of_the_job() -> None:
    # As at the end of a loop whose tasks nobody waited for: what came after an outcome would wait.
    begun = asyncio.Event()

    async def handler() -> None:
        begun.set()
        await asyncio.sleep(0)

    step: Any = runner_of(handler).run(leased(), Recorder())
    task = asyncio.create_task(step)
    await begun.wait()
    with pytest.raises(GeneratorExit):
        step.throw(GeneratorExit)
    await asyncio.wait({task})
    assert isinstance(task.exception(), RuntimeError)  # there is nothing left to go on with


@pytest.mark.parametrize("name", ["KeyboardInterrupt", "GeneratorExit", "SystemExit"])
@pytest.mark.parametrize("in_thread", [False, True])
async def test_code_of_the_types_ends_the_job_alone(name: str, *, in_thread: bool) -> None:
    async def on_the_loop(given: Rude) -> None:
        pass

    def in_a_thread(given: Rude) -> None:
        pass

    outcome = await run(in_a_thread if in_thread else on_the_loop, {"raises": name})
    assert outcome == AttemptFailed("handler-error", name)


@pytest.mark.parametrize("in_thread", [False, True])
async def test_so_does_code_of_the_result(*, in_thread: bool) -> None:
    def in_a_thread() -> Any:
        return RudeResult()

    async def on_the_loop() -> Any:
        return RudeResult()

    outcome = await run(in_a_thread if in_thread else on_the_loop)
    assert outcome == Failed("bad-result", "The handler's result can't be written as JSON.")


async def test_nothing_is_kept_of_a_job_that_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "dispatcher.handlers")  # pytest keeps what is logged

    async def handler() -> None:
        raise ValueError

    runner = runner_of(handler)
    job = leased({"a": 1})
    before = sys.getrefcount(job)
    await runner.run(job, Recorder())
    assert sys.getrefcount(job) == before
