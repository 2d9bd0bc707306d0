"""SIGTERM: what is in flight is finished within the grace, the rest is given back."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from scripts.outside.process import dispatcher_command
from tests.whole.rig import Gate, Rig

pytestmark = pytest.mark.whole


async def test_a_running_job_finishes_and_is_called_back_while_no_more_is_accepted(
    gated: Rig, gate: Gate
) -> None:
    job_id = await gated.submitted("gate.wait", gate.port)
    running = await gate.entered()
    gated.service.ask_to_stop()
    await gated.service.until_says("Stopping")
    refused = await gated.submit()
    await gate.let_through(running)
    assert await gated.service.wait() == 0
    assert refused.status == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["content-type"] == "application/problem+json"
    arrival = await gated.callback(job_id)
    assert arrival.event["data"]["result"] == "through"
    assert arrival.event["data"]["attemptCount"] == 1


async def test_a_job_that_does_not_end_in_time_is_given_back_with_its_attempt(
    gated: Rig, gate: Gate
) -> None:
    job_id = await gated.submitted("gate.wait", gate.port)
    await gate.entered()
    assert await gated.service.stop() == 0
    await gated.service.start()
    await gate.let_through(await gate.entered())
    data = (await gated.callback(job_id)).event["data"]
    assert (data["status"], data["attemptCount"]) == ("succeeded", 1)


async def test_a_thread_that_does_not_end_is_left_behind_and_its_job_runs_at_the_next_start(
    gated: Rig, gate: Gate
) -> None:
    job_id = await gated.submitted("gate.thread", gate.port)
    await gate.entered()
    # Nothing can stop the thread from outside, and the exit status says that it was not stopped.
    assert await gated.service.stop() == 1
    await gated.service.start()
    await gate.let_through(await gate.entered())
    data = (await gated.callback(job_id)).event["data"]
    assert (data["status"], data["attemptCount"]) == ("succeeded", 2)


async def test_a_drained_service_has_nothing_more_to_send_after_its_start(gated: Rig) -> None:
    job_id = await gated.submitted()
    await gated.callback(job_id)
    assert await gated.service.stop() == 0
    await gated.service.start()
    # A second job's callback comes through the same path: what was owed before it would be here.
    await gated.callback(await gated.submitted())
    assert len(gated.receiver.arrivals) == 2
    assert (await gated.api.job(job_id))["delivery"]["attemptCount"] == 1


SILENT = """\
import asyncio, time
from dispatcher import Dispatcher
from dispatcher.compose import ending
from dispatcher.engine.holder import Holder

ending.LATE_SECONDS = 0.3

async def never(self, *, release):
    {waits}

Holder.stop = never
app = Dispatcher()
"""


@pytest.mark.parametrize("waits", ["await asyncio.sleep(3600)", "time.sleep(3600)"])
def test_a_drain_that_waits_for_ever_does_not_keep_the_process(tmp_path: Path, waits: str) -> None:
    """As for a disk that does not answer: of a task, and of a thread that holds up the loop."""
    app = tmp_path / "silent.py"
    app.write_text(SILENT.format(waits=waits))
    command = [dispatcher_command(), "serve", "--port", "0", "--config", "short.toml", str(app)]
    (tmp_path / "short.toml").write_text("grace_seconds = 0.3\n")
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert any(line.startswith("Set --public-url") for line in process.stdout)
            process.terminate()
            said = process.stdout.read()
            assert process.wait(20) == 1
        finally:
            process.kill()
    assert "Something did not end within the grace" in said


def test_it_stops_even_if_nobody_reads_what_it_says_any_more(tmp_path: Path) -> None:
    # As with `dispatcher serve | head -1`.
    command = [dispatcher_command(), "serve", "--port", "0"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            # All of the greeting, so that what breaks is the word that it stops.
            assert any(line.startswith("Set --public-url") for line in process.stdout)
            process.stdout.close()
            process.terminate()
            assert process.wait(timeout=10) == 0
        finally:
            process.kill()


def test_it_stops_even_if_nobody_reads_and_nobody_has_gone(tmp_path: Path) -> None:
    """The pipe is full, so that whoever writes into it waits."""
    reading, writing = os.pipe()
    # A description of its own: that of the service goes on to block.
    filling = os.open(f"/proc/self/fd/{writing}", os.O_WRONLY | os.O_NONBLOCK)
    command = [dispatcher_command(), "serve", "--port", "0"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=writing, stderr=subprocess.DEVNULL
    ) as process:
        try:
            said = b""
            # To its very end: the service would else write the rest of it into a full pipe.
            while b"Set --public-url" not in said or not said.endswith(b"\n"):
                said += os.read(reading, 65_536)
            for size in (65_536, 4_096, 1):
                with contextlib.suppress(BlockingIOError):
                    while True:
                        os.write(filling, b"x" * size)
            process.terminate()
            assert process.wait(20) == 0
        finally:
            process.kill()
            for each in (reading, writing, filling):
                os.close(each)
