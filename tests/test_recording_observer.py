"""The observer that tests wait with: what it says in vain, and a machine that stands still."""

from __future__ import annotations

import asyncio
import time

import pytest

from dispatcher.core.facts import LoopIdle, StoreRecovered
from dispatcher.testing.observer import RecordingObserver


async def test_a_wait_in_vain_tells_what_was_seen() -> None:
    observer = RecordingObserver()
    observer.saw(StoreRecovered("hints"))
    with pytest.raises(TimeoutError, match=r"for 2 LoopIdle; last seen, .* ago: StoreRecovered"):
        await observer.until(LoopIdle, count=2, seconds=0.05)


async def test_a_machine_that_stands_still_uses_up_a_part_of_a_wait() -> None:
    observer, loop = RecordingObserver(), asyncio.get_running_loop()
    loop.call_soon(time.sleep, 0.6)
    loop.call_later(0.65, observer.saw, LoopIdle("jobs"))
    assert await observer.until(LoopIdle, seconds=0.5) == [LoopIdle("jobs")]
