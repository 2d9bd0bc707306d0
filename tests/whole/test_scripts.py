"""The scripts that a newcomer runs: the demo and the benchmark."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from scripts.benchmark.postgres import described, new_database, own_server
from scripts.benchmark.terms import BenchmarkFailed
from tests.store.postgres_server import empty_database

pytestmark = pytest.mark.whole

ROOT = Path(__file__).resolve().parents[2]
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # where the system has it


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


def measured(folder: Path, *only: str, seconds: float, more: tuple[str, ...] = ()) -> Any:
    """The JSON of a quick run of these scenarios, which must have ended well."""
    file = folder / "figures.json"
    names = [part for each in only for part in ("--only", each)]
    short = ("--quick", "--seconds", str(seconds), "--folder", str(folder), "--json", str(file))
    shown = run("scripts.benchmark", *short, *names, *more, folder=folder)
    assert shown.returncode == 0, shown.stdout
    return json.loads(file.read_text())


def test_the_benchmark_puts_a_backlog_beside_bare_baselines(tmp_path: Path) -> None:
    wanted = ("receiver ceiling", "by the hundred", "deliver only", "two processes")
    done = measured(tmp_path, *wanted, seconds=0.2)
    found = {each["name"]: each for each in done["scenarios"]}
    assert found["deliver only"]["accepted"] == 400
    assert found["deliver only"]["lost"] == 0
    assert found["commits by the hundred"]["jobs_per_second"] > 0
    assert 0 < done["ratio_to_limit"]["deliver only"] < 1
    assert "one process serves a SQLite store" in done["skipped"]["two processes"]


def test_the_benchmark_prepares_a_store_with_a_past(tmp_path: Path) -> None:
    done = measured(tmp_path, "finished jobs", seconds=1, more=("--keep-seeds",))
    (found,) = done["scenarios"]
    assert (found["rows"], found["lost"], found["refused"]) == (2_000, 0, 0)
    (kept,) = (tmp_path / "dispatcher-bench-seeds").iterdir()
    with contextlib.closing(sqlite3.connect(kept / "dispatcher.db")) as opened:
        for table in ("job", "event", "delivery"):
            count = f"SELECT count(DISTINCT id) FROM {table}"  # noqa: S608  # the names stand above
            assert opened.execute(count).fetchone() == (2_000,)
        assert opened.execute("PRAGMA foreign_key_check").fetchall() == []


def test_the_benchmark_calls_back_over_tls(tmp_path: Path) -> None:
    (found,) = measured(tmp_path, "cold TLS", seconds=2)["scenarios"]
    assert found["verified"] > 0
    assert (found["lost"], found["duplicates"], found["refused"]) == (0, 0, 0)


def test_the_benchmark_paces_and_says_when_a_handler_returned(tmp_path: Path) -> None:
    done = measured(tmp_path, "open loop", "idle", seconds=1, more=("--rate", "50"))
    paced, idle = done["scenarios"]
    assert 40 <= paced["accepted"] <= 62  # a second, and a fifth of one to warm up
    assert 0 < idle["after_handler_p50_ms"] < idle["callback_p50_ms"]


def test_the_benchmark_compares_two_checkouts(tmp_path: Path) -> None:
    against = ("--against", str(ROOT), "--rounds", "1")
    done = measured(tmp_path, "accept only", seconds=0.5, more=against)
    assert len(done["rounds"]) == 1
    found = {each["measure"]: each for each in done["compared"]}
    assert found["jobs/s"]["ratio"] > 0
    assert 0.5 < found["bytes/job"]["ratio"] < 2


def test_a_receiver_that_hangs_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """A short form: its p99 is too noisy to be judged here, so that only the timeout is kept to."""
    short = ("--seconds", "2", "--rate", "20", "--factor", "1000", "--folder", str(tmp_path))
    shown = run("scripts.benchmark.hanging", *short, folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    found = json.loads(next(x for x in shown.stdout.splitlines() if x.startswith("{")))
    assert (found["jobs"], found["lost"]) == (80, 0)
    assert found["hanging_attempts"] >= 5
    assert found["beside_p50_ms"] < 1_000


async def test_a_wait_on_one_node_ends_when_another_has_done_the_job(tmp_path: Path) -> None:
    """A short form: its waits are over before the poll that stands behind hints."""
    async with empty_database() as url:
        short = ("--store", url, "--seconds", "1", "--rate", "20")
        shown = await asyncio.to_thread(run, "scripts.benchmark.across", *short, folder=tmp_path)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    found = json.loads(next(x for x in shown.stdout.splitlines() if x.startswith("{")))
    assert (found["jobs"], found["unfinished"]) == (40, 0)
    assert 0 < found["idle_p50_ms"] <= found["idle_p99_ms"] < 4_000


def test_the_benchmark_starts_a_postgres_that_is_set_as_documented(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    short = ("--postgres", "--processes", "2", "--seconds", "1", "--warm-up", "0.5")
    shown = run(
        "scripts.benchmark", *short, "--only", "whole", "--json", str(file), folder=tmp_path
    )
    assert shown.returncode == 0, shown.stdout
    assert "Mind:" not in shown.stdout
    report = json.loads(file.read_text())
    assert [(each["lost"], each["duplicates"]) for each in report["scenarios"]] == [(0, 0)] * 2
    assert all(each["jobs_per_second"] > 0 for each in report["scenarios"])
    for part in ("fsync on", "synchronous_commit on", "max_wal_size 8GB", "wal_compression "):
        assert part in report["machine"]["durability"]


def shared_memory() -> set[str]:
    """What servers have there and leave there if they are killed."""
    return {each.name for each in SHARED_MEMORY.glob("PostgreSQL.*")}


@pytest.mark.skipif(not SHARED_MEMORY.is_dir(), reason="of Linux")
async def test_each_scenario_has_a_database_that_nothing_is_in() -> None:
    before = shared_memory()
    with tempfile.TemporaryDirectory(prefix="a b+%41-") as folder, own_server(Path(folder)) as one:
        for _ in range(2):
            connection = await asyncpg.connect(new_database(one))
            try:
                assert (
                    await connection.fetchval("SELECT to_regclass('dispatcher_was_here')") is None
                )
                await connection.execute("CREATE TABLE dispatcher_was_here ()")
            finally:
                await connection.close()
        one.kill()
        with pytest.raises(BenchmarkFailed, match="no database any more"):
            new_database(one)
        with pytest.raises(BenchmarkFailed, match="can't be asked"):
            await described(one.url("benchmark"))
        one.start()
        during = shared_memory() - before
    assert during
    # Others of this machine come and go meanwhile.
    assert not shared_memory() & during


async def test_a_folder_that_is_too_long_for_a_socket_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(BenchmarkFailed, match="shorter --folder"),
        own_server(tmp_path / ("x" * 100)),
    ):
        pass


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://nobody@/nothing?host=/nowhere", "the PostgreSQL can't be asked: "),
        ("postgresql://nobody@127.0.0.1:no/x", "the PostgreSQL can't be asked: "),
        ("postgresql://nobody@127.0.0.1/x?sslmode=wrong", "the PostgreSQL can't be asked: "),
        ("sqlite:///x.db", "--store takes the URL of a PostgreSQL"),
    ],
)
def test_a_store_that_can_not_be_asked_is_told_in_a_line(
    url: str, said: str, tmp_path: Path
) -> None:
    shown = run("scripts.benchmark", "--store", url, "--only", "whole path", folder=tmp_path)
    assert shown.returncode == 2
    assert shown.stdout.startswith(said)
    assert "Traceback" not in shown.stdout


@pytest.mark.parametrize("module", ["scripts.benchmark", "scripts.benchmark.across"])
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_a_measurement_that_is_ended_leaves_no_server(
    module: str, ending: signal.Signals, tmp_path: Path
) -> None:
    own = ("--postgres", "--only", "whole path") if module == "scripts.benchmark" else ()
    one = subprocess.Popen(
        [sys.executable, "-m", module, *own, "--seconds", "30"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with one:
        began = started_by(one.pid, "dispatcher serve")
        one.send_signal(ending)
        assert one.wait(30) == 128 + ending
    assert not began & living().keys()


def living() -> dict[int, tuple[int, str]]:
    """The parent and the command of every process that has not ended."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ends at this moment
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if state != "Z":  # one that has ended, and whose end nobody has asked for
                found[int(folder.name)] = (int(parent), command)
    return found


def started_by(pid: int, until: str) -> set[int]:
    """Every process that comes of this one, once one of them has `until` in its command."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        there = living()
        found: set[int] = set()
        newer = {pid}
        while newer:
            newer = {each for each, (parent, _) in there.items() if parent in newer}
            found |= newer
        if any(until in there[each][1] for each in found):
            return found
        time.sleep(0.1)  # between looks: a process of another's gives no signal
    raise TimeoutError(f"{until} did not start")


def test_a_great_backlog_costs_the_claims_of_others_little(tmp_path: Path) -> None:
    short = ("--deliveries", "20000", "--folder", str(tmp_path))
    shown = run("scripts.benchmark.backlog", *short, folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    found = json.loads(next(x for x in shown.stdout.splitlines() if x.startswith("{")))
    assert max(found["hanging_p50_ms"], found["open_p50_ms"]) < 10 * found["alone_p50_ms"] + 10
