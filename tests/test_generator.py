"""The benchmark's load generator, against a service that ends its connections with an answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from dispatcher.adapters.system import Uuid7Ids
from dispatcher.web.server import EdgeRunner
from scripts.benchmark.generator import GeneratorOrder, generate


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
    order = GeneratorOrder(
        port=runner.addresses[0][1],
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
        measured=str(tmp_path / "measured.json"),
        rate=100.0,
    )
    try:
        found = await generate(order)
    finally:
        await runner.cleanup()
    assert len(found.accepted) >= 40  # of a hundred; a machine that stalls at the end begins fewer
    assert all(found.accepted)
    assert (found.refused, found.undrained) == (0, 0)
    assert len(ports) > order.connections
