"""Lines of those who wait for the same: what comes wakes one of them, not all."""

from __future__ import annotations

from dispatcher.core.model import Instant
from dispatcher.engine.loop import Bell
from dispatcher.ports.system import Clock, Timers


class Waiting:
    """One who waits in a line; `rests`: it does not look just now, nor was it told to."""

    def __init__(self, clock: Clock, timers: Timers) -> None:
        self.bell = Bell(clock, timers)
        self.rests = False

    def wake(self) -> None:
        """Have it look, or look once more if it does so already."""
        self.rests = False
        self.bell.ring()

    async def rest(self, until: Instant) -> None:
        """Rest until it is to look, `until` at most."""
        self.rests = True
        self.bell.ring(until)
        await self.bell.wait()
        self.rests = False


class Line:
    """Those who wait for the same, in the order in which they came.

    Whatever comes has one of them look who rests, and whoever leaves has another look. He may have
    taken one of several that came, or have been told of one that he does not look for any more. So
    after each that came somebody looks, until one has looked in vain. The first sees to what comes
    with time.
    """

    def __init__(self, clock: Clock, timers: Timers) -> None:
        self._clock = clock
        self._timers = timers
        self._all: dict[Waiting, None] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._all)

    @property
    def first(self) -> Waiting | None:
        """Who has waited longest."""
        return next(iter(self._all), None)

    def join(self) -> Waiting:
        """Come in last, about to look: whatever comes from now on is not missed."""
        waiting = Waiting(self._clock, self._timers)
        self._all[waiting] = None
        return waiting

    def leave(self, waiting: Waiting) -> None:
        """Go, for whatever reason."""
        waiting.bell.stop()
        del self._all[waiting]
        self.ring()

    def ring(self, at: Instant | None = None) -> None:
        """Have one look now, or the first at `at`."""
        first = self.first
        if first is None:
            return
        if at is not None and at > self._clock.now():
            first.bell.ring(at)
        else:
            next((each for each in self._all if each.rests), first).wake()

    def ring_all(self) -> None:
        """Have all look."""
        for each in self._all:
            each.wake()
