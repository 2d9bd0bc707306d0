"""Timers that go off when the test moves its clock."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable
from itertools import count

from dispatcher.ports.system import Alarm
from dispatcher.testing.clock import ManualClock

_FLOAT_MS = 1e-6
"""So much of a millisecond may be there for sums of floats alone."""


class _ManualAlarm:
    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class ManualTimers:
    """Implements `ports.system.Timers` over a `ManualClock`: `advance` makes time pass for both."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._order = count()
        self._waiting: list[tuple[int, int, _ManualAlarm]] = []

    def after(self, seconds: float, call: Callable[[], None]) -> Alarm:
        """See `Timers.after`. What is due already is called in the loop's next turn.

        What is due between two milliseconds goes off at the second: whoever finds that it was
        called too soon and asks for the rest would else be called at the same instant for ever.
        """
        alarm = _ManualAlarm(call)
        if seconds <= 0:
            asyncio.get_running_loop().call_soon(self._ring, alarm)
        else:
            now = self._clock.monotonic()
            due_ms = math.ceil((now + seconds) * 1000 - _FLOAT_MS)
            due_ms = max(due_ms, round(now * 1000) + 1)
            heapq.heappush(self._waiting, (due_ms, next(self._order), alarm))
        return alarm

    @property
    def next_in(self) -> float | None:
        """Seconds until the next alarm, None if there is none."""
        while self._waiting and self._waiting[0][2].call is None:
            heapq.heappop(self._waiting)
        if not self._waiting:
            return None
        return self._waiting[0][0] / 1000 - self._clock.monotonic()

    def advance(self, seconds: float) -> None:
        """Move the clock, ringing each alarm at its own instant on the way, in order.

        Instants are whole milliseconds, as the clock's are: sums of floats would miss some.
        """
        end_ms = round((self._clock.monotonic() + seconds) * 1000)
        while self.next_in is not None and self._waiting[0][0] <= end_ms:
            due_ms, _, alarm = heapq.heappop(self._waiting)
            self._move_to(due_ms)
            self._ring(alarm)
        self._move_to(end_ms)

    def _move_to(self, instant_ms: int) -> None:
        self._clock.advance(max(instant_ms / 1000 - self._clock.monotonic(), 0.0))

    @staticmethod
    def _ring(alarm: _ManualAlarm) -> None:
        call, alarm.call = alarm.call, None
        if call is not None:
            call()
