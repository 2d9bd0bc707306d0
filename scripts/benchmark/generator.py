"""The load generator's process: keeps a number of jobs in flight, or submits at a fixed rate.

Run with one argument, a file with the JSON of `GeneratorOrder`; it writes the JSON of `Measured`
where the order says.
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

from .scheduling import stand_back
from .wire import CLOSES, CORRELATION, DIGITS, split

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class GeneratorOrder(Struct, frozen=True):
    """What to send where, and for how long.

    Jobs call back to one of `callback_urls` after another; without any they have no callback.
    `feedback` is the pipe that tells a byte for each first callback; None: a job is over when it
    was answered. `pids` are the processes whose CPU time is read at both ends of the window, that
    of their children included.

    With a `rate` the n-th job is sent n / rate seconds after the first whatever has been answered,
    and `in_flight` bounds nothing. With a `total` so many are submitted at once, as fast as may be,
    and the window is from the first to the last answer. `more` stands in each submission. With
    `keys` jobs have so many ordering keys in turn, and their callbacks are ordered.
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
    rate: float | None = None
    total: int | None = None
    more: dict[str, int] = {}
    keys: int = 0


class Measured(Struct, frozen=True):
    """What was seen. Lists are by job number; times are monotonic seconds, 0 for never.

    `sent_at` is the intended instant where there is a rate: what a job waited for a connection, or
    for a generator that was late, is part of its latency (no coordinated omission).
    """

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
    """User and system time of a process with all its threads, and of its children."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
        tasks = [each / "children" for each in Path(f"/proc/{pid}/task").iterdir()]
        children = [int(child) for task in tasks for child in task.read_text("ascii").split()]
    except OSError:
        return 0.0  # a child that has just ended
    fields = stat[stat.rindex(")") + 2 :].split()
    own = (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
    return own + sum(cpu_seconds(child) for child in children)


class Load:
    """The jobs under way, and the connections they are submitted over."""

    def __init__(self, order: GeneratorOrder) -> None:
        self._order = order
        self._accepted_status = order.accepted.encode()
        urls: list[str | None] = [*order.callback_urls] or [None]
        self._parts = [
            request_parts(order, urls[n % len(urls)], n if order.keys else None)
            for n in range(order.keys or len(urls))
        ]
        self._idle: deque[Connection] = deque()
        self._intended: deque[int] = deque()
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
        if connection.ending:
            connection.replace()
            self._pump()
        else:
            self.ready(connection)

    async def pace(self, rate: float) -> None:
        """Intend a job 1 / rate seconds after the one before, until stopped."""
        began = time.monotonic()
        while not self._stopped:
            late = time.monotonic() - began
            while (at := len(self.sent_at) / rate) <= late:
                self._intended.append(self._begin(began + at))
            self._pump()
            await asyncio.sleep(began + at - time.monotonic())

    def came_back(self, count: int) -> None:
        self._in_flight -= count
        self._pump()

    async def stop(self, drain_seconds: float) -> None:
        """Begin no more, and wait until every job is over or the time is up."""
        self._stopped = True
        await self.until_over(drain_seconds)

    async def until_over(self, drain_seconds: float) -> None:
        """Wait until every job is over or the time is up."""
        self._pump()
        try:
            await asyncio.wait_for(self._drained.wait(), drain_seconds)
        except TimeoutError:
            return

    def _pump(self) -> None:
        order = self._order
        if not self._stopped and order.rate is None:
            while self._idle and self._in_flight < order.in_flight and not self._all_begun:
                self._send(self._begin(time.monotonic()))
        # What was intended is sent, even when the time is up: else the slowest would be left out.
        while self._idle and self._intended:
            self._send(self._intended.popleft())
        if (self._stopped or self._all_begun) and self._in_flight == 0:
            self._drained.set()

    @property
    def _all_begun(self) -> bool:
        return len(self.sent_at) == self._order.total

    def _begin(self, at: float) -> int:
        number = len(self.sent_at)
        self._in_flight += 1
        self.sent_at.append(at)
        self.answered_at.append(0.0)
        self.accepted.append(False)
        return number

    def _send(self, number: int) -> None:
        head, tail = self._parts[number % len(self._parts)]
        self._idle.popleft().send(number, head + b"%010d" % number + tail)


def request_parts(
    order: GeneratorOrder, callback_url: str | None, key: int | None = None
) -> tuple[bytes, bytes]:
    """What stands before and after the job's number in a submission; `key`: it is in an order."""
    members = b'{"type":"%b","input":%b' % (order.type.encode(), order.input.encode())
    if callback_url is not None:
        members += b',"callbackUrl":"%b"' % callback_url.encode()
    if key is not None:
        members += b',"orderingKey":"k%d","callback":{"ordered":true}' % key
    for name, value in order.more.items():
        members += b',"%b":%d' % (name.encode(), value)
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
    """One kept connection, with one submission under way at most.

    `ending`: the service said with its last answer that it closes it.
    """

    def __init__(self, load: Load, port: int, failed: asyncio.Future[None]) -> None:
        self._load = load
        self._port = port
        self._failed = failed
        self.ending = False
        self._next: asyncio.Task[None] | None = None
        self._number = -1
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # TCP gives these; uvloop's own class is not registered as one.
        transport = cast("asyncio.Transport", transport)
        self._transport = transport
        self._load.ready(self)

    async def open(self) -> None:
        """Connect; raises `OSError`."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, "127.0.0.1", self._port)

    def replace(self) -> None:
        """Have another connection take its place."""
        assert self._transport is not None  # noqa: S101  # it was answered over it
        self._transport.close()
        self._next = asyncio.get_running_loop().create_task(self._replaced())

    async def _replaced(self) -> None:
        try:
            await Connection(self._load, self._port, self._failed).open()
        except OSError as error:
            self._fail(error)

    def send(self, number: int, request: bytes) -> None:
        self._number = number
        assert self._transport is not None  # noqa: S101  # `ready` came after `connection_made`
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        message = split(self._buffer)
        if message is not None:
            head, body, self._buffer = message
            self.ending = CLOSES in head
            self._load.answered(self, self._number, head, body)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ending:
            self._fail(exc or ConnectionResetError("the service hung up"))

    def _fail(self, error: Exception) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)


async def generate(order: GeneratorOrder) -> Measured:
    loop = asyncio.get_running_loop()
    load = Load(order)
    failed: asyncio.Future[None] = loop.create_future()
    if order.feedback is not None:
        pipe = order.feedback
        loop.add_reader(pipe, lambda: load.came_back(len(os.read(pipe, 65_536))))
    for _ in range(order.connections):
        await Connection(load, order.port, failed).open()
    pacing = None if order.rate is None else asyncio.create_task(load.pace(order.rate))
    if order.total is None:
        await unless(failed, order.warm_up_seconds)
    before = {name: cpu_seconds(pid) for name, pid in order.pids.items()}
    own_before, begin_at = time.process_time(), time.monotonic()
    if order.total is None:
        await unless(failed, order.seconds)
    else:
        await load.until_over(order.drain_seconds)
    used = {name: cpu_seconds(pid) - before[name] for name, pid in order.pids.items()}
    used["generator"] = time.process_time() - own_before
    end_at = time.monotonic()
    await load.stop(order.drain_seconds)
    if pacing is not None:
        await pacing
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
    stand_back()
    given = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=GeneratorOrder)
    measured = uvloop.run(generate(given))
    Path(given.measured).write_bytes(msgspec.json.encode(measured))
