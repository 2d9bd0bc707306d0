"""Observers are told what happened, after it stands in the store."""

from __future__ import annotations

from typing import Protocol

from dispatcher.core.facts import Fact


class Observer(Protocol):
    """Told of each fact."""

    def saw(self, fact: Fact) -> None:
        """Take note. Must be quick, must not raise, and is called on the event loop."""
        ...
