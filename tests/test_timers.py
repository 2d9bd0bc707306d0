"""The timers of the event loop that the service runs on."""

from __future__ import annotations

import asyncio
import time

import pytest
import uvloop

from dispatcher.adapters.timers import LoopTimers
from dispatcher.testing.clock import ManualClock
from dispatcher.testing.timers import ManualTimers

COUNT = 500


async def early() -> list[float]:
    """By how many seconds alarms of all lengths came too soon."""
    timers, late = LoopTimers(), asyncio.Event()
    rung: list[float] = []

    def after(seconds: float) -> None:
        due = time.monotonic() + seconds

        def ring() -> None:
            rung.append(due - time.monotonic())
            if len(rung) == COUNT:
                late.set()

        timers.after(seconds, ring)

    for n in range(COUNT):
        after(0.001 + n * 0.000_137)
    async with asyncio.timeout(10):
        await late.wait()
    return [each for each in rung if each > 0]


@pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_none_rings_too_soon(loop: type[asyncio.AbstractEventLoop]) -> None:
    """Whoever is called goes by it that the time is over: that a lease has ended, say."""
    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(early()) == []


@pytest.mark.parametrize("start_ms", [0, 10, 10_010, 123_457])
@pytest.mark.parametrize("seconds", [0.000_2, 0.1, 0.187_5, 0.187_4, 0.3, 2.01])
def test_those_of_tests_bring_whoever_asks_for_the_rest_to_its_instant(
    start_ms: int, seconds: float
) -> None:
    clock = ManualClock()
    timers = ManualTimers(clock)
    clock.advance(start_ms / 1000)
    due = clock.monotonic() + seconds
    rung: list[float] = []

    def ring() -> None:
        if clock.monotonic() < due:
            timers.after(due - clock.monotonic(), ring)
        else:
            rung.append(clock.monotonic() - due)

    timers.after(seconds, ring)
    timers.advance(seconds + 0.002)
    assert [0 <= late < 0.002 for late in rung] == [True]
