"""Handlers with `process=True`: what they may, what crashes, and what is left of them."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dispatcher import Dispatcher
from dispatcher.adapters.runners.load import load_app
from dispatcher.adapters.runners.processes import Children
from dispatcher.core.errors import SettingsError, StoreUnavailable
from dispatcher.core.model import Callback, Progress
from dispatcher.core.outcome import (
    AttemptFailed,
    Failed,
    JobOutcome,
    Snoozed,
    Succeeded,
    WorkerLost,
)
from dispatcher.ports.runner import Runner
from tests.runners.fakes import Recorder, leased, runner_of
from tests.runners.processes_seen import is_there, pids_in, until_gone
from tests.runners.worker_jobs import app

Runners = dict[str, Runner]


@pytest.fixture
def work(children: Children) -> Runners:
    return app.runners(children)


class Telling(Recorder):
    """Tells when it has heard of progress."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = asyncio.Event()

    def progress(self, progress: Progress) -> None:
        self.heard.set()


async def run(runner: Runner, given: Any = None, report: Recorder | None = None) -> JobOutcome:
    async with asyncio.timeout(20):
        return await runner.run(leased(given), report or Recorder())


async def test_workers_are_other_processes_and_are_kept(work: Runners) -> None:
    first = await run(work["work.pid"])
    assert await run(work["work.pid"]) == first
    assert first != Succeeded(str(os.getpid()).encode())
    both = await asyncio.gather(run(work["work.pid"]), run(work["work.pid"]))
    assert first in both
    assert both[0] != both[1]


