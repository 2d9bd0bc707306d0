"""Commands: JSON in, JSON out, what they say on the way, and how they end."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dispatcher.adapters.runners.command import CommandRunner, CommandTerms
from dispatcher.adapters.runners.processes import Children
from dispatcher.adapters.runners.processes.lines import LINE_BYTES, LOGGED_LINES
from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.model import JobType, Progress
from dispatcher.core.outcome import AttemptFailed, Failed, JobOutcome, Succeeded, WorkerLost
from dispatcher.core.retry import DEFAULT_JOB_BACKOFF
from tests.runners.fakes import Recorder, leased
from tests.runners.processes_seen import pids_in, until_gone

Make = Callable[..., CommandRunner]


@pytest.fixture
def make(children: Children) -> Make:
    def make(*command: str, most: int = 1_000_000, **environment: str) -> CommandRunner:
        terms = CommandTerms(command=command, environment=environment, result_bytes=most)
        job_type = JobType(name="test.job", runner="command")
        return CommandRunner(job_type, DEFAULT_JOB_BACKOFF, terms, children)

    return make


@pytest.fixture
def bash(make: Make) -> Make:
    def bash(script: str, *words: str, **more: Any) -> CommandRunner:
        return make("bash", "-c", script, *words, **more)

    return bash


async def run(
    runner: CommandRunner, given: Any = None, report: Recorder | None = None
) -> JobOutcome:
    async with asyncio.timeout(20):
        return await runner.run(leased(given), report or Recorder())


@pytest.mark.parametrize("given", [None, {"a": [1, "ö"]}, "x" * 300_000])
async def test_the_input_comes_in_and_the_result_goes_out_as_json(make: Make, given: Any) -> None:
    outcome = await run(make("cat"), given)
    assert isinstance(outcome, Succeeded)
    assert json.loads(outcome.result) == given


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("true", Succeeded(b"null")),
        (r"printf ' \n'", Succeeded(b"null")),
        ("echo ' [1] '", Succeeded(b"[1]")),
        ("echo 1 2", Failed("bad-result", "What the command wrote as its result is not JSON.")),
        (
            r"printf '\"\377\"'",
            Failed("bad-result", "What the command wrote as its result is not JSON."),
        ),
        ("exit 75", AttemptFailed("command-exit", "The command ended with exit status 75.")),
        ("echo 1; exit 1", Failed("command-exit", "The command ended with exit status 1.")),
        ("exit 255", Failed("command-exit", "The command ended with exit status 255.")),
        ("kill -SEGV $$", WorkerLost()),
        ("kill -KILL $$", WorkerLost()),
    ],
)
async def test_how_a_command_ends(bash: Make, script: str, outcome: JobOutcome) -> None:
    # The input is not read, and is more than a pipe holds.
    assert await run(bash(script), "x" * 200_000) == outcome


async def test_a_result_that_is_too_long_ends_the_command(bash: Make) -> None:
    outcome = await run(bash("yes", most=1000))
    assert outcome == Failed("bad-result", "The command wrote more than 1000 bytes as its result.")
    assert await run(bash("printf 12345", most=5)) == Succeeded(b"12345")


async def test_a_command_that_is_not_there_is_tried_again_and_operators_are_told(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = await run(make("no-such-program"))
    assert outcome == AttemptFailed("command-start", "The command could not be started.")
    assert "no-such-program, can't be started: No such file" in caplog.text


async def test_its_environment_is_small_and_names_the_job(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCHER_SECRET_KEY", "dsk_secret")
    monkeypatch.setenv("LANG", "C.UTF-8")
    script = "import json, os; print(json.dumps(dict(os.environ)))"
    outcome = await run(make(sys.executable, "-c", script, COLOUR="blue"))
    assert isinstance(outcome, Succeeded)
    found = json.loads(outcome.result)
    job = leased().job
    assert job.trace is not None
    assert found["DISPATCHER_JOB_ID"] == job.id
    assert found["DISPATCHER_ATTEMPT"] == "1"
    assert found["TRACEPARENT"] == job.trace.traceparent
    assert (found["COLOUR"], found["LANG"]) == ("blue", "C.UTF-8")
    assert "DISPATCHER_SECRET_KEY" not in found
    assert len(found) < 20


async def test_lines_of_standard_error_tell_progress_and_outputs_and_the_rest_is_logged(
    bash: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    report = Recorder()
    script = """
      echo '{"progress": {"current": 1, "total": 3, "message": "half"}}' >&2
      echo '{"output": {"page": [1]}}' >&2
      echo '{"progress": {"current": 2}, "output": null}' >&2
      echo 'plain words' >&2
      echo '{"progress": "half"}' >&2
      echo '{"progress": {"current": 1}, "more": 1}' >&2
      echo '{"other": 1}' >&2
      printf '{"output": 5}' >&2
      echo 7
    """
    assert await run(bash(script), report=report) == Succeeded(b"7")
    assert report.told == [Progress(1, 3, "half"), Progress(2)]
    assert report.kept == [b'{"page": [1]}', b"null", b"5"]
    said = [each.getMessage().partition(" says: ")[2] for each in caplog.records]
    assert said == [
        "plain words",
        '{"progress": "half"}',
        '{"progress": {"current": 1}, "more": 1}',
        '{"other": 1}',
    ]


async def test_operators_see_the_end_of_what_a_failed_command_said_and_callers_do_not(
    bash: Make, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = await run(bash("echo the password is xyz >&2; exit 2"))
    assert outcome == Failed("command-exit", "The command ended with exit status 2.")
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "ended with exit status 2. The end of its standard error: the password is xyz" in (
        record.getMessage()
    )


async def test_floods_of_standard_error_are_bounded(
    bash: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    long_line = f"head -c {3 * LINE_BYTES} /dev/zero | tr '\\0' x >&2; echo >&2"
    script = f"{long_line}; seq {LOGGED_LINES + 500} >&2; echo last >&2; exit 1"
    assert isinstance(await run(bash(script)), Failed)
    assert len(caplog.records) == LOGGED_LINES + 2
    assert "no more of them" in caplog.records[-2].getMessage()
    assert caplog.records[-1].getMessage().endswith("\nlast")
    assert max(len(each.getMessage()) for each in caplog.records) < 20_000


async def test_an_output_that_cannot_be_kept_fails_the_attempt(bash: Make) -> None:
    report = Recorder()
    report.refusal = StoreUnavailable("disk full")
    outcome = await run(bash("echo '{\"output\": 1}' >&2; exec sleep 600"), report=report)
    assert isinstance(outcome, AttemptFailed)
    assert outcome.code == "command-output"


async def test_an_output_that_is_too_large_is_for_the_log(
    bash: Make, caplog: pytest.LogCaptureFixture
) -> None:
    report = Recorder()
    report.refusal = ValueError("at most 9 bytes")
    with caplog.at_level(logging.INFO):
        outcome = await run(bash("echo '{\"output\": 1}' >&2; echo 5"), report=report)
    assert outcome == Succeeded(b"5")
    assert '{"output": 1}' in caplog.text


async def test_who_leaves_the_group_and_holds_the_pipes_does_not_hold_the_job(
    bash: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatcher.adapters.runners.command.LINGER_SECONDS", 0.1)
    file = tmp_path / "pids"
    leaves = 'setsid bash -c "echo \\$\\$ > \\"$0\\"; sleep 0.3"'
    script = f'{leaves} & until [ -s "$0" ]; do :; done; echo 1'
    assert await run(bash(script, str(file))) == Succeeded(b"1")
    assert await until_gone(*await pids_in(file, 1)) == set()  # it left by itself


async def test_stopping_the_job_ends_the_whole_group(bash: Make, tmp_path: Path) -> None:
    file = tmp_path / "pids"
    script = 'sleep 600 & echo $! >> "$0"; echo $$ >> "$0"; wait'
    task = asyncio.create_task(run(bash(script, str(file))))
    pids = await pids_in(file, 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await until_gone(*pids) == set()


async def test_a_command_that_ends_well_when_it_is_told_to_stop_was_stopped_all_the_same(
    bash: Make, tmp_path: Path
) -> None:
    # Its empty output would be the result null.
    file = tmp_path / "pids"
    task = asyncio.create_task(
        run(bash('trap "exit 0" TERM; echo $$ > "$0"; sleep 600 & wait', str(file)))
    )
    await pids_in(file, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
