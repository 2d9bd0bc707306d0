"""Server-Sent Events, as pure functions (WHATWG HTML, 9.2)."""

from __future__ import annotations

import re
from typing import Final

EVENT_STREAM: Final = "text/event-stream"

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_SINGLE_LINE: Final = re.compile(r"[^\r\n\0]*")


def event(name: str, data: bytes, cursor: str | None = None) -> bytes:
    """One event. `data` is UTF-8; each of its lines becomes a line of its own.

    `cursor` becomes the reader's last event id; None leaves it as it was.
    """
    if not _SINGLE_LINE.fullmatch(name) or not _SINGLE_LINE.fullmatch(cursor or ""):
        raise ValueError("neither an event's name nor its id may have a line end or NUL")
    lines = [b"event: ", name.encode(), b"\n"]
    if cursor is not None:
        lines += [b"id: ", cursor.encode(), b"\n"]
    for line in _LINE_END.split(data):
        lines += [b"data: ", line, b"\n"]
    lines.append(b"\n")
    return b"".join(lines)


def moved(cursor: str) -> bytes:
    """Sets the reader's last event id without an event: what was left out is not looked at again.

    Without data nothing is dispatched (9.2.6).
    """
    return b"id: " + cursor.encode() + b"\n\n"


def comment(text: str) -> bytes:
    """What readers ignore, and proxies take for a sign of life."""
    return b": " + text.encode() + b"\n\n"


def retry(milliseconds: int) -> bytes:
    """How long a reader waits before it connects again."""
    return b"retry: %d\n\n" % milliseconds
