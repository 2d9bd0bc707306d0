"""Children of the service: started without a shell, and none is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dispatcher.adapters.runners.processes import Child, Children, ChildrenUnavailable
from dispatcher.adapters.runners.processes.children import LOST
from tests.runners.processes_seen import pids_in, until_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

ENV = {"PATH": os.environ["PATH"]}
# A process with a child of its own, both in the group; their pids go to the file.
FAMILY = 'sleep 600 & echo $! >> "$0"; echo $$ >> "$0"; {0}'


async def family(children: Children, file: Path, then: str = "wait") -> Child:
    return await children.start(["bash", "-c", FAMILY.replace("{0}", then), str(file)], ENV)


async def test_a_child_gets_its_input_and_gives_output_errors_and_status(
    children: Children,
) -> None:
    child = await children.start(["bash", "-c", "cat; echo oh >&2; exit 3"], ENV)
    child.stdin.write(b"hello")
    child.stdin.close()
    assert await child.stdout.read() == b"hello"
    assert await child.stderr.read() == b"oh\n"
    assert await child.wait() == 3
    child.close()


async def test_arguments_are_passed_as_they_are_and_the_environment_is_what_was_given(
    children: Children,
) -> None:
    child = await children.start(["printf", "%s|", "$HOME", "a b", "'"], ENV)
    assert await child.stdout.read() == b"$HOME|a b|'|"
    await child.wait()
    child.close()
    child = await children.start(["env"], ENV | {"ONE": "1 ö"})
    told = (await child.stdout.read()).decode().splitlines()
    assert sorted(told) == sorted([f"PATH={ENV['PATH']}", "ONE=1 ö"])
    await child.wait()
    child.close()


@pytest.mark.parametrize(
    ("program", "reason"),
    [("no-such-program", "No such file"), (os.devnull, "Permission denied")],
)
async def test_what_cannot_be_started_says_why(
    children: Children, program: str, reason: str
) -> None:
    with pytest.raises(ChildrenUnavailable, match=reason):
        await children.start([program], ENV)
    child = await children.start(["true"], ENV)  # and others can be
    assert await child.wait() == 0
    child.close()


async def test_what_a_child_leaves_behind_ends_with_it(children: Children, tmp_path: Path) -> None:
    child = await family(children, tmp_path / "pids", "exit 4")
    pids = await pids_in(tmp_path / "pids", 2)
    assert await child.wait() == 4
    assert await until_gone(*pids) == set()
    child.close()


async def test_stopping_gives_the_group_a_chance_and_then_kills_it(
    children: Children, tmp_path: Path
) -> None:
    child = await family(children, tmp_path / "polite", 'trap "exit 9" TERM; wait')
    await pids_in(tmp_path / "polite", 2)
    assert await child.stop() == 9
    child.close()
    child = await family(children, tmp_path / "stubborn", 'trap "" TERM; sleep 600; sleep 600')
    pids = await pids_in(tmp_path / "stubborn", 2)
    assert await child.stop() == -signal.SIGKILL
    assert await until_gone(*pids) == set()
    child.close()


async def test_being_cancelled_hurries_the_stop_up_and_does_not_end_it(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatcher.adapters.runners.processes.children.TERM_SECONDS", 600)
    child = await family(children, tmp_path / "pids", 'trap "" TERM; sleep 600; sleep 600')
    pids = await pids_in(tmp_path / "pids", 2)
    stopping = asyncio.create_task(child.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    assert await stopping == -signal.SIGKILL
    assert await until_gone(*pids) == set()
    child.close()


async def test_a_start_that_is_cancelled_leaves_nothing(children: Children, tmp_path: Path) -> None:
    starting = asyncio.create_task(family(children, tmp_path / "pids"))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert children._children == {}


async def test_closing_ends_who_leaves_when_its_input_ends_and_who_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatcher.adapters.runners.processes.children.LEAVE_SECONDS", 0.2)
    children = Children()
    polite = await children.start(["bash", "-c", 'cat; echo left > "$0"', str(tmp_path / "x")], ENV)
    await family(children, tmp_path / "pids")
    pids = await pids_in(tmp_path / "pids", 2)
    await children.close()
    assert polite.status == 0
    assert (tmp_path / "x").read_text() == "left\n"
    assert await until_gone(*pids) == set()
    with pytest.raises(ChildrenUnavailable, match="shutting down"):
        await children.start(["true"], ENV)


async def test_when_the_warden_is_killed_its_children_end_and_others_can_be_started(
    children: Children, tmp_path: Path
) -> None:
    child = await family(children, tmp_path / "pids")
    pids = await pids_in(tmp_path / "pids", 2)
    assert children._warden is not None
    children._warden._process.kill()
    assert await child.wait() == LOST
    assert await until_gone(*pids) == set()
    child.close()
    other = await children.start(["true"], ENV)
    assert await other.wait() == 0
    other.close()


SERVICE = """
import asyncio, os, sys, time
from dispatcher.adapters.runners.processes import Children

async def main():
    children = Children()
    await children.start(["bash", "-c", sys.argv[1], sys.argv[2]], dict(os.environ))
    if os.fork() == 0:  # keeps the socket to the warden open, as multiprocessing does
        print(os.getpid(), flush=True)
        time.sleep(600)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_when_the_service_is_killed_nothing_is_left(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    words = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        SERVICE,
        FAMILY.replace("{0}", "wait"),
        str(file),
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as service:  # noqa: ASYNC220  # quick
        assert service.stdout is not None
        stray = int(await asyncio.to_thread(service.stdout.readline))
        try:
            pids = await pids_in(file, 2)
            wardens = children_of(service.pid) - {stray}
            assert len(wardens) == 1
            service.kill()
            assert await until_gone(*pids, *wardens) == set()
        finally:
            service.kill()
            os.kill(stray, signal.SIGKILL)


def children_of(pid: int) -> set[int]:
    """Those of all its threads."""
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(each) for file in files for each in file.read_text(encoding="utf-8").split()}
