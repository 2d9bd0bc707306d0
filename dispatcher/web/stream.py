"""Streams of Server-Sent Events: opened within their places, kept open, and let go of.

A stream keeps nothing for a reader who is slow: it writes an event, and reads the next from the
store when that one is taken. So what is buffered is bounded: some 128 KiB and one event a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import HttpVersion11, web

from dispatcher.core.errors import Forbidden, StoreError, Unauthenticated
from dispatcher.core.facts import StreamDropped
from dispatcher.core.payload import encode
from dispatcher.engine.waiters import Waiting
from dispatcher.web import sse
from dispatcher.web.auth import REQUEST_ID_KEY, Identity
from dispatcher.web.holding import Client
from dispatcher.web.refusals import StreamsFull, TooManyStreams
from dispatcher.web.request_id import sign
from dispatcher.web.services import Services

KEEP_ALIVE_SECONDS: Final = 15.0
"""So often a comment goes out if nothing else does (WHATWG HTML, 9.2.7: about every 15 seconds)."""

RECONNECT_MS: Final = 2_000
"""How long readers are asked to wait before they connect again."""

LAST_WORD_SECONDS: Final = 1.0
"""A reader that is dropped has so long to take the reason."""

Identify = Callable[[web.Request], Awaitable[Identity]]
"""Tells who makes a request: `auth.Keys.identify`."""

_GOLDEN: Final = 0.618_033_988_75

_DROPPED: Final = encode(
    {
        "code": "slow-reader",
        "detail": "What was sent was not taken in time. Connect again with the last event's id.",
    }
)


class SlowReader(Exception):  # named for what is so
    """What was sent was not taken in time."""


class Stream:
    """One open stream."""

    def __init__(
        self,
        request: web.Request,
        response: web.StreamResponse,
        waiting: Waiting,
        client: Client,
        stall_seconds: float,
        first_rest_seconds: float,
        identify: Identify,
    ) -> None:
        self._request = request
        self._identify = identify
        self._rest_seconds = first_rest_seconds
        self._transport = request.transport
        self._chunked = request.version >= HttpVersion11
        self._response = response
        self._waiting = waiting
        self._client = client
        self._stall_seconds = stall_seconds
        self._stalled = False
        self._loop = asyncio.get_running_loop()

    async def send(self, chunk: bytes) -> None:
        """Send events; returns when there is room for more.

        Raises `SlowReader` if the reader does not take them, `ConnectionError` if it has gone.
        """
        # No timeout around the write: cancelling it would break aiohttp's flow control.
        alarm = self._loop.call_later(self._stall_seconds, self._stall)
        try:
            await self._response.write(chunk)
        except ConnectionError:
            if self._stalled:
                raise SlowReader from None
            raise
        finally:
            alarm.cancel()
        if self._stalled:
            raise SlowReader

    def _stall(self) -> None:
        """Tell the reader why, behind what it has not taken yet, and hang up soon after."""
        self._stalled = True
        if self._transport is None or self._transport.is_closing():
            return
        last = sse.event("dropped", _DROPPED)
        framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last)  # RFC 9112, 7.1
        self._transport.write(framed if self._chunked else last)
        self._loop.call_later(LAST_WORD_SECONDS, self._transport.abort)

    async def rest(self, closed: Callable[[], bool]) -> bool:
        """Wait until there may be more to send, keeping it open; False: it is to end."""
        while True:
            rung = await self._waiting.wait(self._rest_seconds)
            self._rest_seconds = KEEP_ALIVE_SECONDS
            if not await self._may():
                await self.send(sse.comment("this API key is good no more"))
                return False
            if rung:
                break
            await self.send(sse.comment("still here"))
        if closed():
            await self.send(sse.comment("the service restarts: connect again"))
            return False
        return not self._client.gone

    async def _may(self) -> bool:
        """Whether the key that opened the stream is still good: it may outlive it by days."""
        try:
            await self._identify(self._request)
        except (Unauthenticated, Forbidden):
            return False
        except StoreError:  # nobody knows now
            pass
        return True


class Streams:
    """All streams of this process."""

    def __init__(self, services: Services, identify: Identify) -> None:
        self._identify = identify
        self._waiters = services.waiters
        self._observer = services.observer
        self._clock = services.clock
        self._stall_seconds = services.stall_seconds
        self._opened = 0

    def closed(self) -> bool:
        """Whether streams are to end: the service shuts down."""
        return self._waiters.closed

    @contextmanager
    def place(self, who: Identity) -> Iterator[None]:
        """A place for one more stream. Raises `TooManyStreams`, `StreamsFull`."""
        caller_id = who.caller.id
        if not self._waiters.streams.take(caller_id):
            if self._waiters.streams.own(caller_id) >= self._waiters.streams.each:
                raise TooManyStreams(self._waiters.streams.each)
            raise StreamsFull
        try:
            yield
        finally:
            self._waiters.streams.give(caller_id)

    async def run(
        self,
        request: web.Request,
        who: Identity,
        waiting: Waiting,
        write: Callable[[Stream], Awaitable[None]],
    ) -> web.StreamResponse:
        """Open a stream, have `write` write to it, and end it; a `HEAD` gets its headers alone."""
        headers = {
            "Content-Type": sse.EVENT_STREAM,
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",  # proxies that gather answers would hold events back
            "Vary": "Accept",
        }
        if request.method == "HEAD":
            return web.Response(headers=headers)
        response = web.StreamResponse(headers=headers)
        sign(response, request[REQUEST_ID_KEY])
        began = self._clock.monotonic()
        with Client(request, waiting) as client:
            await response.prepare(request)
            stream = Stream(
                request,
                response,
                waiting,
                client,
                self._stall_seconds,
                self._first_rest(),
                self._identify,
            )
            try:
                await stream.send(sse.retry(RECONNECT_MS))
                await write(stream)
            except SlowReader:
                if request.transport is not None:
                    request.transport.close()
                open_ms = round((self._clock.monotonic() - began) * 1000)
                self._observer.saw(StreamDropped(who.caller.id, request.path, open_ms))
            except ConnectionError:
                pass  # the reader has gone
        return response

    def _first_rest(self) -> float:
        """After how long the first comment goes out: those opened together take turns.

        Multiples of the golden ratio, without their whole parts, lie evenly however many there are.
        """
        self._opened += 1
        return KEEP_ALIVE_SECONDS * (0.5 + self._opened * _GOLDEN % 1 / 2)
