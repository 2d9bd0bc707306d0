"""A receiver for tests: a real socket on this machine that answers as it is told.

    async with Receiver(Reply(500), Reply(200)) as receiver:
        ...  # submit a job with callbackUrl=receiver.url
        first, second = await receiver.received(2)
        assert first.header("webhook-id") == second.header("webhook-id")

Answers are used in turn, the last one for all that follow. Besides `Reply` an answer can be `Raw`
bytes, a `Hang`, or a script of its own that does with the connection what it likes: that is how
hostile receivers are made. Nothing here sleeps or polls: tests await what they wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final, Self, TypeAlias

import msgspec
from msgspec import Struct

_HEAD_BYTES: Final = 1_048_576
_WAIT_SECONDS: Final = 10.0
_WITHOUT_BODY: Final = (204, 304)  # RFC 9110, 8.6: they have no Content-Length either


class Arrival(Struct, frozen=True, kw_only=True):
    """One request as it came. `number` counts requests and `connection` connections, from 1."""

    number: int
    connection: int
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of the first header field of that name, whatever its case."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    @property
    def event(self) -> dict[str, Any]:
        """The body as the JSON object that it holds."""
        return msgspec.json.decode(self.body, type=dict[str, Any])


class Reply(Struct, frozen=True):
    """A sound answer. The connection stays open for the next request unless `close`."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = False


class Raw(Struct, frozen=True):
    """Bytes in place of an answer; then the connection is closed, or held open if not `close`."""

    data: bytes
    close: bool = True


class Hang(Struct, frozen=True):
    """No answer at all: the connection is held until the sender leaves."""


class Wire:
    """A connection in the hands of a script."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.sent_bytes = 0

    async def send(self, data: bytes) -> None:
        """Write and wait until it is on its way; raises ConnectionError once the sender left."""
        if self.writer.is_closing():  # uvloop calls it a RuntimeError, asyncio nothing
            raise ConnectionResetError("the sender has left")
        self.writer.write(data)
        await self.writer.drain()
        self.sent_bytes += len(data)

    async def gone(self, within_seconds: float | None = None) -> bool:
        """Wait until the sender leaves (True), or so long that one more byte is due (False)."""
        try:
            async with asyncio.timeout(within_seconds):
                while await self.reader.read(65_536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True

    def reset(self) -> None:
        """Break the connection off with a TCP reset."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script: TypeAlias = Callable[[Wire, Arrival], Awaitable[None]]
Answer: TypeAlias = Reply | Raw | Hang | Script


