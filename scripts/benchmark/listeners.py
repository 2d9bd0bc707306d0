"""The process of those who listen: keeps streams of events open, and counts what is said.

Run with one argument, the JSON of `ListenersOrder`; says `ready` when all streams are open.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import cast

import msgspec
import uvloop
from msgspec import Struct

from dispatcher.adapters.open_files import raise_open_files

AT_ONCE = 200


class ListenersOrder(Struct, frozen=True):
    """Who listens where: the streams are spread evenly over `paths`."""

    port: int
    api_key: str
    paths: list[str]
    count: int


class Listener(asyncio.Protocol):
    """One stream."""

    def __init__(self, order: ListenersOrder, path: str) -> None:
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{order.port}\r\n"
            f"Accept: text/event-stream\r\nAuthorization: Bearer {order.api_key}\r\n\r\n"
        ).encode()
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.opened.done():
            return
        if data.startswith(b"HTTP/1.1 200"):
            self.opened.set_result(None)
        else:
            self.opened.set_exception(ConnectionError(data[:500].decode(errors="replace")))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionError("the service hung up"))
        elif not self.opened.exception():
            print("a stream was ended by the service", file=sys.stderr, flush=True)
            os._exit(1)


async def listen(order: ListenersOrder) -> None:
    loop = asyncio.get_running_loop()
    for start in range(0, order.count, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, order.count))
        listeners = [Listener(order, order.paths[each % len(order.paths)]) for each in numbers]

        async def connect(listener: Listener) -> None:
            await loop.create_connection(lambda: listener, "127.0.0.1", order.port)
            await listener.opened

        await asyncio.gather(*(connect(each) for each in listeners))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # the streams need no farewell


if __name__ == "__main__":
    raise_open_files()
    uvloop.run(listen(msgspec.json.decode(sys.argv[1], type=ListenersOrder)))
