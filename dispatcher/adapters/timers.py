"""Timers of the running event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from dispatcher.ports.system import Alarm

EARLY_SECONDS: Final = 0.002
"""uvloop counts whole milliseconds, from one that has begun: it calls up to 1.5 ms too soon."""


class LoopTimers:
    """Implements `ports.system.Timers` on asyncio's own."""

    def after(self, seconds: float, call: Callable[[], None]) -> Alarm:
        """See `Timers.after`."""
        loop = asyncio.get_running_loop()
        return loop.call_later(seconds + EARLY_SECONDS if seconds > 0 else 0.0, call)
