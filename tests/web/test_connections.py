"""How long a connection is kept where other processes serve as well."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from dispatcher.adapters.system import Uuid7Ids
from dispatcher.compose.nodes import connection_seconds
from dispatcher.settings import Settings
from dispatcher.web.server import SHARED_SECONDS, EdgeRunner


async def _answer(_: web.Request) -> web.Response:
    return web.json_response({})


async def _stream(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    answer = web.StreamResponse()
    await answer.prepare(request)
    await answer.write(b"%d" % request.transport.get_extra_info("peername")[1])
    return answer


@asynccontextmanager
async def _edge(connection_seconds: float) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/", _answer)
    app.router.add_get("/stream", _stream)
    ids = Uuid7Ids(time.time_ns)
    runner = EdgeRunner(app, ids, connection_seconds=connection_seconds)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _said_of_the_connection(seconds: float, path: str = "/") -> str | None:
    async with (
        _edge(seconds) as url,
        aiohttp.ClientSession() as session,
        session.get(url + path) as answer,
    ):
        await answer.read()
        return answer.headers.get("Connection")


async def test_an_old_connection_ends_with_its_next_answer() -> None:
    assert await _said_of_the_connection(0.0) == "close"


@pytest.mark.parametrize("seconds", [3_600.0, math.inf])
async def test_a_young_one_is_kept(seconds: float) -> None:
    assert await _said_of_the_connection(seconds) is None


async def test_a_connection_that_was_kept_ends_once_it_is_old() -> None:
    said = []
    async with _edge(1.0) as url, aiohttp.ClientSession() as session, asyncio.timeout(30):
        while "close" not in said:
            async with session.get(url) as answer:
                await answer.read()
                said.append(answer.headers.get("Connection"))
    assert said[0] is None


def test_only_where_others_serve_as_well() -> None:
    assert connection_seconds(Settings()) == math.inf
    shared = Settings(store="postgresql://u:p@db/d", dev=True)
    assert connection_seconds(shared) == SHARED_SECONDS


async def test_a_stream_that_was_begun_as_kept_is_not_closed_behind_its_head() -> None:
    async with _edge(0.0) as url, aiohttp.ClientSession() as session:
        ports = []
        for _ in range(2):
            async with session.get(url + "/stream") as answer:
                ports.append(await answer.read())
                assert "Connection" not in answer.headers
        assert len(set(ports)) == 1
