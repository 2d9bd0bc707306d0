"""The narrow sender's pool by itself: who gets a place, and which idle connections are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from dispatcher.adapters.sender import SenderTerms
from dispatcher.adapters.sender.narrow.line import Broken, Line
from dispatcher.adapters.sender.narrow.pool import Pool
from dispatcher.adapters.sender.words import SHUT_DOWN

HERE, THERE = "http://here.test", "http://there.test"


class Time:
    """Of an event loop: it stands still until it is moved on, and then timers ring."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rings: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, ring: Callable[[], None]) -> asyncio.TimerHandle:
        at = self.now + seconds
        self.rings.append((at, ring))
        return asyncio.TimerHandle(at, ring, (), asyncio.get_running_loop())

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    def pass_until(self, at: float) -> None:
        while due := [each for each in self.rings if each[0] <= at]:
            self.rings.remove(due[0])
            self.now, ring = due[0]
            ring()
        self.now = at


class Open(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


def a_pool(time: Time, connections: int = 2) -> Pool:
    terms = SenderTerms(connections=connections, idle_seconds=10.0)
    return Pool(terms, cast("asyncio.AbstractEventLoop", time))


async def a_line(pool: Pool, origin: str = HERE) -> Line:
    """A connection that was made, with its place."""
    await pool.take_place()
    line = pool.new_line(origin)
    line.connection_made(Open())
    pool.adopt(line)
    return line


async def waiting(pool: Pool, count: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(pool.take_place()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_places_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    pool = a_pool(Time())
    await asyncio.gather(*await waiting(pool, 2))
    first, second = await waiting(pool, 2)
    assert not first.done()
    pool.give_place()
    await first
    assert not second.done()
    pool.give_place()
    await second
    (third,) = await waiting(pool, 1)
    assert not third.done()
    pool.give_place()
    await third


@pytest.mark.parametrize("handed_over", [True, False])
async def test_who_waits_no_longer_keeps_nobody_waiting(handed_over: bool) -> None:
    pool = a_pool(Time(), connections=1)
    await pool.take_place()
    gone, next_ = await waiting(pool, 2)
    if handed_over:
        pool.give_place()
        gone.cancel()
    else:
        gone.cancel()
        pool.give_place()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await next_
    pool.give_place()
    await pool.take_place()
    (more,) = await waiting(pool, 1)
    assert not more.done()
    more.cancel()


async def test_a_closed_pool_has_no_place_and_takes_in_no_connection() -> None:
    pool = a_pool(Time(), connections=1)
    line = await a_line(pool)
    gone, waits = await waiting(pool, 2)
    gone.cancel()
    made = pool.new_line(THERE)
    made.connection_made(Open())
    pool.close()
    for refused in (waits, pool.take_place()):
        with pytest.raises(Broken) as caught:
            await refused
        assert caught.value.why == SHUT_DOWN
    with pytest.raises(Broken):
        pool.adopt(made)
    assert not made.usable
    assert not line.usable
    pool.give(line, sound=True)
    assert pool.take(HERE) is None


async def test_the_connection_that_served_last_serves_next_and_only_its_origin() -> None:
    pool = a_pool(Time(), connections=3)
    lines = [await a_line(pool) for _ in range(3)]
    for line in lines:
        pool.give(line, sound=True)
    assert pool.take(THERE) is None
    assert [pool.take(HERE) for _ in range(4)] == [*reversed(lines), None]


async def test_an_idle_one_is_taken_with_a_place_or_not_at_all() -> None:
    pool = a_pool(Time())
    for line in [await a_line(pool) for _ in range(2)]:
        pool.give(line, sound=True)
    await pool.take_place()
    assert pool.take(HERE) is not None
    assert pool.take(HERE) is None
    (waits,) = await waiting(pool, 1)
    assert not waits.done()
    pool.give_place()
    await waits


async def test_none_that_was_closed_or_is_in_doubt_serves_again() -> None:
    pool = a_pool(Time())
    doubtful, closed = await a_line(pool), await a_line(pool)
    pool.give(doubtful, sound=False)
    assert not doubtful.usable
    pool.give(closed, sound=True)
    closed.abort()
    assert pool.take(HERE) is None
    line = await a_line(pool)
    line.abort()
    pool.give(line, sound=True)
    assert pool.take(HERE) is None
    await asyncio.gather(*await waiting(pool, 2))


async def test_an_idle_one_serves_until_its_time_is_over() -> None:
    time = Time()
    pool = a_pool(time)
    line = await a_line(pool)
    pool.give(line, sound=True)
    time.now = 10.0
    assert pool.take(HERE) is line
    pool.give(line, sound=True)
    time.now = 19.0
    assert pool.take(HERE) is line
    pool.give(line, sound=True)
    time.now = 29.5
    assert pool.take(HERE) is None
    assert not line.usable


async def test_each_idle_one_is_closed_when_its_own_time_is_over() -> None:
    time = Time()
    pool = a_pool(time)
    first, second = await a_line(pool), await a_line(pool)
    pool.give(first, sound=True)
    time.pass_until(4.0)
    pool.give(second, sound=True)
    time.pass_until(10.0)
    assert (first.usable, second.usable) == (False, True)
    time.pass_until(14.0)
    assert not second.usable
    third = await a_line(pool)
    pool.give(third, sound=True)
    time.pass_until(24.0)
    assert not third.usable


async def test_the_longest_idle_makes_room_for_a_new_one_and_no_more_than_it_needs() -> None:
    pool = a_pool(Time(), connections=3)
    lines = [await a_line(pool) for _ in range(3)]
    for line in lines[:2]:
        pool.give(line, sound=True)
    pool.make_room()
    assert [line.usable for line in lines] == [True, True, True]
    await pool.take_place()
    pool.make_room()
    assert [line.usable for line in lines] == [False, True, True]
    await pool.take_place()
    pool.make_room()
    assert [line.usable for line in lines] == [False, False, True]
    pool.make_room()
