"""Observers are told what happened, after it stands in the store."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, Protocol

from dispatcher.core.facts import Fact

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
"""The `Request-Id` of the HTTP request on whose behalf the present task works.

A task that a request starts, and that outlives it, still has it: it is right only for facts that
tell what a request did.
"""


class Observer(Protocol):
    """Told of each fact."""

    def saw(self, fact: Fact) -> None:
        """Take note. Must be quick, must not raise, and is called on the event loop."""
        ...


class CommitTold(Protocol):
    """Told of each commit of the store: must be quick and must not raise.

    Called by whatever makes the commits, which may be a thread of its own.
    """

    def __call__(self, seconds: float, items: int, *, failed: bool) -> None:
        """A commit of so many items took so long, syncing included, or failed for all of them."""
        ...


def tell_nobody(seconds: float, items: int, *, failed: bool) -> None:
    """For a store that nobody watches."""
