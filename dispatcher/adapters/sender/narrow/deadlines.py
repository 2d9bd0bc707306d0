"""Deadlines that all last equally long, with one timer for all of them."""

from __future__ import annotations

import asyncio
from typing import Any, Final

# The timer is this early, so that it doesn't ring in vain just before the time.
_EARLY_SECONDS: Final = 0.001


class Deadline:
    """One deadline, at an instant of the event loop's clock."""

    __slots__ = ("_passed", "_waiter", "at")

    def __init__(self, at: float) -> None:
        self.at = at
        self._passed = False
        self._waiter: asyncio.Future[Any] | None = None

    def watch(self, waiter: asyncio.Future[Any]) -> None:
        """From now on the future ends with a TimeoutError when the deadline passes, or has."""
        self._waiter = waiter
        if self._passed:
            self.ring()

    def ring(self) -> None:
        """It has passed."""
        self._passed = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(TimeoutError())


class Deadlines:
    """Deadlines of `seconds` each: the oldest is always the first to pass.

    A timer each, as `asyncio.timeout` makes it, would cost a tenth of a whole exchange.
    """

    def __init__(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        self._seconds = seconds
        self._loop = loop
        self._open: dict[Deadline, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> Deadline:
        deadline = Deadline(self._loop.time() + self._seconds)
        self._open[deadline] = None
        if self._timer is None:
            self._timer = self._loop.call_at(deadline.at, self._ring)
        return deadline

    def end(self, deadline: Deadline) -> None:
        self._open.pop(deadline, None)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        self._timer = None
        now = self._loop.time() + _EARLY_SECONDS
        for deadline in list(self._open):
            if deadline.at > now:
                self._timer = self._loop.call_at(deadline.at, self._ring)
                return
            del self._open[deadline]
            deadline.ring()
