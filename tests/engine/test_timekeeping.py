"""Going by the store's clock."""

from __future__ import annotations

from dispatcher.adapters.system import StoreTime, SystemClock
from dispatcher.core.facts import ClockDiffers
from dispatcher.engine.terms import System
from dispatcher.engine.timekeeping import ASK_SECONDS, Timekeeping
from tests.engine.conftest import Stages
from tests.engine.stage import Stage, Steady

HOUR_MS = 3_600_000


class Hands:
    """A machine whose clock is an hour ahead."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def time_ns(self) -> int:
        return (self.stage.clock.now() + HOUR_MS) * 1_000_000

    def elapsed(self) -> float:
        return self.stage.clock.monotonic()


async def test_time_is_the_stores_and_a_wrong_clock_is_told_of(stages: Stages) -> None:
    stage = await stages.start()
    hands = Hands(stage)
    time = StoreTime(hands.time_ns, hands.elapsed)
    assert time.time_ns() == hands.time_ns()
    system = System(stage.clock, stage.timers, Steady(), stage.ids, stage.observer)
    timekeeping = Timekeeping(stage.store, time, system)
    await timekeeping.begin()
    clock = SystemClock(time.time_ns, hands.elapsed)
    assert abs(clock.now() - stage.clock.now()) <= 1
    assert [round(f.ahead_seconds) for f in stage.observer.all(ClockDiffers)] == [3600]
    stage.clock.advance(100)
    assert abs(clock.now() - stage.clock.now()) <= 1


def test_an_answer_that_took_long_does_not_replace_one_that_did_not() -> None:
    time = StoreTime(lambda: 0, lambda: 100.0)
    time.told(1_000_000, 100.0, 100.001)
    before = time.time_ns()
    time.told(1_005_000, 99.0, 103.0)  # it may be 2 s off
    assert time.time_ns() == before


def test_an_old_answer_is_replaced_by_what_is_surer_by_now() -> None:
    now = 100.0
    time = StoreTime(lambda: 0, lambda: now)
    time.told(1_000_000, 100.0, 100.001)
    now += 60  # by now it may be 60 ms off
    time.told(1_061_000, now - 0.02, now)
    assert abs(time.time_ns() // 1_000_000 - 1_061_010) <= 1


def test_it_is_asked_more_often_than_clocks_drift() -> None:
    assert ASK_SECONDS * 0.001 < 0.05
