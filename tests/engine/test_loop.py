"""The loop that claims: when it looks, when it rests, and what it does when the store fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.facts import LoopIdle, StoreFailed, StoreRecovered
from dispatcher.core.model import Instant
from dispatcher.engine.loop import ClaimLoop
from dispatcher.engine.terms import System
from dispatcher.testing.clock import CountingIds, ManualClock, SeededRandom
from dispatcher.testing.observer import RecordingObserver
from dispatcher.testing.timers import ManualTimers


class Rig:
    """A loop whose claims answer what was set, then None: nothing waits."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.timers = ManualTimers(self.clock)
        self.observer = RecordingObserver()
        self.answers: list[Instant | Exception | None] = []
        self.claims: list[Instant] = []
        self.during: list[asyncio.Event] = []
        system = System(self.clock, self.timers, SeededRandom(), CountingIds(), self.observer)
        self.loop = ClaimLoop("test", self._claim, poll_seconds=5.0, system=system)
        self.task: asyncio.Task[None] | None = None

    async def _claim(self) -> Instant | None:
        self.claims.append(self.clock.now())
        if self.during:
            await self.during.pop(0).wait()
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def run(self, *answers: Instant | Exception | None) -> None:
        """Begin with these answers, and wait until it rests."""
        self.answers.extend(answers)
        self.task = asyncio.create_task(self.loop.run())
        await self.observer.until(LoopIdle)

    async def turns(self) -> None:
        """Let the loop do all that it can do without time passing."""
        for _ in range(20):
            await asyncio.sleep(0)

    @property
    def waits(self) -> list[float]:
        """Seconds between the claims."""
        return [
            (later - earlier) / 1000
            for earlier, later in zip(self.claims, self.claims[1:], strict=False)
        ]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    yield made
    made.loop.stop()
    for event in made.during:
        event.set()
    if made.task is not None:
        await made.task


async def test_it_claims_again_at_once_while_more_is_ready(rig: Rig) -> None:
    now = rig.clock.now()
    await rig.run(now, now - 1, now, None)
    assert len(rig.claims) == 4
    assert rig.timers.next_in == 5.0


async def test_it_rests_until_the_instant_that_the_claim_named(rig: Rig) -> None:
    await rig.run(rig.clock.now() + 1_250)
    rig.timers.advance(1.249)
    await rig.turns()
    assert len(rig.claims) == 1
    rig.timers.advance(0.001)
    await rig.turns()
    assert len(rig.claims) == 2


async def test_it_polls_when_nobody_wakes_it(rig: Rig) -> None:
    await rig.run(rig.clock.now() + 60_000)
    for _ in range(3):
        rig.timers.advance(5.0)
        await rig.turns()
    assert rig.waits == [5.0, 5.0, 5.0]


async def test_a_wake_is_heard_at_once_and_once(rig: Rig) -> None:
    await rig.run()
    rig.loop.wake()
    rig.loop.wake()
    await rig.turns()
    assert len(rig.claims) == 2


async def test_a_wake_during_a_claim_is_not_lost(rig: Rig) -> None:
    claiming = asyncio.Event()
    rig.during.append(claiming)
    rig.task = asyncio.create_task(rig.loop.run())
    await rig.turns()
    assert len(rig.claims) == 1
    rig.loop.wake()
    claiming.set()
    await rig.turns()
    assert len(rig.claims) == 2


async def test_a_wake_for_later_during_a_claim_is_not_lost(rig: Rig) -> None:
    claiming = asyncio.Event()
    rig.during.append(claiming)
    rig.task = asyncio.create_task(rig.loop.run())
    await rig.turns()
    rig.loop.wake(rig.clock.now() + 700)
    claiming.set()
    await rig.turns()
    rig.timers.advance(0.7)
    await rig.turns()
    assert rig.waits == [0.7]


async def test_the_earliest_of_several_wakes_counts(rig: Rig) -> None:
    await rig.run()
    now = rig.clock.now()
    for later in (3_000, 1_000, 2_000):
        rig.loop.wake(now + later)
    rig.timers.advance(1.0)
    await rig.turns()
    assert rig.waits == [1.0]


async def test_a_wake_puts_the_poll_off(rig: Rig) -> None:
    await rig.run()
    rig.timers.advance(3.0)
    rig.loop.wake()
    await rig.turns()
    for _ in range(2):
        rig.timers.advance(2.5)
        await rig.turns()
    assert rig.waits == [3.0, 5.0]


async def test_a_failing_store_is_asked_less_and_less_often_and_told_of_once(rig: Rig) -> None:
    rig.answers = [StoreUnavailable("disk full") for _ in range(8)]
    rig.task = asyncio.create_task(rig.loop.run())
    await rig.turns()
    for _ in range(8):
        assert rig.timers.next_in is not None
        rig.timers.advance(rig.timers.next_in)
        await rig.turns()
    assert rig.waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert rig.observer.all(StoreFailed) == [StoreFailed("test", "disk full")]
    assert rig.observer.all(StoreRecovered) == [StoreRecovered("test")]


async def test_each_outage_is_told_of(rig: Rig) -> None:
    for cause in ("one", "two"):
        rig.answers = [StoreUnavailable(cause)]
        if rig.task is None:
            rig.task = asyncio.create_task(rig.loop.run())
        else:
            rig.loop.wake()
        await rig.turns()
        rig.timers.advance(0.1)
        await rig.turns()
    assert [fact.detail for fact in rig.observer.all(StoreFailed)] == ["one", "two"]
    assert len(rig.observer.all(StoreRecovered)) == 2


async def test_once_stopped_it_ends_after_the_claim_under_way(rig: Rig) -> None:
    claiming = asyncio.Event()
    rig.during.append(claiming)
    rig.answers = [rig.clock.now()]
    rig.task = asyncio.create_task(rig.loop.run())
    await rig.turns()
    rig.loop.stop()
    await rig.turns()
    assert not rig.task.done()
    claiming.set()
    await rig.task
    assert len(rig.claims) == 1


async def test_a_defect_comes_out_to_whoever_keeps_the_loop(rig: Rig) -> None:
    rig.answers = [ZeroDivisionError("ours")]
    with pytest.raises(ZeroDivisionError):
        await rig.loop.run()
