"""Telling several observers of each fact."""

from __future__ import annotations

import logging
from typing import Final

from dispatcher.core.facts import Fact
from dispatcher.ports.observer import Observer

_logger: Final = logging.getLogger("dispatcher.observers")


class Fanout:
    """Implements `ports.observer.Observer`: tells each of its observers, in their order.

    None may raise. One that does all the same, for a defect of ours, keeps neither the others from
    being told nor the work from going on: it is logged.
    """

    def __init__(self, *observers: Observer) -> None:
        self._tell = tuple(observer.saw for observer in observers)

    def saw(self, fact: Fact) -> None:
        """See `Observer.saw`."""
        for tell in self._tell:
            try:
                tell(fact)
            except Exception:  # whatever it is: the work is more than the looking on
                _logger.exception("an observer could not take note of %s", type(fact).__name__)
