"""The sender: one HTTP POST of a callback, bounded in time and memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from dispatcher.core.outcome import SendResult


class Callout(Struct, frozen=True):
    """What to POST, complete: the URL exactly as checked, every header, the body.

    `caller_id` says on whose account: of what sending takes, each caller has its share. It is not
    sent.
    """

    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    caller_id: str


class Sender(Protocol):
    """Sends callbacks."""

    async def send(self, callout: Callout) -> SendResult:
        """POST once and say how it came out; never raises but for cancellation.

        `NotTried` is said only if nothing was sent, so that it may be sent as if never begun.

        One deadline holds for DNS, connect, TLS, headers and body together. Redirects are not
        followed. The URL and the address really dialled are checked against the policy each time.
        At most 64 KiB of an answer is read, never decompressed, and 4 KiB kept.
        """
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
