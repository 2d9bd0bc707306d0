"""The last guard of a lease holds though an alarm should come too soon."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from dispatcher.core.facts import LeaseLost
from dispatcher.ports.system import Alarm
from tests.engine.conftest import Stages
from tests.engine.stage import ScriptedRunner
from tests.engine.test_leases import LEASE, Watched

EARLY = 0.001


async def test_a_heart_that_hangs_is_noticed_though_the_alarm_was_early(
    stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = Watched()
    stage = await stages.start(ScriptedRunner(handler), lease_seconds=LEASE)
    after: Callable[[float, Callable[[], None]], Alarm] = stage.timers.after

    def early(seconds: float, call: Callable[[], None]) -> Alarm:
        return after(seconds - EARLY if seconds > 2 * EARLY else seconds, call)

    monkeypatch.setattr(stage.timers, "after", early)
    await stage.submit()
    await handler.until(begun=1)
    beat, hangs, go_on = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def beats() -> None:
        loop.call_soon_threadsafe(beat.set)

    stage.faults.after_beat = beats
    await beat.wait()  # its alarm is set by then, or about to be

    def hang() -> None:
        hangs.set()
        go_on.wait(60)

    stage.faults.break_heart(hang)
    await asyncio.to_thread(hangs.wait, 10)
    try:
        stage.advance(LEASE)
        async with asyncio.timeout(10):  # while the heart hangs
            await handler.until(stopped=1)
        assert len(stage.observer.all(LeaseLost)) == 1
    finally:
        stage.faults.mend_heart()
        go_on.set()
        handler.go.set()
