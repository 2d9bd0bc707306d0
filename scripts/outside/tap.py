"""A reverse proxy before a receiver: it passes callbacks on and keeps what went through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from aiohttp import ClientError, ClientSession, ClientTimeout, web
from msgspec import Struct

from .process import free_port

_OF_ONE_HOP = frozenset({"host", "connection", "content-length", "transfer-encoding"})


class Passed(Struct, frozen=True):
    """A callback that came, header names in lower case, and the status it was answered with."""

    path: str
    headers: dict[str, str]
    body: bytes
    answer: int


class Tap:
    """Listens on 127.0.0.1 and passes what is POSTed to `/callbacks` on to the receiver's port.

    What is POSTed to any other path, or while `holds` is set, is kept and answered 204 without
    being passed on. A receiver that does not answer is a 502.
    """

    def __init__(self, receiver_port: int) -> None:
        self.origin = f"http://127.0.0.1:{free_port()}"
        self.url = f"{self.origin}/callbacks"
        self.passed: list[Passed] = []
        self.holds = False
        self._receiver = f"http://127.0.0.1:{receiver_port}/callbacks"
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=8 * 2**20)
        app.router.add_post("/{path:.*}", self._pass)
        self._session = ClientSession(timeout=ClientTimeout(total=15))
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", int(self.origin.rpartition(":")[2])).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def until(self, holds: Callable[[Passed], bool], seconds: float) -> Passed:
        """The first callback for which it holds; raises `TimeoutError` if none comes in time."""
        async with asyncio.timeout(seconds), self._changed:
            while True:
                for each in self.passed:
                    if holds(each):
                        return each
                await self._changed.wait()

    async def send(self, headers: dict[str, str], body: bytes) -> int:
        """POST straight to the receiver; its status, 502 if it does not answer."""
        if self._session is None:
            raise RuntimeError("use it with `async with`")
        try:
            async with self._session.post(self._receiver, data=body, headers=headers) as answer:
                return answer.status
        except (ClientError, TimeoutError):
            return 502

    async def _pass(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {
            name.lower(): value
            for name, value in request.headers.items()
            if name.lower() not in _OF_ONE_HOP
        }
        through = request.path == "/callbacks" and not self.holds
        status = await self.send(headers, body) if through else 204
        self.passed.append(Passed(request.path, headers, body, status))
        async with self._changed:
            self._changed.notify_all()
        return web.Response(status=status)
