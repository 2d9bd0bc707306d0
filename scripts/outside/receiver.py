"""A receiver that verifies every callback with the public `standardwebhooks` package."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web
from msgspec import Struct
from standardwebhooks import Webhook, WebhookVerificationError

from .process import free_port

HANG_UP: int = 0
"""In place of a status: close the connection without an answer."""


class Arrival(Struct, frozen=True):
    """One POST that came in. `answer` is the status that it was given."""

    webhook_id: str
    attempt: int
    event: dict[str, Any]
    body: bytes
    headers: dict[str, str]
    answer: int

    @property
    def accepted(self) -> bool:
        """Whether it was answered with 2xx."""
        return 200 <= self.answer < 300


class Receiver:
    """Listens on `host`, keeps what arrives, and answers as it is told.

    `answer` is called with the webhook-id and how often it has come before (0 the first time) and
    gives the status to answer with, or `HANG_UP`. What does not verify is answered 401 and kept in
    `refused`, not in `arrivals`. `accepted` is what was answered 2xx, by job id.
    """

    def __init__(
        self,
        secret: str = "",
        answer: Callable[[str, int], int] | None = None,
        port: int | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.port = free_port() if port is None else port
        self._host = host
        self.origin = f"http://{host}:{self.port}"
        self.url = f"{self.origin}/callbacks"
        self.secret = secret
        self.arrivals: list[Arrival] = []
        self.accepted: dict[str, list[Arrival]] = {}
        self.refused: list[str] = []
        self.on_arrival: Callable[[Arrival], None] | None = None
        self._answer = answer or (lambda _id, _seen: 200)
        self._seen: dict[str, int] = {}
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Begin to listen."""
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_post("/callbacks", self._receive)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self.port).start()

    async def stop(self) -> None:
        """Stop listening and close every connection."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Wait until `holds()`, asked after each arrival; whether it came to hold in `seconds`."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(holds)
        except TimeoutError:
            return holds()
        return True

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            event = Webhook(self.secret).verify(body, dict(request.headers))
        except WebhookVerificationError as error:
            self.refused.append(str(error))
            return web.Response(status=401)
        webhook_id = request.headers["webhook-id"]
        seen = self._seen.get(webhook_id, 0)
        self._seen[webhook_id] = seen + 1
        arrival = Arrival(
            webhook_id,
            int(request.headers.get("callback-attempt", "0")),
            event,
            body,
            {name.lower(): value for name, value in request.headers.items()},
            self._answer(webhook_id, seen),
        )
        self.arrivals.append(arrival)
        if arrival.accepted:
            self.accepted.setdefault(event["data"]["id"], []).append(arrival)
        if self.on_arrival is not None:
            self.on_arrival(arrival)
        async with self._changed:
            self._changed.notify_all()
        if arrival.answer == HANG_UP:
            assert request.transport is not None  # noqa: S101  # it has just sent us its body
            request.transport.abort()
        return web.Response(status=arrival.answer or 500)
