"""Serving the application, so that also what never reaches it is answered with a problem.

aiohttp answers by itself, in plain text, what its parser refuses and what fails before or around
the middleware.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from dispatcher.ports.system import Ids
from dispatcher.web.problems import malformed, problem_of
from dispatcher.web.request_id import REQUEST_ID, sign

KEEPALIVE_SECONDS: Final = 75.0
"""An idle connection is closed after this, and one that never sends a whole head."""

LINGERING_SECONDS: Final = 2.0
"""A body that was refused is still read for this long, so that its sender sees the answer."""

SHARED_SECONDS: Final = 60.0
"""Where other processes serve as well, a connection of that age ends with its next answer.

A client that keeps its connections would never come to a process that was started after it; one
that reads `Connection: close` (RFC 9112, section 9.6) connects again, to any of them.
"""

GRACE_SECONDS: Final = 30.0
"""At the end, requests under way have this long."""


class EdgeRunner(web.AppRunner):
    """Runs the application of `make_app`, with connections that answer as it does.

    Use it as any `aiohttp.web.AppRunner`: `setup`, then a site, then `cleanup`, which stops
    listening and waits for the requests under way.
    """

    def __init__(
        self,
        app: web.Application,
        ids: Ids,
        *,
        grace_seconds: float = GRACE_SECONDS,
        lingering_seconds: float = LINGERING_SECONDS,
        connection_seconds: float = math.inf,
    ) -> None:
        """`connection_seconds`: a connection this old, or a fifth younger, ends with its answer."""
        super().__init__(app, access_log=None, shutdown_timeout=grace_seconds)
        self._edge_ids = ids
        self._lingering_seconds = lingering_seconds
        self._connection_seconds = connection_seconds

    async def _make_server(self) -> web.Server:
        inner = await super()._make_server()
        return _Server(inner, self._edge_ids, self._lingering_seconds, self._connection_seconds)


class _Server(web.Server):
    """Makes a connection of ours for each that comes in."""

    def __init__(
        self, inner: web.Server, ids: Ids, lingering_seconds: float, connection_seconds: float
    ) -> None:
        super().__init__(
            inner.request_handler,
            request_factory=inner.request_factory,
            loop=asyncio.get_running_loop(),
        )
        self._ids = ids
        self._lingering_seconds = lingering_seconds
        self._connection_seconds = connection_seconds

    def __call__(self) -> web.RequestHandler:
        # Those that were opened together do not end together.
        spread = 1 - random.random() / 5  # noqa: S311  # jitter: nobody gains by guessing it
        ends_at = self._loop.time() + self._connection_seconds * spread
        return _Connection(self, self._ids, self._loop, self._lingering_seconds, ends_at)


class _Connection(web.RequestHandler):
    """A connection whose own answers are problems too, with a Request-Id.

    `on_lost` is called when it is lost, for answers that take long.
    """

    __slots__ = ("_ends_at", "_ids", "on_lost")

    def __init__(
        self,
        server: web.Server,
        ids: Ids,
        loop: asyncio.AbstractEventLoop,
        lingering_seconds: float,
        ends_at: float,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # None switches it off, as in AppRunner; its annotation forgot
            keepalive_timeout=KEEPALIVE_SECONDS,
            lingering_time=lingering_seconds,
            auto_decompress=False,
        )
        self._ids = ids
        self._ends_at = ends_at
        self.on_lost: Callable[[], None] | None = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """See `asyncio.BaseProtocol.connection_lost`."""
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what the parser refused (`message` says why), or to what escaped it all."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun: another can't be sent")
        path = request.rel_url.raw_path
        if message is not None or not isinstance(exc, Exception):
            too_long = isinstance(exc, LineTooLong)  # its own words are a Python repr
            reason = "a line of its head is too long" if too_long else message
            answer = malformed(status, reason or "", path)
        else:
            answer = problem_of(exc, path, "")
        answer.force_close()
        return answer

    def finish_response(
        self,
        request: web.BaseRequest,
        resp: web.StreamResponse,
        start_time: float | None,
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """Send an answer; one that did not pass the middleware gets what that would have given."""
        if isinstance(resp, web.HTTPException):
            resp = problem_of(resp, request.rel_url.raw_path, "")
        if REQUEST_ID not in resp.headers:
            sign(resp, self._ids.new("req"))
        if self._ends_at < math.inf and self._loop.time() >= self._ends_at and not resp.prepared:
            resp.force_close()  # a stream has been promised otherwise: the answer after it ends it
        return super().finish_response(request, resp, start_time)
