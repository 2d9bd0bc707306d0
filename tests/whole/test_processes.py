"""`serve --processes N`: one port, several processes, and a parent that watches over them."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aiohttp
import pytest

from scripts.outside.api import Api
from scripts.outside.process import Service
from tests.store.postgres_server import empty_database
from tests.whole.rig import GATE_APP, SECONDS, Gate
from tests.whole.test_nodes import Nodes

pytestmark = pytest.mark.whole


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    async with empty_database() as url, AsyncExitStack() as opened:
        made = Nodes(tmp_path, opened, url)
        await made.receiver.start()
        opened.push_async_callback(made.receiver.stop)
        yield made


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    async with Gate().listening() as listening:
        yield listening


def children(service: Service) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-P", str(service.pid)], capture_output=True, text=True, check=False
    )
    return [int(line) for line in found.stdout.split()]


def two_free_ports() -> int:
    """The first of two, below those that connections and other tests are given."""
    while True:
        first = random.randrange(20_000, 32_000)  # noqa: S311  # nobody gains by guessing it
        with socket.socket() as one, socket.socket() as other, suppress(OSError):
            one.bind(("127.0.0.1", first))
            other.bind(("127.0.0.1", first + 1))
            return first


async def two(nodes: Nodes, **more: str) -> Service:
    service = await nodes.add("all", environment=more | {"DISPATCHER_PROCESSES": "2"})
    await service.until_says("Dispatcher serves")
    return service


def lives(pid: int) -> bool:
    """Whether a process has the id, and not only one that nobody has waited for."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


async def gone(pid: int) -> None:
    async with asyncio.timeout(SECONDS):
        while await asyncio.to_thread(lives, pid):
            pass


async def test_one_that_is_killed_is_started_again_and_nothing_is_lost(
    nodes: Nodes, gate: Gate
) -> None:
    service = await two(nodes, DISPATCHER_LEASE_SECONDS="3")
    before = children(service)
    assert len(before) == 2
    job_id = await nodes.submitted(await nodes.api(service), "gate.wait", gate.port)
    await gate.entered()
    for pid in before:  # whichever runs it
        os.kill(pid, signal.SIGKILL)
    await service.until_says("is started again")
    await gate.let_through(await gate.entered())
    await nodes.called_back(job_id)
    after = children(service)
    assert len(after) == 2
    assert not set(before) & set(after)
    assert service.log.count("Dispatcher serves") == 1


async def test_all_of_them_finish_what_is_in_flight(nodes: Nodes, gate: Gate) -> None:
    service = await two(nodes)
    api = await nodes.api(service)
    jobs = [await nodes.submitted(api, "gate.wait", gate.port) for _ in range(6)]
    running = [await gate.entered() for _ in jobs]
    pids = children(service)
    stopping = asyncio.create_task(service.stop())
    await service.until_says("Stopping")
    for each in running:
        await gate.let_through(each)
    assert await stopping == 0
    for pid in pids:
        await gone(pid)
    for job_id in jobs:
        await nodes.called_back(job_id)
    assert service.log.count("Stopping") == 1


async def test_a_signal_for_the_whole_group_lets_them_finish_too(nodes: Nodes, gate: Gate) -> None:
    """`timeout`, a terminal's or a service manager's kill: children get it twice, by the parent."""
    service = await two(nodes)
    job_id = await nodes.submitted(await nodes.api(service), "gate.wait", gate.port)
    running = await gate.entered()
    pids = children(service)
    service.ask_to_stop()
    await service.until_says("Stopping")
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    await asyncio.sleep(0.3)  # nothing tells that a signal did nothing
    assert set(pids) & set(children(service))  # the one that runs it
    await gate.let_through(running)
    assert await service.wait() == 0
    await nodes.called_back(job_id)


async def test_a_second_signal_ends_them_at_once(nodes: Nodes, gate: Gate) -> None:
    service = await two(nodes)
    await nodes.submitted(await nodes.api(service), "gate.wait", gate.port)
    await gate.entered()
    pids = children(service)
    service.ask_to_stop()
    await service.until_says("Stopping")
    service.ask_to_stop()
    assert await service.wait() == 1
    for pid in pids:
        await gone(pid)


async def test_none_outlives_a_parent_that_is_killed(nodes: Nodes) -> None:
    service = await two(nodes)
    pids = children(service)
    service.kill()
    for pid in pids:
        await gone(pid)


async def test_each_has_metrics_of_its_own(nodes: Nodes) -> None:
    port = two_free_ports()
    service = await two(nodes, DISPATCHER_METRICS_PORT=str(port))
    async with Api(service.url, seconds=SECONDS) as api:
        shared = await api.call("GET", "/metrics")
        assert (shared.status, shared.json["code"]) == (404, "metrics-apart")
    for each in (port, port + 1):
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{each}/metrics") as page,
        ):
            assert "dispatcher_jobs" in await page.text()


async def test_what_is_wrong_at_the_start_is_said_once(nodes: Nodes, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_module\n", "utf-8")
    service = Service(
        tmp_path,
        app=str(broken),
        environment=nodes._environment | {"DISPATCHER_PROCESSES": "3"},
    )
    service.spawn()
    assert await service.wait() == 2
    assert service.log.count("no_such_module") == 1


async def test_a_port_that_is_taken_is_not_shared_with_another_service(nodes: Nodes) -> None:
    first = await two(nodes)
    second = Service(
        first.folder,
        app=GATE_APP,
        port=first.port,
        environment=nodes._environment | {"DISPATCHER_PROCESSES": "2"},
    )
    second.spawn()
    assert await second.wait() == 2
    assert "can't listen on" in second.log
