from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from dispatcher.core.retry import Schedule
from dispatcher.engine.prune import Prune
from dispatcher.engine.terms import EngineTerms, System
from dispatcher.ports.store import Store
from dispatcher.testing.clock import ManualClock


class Timers:
    """What is waited for is over at once, and noted."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def after(self, seconds: float, call: Callable[[], None]) -> asyncio.Handle:
        self.waits.append(round(seconds, 3))
        return asyncio.get_running_loop().call_soon(call)


class Slow:
    """A store whose prunings take a while, as told."""

    def __init__(self, clock: ManualClock, *batches: tuple[float, int]) -> None:
        self.clock = clock
        self.batches = list(batches)

    async def prune(self, limit: int) -> int:
        seconds, erased = self.batches.pop(0)
        self.clock.advance(seconds)
        return min(erased, limit)


async def test_it_rests_after_each_batch_for_as_long_as_that_took() -> None:
    clock, timers = ManualClock(), Timers()
    store = Slow(clock, (0.5, 200), (0.02, 200), (0.1, 7))
    parts = cast("Any", (clock, timers, None, None, None))
    terms = EngineTerms(schedule=Schedule((0.0,)), prune_items=200)
    await Prune(cast("Store", store), terms, System(*parts)).all()
    assert timers.waits == [0.5, 0.02]
    assert store.batches == []
