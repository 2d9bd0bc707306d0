"""The loops that claim: one class, for jobs and for deliveries alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from dispatcher.core.errors import StoreError
from dispatcher.core.facts import LoopIdle, StoreFailed, StoreRecovered
from dispatcher.core.model import Instant
from dispatcher.engine.terms import System
from dispatcher.ports.system import Alarm, Clock, Timers

NO_ROOM: Final = -1
"""What a claim answers that asked the store nothing, because there is no room for more."""

SPIN_MS: Final = 20
"""A claim that finds nothing although something should be ready is repeated no sooner."""

FIRST_WAIT_SECONDS: Final = 0.1
LONGEST_WAIT_SECONDS: Final = 5.0


def later(next_at: Instant | None, now: Instant) -> Instant | None:
    """When to claim again after a claim that found nothing, though its answer may say: now."""
    return now + SPIN_MS if next_at is not None and next_at <= now else next_at


class Bell:
    """Rings when somebody wakes it, or at a given instant, whichever is first."""

    def __init__(self, clock: Clock, timers: Timers) -> None:
        self._clock = clock
        self._timers = timers
        self._rung = asyncio.Event()
        self._alarm: Alarm | None = None
        self._alarm_at: Instant | None = None

    def ring(self, at: Instant | None = None) -> None:
        """Ring now, or at `at`; an earlier ring that was set stays."""
        now = self._clock.now()
        if at is None or at <= now:
            self._rung.set()
        elif self._alarm_at is None or at < self._alarm_at:
            self._stop_alarm()
            self._alarm_at = at
            self._alarm = self._timers.after((at - now) / 1000, self._alarmed)

    async def wait(self) -> None:
        """Wait for the next ring; one that rang since the last wait counts."""
        await self._rung.wait()
        self._rung.clear()
        self._stop_alarm()

    def stop(self) -> None:
        """Ring no more by itself."""
        self._stop_alarm()

    def _alarmed(self) -> None:
        self._alarm = None
        self._alarm_at = None
        self._rung.set()

    def _stop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None
        self._alarm_at = None


class ClaimLoop:
    """Claims what is due whenever there is room, and rests until there may be more.

    `claim` leases what it can, starts it, and answers when there could be more: an instant, None if
    nothing waits, or `NO_ROOM`. It raises `StoreError` when the store does not work now; then the
    loop tries again, less and less often.
    """

    def __init__(
        self,
        name: str,
        claim: Callable[[], Awaitable[Instant | None]],
        *,
        poll_seconds: float,
        system: System,
    ) -> None:
        self.name = name
        self._claim = claim
        self._poll_ms = round(poll_seconds * 1000)
        self._clock = system.clock
        self._observer = system.observer
        self._bell = Bell(system.clock, system.timers)
        self._task: asyncio.Task[Any] | None = None
        self.stopping = False

    def goes_on(self) -> bool:
        """Whether it runs, and nobody cancelled it: an event loop that ends cancels every task."""
        return self._task is not None and not (self._task.done() or self._task.cancelling())

    def wake(self, at: Instant | None = None) -> None:
        """Look again now, or at `at`."""
        self._bell.ring(at)

    def stop(self) -> None:
        """Claim no more; `run` returns once the claim under way has come back."""
        self.stopping = True
        self._bell.ring()

    async def run(self) -> None:
        """Claim until stopped."""
        self._task = asyncio.current_task()
        wait_seconds = 0.0
        while not self.stopping:
            try:
                next_at = await self._claim()
            except StoreError as error:
                if not wait_seconds:
                    self._observer.saw(StoreFailed(self.name, str(error)))
                wait_seconds = min(max(wait_seconds * 2, FIRST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)
                self._bell.ring(self._clock.now() + round(wait_seconds * 1000))
                await self._bell.wait()
                continue
            if next_at == NO_ROOM:
                self._observer.saw(LoopIdle(self.name))
                await self._bell.wait()  # whoever makes room rings
                continue
            if wait_seconds:
                wait_seconds = 0.0
                self._observer.saw(StoreRecovered(self.name))
            now = self._clock.now()
            if next_at is not None and next_at <= now:
                continue
            self._observer.saw(LoopIdle(self.name))
            poll_at = now + self._poll_ms
            self._bell.ring(poll_at if next_at is None else min(next_at, poll_at))
            await self._bell.wait()
