"""The load generator's process: submits jobs and keeps a fixed number of them in flight.

Run with one argument, the JSON of `GeneratorOrder`; it writes the JSON of `Measured` where
the order says.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections import deque
from pathlib import Path
from typing import cast

import msgspec
import uvloop
from msgspec import Struct

from .wire import CORRELATION, DIGITS, split

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class GeneratorOrder(Struct, frozen=True):
    """What to send where, and for how long.

    Jobs call back to one of `callback_urls` after another; without any they have no callback.
    `feedback` is the pipe that tells a byte for each first callback; None: a job is over when it
    was answered. `pids` are the processes whose CPU time is read at both ends of the window.
    """

    port: int
    api_key: str | None
    input: str
    callback_urls: list[str]
    connections: int
    in_flight: int
    warm_up_seconds: float
    seconds: float
    drain_seconds: float
    feedback: int | None
    pids: dict[str, int]
    measured: str
    type: str = "dispatcher.echo"
    accepted: str = "202"


class Measured(Struct, frozen=True):
    """What was seen. Lists are by job number; times are monotonic seconds, 0 for never."""

    begin_at: float
    end_at: float
    sent_at: list[float]
    answered_at: list[float]
    accepted: list[bool]
    refused: int
    first_refusal: str | None
    undrained: int
    cpu_seconds: dict[str, float]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all its threads."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    fields = stat[stat.rindex(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


class Load:
    """The jobs under way, and the connections they are submitted over."""

    def __init__(self, order: GeneratorOrder) -> None:
        self._order = order
        self._accepted_status = order.accepted.encode()
        urls: list[str | None] = [*order.callback_urls] or [None]
        self._parts = [request_parts(order, url) for url in urls]
        self._idle: deque[Connection] = deque()
        self._in_flight = 0
        self._stopped = False
        self._drained = asyncio.Event()
        self.sent_at: list[float] = []
        self.answered_at: list[float] = []
        self.accepted: list[bool] = []
        self.refused = 0
        self.first_refusal: str | None = None

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def ready(self, connection: Connection) -> None:
        self._idle.append(connection)
        self._pump()

    def answered(self, connection: Connection, number: int, head: bytes, body: bytes) -> None:
        self.answered_at[number] = time.monotonic()
        if head[9:12] == self._accepted_status:
            self.accepted[number] = True
            if self._order.feedback is None:
                self._in_flight -= 1
        else:
            self._in_flight -= 1
            self.refused += 1
            if self.first_refusal is None:
                self.first_refusal = (head.split(b"\r\n")[0] + b" " + body).decode(errors="replace")
        self.ready(connection)

    def came_back(self, count: int) -> None:
        self._in_flight -= count
        self._pump()

    async def stop(self, drain_seconds: float) -> None:
        """Send no more, and wait until every job is over or the time is up."""
        self._stopped = True
        self._pump()
        try:
            await asyncio.wait_for(self._drained.wait(), drain_seconds)
        except TimeoutError:
            return

    def _pump(self) -> None:
        if self._stopped:
            if self._in_flight == 0:
                self._drained.set()
            return
        while self._idle and self._in_flight < self._order.in_flight:
            number = len(self.sent_at)
            self._in_flight += 1
            self.sent_at.append(time.monotonic())
            self.answered_at.append(0.0)
            self.accepted.append(False)
            head, tail = self._parts[number % len(self._parts)]
            self._idle.popleft().send(number, head + b"%010d" % number + tail)


def request_parts(order: GeneratorOrder, callback_url: str | None) -> tuple[bytes, bytes]:
    """What stands before and after the job's number in a submission."""
    members = b'{"type":"%b","input":%b' % (order.type.encode(), order.input.encode())
    if callback_url is not None:
        members += b',"callbackUrl":"%b"' % callback_url.encode()
    members += b"," + CORRELATION
    tail = b'"}'
    lines = [
        "POST /v1/jobs HTTP/1.1",
        f"Host: 127.0.0.1:{order.port}",
        "Content-Type: application/json",
        f"Content-Length: {len(members) + DIGITS + len(tail)}",
    ]
    if order.api_key is not None:
        lines.append(f"Authorization: Bearer {order.api_key}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + members, tail


class Connection(asyncio.Protocol):
    """One kept connection, with one submission under way at most."""

    def __init__(self, load: Load, failed: asyncio.Future[None]) -> None:
        self._load = load
        self._failed = failed
        self._number = -1
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # TCP gives these; uvloop's own class is not registered as one.
        transport = cast("asyncio.Transport", transport)
        self._transport = transport
        self._load.ready(self)

    def send(self, number: int, request: bytes) -> None:
        self._number = number
        assert self._transport is not None  # noqa: S101  # `ready` came after `connection_made`
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        message = split(self._buffer)
        if message is not None:
            head, body, self._buffer = message
            self._load.answered(self, self._number, head, body)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._failed.done():
            self._failed.set_exception(exc or ConnectionResetError("the service hung up"))


async def generate(order: GeneratorOrder) -> Measured:
    loop = asyncio.get_running_loop()
    load = Load(order)
    failed: asyncio.Future[None] = loop.create_future()
    if order.feedback is not None:
        pipe = order.feedback
        loop.add_reader(pipe, lambda: load.came_back(len(os.read(pipe, 65_536))))
    for _ in range(order.connections):
        await loop.create_connection(lambda: Connection(load, failed), "127.0.0.1", order.port)
    await unless(failed, order.warm_up_seconds)
    before = {name: cpu_seconds(pid) for name, pid in order.pids.items()}
    own_before, begin_at = time.process_time(), time.monotonic()
    await unless(failed, order.seconds)
    used = {name: cpu_seconds(pid) - before[name] for name, pid in order.pids.items()}
    used["generator"] = time.process_time() - own_before
    end_at = time.monotonic()
    await load.stop(order.drain_seconds)
    failed.cancel()
    return Measured(
        begin_at,
        end_at,
        load.sent_at,
        load.answered_at,
        load.accepted,
        load.refused,
        load.first_refusal,
        load.in_flight,
        used,
    )


async def unless(failed: asyncio.Future[None], seconds: float) -> None:
    """Let `seconds` of load go by; raises what broke a connection."""
    await asyncio.wait([failed], timeout=seconds)
    if failed.done():
        failed.result()


if __name__ == "__main__":
    gc.disable()
    given = msgspec.json.decode(sys.argv[1], type=GeneratorOrder)
    measured = uvloop.run(generate(given))
    Path(given.measured).write_bytes(msgspec.json.encode(measured))
