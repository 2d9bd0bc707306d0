"""The process of those who listen: keeps streams of events, or long polls, open.

Run with one argument, a file with the JSON of `ListenersOrder`; says `ready` when all are open.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import cast

import msgspec
import uvloop
from msgspec import Struct

from dispatcher.adapters.open_files import raise_open_files

from .scheduling import stand_back
from .wire import CLOSES

AT_ONCE = 200


class ListenersOrder(Struct, frozen=True):
    """Who listens where, spread evenly over `paths`; by long polls of so long, else by streams."""

    port: int
    api_key: str
    paths: list[str]
    count: int
    poll_seconds: int | None = None


class Listener(asyncio.Protocol):
    """One stream."""

    def __init__(self, order: ListenersOrder, path: str) -> None:
        self._path = path
        self._port = order.port
        self._ending = False
        self._next: asyncio.Task[None] | None = None
        wants = "Accept: text/event-stream"
        if order.poll_seconds is not None:
            wants = f"Prefer: wait={order.poll_seconds}"
        self._polls = order.poll_seconds is not None
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{order.port}\r\n"
            f"{wants}\r\nAuthorization: Bearer {order.api_key}\r\n\r\n"
        ).encode()
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)
        if self._polls and not self.opened.done():
            self.opened.set_result(None)  # nothing is said before it ends

    def data_received(self, data: bytes) -> None:
        if self._polls and self._transport is not None:
            if not data.startswith(b"HTTP/1.1 200") or b"preference-applied" not in data.lower():
                print(data[:500].decode(errors="replace"), file=sys.stderr, flush=True)
                os._exit(1)
            if CLOSES in data:
                self._ending = True
                self._transport.close()
                self._next = asyncio.get_running_loop().create_task(self._again())
            else:
                self._transport.write(self._request)  # as a client would: it asks again
            return
        if self.opened.done():
            return
        if data.startswith(b"HTTP/1.1 200"):
            self.opened.set_result(None)
        else:
            self.opened.set_exception(ConnectionError(data[:500].decode(errors="replace")))

    async def open(self) -> None:
        """Connect, at first and when the service has ended a connection with its answer."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, "127.0.0.1", self._port)

    async def _again(self) -> None:
        try:
            await self.open()
        except OSError as error:
            print(f"the service takes no more connections: {error}", file=sys.stderr, flush=True)
            os._exit(1)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ending:
            self._ending = False
        elif not self.opened.done():
            self.opened.set_exception(exc or ConnectionError("the service hung up"))
        elif not self.opened.exception():
            print(f"the service ended {self._path}: {exc}", file=sys.stderr, flush=True)
            os._exit(1)


async def taken_in(order: ListenersOrder) -> None:
    """Return once the service has answered who came after: polls themselves say nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", order.port)
    writer.write(
        f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{order.port}\r\n"
        "Connection: close\r\n\r\n".encode()
    )
    await reader.read()
    writer.close()


async def listen(order: ListenersOrder) -> None:
    for start in range(0, order.count, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, order.count))
        listeners = [Listener(order, order.paths[each % len(order.paths)]) for each in numbers]

        async def connect(listener: Listener) -> None:
            await listener.open()
            await listener.opened

        await asyncio.gather(*(connect(each) for each in listeners))
        if order.poll_seconds is not None:
            await taken_in(order)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # the streams need no farewell


if __name__ == "__main__":
    raise_open_files()
    stand_back()
    uvloop.run(listen(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=ListenersOrder)))
