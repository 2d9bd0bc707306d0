"""The HTTP edge on a real socket, with doubles for what lies behind it."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

import aiohttp
from aiohttp import web
from yarl import URL

from dispatcher.adapters.system import SystemRandom
from dispatcher.core.addresses import Policy
from dispatcher.core.limits import Limits
from dispatcher.core.model import Caller, JobType
from dispatcher.core.retry import DEFAULT_SCHEDULE
from dispatcher.engine.callers import Callers
from dispatcher.engine.catalog import Catalog
from dispatcher.engine.deliver import Deliveries
from dispatcher.engine.endpoints import Endpoints
from dispatcher.engine.rates import Rates
from dispatcher.engine.terms import EngineTerms, System
from dispatcher.engine.waiters import Places, Waiters
from dispatcher.ports.store import Store
from dispatcher.testing.clock import CountingIds, ManualClock
from dispatcher.testing.observer import RecordingObserver
from dispatcher.testing.timers import ManualTimers
from dispatcher.web.app import make_app
from dispatcher.web.jwks import PublicKeys
from dispatcher.web.server import EdgeRunner
from dispatcher.web.services import DevMode, Services
from tests.web.contract import contract
from tests.web.doubles import Erasing, Memory, PlainVault, Taking
from tests.web.steering_doubles import Canceling, NoDestinations, Steering

DEV = DevMode(
    caller=Caller("clr_" + "d" * 32, "dev", 0), secret=b"dispatcher-development-secret-01"
)
PUBLIC_URL = "https://jobs.example"

ECHO = JobType(name="dispatcher.echo", runner="python")
REPORT = JobType(
    name="report.generate",
    runner="python",
    description="Makes a report.",
    queue="reports",
    timeout_seconds=60,
    max_timeout_seconds=120,
    max_attempts=2,
    most_attempts=5,
    schema=json.dumps(
        {
            "type": "object",
            "properties": {
                "pages": {"type": "integer", "minimum": 1},
                "a/b": {"type": "array", "items": {"type": "string", "maxLength": 3}},
            },
            "required": ["pages"],
            "additionalProperties": False,
        }
    ).encode(),
)


class Answer(NamedTuple):
    """An answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def pointers(self) -> list[str]:
        return [fault["pointer"] for fault in self.json["errors"]]


class Edge:
    """A running edge, and a caller of it who has Ada's key unless a call says otherwise."""

    def __init__(self, *, dev: DevMode | None = None, limits: Limits | None = None) -> None:
        self.clock = ManualClock()
        self.ids = CountingIds()
        self.memory = Memory()
        self.taking = Taking(self.memory, self.clock, self.ids)
        self.timers = ManualTimers(self.clock)
        self.waiters = Waiters(
            self.timers, waits=Places(1_000, 1_000), streams=Places(1_000, 1_000)
        )
        self.erasing = Erasing(self.memory)
        self.observer = RecordingObserver()
        self.not_ready: Exception | None = None
        self.services = Services(
            accept=self.taking,
            cancel=Canceling(self.memory),
            erase=self.erasing,
            redeliver=Steering(self.memory),
            cancel_delivery=Steering(self.memory),
            endpoints=Endpoints(
                cast("Store", self.memory),
                PlainVault(),
                cast("Deliveries", None),  # none is ever woken: nobody has endpoints
                terms=EngineTerms(schedule=DEFAULT_SCHEDULE),
                system=System(
                    self.clock,
                    ManualTimers(self.clock),
                    SystemRandom(),
                    self.ids,
                    RecordingObserver(),
                ),
            ),
            destinations=NoDestinations(),
            callers=Callers(
                self.memory, PlainVault(), self.clock, self.ids, SystemRandom(), self.observer
            ),
            rates=Rates((limits or Limits()).of_a_caller, self.clock, self.observer),
            store=self.memory,
            catalog=Catalog([ECHO, REPORT]),
            vault=PlainVault(),
            public_keys=PublicKeys(self.memory, self.clock),
            clock=self.clock,
            ids=self.ids,
            policy=Policy.parse(["http://receiver:9000"]),
            limits=limits or Limits(),
            public_url=PUBLIC_URL,
            waiters=self.waiters,
            observer=self.observer,
            ready=self._ready,
            dev=dev,
        )
        self.port = 0
        self._session: aiohttp.ClientSession | None = None

    async def _ready(self) -> None:
        if self.not_ready is not None:
            raise self.not_ready

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Edge]:
        runner = EdgeRunner(make_app(self.services), self.ids, lingering_seconds=0.5)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            async with aiohttp.ClientSession() as self._session:
                yield self
        finally:
            await runner.cleanup()

    async def call(  # as many as a request has parts
        self,
        method: str,
        path: str,
        *,
        key: str | None = "dsp_ada",
        json: object = ...,
        data: object = None,
        headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
    ) -> Answer:
        """Make a request. `path` goes out exactly as it is written."""
        assert self._session is not None
        sent = list(headers.items()) if isinstance(headers, Mapping) else list(headers or ())
        if key is not None:
            sent.append(("Authorization", f"Bearer {key}"))
        url = URL(f"http://127.0.0.1:{self.port}{path}", encoded=True)
        if isinstance(data, bytes) and data:  # aiohttp warns of large bytes, and is right
            data = io.BytesIO(data)
        more: dict[str, Any] = {"data": data} if json is ... else {"json": json}
        async with self._session.request(
            method, url, headers=sent, allow_redirects=False, **more
        ) as response:
            answer = Answer(response.status, response.headers, await response.read())
        contract().check(method, path, *answer)
        return answer

    async def submit(self, body: object, **more: Any) -> Answer:
        """`POST /v1/jobs` of a body as JSON, or of bytes as they are."""
        if isinstance(body, bytes):
            headers = {"Content-Type": "application/json"} | more.pop("headers", {})
            return await self.call("POST", "/v1/jobs", data=body, headers=headers, **more)
        return await self.call("POST", "/v1/jobs", json=body, **more)

    async def raw(self, request: bytes) -> bytes:
        """Send bytes over a connection of their own, and read until the other end closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            await writer.drain()
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()
            await writer.wait_closed()
