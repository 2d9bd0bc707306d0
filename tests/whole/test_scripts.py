"""The scripts that a newcomer runs: the demo and the benchmark."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.whole

ROOT = Path(__file__).resolve().parents[2]


def run(module: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The module that the script of that name runs, with `folder` as the place of its files."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=90,
        check=False,
    )


def test_the_demo_shows_that_all_was_delivered_and_leaves_nothing(tmp_path: Path) -> None:
    shown = run("scripts.outside.demo", "--once", folder=tmp_path)
    assert shown.returncode == 0, shown.stdout
    assert "7 jobs accepted, 7 callbacks delivered" in shown.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_interrupted_leaves_nothing(ending: signal.Signals, tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "scripts.outside.demo"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with demo:
        assert demo.stdout is not None
        port = next(found for line in demo.stdout if (found := re.search(r"--port (\d+)", line)))
        assert list(tmp_path.iterdir()) != []
        demo.send_signal(ending)
        rest = demo.stdout.read()
        assert demo.wait(20) == 130
    assert "nothing of it is left" in rest
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port[1])))


def test_the_benchmark_measures_the_whole_path_and_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    short = ("--seconds", "1", "--warm-up", "0.5", "--only", "whole path")
    shown = run("scripts.benchmark", *short, "--json", str(file), folder=tmp_path)
    assert shown.returncode == 0, shown.stdout
    figures = json.loads(file.read_text())["scenarios"][0]
    assert figures["jobs_per_second"] > 0
    assert (figures["lost"], figures["duplicates"], figures["refused"]) == (0, 0, 0)
    assert figures["verified"] == 50
    assert figures["answer_p50_ms"] < figures["callback_p99_ms"]


def test_the_benchmark_measures_jobs_while_many_listen(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    short = ("--seconds", "1", "--warm-up", "0.5", "--only", "many listeners", "--listeners", "300")
    shown = run("scripts.benchmark", *short, "--json", str(file), folder=tmp_path)
    assert shown.returncode == 0, shown.stdout
    figures = json.loads(file.read_text())["scenarios"][0]
    assert figures["listeners"] == 300
    assert 0 < figures["memory_kb_per_listener"] < 200
    assert (figures["lost"], figures["refused"]) == (0, 0)


def test_the_benchmark_tells_by_its_exit_status_when_the_floor_is_missed(tmp_path: Path) -> None:
    short = ("--seconds", "0.5", "--warm-up", "0.1", "--only", "whole path", "--floor", "1e9")
    shown = run("scripts.benchmark", *short, folder=tmp_path)
    assert shown.returncode == 1
    assert "under the floor" in shown.stdout


def test_a_receiver_that_hangs_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """A short form: its p99 is too noisy to be judged here, so that only the timeout is kept to."""
    short = ("--seconds", "2", "--rate", "20", "--factor", "1000", "--folder", str(tmp_path))
    shown = run("scripts.benchmark.hanging", *short, folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    found = json.loads(next(x for x in shown.stdout.splitlines() if x.startswith("{")))
    assert (found["jobs"], found["lost"]) == (80, 0)
    assert found["hanging_attempts"] >= 5
    assert found["beside_p50_ms"] < 1_000


def test_a_great_backlog_costs_the_claims_of_others_little(tmp_path: Path) -> None:
    short = ("--deliveries", "20000", "--folder", str(tmp_path))
    shown = run("scripts.benchmark.backlog", *short, folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    found = json.loads(next(x for x in shown.stdout.splitlines() if x.startswith("{")))
    assert max(found["hanging_p50_ms"], found["open_p50_ms"]) < 10 * found["alone_p50_ms"] + 10
