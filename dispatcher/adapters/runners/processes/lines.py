"""What a child writes to its standard error, line by line: for the log, and the last of it kept."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from dispatcher.adapters.runners.endings import ids_of, logger
from dispatcher.adapters.runners.text import safe_text
from dispatcher.core.model import Job

LINE_BYTES: Final = 65_536
"""A line is read to here; what it has beyond that is left out."""

LOGGED_LINES: Final = 1_000
"""So many lines of an attempt go to the log; the last ones are kept besides."""

KEPT_LINES: Final = 20
KEPT_CHARACTERS: Final = 500

_CHUNK: Final = 65_536


async def lines_of(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The lines, without their ends, each of `LINE_BYTES` at most; in bounded memory."""
    rest = b""
    cut = False
    while chunk := await stream.read(_CHUNK):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if not cut:
                yield line[:LINE_BYTES]
            cut = False
        if len(rest) > LINE_BYTES:
            if not cut:
                yield rest[:LINE_BYTES]
            cut, rest = True, b""
    if rest and not cut:
        yield rest


class Said:
    """What one attempt has said: logged as it comes, the end kept for who asks what went wrong."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._count = 0
        self._last: deque[str] = deque(maxlen=KEPT_LINES)

    def add(self, line: bytes) -> None:
        """Take note of a line."""
        text = safe_text(line.decode("utf-8", "replace").rstrip("\r"))
        self._last.append(text[:KEPT_CHARACTERS])
        self._count += 1
        if self._count <= LOGGED_LINES:
            _log(logging.INFO, self._job, text)
        elif self._count == LOGGED_LINES + 1:
            _log(logging.WARNING, self._job, f"… more than {LOGGED_LINES} lines: no more of them")

    @property
    def end(self) -> str:
        """The last lines, for operators."""
        return "\n".join(self._last) or "nothing"


def _log(level: int, job: Job, text: str) -> None:
    logger.log(level, "Job %s (%s) says: %s", job.id, job.type, text, extra=ids_of(job))
