from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from dispatcher.core.facts import DeliveryAttemptEnded, JobEnded
from dispatcher.core.model import DeliveryState
from dispatcher.core.ordering import OnDead
from dispatcher.core.retry import Schedule
from dispatcher.engine.prune import Prune
from dispatcher.engine.terms import EngineTerms, System
from dispatcher.ports.records import DEAD_KEPT_SECONDS
from dispatcher.ports.store import Store
from dispatcher.testing.clock import ManualClock
from tests.engine.conftest import Stages
from tests.engine.stage import FAILS, URL, a_callback


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
    woken: list[int] = []
    prune = Prune(cast("Store", store), lambda: woken.append(1), terms, System(*parts))
    await prune.all()
    assert timers.waits == [0.5, 0.02]
    assert store.batches == []
    assert woken == [1]
    store.batches = [(0.01, 0)]
    await prune.all()
    assert woken == [1]


async def test_what_stood_behind_a_dead_callback_goes_when_that_is_erased(stages: Stages) -> None:
    """It waited for the next look of the delivery loop, up to five seconds."""
    stage = await stages.start()
    stage.sender.answers[URL] = [FAILS]
    callback = a_callback(ordered=OnDead.BLOCK, schedule=Schedule((0.0,)))
    options: dict[str, Any] = {"callback": callback, "ordering_key": "k", "retention_seconds": 60.0}
    await stage.submit(**options)
    await stage.seen(DeliveryAttemptEnded, lambda fact: fact.to is DeliveryState.DEAD)
    stage.clock.advance(DEAD_KEPT_SECONDS + 60.0)
    await stage.submit(**options)
    await stage.seen(JobEnded, count=2)
    assert len(stage.sender.sent) == 1
    await stage.engine.prune.all()
    assert len(await stage.sender.until(2)) == 2
