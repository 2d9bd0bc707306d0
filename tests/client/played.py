"""A service that answers as the test says, and a client of it whose pauses are written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeAlias

import msgspec
from aiohttp import web

from dispatcher.client import Client, Patience
from dispatcher.client.transport import Surroundings


class Reply(NamedTuple):
    """What to answer. Status 0 closes the connection without an answer.

    `took` seconds pass, by the client's clock, before it comes.
    """

    status: int
    body: Any = None
    headers: Mapping[str, str] = {}
    took: float = 0.0


Act: TypeAlias = Reply | Callable[[web.Request], Awaitable[web.StreamResponse]]


class Seen(NamedTuple):
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class Played:
    """Answers with what it was given in turn; the last one repeats."""

    def __init__(self, *acts: Act) -> None:
        self.acts = list(acts)
        self.seen: list[Seen] = []
        self.pauses: list[float] = []
        self.now = 0.0
        self.url = ""

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def client(self, **options: Any) -> Client:
        around = Surroundings(sleep=self.sleep, unit=lambda: 0.0, monotonic=lambda: self.now)
        wanted = {"patience": Patience(), "around": around, "api_key": "dsp_key", **options}
        return Client(self.url, **wanted)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        self.seen.append(Seen(request.method, request.raw_path, headers, body))
        act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
        if not isinstance(act, Reply):
            return await act(request)
        self.now += act.took
        if act.status == 0:
            assert request.transport is not None
            request.transport.abort()
        content = act.body if isinstance(act.body, bytes) else msgspec.json.encode(act.body)
        sent = {"Content-Type": "application/json", **act.headers}
        return web.Response(
            status=act.status, body=b"" if act.status == 304 else content, headers=sent
        )


@asynccontextmanager
async def played(*acts: Act, **options: Any) -> AsyncIterator[tuple[Played, Client]]:
    service = Played(*acts)
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", service.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with service.client(**options) as client:
            yield service, client
    finally:
        await runner.cleanup()


def job(status: str = "queued", **more: Any) -> dict[str, Any]:
    done = status in {"succeeded", "failed", "canceled", "expired"}
    return {"id": "job_1", "type": "t", "status": status, "done": done, **more}


def event(number: int, type_: str = "job.output") -> dict[str, Any]:
    return {
        "id": f"evt_{number}",
        "type": type_,
        "timestamp": "2026-01-31T12:00:00.000Z",
        "sequence": number,
        "data": job("succeeded" if type_ == "job.succeeded" else "running"),
    }


def page(*items: dict[str, Any], after: str | None, **more: Any) -> dict[str, Any]:
    return {"items": list(items), "nextCursor": after, **more}


def streaming(*pieces: bytes, status: int = 200) -> Act:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        await response.write_eof()
        return response

    return answer


def written(found: dict[str, Any], cursor: str | None = None) -> bytes:
    """An event as it is streamed."""
    own = "" if cursor is None else f"id: {cursor}\n"
    return f"event: {found['type']}\n{own}data: {msgspec.json.encode(found).decode()}\n\n".encode()
