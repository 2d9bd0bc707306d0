"""One exchange, byte for byte: a receiver that says given pieces, and what a sender makes of them.

Both ends are in one event loop, and each piece is read before the next one is written, so that a
verdict can't depend on how the system cuts a stream.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from msgspec import Struct

from dispatcher.core.outcome import Answered, SendResult
from tests.sender.conftest import AnySender, callout

GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
_REQUEST_BODY = b"{}"


class Verdict(Struct, frozen=True):
    """What a sender made of an answer, and whether it used the connection again."""

    result: SendResult
    again: bool

    def __str__(self) -> str:
        result = self.result
        said = result.status_code if isinstance(result, Answered) else getattr(result, "code", "")
        return f"{said} {'again' if self.again else 'once'}"


class _Said:
    """The receiver: the first request on its first connection gets the pieces, others `GOOD`."""

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self.asked = asyncio.Event()
        self.last = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        number = len(self.writers)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n" + _REQUEST_BODY)
                self.last = number
                if not self.asked.is_set():
                    self.asked.set()
                else:
                    writer.write(GOOD)
        writer.close()


@contextlib.asynccontextmanager
async def _serving(said: _Said) -> AsyncIterator[str]:
    server = await asyncio.start_server(said.serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for writer in said.writers:
            writer.transport.abort()
        await _settle()


async def _settle() -> None:
    """What one end wrote is read by the other, and heard by whoever waits for it."""
    for _ in range(6):
        await asyncio.sleep(0)


async def exchange(sender: AnySender, pieces: Sequence[bytes]) -> Verdict:
    """Send twice: the first request is answered with the pieces, then the connection is held.

    It is closed only if the sender still waits for something when all is said.
    """
    said = _Said()
    async with _serving(said) as url:
        first = asyncio.create_task(sender.send(callout(url, _REQUEST_BODY)))
        await said.asked.wait()
        for piece in pieces:
            if not said.writers[0].is_closing():
                said.writers[0].write(piece)
            await _settle()
        await _settle()
        if not first.done():
            said.writers[0].close()
        result = await first
        await _settle()
        after = await sender.send(callout(url, _REQUEST_BODY))
        assert isinstance(after, Answered), after
        assert after.status_code == 200
        return Verdict(result, again=said.last == 1)
