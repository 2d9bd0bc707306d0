"""Work in every way: examples of each runner, handlers that block or crash, and what is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dispatcher.adapters.runners.processes.children import WARDEN_SECONDS
from scripts.outside.process import free_port
from tests.runners.processes_seen import is_there, pids_in, until_gone
from tests.whole.rig import Rig, rig

pytestmark = pytest.mark.whole

ROOT = Path(__file__).resolve().parents[2]
APP = str(Path(__file__).with_name("runners_app.py"))
FAMILY = """
[types."family.command"]
runner = "command"
command = ["bash", "-c", '''
  read -r file; file=${file//\\"/}
  sleep 600 & echo $! >> "$file"; echo $$ >> "$file"
  wait
''']

[types."crash.command"]
runner = "command"
command = ["sh", "-c", "kill -KILL $$"]
backoff_seconds = 0
"""
KINDS = ("family.process", "family.command")


def declare(folder: Path, text: str) -> None:
    (folder / "dispatcher.toml").write_text(text, encoding="utf-8")


def example(folder: Path, name: str, port: int = 9000) -> None:
    """The service's settings are those of an example, at another port."""
    (folder / "examples").symlink_to(ROOT / "examples")
    text = (ROOT / "examples" / name / "dispatcher.toml").read_text(encoding="utf-8")
    declare(folder, text.replace(":9000/", f":{port}/"))


async def ended(made: Rig, *given: Any, **more: Any) -> dict[str, Any]:
    """The job as its callback tells of it."""
    data: dict[str, Any] = (await made.callback(await made.submitted(*given, **more))).event["data"]
    return data


# --- Examples ----------------------------------------------------------------------------------


async def test_the_example_of_a_command(tmp_path: Path) -> None:
    example(tmp_path, "command")
    async with rig(tmp_path) as made:
        job = await ended(made, "words.count", "to be or not to be")
        assert job["result"][0] == {"word": "be", "count": 2}
        assert job["progress"] == {"current": 2, "total": 2, "message": "sorting"}
        assert (await made.submit("words.count", 7)).status == 422
        job = await ended(made, "words.count", "1234")
        assert job["error"]["code"] == "command-exit"
        await made.service.until_says("no words in the input of job_")


