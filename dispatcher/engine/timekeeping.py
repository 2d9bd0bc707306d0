"""Going by the store's clock, so that a machine whose own is wrong does no harm to others.

What the engine decides (when to try again, what is too late, what a signature says of the time) is
kept in the store and read by every process. So all of them go by one clock: that of the store,
which decides about leases in any case.
"""

from __future__ import annotations

import contextlib
from typing import Final

from dispatcher.core.errors import StoreError
from dispatcher.core.facts import ClockDiffers
from dispatcher.engine.commit import pause
from dispatcher.engine.terms import System
from dispatcher.ports.store import Store
from dispatcher.ports.system import Paced

ASK_SECONDS: Final = 15.0
FIRST_ASKS: Final = 3
WRONG_SECONDS: Final = 1.0
"""A machine's clock that is off by so much is told of."""


class Timekeeping:
    """Asks the store for the time, at the start and then every few seconds."""

    def __init__(self, store: Store, paced: Paced, system: System) -> None:
        self._store = store
        self._paced = paced
        self._timers = system.timers
        self._observer = system.observer
        self._wrong = False

    async def begin(self) -> None:
        """Learn the time before anything goes by it. Raises `StoreError`."""
        for _ in range(FIRST_ASKS):
            await self._ask()

    async def run(self) -> None:
        """Go on asking; never ends. While the store can't answer, time is carried on."""
        while True:
            await pause(self._timers, ASK_SECONDS)
            with contextlib.suppress(StoreError):  # whoever has work for the store tells of it
                await self._ask()

    async def _ask(self) -> None:
        asked_at = self._paced.elapsed()
        now = await self._store.now()
        ahead = self._paced.told(now, asked_at, self._paced.elapsed())
        wrong = abs(ahead) > WRONG_SECONDS
        if wrong != self._wrong:
            self._wrong = wrong
            self._observer.saw(ClockDiffers(ahead if wrong else 0.0))
