"""Timers of the running event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dispatcher.ports.system import Alarm


class LoopTimers:
    """Implements `ports.system.Timers` on asyncio's own."""

    def after(self, seconds: float, call: Callable[[], None]) -> Alarm:
        """See `Timers.after`."""
        return asyncio.get_running_loop().call_later(max(seconds, 0.0), call)
