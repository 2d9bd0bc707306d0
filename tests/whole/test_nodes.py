"""One service as several processes on one PostgreSQL: parts apart, and each sees what others do."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dispatcher.client import Client
from scripts.outside.api import Api
from scripts.outside.process import Credentials, Service
from scripts.outside.receiver import Receiver
from tests.metrics_text import Shown
from tests.store.postgres_server import empty_database
from tests.whole.rig import DEV_SECRET, GATE_APP, SCHEDULE, SECONDS, Gate

pytestmark = pytest.mark.whole

QUICK = 0.2
"""Seconds: what a hint takes at most on a machine with something to do."""

SLOW = 2.0
"""And on one that is overloaded. Without a hint it is up to five, at each step."""


class Nodes:
    """Processes that share a database, one receiver, and one caller."""

    def __init__(self, folder: Path, opened: AsyncExitStack, store: str) -> None:
        self._folder = folder
        self._opened = opened
        self._environment = {
            "DISPATCHER_STORE": store,
            "DISPATCHER_SECRET_KEY": f"dsk_{'A' * 43}",
            "DISPATCHER_LOG_FORMAT": "json",
        }
        self.receiver = Receiver(DEV_SECRET)
        self.caller = Credentials("", "")

    async def add(
        self,
        role: str = "all",
        *,
        app: str | None = GATE_APP,
        program: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> Service:
        """One more process, ready; `program` stands for `dispatcher`."""
        folder = self._folder / f"node-{len(list(self._folder.iterdir()))}"
        folder.mkdir()
        environment = self._environment | {"DISPATCHER_ROLE": role} | (environment or {})
        origin = [self.receiver.origin]
        command = None if program is None else [sys.executable, str(program)]
        service = Service(folder, app=app, allow=origin, environment=environment, command=command)
        self._opened.callback(service.end)
        await service.start()
        if not self.caller.api_key:
            self.caller = await service.create_caller("whole")
            self.receiver.secret = self.caller.secret
        return service

    async def api(self, node: Service) -> Api:
        """Its API, as the caller has it."""
        made = Api(node.url, self.caller.api_key, seconds=SECONDS)
        return await self._opened.enter_async_context(made)

    async def submitted(self, api: Api, type_: str, given: Any, **more: Any) -> str:
        """The id of a job that calls back to the receiver."""
        callback = {"callbackUrl": self.receiver.url, "callback": {"schedule": SCHEDULE}}
        answer = await api.submit({"type": type_, "input": given, **callback, **more})
        assert answer.status == 202, answer
        return str(answer.json["id"])

    async def called_back(self, job_id: str) -> None:
        came = await self.receiver.until(lambda: job_id in self.receiver.accepted, SECONDS)
        assert came, f"no callback for {job_id}; refused: {self.receiver.refused}"


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


async def until_open(node: Service, name: str, count: int) -> None:
    """Return once a process says that so many wait there, or listen."""
    async with aiohttp.ClientSession(node.url) as session, asyncio.timeout(SECONDS):
        while True:
            async with session.get("/metrics") as answer:
                if Shown(await answer.read()).value(name) == count:
                    return


async def test_a_wait_on_one_ends_at_once_when_another_ends_the_job(
    nodes: Nodes, gate: Gate
) -> None:
    here, there = await nodes.add("api", app=None), await nodes.add("all")
    api = await nodes.api(here)
    took = []
    for _ in range(3):
        job_id = await nodes.submitted(await nodes.api(there), "gate.wait", gate.port)
        running = await gate.entered()
        waiting = asyncio.create_task(
            api.call("GET", f"/v1/jobs/{job_id}", headers={"Prefer": "wait=20"})
        )
        feed = await api.call("GET", "/v1/events")
        follows = asyncio.create_task(
            api.call(
                "GET",
                f"/v1/events?cursor={feed.json['nextCursor']}",
                headers={"Prefer": "wait=20"},
            )
        )
        await until_open(here, "dispatcher_waits_open", 2)
        began = time.monotonic()
        await gate.let_through(running)
        answer, events = await waiting, await follows
        took.append(time.monotonic() - began)
        assert answer.json["status"] == "succeeded"
        assert [each["type"] for each in events.json["items"]] == ["job.succeeded"]
    assert min(took) < QUICK, took
    assert max(took) < SLOW, took


async def test_a_stream_on_one_shows_what_another_does(nodes: Nodes, gate: Gate) -> None:
    here, there = await nodes.add("api", app=None), await nodes.add("all")
    job_id = await nodes.submitted(await nodes.api(there), "gate.wait", gate.port)
    running = await gate.entered()
    async with Client(here.url, nodes.caller.api_key) as client:
        came: dict[str, float] = {}

        async def follow() -> None:
            async for event in client.follow(job_id):
                came[event.type] = time.monotonic()

        following = asyncio.create_task(follow())
        await until_open(here, "dispatcher_streams_open", 1)
        began = time.monotonic()
        await gate.let_through(running)
        await following
        assert came["job.succeeded"] - began < SLOW


async def test_parts_apart_are_a_service_together(nodes: Nodes, gate: Gate) -> None:
    api_node = await nodes.add("api", app=None)
    jobs_node, sender = await nodes.add("jobs"), await nodes.add("delivery", app=None)
    api = await nodes.api(api_node)
    began = time.monotonic()
    job_id = await nodes.submitted(api, "gate.wait", gate.port)
    await gate.let_through(await gate.entered())
    await nodes.called_back(job_id)
    assert time.monotonic() - began < 2 * SLOW
    for other in (jobs_node, sender):
        answer = await (await nodes.api(other)).call("GET", f"/v1/jobs/{job_id}")
        assert (answer.status, answer.json["code"]) == (421, "wrong-role")
        assert [await other.status_of(path) for path in ("/healthz", "/readyz", "/metrics")] == [
            200,
            200,
            200,
        ]


async def test_who_serves_the_api_alone_knows_the_types_of_others(nodes: Nodes, gate: Gate) -> None:
    api = await nodes.api(await nodes.add("api", app=None))
    refused = await api.submit({"type": "gate.wait", "input": gate.port})
    assert refused.status == 422
    await nodes.add("jobs")

    async with asyncio.timeout(SECONDS):
        while True:
            answer = await api.submit({"type": "gate.wait", "input": gate.port})
            if answer.status != 422:
                break
    assert answer.status == 202, answer
    await gate.let_through(await gate.entered())
    unfit = await api.submit({"type": "gate.wait", "input": "no port"})
    assert (unfit.status, unfit.json["errors"][0]["pointer"]) == (422, "/input")


async def test_a_cancel_on_one_stops_at_once_what_another_runs(nodes: Nodes, gate: Gate) -> None:
    api = await nodes.api(await nodes.add("api", app=None))
    await nodes.add("jobs")
    async with asyncio.timeout(SECONDS):
        job_id = None
        while job_id is None:
            answer = await api.submit({"type": "gate.wait", "input": gate.port})
            job_id = answer.json["id"] if answer.status == 202 else None
    await gate.entered()
    began = time.monotonic()
    asked = await api.call("POST", f"/v1/jobs/{job_id}/cancel")
    assert asked.status == 202
    ended = await api.call("GET", f"/v1/jobs/{job_id}", headers={"Prefer": "wait=20"})
    assert ended.json["status"] == "canceled"
    assert time.monotonic() - began < SLOW


async def test_behind_a_pooler_polls_alone_do(nodes: Nodes, gate: Gate) -> None:
    nodes._environment["DISPATCHER_STORE"] += "&pgbouncer=true"
    api = await nodes.api(await nodes.add("api"))
    await nodes.add("jobs")
    await nodes.add("delivery", app=None)
    job_id = await nodes.submitted(api, "gate.wait", gate.port)
    await gate.let_through(await gate.entered())
    await nodes.called_back(job_id)
