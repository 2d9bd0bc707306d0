"""A service, a caller of it and a receiver for its callbacks, all real, for one test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from scripts.outside.api import Answer, Api
from scripts.outside.process import Service
from scripts.outside.receiver import Arrival, Receiver

GATE_APP = str(Path(__file__).with_name("gate_app.py"))
DEV_SECRET = "whsec_ZGlzcGF0Y2hlci1kZXZlbG9wbWVudC1zZWNyZXQtMDE="
SCHEDULE = [0, 0.2, 0.5, 1, 1, 1, 1, 1]
SECONDS = 20.0


class Rig(Struct, frozen=True):
    """The three parts, and the key of the caller."""

    service: Service
    api: Api
    receiver: Receiver
    api_key: str | None = None

    def job(self, type_: str = "dispatcher.echo", given: Any = None, **more: Any) -> dict[str, Any]:
        """The body of a submission that calls back to the receiver."""
        callback = {"callbackUrl": self.receiver.url, "callback": {"schedule": SCHEDULE}}
        return {"type": type_, "input": given, **callback, **more}

    async def submit(self, *given: Any, key: str | None = None, **more: Any) -> Answer:
        """Submit what `job` makes of the arguments."""
        return await self.api.submit(self.job(*given, **more), key)

    async def submitted(self, *given: Any, **more: Any) -> str:
        """The id of a job that was accepted."""
        answer = await self.submit(*given, **more)
        assert answer.status == 202, answer
        return str(answer.json["id"])

    async def callback(self, job_id: str) -> Arrival:
        """The job's callback, once it was accepted; exactly one webhook-id."""
        came = await self.receiver.until(lambda: job_id in self.receiver.accepted, SECONDS)
        assert came, f"no callback for {job_id}:\n{self.service.log}"
        arrivals = self.receiver.accepted[job_id]
        assert len({each.webhook_id for each in arrivals}) == 1
        assert self.receiver.refused == []
        return arrivals[0]


@asynccontextmanager
async def rig(
    folder: Path,
    *,
    app: str | None = None,
    environment: dict[str, str] | None = None,
    dev: bool = False,
    wrapper: Sequence[str] = (),
    answer: Callable[[str, int], int] | None = None,
) -> AsyncIterator[Rig]:
    """Everything started; at the end nothing is left, whatever happened.

    `answer`: how the receiver answers, see `Receiver`.
    """
    receiver = Receiver(DEV_SECRET, answer)
    service = Service(
        folder,
        app=app,
        dev=dev,
        allow=[] if dev else [receiver.origin],
        environment={"DISPATCHER_LOG_FORMAT": "json", **(environment or {})},
        wrapper=wrapper,
    )
    api_key = None
    if not dev:
        caller = await service.create_caller("whole")
        api_key, receiver.secret = caller.api_key, caller.secret
    await receiver.start()
    try:
        await service.start()
        async with Api(service.url, api_key, seconds=SECONDS) as api:
            yield Rig(service, api, receiver, api_key)
    finally:
        service.end()
        await receiver.stop()


class Gate:
    """Where the jobs of `gate_app` report that they run, and wait until they are let through."""

    def __init__(self) -> None:
        self.port = 0
        self._waiting: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        self._all: list[asyncio.StreamWriter] = []

    async def entered(self) -> asyncio.StreamWriter:
        """The next job that runs; `let_through` takes it."""
        async with asyncio.timeout(SECONDS):
            return await self._waiting.get()

    async def let_through(self, job: asyncio.StreamWriter) -> None:
        """Let the job end well."""
        job.write(b"through\n")
        await job.drain()

    def _arrived(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._all.append(writer)
        self._waiting.put_nowait(writer)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Gate]:
        server = await asyncio.start_server(self._arrived, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._all:
                writer.transport.abort()