class Receiver:
    """Listens on a free port of this machine while it is entered as a context.

    Args:
        answers: used in turn, the last one again and again; none: 200 always.
        choose: gives the answer to each arrival, in place of `answers`.
        tls: makes it an https receiver.
        greet: is given each connection before it has sent anything, in place of a request being
            read; for receivers that speak first or not at all.
        port: 0 is any that is free.
    """

    def __init__(
        self,
        *answers: Answer,
        choose: Callable[[Arrival], Answer] | None = None,
        tls: ssl.SSLContext | None = None,
        greet: Callable[[Wire], Awaitable[None]] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.arrivals: list[Arrival] = []
        self.connection_count = 0
        self._ended_count = 0
        self._answers: tuple[Answer, ...] = answers or (Reply(),)
        self._used = 0
        self._choose = choose
        self._tls = tls
        self._greet = greet
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._faults: list[Exception] = []
        self._waiters: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, self._host, self._port, ssl=self._tls, limit=_HEAD_BYTES
        )
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close everything; raises what a script raised."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._faults:
            raise self._faults[0]

    @property
    def port(self) -> int:
        return self._port

    @property
    def origin(self) -> str:
        """Scheme, host and port, as `allow_callbacks` takes them."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'http' if self._tls is None else 'https'}://{host}:{self._port}"

    @property
    def url(self) -> str:
        return f"{self.origin}/hook"

    @property
    def open_count(self) -> int:
        """How many connections are open now."""
        return self.connection_count - self._ended_count

    def answer_with(self, *answers: Answer) -> None:
        """Go on with other answers, from the next request."""
        self._answers = answers
        self._used = 0

    async def received(self, count: int, within_seconds: float = _WAIT_SECONDS) -> list[Arrival]:
        """The first `count` requests, as soon as they have come whole.

        Raises:
            AssertionError: they did not come in time.
        """
        await self._until(lambda: len(self.arrivals) >= count, f"{count} requests", within_seconds)
        return self.arrivals[:count]

    async def connected(self, count: int, within_seconds: float = _WAIT_SECONDS) -> None:
        """Wait until `count` connections have been made; raises AssertionError."""
        await self._until(
            lambda: self.connection_count >= count, f"{count} connections", within_seconds
        )

    async def left(self, count: int, within_seconds: float = _WAIT_SECONDS) -> None:
        """Wait until `count` connections have ended; raises AssertionError."""
        await self._until(
            lambda: self._ended_count >= count, f"{count} connections ended", within_seconds
        )

    async def _until(self, true: Callable[[], bool], what: str, within_seconds: float) -> None:
        try:
            async with asyncio.timeout(within_seconds):
                while not true():
                    waiter = asyncio.get_running_loop().create_future()
                    self._waiters.append(waiter)
                    await waiter
        except TimeoutError:
            raise AssertionError(
                f"the receiver waited {within_seconds:g} s for {what}; it has seen "
                f"{len(self.arrivals)} requests on {self.connection_count} connections, "
                f"{self._ended_count} of them ended"
            ) from None

    def _changed(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connection_count += 1
        number = self.connection_count
        self._changed()
        try:
            await self._hear(Wire(reader, writer), number)
        except asyncio.CancelledError:
            writer.transport.abort()  # by `__aexit__` alone; streams would log a cancelled task
        finally:
            self._tasks.discard(task)
            self._ended_count += 1
            self._changed()

    async def _hear(self, wire: Wire, number: int) -> None:
        try:
            if self._greet is not None:
                await self._greet(wire)
            else:
                while await self._exchange(wire, number):
                    pass
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the sender left
        except Exception as fault:  # noqa: BLE001  # a script's own fault is raised in the test
            self._faults.append(fault)
        finally:
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                wire.writer.close()
                await wire.writer.wait_closed()

    async def _exchange(self, wire: Wire, connection: int) -> bool:
        """Read a request and answer it; True: read the next one."""
        arrival = await self._read(wire.reader, connection)
        self.arrivals.append(arrival)
        answer = self._answer_to(arrival)
        self._changed()
        match answer:
            case Reply():
                await wire.send(_reply_bytes(answer))
                return not answer.close
            case Raw():
                await wire.send(answer.data)
                if not answer.close:
                    await wire.gone()
            case Hang():
                await wire.gone()
            case script:
                await script(wire, arrival)
        return False

    def _answer_to(self, arrival: Arrival) -> Answer:
        if self._choose is not None:
            return self._choose(arrival)
        answer = self._answers[min(self._used, len(self._answers) - 1)]
        self._used += 1
        return answer

    async def _read(self, reader: asyncio.StreamReader, connection: int) -> Arrival:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        fields = [line.partition(":") for line in lines]
        headers = tuple((name, value.strip(" \t")) for name, _, value in fields)
        lengths = [int(value) for name, value in headers if name.lower() == "content-length"]
        return Arrival(
            number=len(self.arrivals) + 1,
            connection=connection,
            method=method,
            target=target,
            headers=headers,
            body=await reader.readexactly(lengths[0]) if lengths else b"",
        )


def _reply_bytes(reply: Reply) -> bytes:
    try:
        reason = HTTPStatus(reply.status).phrase
    except ValueError:
        reason = ""
    lines = [f"HTTP/1.1 {reply.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in reply.headers]
    if reply.status not in _WITHOUT_BODY:
        lines.append(f"content-length: {len(reply.body)}")
    if reply.close:
        lines.append("connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + reply.body
