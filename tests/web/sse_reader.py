"""A reader of Server-Sent Events (WHATWG HTML, 9.2.5 and 9.2.6), and a stream read by it."""

from __future__ import annotations

import asyncio
import codecs
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp


class Told(NamedTuple):
    """An event as it is dispatched."""

    type: str
    data: str
    last_id: str

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class Parser:
    """Fed with bytes as they come, cut anywhere."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._line = ""
        self._after_cr = False
        self._begun = False
        self._type = ""
        self._data: list[str] = []
        self.last_id = ""
        self.retry: int | None = None
        self.comments: list[str] = []

    def feed(self, chunk: bytes) -> list[Told]:
        told = []
        for each in self._decode(chunk):
            if not self._begun:
                self._begun = True
                if each == "\ufeff":
                    continue
            if each == "\n" and self._after_cr:
                self._after_cr = False
            elif each in "\r\n":
                self._after_cr = each == "\r"
                line, self._line = self._line, ""
                if (event := self._take(line)) is not None:
                    told.append(event)
            else:
                self._after_cr = False
                self._line += each
        return told

    def _take(self, line: str) -> Told | None:
        if not line:
            return self._dispatch()
        field, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if colon and not field:
            self.comments.append(value)
        elif field == "event":
            self._type = value
        elif field == "data":
            self._data.append(value)
        elif field == "id" and "\0" not in value:
            self.last_id = value
        elif field == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value)
        return None

    def _dispatch(self) -> Told | None:
        kind, data = self._type, self._data
        self._type, self._data = "", []
        return Told(kind or "message", "\n".join(data), self.last_id) if data else None


class Reader:
    """An open stream."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.parser = Parser()
        self._waiting: list[Told] = []

    async def next(self) -> Told | None:
        """The next event; None: the stream has ended."""
        async with asyncio.timeout(10):
            while not self._waiting:
                chunk = await self.response.content.readany()
                if not chunk:
                    return None
                self._waiting = self.parser.feed(chunk)
        return self._waiting.pop(0)

    async def take(self, count: int) -> list[Told]:
        """So many events."""
        found = [await self.next() for _ in range(count)]
        assert None not in found, f"the stream ended: {found}"
        return [each for each in found if each is not None]

    async def rest(self) -> list[Told]:
        """All that comes until it ends."""
        found = []
        while (each := await self.next()) is not None:
            found.append(each)
        return found

    async def begun(self) -> None:
        """Wait until the stream has said something."""
        async with asyncio.timeout(10):
            while self.parser.retry is None:
                self._waiting += self.parser.feed(await self.response.content.readany())

    async def comment(self, text: str) -> None:
        """Wait for a comment that has `text`."""
        async with asyncio.timeout(10):
            while not any(text in each for each in self.parser.comments):
                chunk = await self.response.content.readany()
                assert chunk, "the stream ended"
                self._waiting += self.parser.feed(chunk)


@asynccontextmanager
async def opened(
    url: str, key: str, *, last_id: str | None = None, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Reader]:
    """A stream as a browser's `EventSource` opens it, over a connection of its own."""
    sent = {"Accept": "text/event-stream", "Authorization": f"Bearer {key}", **(headers or {})}
    if last_id is not None:
        sent["Last-Event-ID"] = last_id
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(url, headers=sent) as response,
    ):
        yield Reader(response)
