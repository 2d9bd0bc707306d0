"""What a handler says, made fit to be stored and sent."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

MAX_DETAIL: Final = 2_000
"""A detail or a message has at most this many characters; what is longer ends in an ellipsis."""

_AT_ONCE_BYTES: Final = 131_072


def safe_text(said: object, limit: int = MAX_DETAIL) -> str:
    """`said` as text that any store and JSON takes.

    Handlers pass exceptions, file names and worse: lone surrogates (no UTF-8 has them) and NUL
    (which PostgreSQL's text can't hold) become U+FFFD. It never raises.
    """
    try:
        text = said if type(said) is str else str(said)
    except Exception:  # noqa: BLE001  # somebody's __str__; whatever it does, the job must end
        text = type(said).__name__
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isascii() and "\0" not in text:
        return text
    # surrogatepass and back: each lone surrogate becomes U+FFFD, not a question mark.
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\0", "\ufffd")


async def is_json(data: bytes) -> bool:
    """Whether `data` is JSON in UTF-8, as callers will read it; the event loop stays free."""
    if len(data) > _AT_ONCE_BYTES:
        return await asyncio.to_thread(_parses, data)
    return _parses(data)


def _parses(data: bytes) -> bool:
    try:
        msgspec.json.decode(data)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return False
    return True
