"""A receiver that hangs: what it costs the others, measured with and without it in one run.

Jobs are submitted at a fixed rate, first to receivers that are well alone, then as many again to
one that takes connections and never answers. Told is the time from submission to callback of the
former. `python -m scripts.benchmark.hanging --seconds 10 --rate 200`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
from aiohttp import web
from msgspec import Struct

from scripts.benchmark.figures import percentile
from scripts.outside.ending import end_by_signals
from scripts.outside.process import Service, free_port

TIMEOUT_SECONDS: Final = 2
WELL: Final = 4
"""So many origins are well."""


class Found(Struct, frozen=True, kw_only=True):
    """Latencies in milliseconds, from submission to callback, of the receivers that are well."""

    jobs: int
    lost: int
    alone_p50_ms: float
    alone_p99_ms: float
    beside_p50_ms: float
    beside_p99_ms: float
    hanging_attempts: int

    @property
    def factor(self) -> float:
        """How many times longer the slowest of a hundred takes beside it."""
        return self.beside_p99_ms / self.alone_p99_ms


class _Receivers:
    """Those that are well, and the one that hangs."""

    def __init__(self) -> None:
        self.arrived_at: dict[str, float] = {}
        self.attempts = 0
        self.ports = [free_port() for _ in range(WELL)]
        self.hanging_port = free_port()
        self._wanted: set[str] = set()
        self._all_there = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._runners: list[web.AppRunner] = []

    async def start(self) -> None:
        for port in self.ports:
            app = web.Application()
            app.router.add_post("/callbacks", self._take)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port).start()
            self._runners.append(runner)
        self._servers.append(await asyncio.start_server(self._hang, "127.0.0.1", self.hanging_port))

    async def _take(self, request: web.Request) -> web.Response:
        name = request.headers["correlation-id"]
        self.arrived_at.setdefault(name, time.monotonic())
        self._wanted.discard(name)
        if not self._wanted:
            self._all_there.set()
        await request.read()
        return web.Response(status=204)

    async def wait_for(self, names: list[str], *, seconds: float) -> None:
        """Wait until all of these have come, but not for longer."""
        self._wanted = set(names) - self.arrived_at.keys()
        if self._wanted:
            self._all_there.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_there.wait(), seconds)

    async def _hang(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            self.attempts += data.count(b"POST /")
        writer.close()

    async def stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
        for server in self._servers:
            server.close()


async def measure(folder: Path, *, rate: float, seconds: float) -> Found:
    """Start a service, submit at that rate in both ways, and tell what was seen."""
    receivers = _Receivers()
    origins = [f"http://127.0.0.1:{port}" for port in (*receivers.ports, receivers.hanging_port)]
    service = Service(
        folder,
        allow=origins,
        environment={
            "DISPATCHER_LOG_LEVEL": "error",
            "DISPATCHER_DELIVERY_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
            "DISPATCHER_CONNECT_TIMEOUT_SECONDS": "1",
            # Short, so that the receiver is probed within the measurement again and again.
            "DISPATCHER_BREAKER_FIRST_SECONDS": "1",
            "DISPATCHER_BREAKER_MAX_SECONDS": "1",
        },
        log_file=folder / "service.log",
    )
    await receivers.start()
    try:
        caller = await service.create_caller("benchmark")
        await service.start()
        headers = {"authorization": f"Bearer {caller.api_key}"}
        async with aiohttp.ClientSession(service.url, headers=headers) as session:
            load = _Load(session, receivers, origins)
            await load.run("w", rate, min(seconds, 2), hanging=False)  # to warm up
            alone = await load.run("a", rate, seconds, hanging=False)
            beside = await load.run("b", rate, seconds, hanging=True)
        await service.stop(30)
    finally:
        service.end()
        await receivers.stop()
    return Found(
        jobs=len(alone) + len(beside),
        lost=sum(1 for each in alone + beside if each is None),
        alone_p50_ms=percentile(alone, 0.5),
        alone_p99_ms=percentile(alone, 0.99),
        beside_p50_ms=percentile(beside, 0.5),
        beside_p99_ms=percentile(beside, 0.99),
        hanging_attempts=receivers.attempts,
    )


class _Load:
    """Submits at a rate that does not depend on the answers."""

    def __init__(
        self, session: aiohttp.ClientSession, receivers: _Receivers, origins: list[str]
    ) -> None:
        self._session = session
        self._receivers = receivers
        self._origins = origins
        self._sent_at: dict[str, float] = {}

    async def run(
        self, phase: str, rate: float, seconds: float, *, hanging: bool
    ) -> list[float | None]:
        """The seconds from submission to callback; None where none came."""
        began = time.monotonic()
        tasks: list[asyncio.Task[None]] = []
        names = []
        for number in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            name = f"{phase}-{number}"
            names.append(name)
            tasks.append(asyncio.create_task(self._submit(name, self._origins[number % WELL])))
            if hanging:
                tasks.append(asyncio.create_task(self._submit(f"h-{number}", self._origins[-1])))
        await asyncio.gather(*tasks)
        arrived = self._receivers.arrived_at
        await self._receivers.wait_for(names, seconds=15)
        return [arrived[name] - self._sent_at[name] if name in arrived else None for name in names]

    async def _submit(self, name: str, origin: str) -> None:
        body = {
            "type": "dispatcher.echo",
            "input": {},
            "callbackUrl": f"{origin}/callbacks",
            "correlationId": name,
        }
        self._sent_at[name] = time.monotonic()
        async with self._session.post("/v1/jobs", json=body) as answer:
            answer.raise_for_status()


def main() -> int:
    """Measure, print JSON; the exit status is 1 if something was lost or the factor is passed."""
    parser = argparse.ArgumentParser(prog="scripts.benchmark.hanging", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each of the two ways")
    parser.add_argument("--rate", type=float, default=200, help="jobs a second to the well ones")
    parser.add_argument("--factor", type=float, default=1.5, help="what p99 may grow by at most")
    parser.add_argument("--folder", default="/var/tmp", help="on a disk")  # noqa: S108  # on disk by convention
    given = parser.parse_args()
    end_by_signals()
    with tempfile.TemporaryDirectory(prefix="dispatcher-hanging-", dir=given.folder) as folder:
        found = asyncio.run(measure(Path(folder), rate=given.rate, seconds=given.seconds))
    print(msgspec.json.encode(found).decode())
    print(f"p99 beside a receiver that hangs: {found.factor:.2f} times", file=sys.stderr)
    return 1 if found.lost or not found.factor <= given.factor else 0


if __name__ == "__main__":
    sys.exit(main())
