"""A rate that holds over several processes: tokens are taken from one bucket in blocks."""

from __future__ import annotations

import asyncio

import pytest

from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.model import Caller
from dispatcher.core.quotas import CallerLimits
from dispatcher.core.ratelimit import Bucket, Rate, take_many
from dispatcher.engine.rates import Rates
from dispatcher.ports.tokens import Grant
from dispatcher.testing.clock import ManualClock
from dispatcher.testing.observer import RecordingObserver

ANN = Caller("clr_a", "ann", 0)


class Shared:
    """The bucket, by the rule of the core; it notes how often it is asked."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.bucket: Bucket | None = None
        self.asked: list[int] = []
        self.down = False

    async def take_tokens(self, caller_id: str, rate: Rate, wanted: int) -> Grant:
        await asyncio.sleep(0)
        if self.down:
            raise StoreUnavailable("down")
        self.asked.append(wanted)
        now = round(self.clock.monotonic() * 1000)
        self.bucket, taken = take_many(rate, self.bucket, now, wanted)
        return Grant(taken.taken, taken.remaining, taken.more_in_ms)


def made(rate: Rate, count: int) -> tuple[ManualClock, Shared, list[Rates]]:
    clock = ManualClock()
    shared = Shared(clock)
    limits = CallerLimits(rate=rate)
    return clock, shared, [Rates(limits, clock, RecordingObserver(), shared) for _ in range(count)]


async def taken(rates: Rates, times: int) -> int:
    """How many of so many submissions at once may be."""
    standings = await asyncio.gather(*(rates.take(ANN) for _ in range(times)))
    return sum(each is not None and each.taken for each in standings)


async def test_together_they_have_no_more_than_one_would() -> None:
    clock, _, nodes = made(Rate(100, 60), 3)
    assert sum([await taken(each, 60) for each in nodes]) == 100
    assert sum([await taken(each, 5) for each in nodes]) == 0
    clock.advance(0.6)
    assert sum([await taken(each, 5) for each in nodes]) == 1


async def test_a_small_rate_is_exact_whoever_is_asked() -> None:
    clock, _, nodes = made(Rate(4, 60), 2)
    assert [await taken(each, 1) for each in [*nodes, *nodes, *nodes]] == [1, 1, 1, 1, 0, 0]
    clock.advance(15)
    assert [await taken(each, 1) for each in nodes] == [1, 0]


async def test_a_block_spares_the_store_most_questions() -> None:
    _, shared, (rates,) = made(Rate(2000, 60), 1)
    for _ in range(100):
        await rates.take(ANN)
    assert shared.asked == [100]


async def test_while_there_is_none_the_store_is_not_asked() -> None:
    clock, shared, (rates,) = made(Rate(2, 60), 1)
    assert await taken(rates, 2) == 2
    assert await taken(rates, 1) == 0
    known = len(shared.asked)
    assert await taken(rates, 50) == 0
    assert len(shared.asked) == known
    standing = await rates.take(ANN)
    assert standing is not None
    assert (standing.remaining, standing.more_in_seconds) == (0, 30)
    clock.advance(30)
    assert await taken(rates, 1) == 1


async def test_a_rate_that_is_changed_begins_anew() -> None:
    clock, shared, (rates,) = made(Rate(2, 60), 1)
    assert await taken(rates, 3) == 2
    other = Rates(CallerLimits(rate=Rate(3, 60)), clock, RecordingObserver(), shared)
    assert await taken(other, 4) == 3


async def test_a_store_that_is_down_says_so_to_each_who_waits() -> None:
    _, shared, (rates,) = made(Rate(2, 60), 1)
    shared.down = True
    answers = await asyncio.gather(*(rates.take(ANN) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in answers] == [StoreUnavailable] * 3
    assert len({id(each) for each in answers}) == 3
    shared.down = False
    with pytest.raises(AssertionError):
        assert await taken(rates, 3) == 3
