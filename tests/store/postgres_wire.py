"""A wire between a store and PostgreSQL, to be cut, to hang, or to lose one COMMIT."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

from tests.store.postgres_server import shared_server


class Fault(Enum):
    """What befalls the next COMMIT that comes by."""

    REQUEST_LOST = "the server never sees it"
    ANSWER_LOST = "the server commits, and nobody hears of it"


def _told(name: bytes, value: bytes) -> bytes:
    """What a server that greets says of a parameter."""
    return b"S" + (len(name) + len(value) + 6).to_bytes(4, "big") + name + b"\0" + value + b"\0"


_PRIMARY, _STANDBY = (_told(b"in_hot_standby", value) for value in (b"off", b"on"))


class Wire:
    """Passes on what comes, unless told otherwise. One test, one wire."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self.fault: Fault | None = None
        self.struck = asyncio.Event()
        self.refuses = False
        self.standby = False
        """Whether it leads to a standby, by what is said to those who connect."""
        self.port = 0
        self.url = ""

    async def start(self) -> Self:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        return self

    def cut(self) -> None:
        """End every connection."""
        for link in list(self._links):
            link.transport.abort()

    def say_goodbye(self) -> None:
        """Tell every client what a server says that shuts down; its end of the line stays open."""
        words = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0"
        for client in self._clients:
            client.write(b"E" + (len(words) + 4).to_bytes(4, "big") + words)

    def hang(self) -> None:
        """Pass nothing on, in either direction, until `flow`."""
        self._flows.clear()

    def flow(self) -> None:
        self._flows.set()

    async def close(self) -> None:
        self.flow()
        self.cut()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        await asyncio.sleep(0)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        there_reader, there = await asyncio.open_unix_connection(str(self._socket))
        self._links |= {writer, there}
        self._clients.add(writer)
        answers = asyncio.create_task(self._answers(there_reader, writer))
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._flows.wait()
                if self.fault is not None and b"\nCOMMIT" in data:
                    fault, self.fault = self.fault, None
                    if fault is Fault.ANSWER_LOST:
                        answers.cancel()
                        await asyncio.wait({answers})
                        there.write(data)
                        await there_reader.read(65_536)
                    self.struck.set()
                    break
                there.write(data)
        answers.cancel()
        self._clients.discard(writer)
        for link in (writer, there):
            link.transport.abort()
            self._links.discard(link)

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._flows.wait()
                writer.write(data.replace(_PRIMARY, _STANDBY) if self.standby else data)
        writer.transport.abort()


@asynccontextmanager
async def wire() -> AsyncIterator[Wire]:
    """A wire to the shared server."""
    folder = parse_qs(urlsplit(shared_server()).query)["host"][0]
    made = await Wire(Path(folder) / ".s.PGSQL.5432").start()
    try:
        yield made
    finally:
        await made.close()
