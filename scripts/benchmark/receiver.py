"""The receiver's process: answers every callback 204 and notes when which job's came first.

Run with one argument, a file with the JSON of `ReceiverOrder`. It writes its findings
when stdin is closed.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import re
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

import msgspec
import uvloop
from msgspec import Struct

from dispatcher.adapters.open_files import raise_open_files

from .scheduling import stand_back
from .wire import number_of, split

ANSWER = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
REFUSAL = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
LAST_ANSWER = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
RETURNED: Final = re.compile(rb'"returnedAt":([0-9.]+)')
SAMPLES = 50


class ReceiverOrder(Struct, frozen=True):
    """Where to listen, where to write `Findings`, and the pipe to tell arrivals through, if any.

    `wide` listens on all of 127.0.0.0/8. `certificate` is a PEM file with the key, for TLS. With
    `cold` each connection is closed after its first answer. `hanging` ports take connections and
    never answer. `stamped` callbacks say when their handler returned. With `fails_each` one of so
    many is answered 500; it has arrived all the same.
    """

    ports: list[int]
    findings: str
    feedback: int | None = None
    wide: bool = False
    certificate: str | None = None
    cold: bool = False
    hanging: list[int] = []
    stamped: bool = False
    fails_each: int = 0


class Sample(Struct, frozen=True):
    """A callback as it came, to be verified after the measurement."""

    head: str
    body: str


class Findings(Struct, frozen=True):
    """`arrived_at` is by job number the monotonic second of its first callback, 0 for none.

    `after_handler` are the seconds from a handler's return to the callback's arrival.
    """

    arrived_at: list[float]
    duplicates: int
    samples: list[Sample]
    after_handler: list[float]


class Arrivals:
    """What came in so far."""

    def __init__(self, feedback: int | None, *, stamped: bool) -> None:
        self.arrived_at: list[float] = []
        self.after_handler: list[float] = []
        self.duplicates = 0
        self._stamped = stamped
        self.samples: list[Sample] = []
        self._feedback = feedback
        self._untold = 0

    def note(self, head: bytes, body: bytes) -> None:
        number = number_of(body)
        if number >= len(self.arrived_at):
            self.arrived_at += [0.0] * (number + 10_000 - len(self.arrived_at))
        if self.arrived_at[number]:
            self.duplicates += 1
            return
        self.arrived_at[number] = now = time.monotonic()
        if self._stamped and (found := RETURNED.search(body)) is not None:
            self.after_handler.append(now - float(found[1]))
        if len(self.samples) < SAMPLES:
            self.samples.append(Sample(head.decode("latin-1"), body.decode()))
        if not self._untold and self._feedback is not None:
            asyncio.get_running_loop().call_soon(self._tell)
        self._untold += 1

    def _tell(self) -> None:
        if self._feedback is not None:
            os.write(self._feedback, b"." * self._untold)
        self._untold = 0


class Connection(asyncio.Protocol):
    """One connection of the service."""

    def __init__(self, arrivals: Arrivals, *, cold: bool, fails: Iterator[bool]) -> None:
        self._arrivals = arrivals
        self._cold = cold
        self._fails = fails
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # TCP gives these; uvloop's own class is not registered as one.
        transport = cast("asyncio.Transport", transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while self._buffer and (message := split(self._buffer)) is not None:
            head, body, self._buffer = message
            self._arrivals.note(head, body)
            if self._transport is not None:
                answer = LAST_ANSWER if self._cold else ANSWER
                self._transport.write(REFUSAL if next(self._fails) else answer)
                if self._cold:
                    self._transport.close()


def listening(port: int, *, wide: bool) -> socket.socket:
    """A socket on the loopback interface alone, on one address of it or on all."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if wide:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    listener.bind(("" if wide else "127.0.0.1", port))
    return listener


async def receive(order: ReceiverOrder) -> Findings:
    """Take callbacks until stdin is closed."""
    arrivals = Arrivals(order.feedback, stamped=order.stamped)
    tls = None
    if order.certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(order.certificate)
    loop = asyncio.get_running_loop()
    each = order.fails_each
    fails = itertools.cycle([False] * (each - 1) + [True] if each else [False])
    servers = [
        await loop.create_server(
            lambda: Connection(arrivals, cold=order.cold, fails=fails),
            sock=listening(port, wide=order.wide),
            ssl=tls,
            backlog=4096,
        )
        for port in order.ports
    ]
    servers += [
        await loop.create_server(asyncio.Protocol, "127.0.0.1", port) for port in order.hanging
    ]
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    print("ready", flush=True)
    await ended.wait()
    for server in servers:
        server.close()
    return Findings(
        arrivals.arrived_at, arrivals.duplicates, arrivals.samples, arrivals.after_handler
    )


if __name__ == "__main__":
    gc.disable()
    stand_back()
    raise_open_files()
    given = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=ReceiverOrder)
    Path(given.findings).write_bytes(msgspec.json.encode(uvloop.run(receive(given))))
