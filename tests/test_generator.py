"""The benchmark's load generator, against a service that ends its connections with an answer."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest
from aiohttp import web

from dispatcher.adapters.system import Uuid7Ids
from dispatcher.web.server import EdgeRunner
from scripts.benchmark.generator import GeneratorOrder, generate
from scripts.benchmark.listeners import ListenersOrder
from scripts.benchmark.processes import process, written
from scripts.benchmark.receiver import ReceiverOrder
from scripts.outside.process import free_ports


def an_order(port: int, folder: Path) -> GeneratorOrder:
    return GeneratorOrder(
        port=port,
        api_key=None,
        input="{}",
        callback_urls=[],
        connections=4,
        in_flight=4,
        warm_up_seconds=0.1,
        seconds=0.9,
        drain_seconds=20,
        feedback=None,
        pids={},
        measured=str(folder / "measured.json"),
        rate=100.0,
    )


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="of Linux")
async def test_load_and_receiver_take_no_processor_from_who_is_at_work(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        order = an_order(listening.getsockname()[1], tmp_path)
        generator = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "scripts.benchmark.generator", written(order, tmp_path)
        )
        try:
            async with asyncio.timeout(30):
                connected, _ = await asyncio.get_running_loop().sock_accept(listening)
            with connected:
                assert os.sched_getscheduler(generator.pid) == os.SCHED_BATCH
        finally:
            generator.kill()
            await generator.wait()
    receiving = ReceiverOrder(free_ports(1), str(tmp_path / "findings.json"))
    with process("receiver", written(receiving, tmp_path)) as receiver:
        assert os.sched_getscheduler(receiver.pid) == os.SCHED_BATCH
    listening_order = ListenersOrder(order.port, "key", [], 0)
    with process("listeners", written(listening_order, tmp_path)) as listeners:
        assert os.sched_getscheduler(listeners.pid) == os.SCHED_BATCH


@pytest.mark.parametrize("connection_seconds", [0.0, 0.2])
async def test_each_job_is_answered_though_connections_end(
    tmp_path: Path, connection_seconds: float
) -> None:
    ports: set[int] = set()

    async def accept(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        await request.read()
        return web.json_response({}, status=202)

    app = web.Application()
    app.router.add_post("/v1/jobs", accept)
    runner = EdgeRunner(app, Uuid7Ids(), connection_seconds=connection_seconds)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    order = an_order(runner.addresses[0][1], tmp_path)
    try:
        found = await generate(order)
    finally:
        await runner.cleanup()
    assert len(found.accepted) >= 40  # of a hundred; a machine that stalls at the end begins fewer
    assert all(found.accepted)
    assert (found.refused, found.undrained) == (0, 0)
    assert len(ports) > order.connections