async def test_everything_that_a_handler_tells_crosses_the_pipe(
    work: Runners, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    report = Recorder()
    callback = Callback(url="https://receiver.example/", origin="https://receiver.example")
    outcome = await work["work.facts"].run(leased(None, callback=callback), report)
    assert isinstance(outcome, Succeeded)
    assert json.loads(outcome.result) == {
        "id": leased().job.id,
        "attempt": 1,
        "metadata": {"tenant": "blue"},
        "callback": True,  # that it is not there: where it goes is not the handler's business
    }
    assert report.told[-1] == Progress(4_999, 5_000, "counting")
    assert len(report.told) < 100  # of 5,000 that were told: the latest counts
    assert report.kept == [b'{"page":1}']
    logged = {(each.name, each.levelno, each.getMessage()) for each in caplog.records}
    assert ("mine", logging.WARNING, f"logged {leased().job.id}") in logged
    assert any(text.endswith(" says: printed") for _, _, text in logged)


@pytest.mark.parametrize(
    ("what", "outcome"),
    [
        ("fail", Failed("no-data", "none")),
        ("retry", AttemptFailed("retry", "later", 3.0)),
        ("snooze", Snoozed(5.0)),
        ("key", Failed("handler-error", "KeyError")),
        ("other", AttemptFailed("handler-error", "ValueError")),
    ],
)
async def test_what_a_handler_raises(
    work: Runners, what: str, outcome: JobOutcome, caplog: pytest.LogCaptureFixture
) -> None:
    assert await run(work["work.raise"], what) == outcome
    assert ("ValueError: secret" in caplog.text) == (what == "other")  # for operators


async def test_an_input_that_does_not_fit(work: Runners) -> None:
    assert await run(work["work.raise"], 5) == Failed("bad-input", "Expected `str`, got `int`")


@pytest.mark.parametrize(
    ("how", "told"), [("segfault", "by SIGSEGV"), ("exit", "with exit status 7")]
)
async def test_a_crash_ends_the_attempt_and_nothing_else(
    work: Runners, how: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert await run(work["work.crash"], how) == WorkerLost()
    assert told in caplog.text
    if how == "segfault":
        assert "worker_jobs.py" in caplog.text  # faulthandler says where
    assert await run(work["work.crash"], how) == WorkerLost()  # in another process
    assert isinstance(await run(work["work.pid"]), Succeeded)


async def test_a_crash_is_noticed_though_another_holds_the_pipes(
    work: Runners, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job went on until that process ended, beyond its timeout and for ever."""
    monkeypatch.setattr("dispatcher.adapters.runners.processes.pool.LINGER_SECONDS", 0.05)
    file = tmp_path / "runaway"
    assert await run(work["work.runaway"], str(file)) == WorkerLost()
    (pid,) = await pids_in(file, 1)
    assert is_there(pid)
    os.kill(pid, 9)


async def test_a_worker_that_dies_while_it_is_idle_is_replaced(work: Runners) -> None:
    first = await run(work["work.pid"])
    assert isinstance(first, Succeeded)
    os.kill(int(first.result), 9)
    assert await until_gone(int(first.result)) == set()
    worker = work["work.pid"]._idle[0]  # type: ignore[attr-defined]  # a ProcessRunner
    await worker._child.wait()
    second = await run(work["work.pid"])
    assert isinstance(second, Succeeded)
    assert second != first


@pytest.mark.parametrize("kind", ["polite", "stubborn"])
async def test_stopping_the_job_tells_the_handler_and_then_kills_its_group(
    work: Runners, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = "dispatcher.adapters.runners.processes.pool.STOP_SECONDS"
    monkeypatch.setattr(pool, 20 if kind == "polite" else 0.1)
    file = tmp_path / kind
    task = asyncio.create_task(run(work["work.family"], str(file)))
    worker, child = await pids_in(file, 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gone = {child} if kind == "polite" else {worker, child}
    assert await until_gone(*gone) == set()


async def test_an_async_handler_is_cancelled_and_its_worker_kept(work: Runners) -> None:
    report = Recorder()
    first = await run(work["work.async"], 0, report)
    assert report.kept == [b'"slept"']
    begun = Telling()
    task = asyncio.create_task(run(work["work.async"], 600, begun))
    await begun.heard.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await run(work["work.async"], 0) == first  # its pid


async def test_stopping_a_job_whose_worker_is_just_starting_leaves_nothing(
    work: Runners, children: Children
) -> None:
    task = asyncio.create_task(run(work["work.pid"]))
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children._children == {}
    assert isinstance(await run(work["work.pid"]), Succeeded)


async def test_a_defect_of_ours_leaves_nothing(work: Runners, tmp_path: Path) -> None:
    class Broken(Recorder):
        def progress(self, progress: Progress) -> None:
            raise LookupError

    with pytest.raises(LookupError):
        await run(work["work.async"], 600, Broken())
    assert isinstance(await run(work["work.async"], 0), Succeeded)


async def test_what_a_handler_left_behind_tells_nothing_of_the_next_job(work: Runners) -> None:
    """A task of one caller's job once put its outputs into the job of another."""
    first, second = Recorder(), Recorder()
    assert await run(work["work.leave"], report=first) == Succeeded(b"null")
    assert await run(work["work.leave"], report=second) == Succeeded(b"null")
    assert (first.kept, first.told) == ([], [])
    assert (second.kept, second.told) == ([b'"its own"'], [])


async def test_a_defect_in_the_worker_ends_the_attempt(
    work: Runners, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker lived on and said nothing: the job hung until its timeout."""
    assert await run(work["work.defect"]) == WorkerLost()
    assert "no name" in caplog.text


async def test_an_output_that_cannot_be_kept_fails_the_attempt(work: Runners) -> None:
    report = Recorder()
    report.refusal = StoreUnavailable("disk full")
    outcome = await run(work["work.async"], 0, report)
    assert outcome == AttemptFailed("handler-error", "StoreUnavailable")


async def test_an_output_that_is_too_large_is_told_to_the_handler(
    work: Runners, caplog: pytest.LogCaptureFixture
) -> None:
    report = Recorder()
    report.refusal = ValueError("at most 9 bytes")
    outcome = await run(work["work.async"], 0, report)
    assert outcome == AttemptFailed("handler-error", "ValueError")
    assert "at most 9 bytes" in caplog.text


async def test_a_handler_that_its_module_does_not_declare_is_told_to_operators(
    children: Children, caplog: pytest.LogCaptureFixture
) -> None:
    here = Dispatcher()

    @here.job("work.nowhere", process=True)
    def handler() -> None: ...

    outcome = await run(here.runners(children)["work.nowhere"])
    assert outcome == AttemptFailed("worker-start", "A worker process could not be started.")
    assert "handlers with process=True are declared when their module is imported" in caplog.text


@pytest.mark.parametrize("name", ["json.py", "runpy.py", "dispatcher.py"])
async def test_a_module_that_is_a_file_is_found_again(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    file = tmp_path / name  # which another module has
    file.write_text(
        "from dispatcher import Dispatcher\n"
        "app = Dispatcher()\n"
        "@app.job('file.job', process=True)\n"
        "def job() -> str:\n"
        "    return __file__\n"
    )
    outcome = await run(load_app(str(file)).runners(children)["file.job"])
    assert outcome == Succeeded(json.dumps(str(file)).encode())


def test_without_children_the_jobs_are_done_in_this_process() -> None:
    assert type(app.runners()["work.pid"]).__name__ == "ThreadRunner"


def test_as_many_run_at_once_as_there_are_processors() -> None:
    types = {each.name: each for each in app.types()}
    assert types["work.facts"].concurrency == os.cpu_count()
    assert types["work.pid"].concurrency == 2


@pytest.mark.parametrize("given", ["ValueError", [ValueError], (ValueError, 3)])
def test_exceptions_that_are_none(given: Any) -> None:
    with pytest.raises(SettingsError, match="fail_on must be an exception's class"):
        Dispatcher().job("x", fail_on=given)


@pytest.mark.parametrize("kind", [True, False])
async def test_exceptions_that_fail_the_job_for_good_in_this_process(kind: bool) -> None:
    async def on_the_loop() -> None:
        raise KeyError

    def in_a_thread() -> None:
        raise KeyError

    handler: Callable[..., Any] = on_the_loop if kind else in_a_thread
    assert await run(runner_of(handler, fail_on=LookupError)) == Failed("handler-error", "KeyError")
    assert await run(runner_of(handler, fail_on=(OSError, ValueError))) == AttemptFailed(
        "handler-error", "KeyError"
    )
