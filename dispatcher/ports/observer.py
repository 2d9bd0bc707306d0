"""Observers are told what happened, after it stands in the store."""

from __future__ import annotations

from typing import Protocol

from dispatcher.core.facts import Fact


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
