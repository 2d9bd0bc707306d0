"""A pooler of transactions, as PgBouncer is one.

A client has a session of the server while a transaction lasts, and another one for the next.
Written for the tests from PostgreSQL's documentation, "Frontend/Backend Protocol".
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.store.postgres_server import shared_server

SESSIONS = 3
_ASKS_FOR_ENCRYPTION = {80_877_103, 80_877_104}
_CANCEL = 80_877_102
_VERSION = 196_608


class _Session(NamedTuple):
    """A session on the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Pooler:
    """Shares a few sessions of the shared server among any number of clients."""

    def __init__(self) -> None:
        self._free: asyncio.Queue[_Session] = asyncio.Queue()
        self._greeting = b""
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.StreamWriter] = set()
        self.url = ""
        self.most_clients = 0

    async def start(self) -> None:
        for _ in range(SESSIONS):
            self._free.put_nowait(await self._session())
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres?pgbouncer=true"

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        for link in list(self._links):
            link.transport.abort()
        await asyncio.sleep(0)

    async def _session(self) -> _Session:
        """A new session of the server; what it says of itself is told to every client."""
        folder = parse_qs(urlsplit(shared_server()).query)["host"][0]
        session = _Session(*await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432"))
        self._links.add(session.writer)
        words = b"user\0postgres\0database\0postgres\0client_encoding\0UTF8\0\0"
        session.writer.write(struct.pack("!ii", 8 + len(words), _VERSION) + words)
        self._greeting = b""
        while True:
            kind, message = await _message(session.reader)
            self._greeting += message
            if kind == b"Z":
                return session

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._links.add(writer)
        self.most_clients = max(self.most_clients, len(self._links) - SESSIONS)
        held: _Session | None = None
        relay: asyncio.Task[None] | None = None
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if await self._greet(reader, writer):
                while True:
                    kind, message = await _message(reader)
                    if kind == b"X":
                        break
                    if held is None or (relay is not None and relay.done()):
                        held = await self._free.get()
                        relay = asyncio.create_task(self._relay(held, writer))
                    held.writer.write(message)
        if held is not None and relay is not None and not relay.done():
            relay.cancel()  # in the middle of a transaction: the session is not another's
            held.writer.transport.abort()
            self._free.put_nowait(await self._session())
        self._links.discard(writer)
        writer.transport.abort()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        while True:
            size, code = struct.unpack("!ii", await reader.readexactly(8))
            if code in _ASKS_FOR_ENCRYPTION:
                writer.write(b"N")
                continue
            await reader.readexactly(size - 8)
            if code == _CANCEL:
                return False
            writer.write(self._greeting)
            return True

    async def _relay(self, session: _Session, writer: asyncio.StreamWriter) -> None:
        """Pass answers on until the server is ready with no transaction open; then it is free."""
        while True:
            kind, message = await _message(session.reader)
            if kind == b"Z" and message.endswith(b"I"):
                self._free.put_nowait(session)
                asyncio.get_running_loop().call_soon(writer.write, message)
                return
            writer.write(message)


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    (size,) = struct.unpack("!i", head[1:])
    return head[:1], head + await reader.readexactly(size - 4)
