"""The receiver's process: answers every callback 204 and notes when which job's came first.

Run with one argument, the JSON of `ReceiverOrder`. It writes its findings when stdin is closed.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from pathlib import Path
from typing import cast

import msgspec
import uvloop
from msgspec import Struct

from .wire import number_of, split

ANSWER = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
SAMPLES = 50


class ReceiverOrder(Struct, frozen=True):
    """Where to listen, where to write `Findings`, and the pipe to tell arrivals through, if any."""

    ports: list[int]
    findings: str
    feedback: int | None = None


class Sample(Struct, frozen=True):
    """A callback as it came, to be verified after the measurement."""

    head: str
    body: str


class Findings(Struct, frozen=True):
    """`arrived_at` is by job number the monotonic second of its first callback, 0 for none."""

    arrived_at: list[float]
    duplicates: int
    samples: list[Sample]


class Arrivals:
    """What came in so far."""

    def __init__(self, feedback: int | None) -> None:
        self.arrived_at: list[float] = []
        self.duplicates = 0
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
        self.arrived_at[number] = time.monotonic()
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

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
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
                self._transport.write(ANSWER)


async def receive(order: ReceiverOrder) -> Findings:
    """Take callbacks until stdin is closed."""
    arrivals = Arrivals(order.feedback)
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda: Connection(arrivals), "127.0.0.1", port, backlog=1024)
        for port in order.ports
    ]
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    print("ready", flush=True)
    await ended.wait()
    for server in servers:
        server.close()
    return Findings(arrivals.arrived_at, arrivals.duplicates, arrivals.samples)


if __name__ == "__main__":
    gc.disable()
    given = msgspec.json.decode(sys.argv[1], type=ReceiverOrder)
    Path(given.findings).write_bytes(msgspec.json.encode(uvloop.run(receive(given))))
