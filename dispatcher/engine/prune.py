"""Erasing what is past its time, beside all else: in small batches, and never in the way."""

from __future__ import annotations

from collections.abc import Callable

from dispatcher.core.errors import StoreError
from dispatcher.core.facts import StoreFailed, StoreRecovered
from dispatcher.engine.commit import pause
from dispatcher.engine.terms import EngineTerms, System
from dispatcher.ports.store import Store

_NAME = "prune"


class Prune:
    """Prunes as fast as things come to their time, and no more than half of the time.

    Every role runs it, and any number of processes may: none erases, or waits for, what another
    has taken.
    """

    def __init__(
        self, store: Store, wake: Callable[[], None], terms: EngineTerms, system: System
    ) -> None:
        """`wake` is told that deliveries may be claimed, in whatever process."""
        self._store = store
        self._wake = wake
        self._terms = terms
        self._clock = system.clock
        self._timers = system.timers
        self._observer = system.observer
        self._failing = False

    async def run(self) -> None:
        """Prune for ever; `sweep_seconds` of rest when nothing more is to be done."""
        while True:
            try:
                await self.all()
            except StoreError as error:
                if not self._failing:
                    self._observer.saw(StoreFailed(_NAME, str(error)))
                self._failing = True
            else:
                if self._failing:
                    self._observer.saw(StoreRecovered(_NAME))
                self._failing = False
            await pause(self._timers, self._terms.sweep_seconds)

    async def all(self) -> None:
        """Prune batch by batch until nothing more is to be done.

        After each it rests for as long as that took, so that the store has as much time for others
        however much there is to erase. What stood behind a dead delivery, in its order, may go when
        that is erased: at the end who sends is told, once for all that was erased, if any was.
        """
        erased = 0
        try:
            while True:
                began = self._clock.monotonic()
                gone = await self._store.prune(self._terms.prune_items)
                erased += gone
                if gone < self._terms.prune_items:
                    return
                await pause(self._timers, self._clock.monotonic() - began)
        finally:
            if erased:
                self._wake()
