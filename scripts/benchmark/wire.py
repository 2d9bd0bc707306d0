"""As much of HTTP/1.1 as two programs on one machine need that were written for each other."""

from __future__ import annotations

import re
from typing import Final

HEAD_END: Final = b"\r\n\r\n"
CORRELATION: Final = b'"correlationId":"'
DIGITS: Final = 10
CLOSES: Final = b"\r\nConnection: close"
"""In a head: the service ends the connection with this answer."""

_length: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)", re.IGNORECASE)


def split(buffer: bytes) -> tuple[bytes, bytes, bytes] | None:
    """The first message's head and body, and what follows it; None: it is not all there yet.

    Raises:
        ValueError: the message does not say its length.
    """
    head_end = buffer.find(HEAD_END)
    if head_end < 0:
        return None
    found = _length.search(buffer, 0, head_end + 2)
    if found is None:
        raise ValueError(f"no content-length in {buffer[:head_end]!r}")
    begin = head_end + len(HEAD_END)
    end = begin + int(found[1])
    if len(buffer) < end:
        return None
    return buffer[:head_end], buffer[begin:end], buffer[end:]


def number_of(body: bytes) -> int:
    """The number that the generator gave the job as its `correlationId`."""
    at = body.index(CORRELATION) + len(CORRELATION)
    return int(body[at : at + DIGITS])