async def test_the_example_of_an_endpoint(tmp_path: Path) -> None:
    port = free_port()
    example(tmp_path, "http", port)
    words = [sys.executable, str(ROOT / "examples/http/slow_endpoint.py"), str(port)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as endpoint:  # noqa: ASYNC220  # quick
        try:
            assert endpoint.stdout is not None
            await asyncio.to_thread(endpoint.stdout.readline)
            async with rig(tmp_path) as made:
                job = await ended(made, "pdf.render", {"title": "a", "pages": 2})
                assert job["result"] == {"file": "a.pdf", "pages": 2}
                job = await ended(made, "pdf.render", {"title": "a"})
                assert job["error"]["code"] == "no-pages"
                assert job["error"]["detail"] == "There is nothing to render."
        finally:
            endpoint.kill()


async def test_the_example_of_a_worker_process(tmp_path: Path) -> None:
    async with rig(tmp_path, app=str(ROOT / "examples/primes.py")) as made:
        job = await ended(made, "primes.count", 30_000)
        assert job["result"] == 3_245
        assert job["progress"]["total"] == 30_000


# --- Handlers that block -----------------------------------------------------------------------

BLOCKED = 4.5
LEASE = 3


async def test_who_blocks_in_a_thread_or_a_process_holds_up_nobody(tmp_path: Path) -> None:
    async with rig(tmp_path, app=APP) as made:
        slow = [await made.submitted(f"block.{kind}", 3) for kind in ("thread", "process")]
        started = time.monotonic()
        for number in range(20):
            job_id = await made.submitted("dispatcher.echo", number)
            await made.callback(job_id)
            assert (await made.api.job(job_id))["result"] == number
        assert time.monotonic() - started < 2.5
        assert [(await made.api.job(each))["status"] for each in slow] == ["running", "running"]
        for each, result in zip(slow, ("thread", "process"), strict=True):
            assert (await made.callback(each)).event["data"]["result"] == result


async def test_who_blocks_the_loop_keeps_its_lease_and_is_named(tmp_path: Path) -> None:
    lease = {"DISPATCHER_LEASE_SECONDS": str(LEASE)}
    async with rig(tmp_path, app=APP, environment=lease) as made:
        job = await ended(made, "block.loop", BLOCKED)
        assert (job["status"], job["result"], job["attemptCount"]) == ("succeeded", "loop", 1)
        await made.service.until_says(f"The handler of job {job['id']} (block.loop) has blocked")
        await made.service.until_says("(block.loop) blocked the event loop for 4.")
        await made.service.until_says("runners_app.py, line")
        assert "lease.lost" not in made.service.log


# --- Handlers that crash -----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["exit", "killed", "segfault", "command"])
async def test_who_kills_its_worker_fails_within_its_attempts_and_alone(
    tmp_path: Path, how: str
) -> None:
    declare(tmp_path, FAMILY)
    async with rig(tmp_path, app=APP) as made:
        pid = made.service.pid
        kind = "crash.command" if how == "command" else "crash.process"
        job = await ended(made, kind, how, maxAttempts=2)
        assert (job["status"], job["attemptCount"]) == ("failed", 2)
        assert job["error"]["code"] == "worker-lost"
        assert (await ended(made, "dispatcher.echo", 1))["result"] == 1
        assert is_there(pid)


# --- What is left ------------------------------------------------------------------------------


async def families(made: Rig, folder: Path, **more: Any) -> tuple[list[str], list[int]]:
    """A job of each kind that runs, with the pids of its processes."""
    jobs = [await made.submitted(kind, str(folder / kind), **more) for kind in KINDS]
    pids = [pid for kind in KINDS for pid in await pids_in(folder / kind, 2)]
    assert all(is_there(pid) for pid in pids)
    return jobs, pids


async def test_nothing_is_left_after_a_timeout(tmp_path: Path) -> None:
    declare(tmp_path, FAMILY)
    async with rig(tmp_path, app=APP) as made:
        jobs, pids = await families(made, tmp_path, timeoutSeconds=1, maxAttempts=1)
        for each in jobs:
            assert (await made.callback(each)).event["data"]["error"]["code"] == "timeout"
        assert await until_gone(*pids) == set()


async def test_nothing_is_left_after_a_cancel(tmp_path: Path) -> None:
    declare(tmp_path, FAMILY)
    async with rig(tmp_path, app=APP) as made:
        jobs, pids = await families(made, tmp_path)
        for each in jobs:
            assert (await made.api.call("POST", f"/v1/jobs/{each}/cancel")).status == 202
            assert (await made.callback(each)).event["data"]["status"] == "canceled"
        assert await until_gone(*pids) == set()


async def test_nothing_is_left_after_a_drain_and_the_attempts_are_given_back(
    tmp_path: Path,
) -> None:
    declare(tmp_path, FAMILY)
    grace = {"DISPATCHER_GRACE_SECONDS": "2"}
    async with rig(tmp_path, app=APP, environment=grace) as made:
        jobs, pids = await families(made, tmp_path)
        assert await made.service.stop() == 0
        assert await until_gone(*pids) == set()
        await made.service.start()
        for kind in KINDS:
            pids += await pids_in(tmp_path / kind, 4)
        for each in jobs:
            assert (await made.api.job(each))["attemptCount"] == 1
        made.service.kill()
        assert await until_gone(*pids) == set()


async def test_nothing_is_left_after_the_service_was_killed(tmp_path: Path) -> None:
    declare(tmp_path, FAMILY)
    async with rig(tmp_path, app=APP) as made:
        jobs, pids = await families(made, tmp_path)
        made.service.kill()
        assert await until_gone(*pids) == set()
        await made.service.start()
        for kind in KINDS:
            pids += await pids_in(tmp_path / kind, 4)
        for each in jobs:
            assert (await made.api.job(each))["attemptCount"] == 2
        made.service.kill()
        assert await until_gone(*pids) == set()


async def test_what_a_handler_has_forked_keeps_no_service_from_starting(tmp_path: Path) -> None:
    """Pools of `multiprocessing` outlive a service that was killed: they held its port and lock."""
    async with rig(tmp_path, app=APP) as made:
        pid = (await ended(made, "fork"))["result"]
        try:
            made.service.kill()
            await made.service.start()
            assert is_there(pid)
            assert (await ended(made, given="after it"))["result"] == "after it"
        finally:
            os.kill(pid, signal.SIGKILL)


async def test_what_a_handler_has_forked_keeps_no_service_from_ending(tmp_path: Path) -> None:
    """It held the socket to who starts processes, which waited for its end, and was waited for."""
    async with rig(tmp_path, app=APP) as made:
        assert (await ended(made, "block.process", 0))["result"] == "process"
        pid = (await ended(made, "fork"))["result"]
        try:
            began = time.monotonic()
            assert await made.service.stop() == 0
            assert time.monotonic() - began < WARDEN_SECONDS
            assert is_there(pid)
        finally:
            os.kill(pid, signal.SIGKILL)
