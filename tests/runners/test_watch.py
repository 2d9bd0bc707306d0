"""A handler that blocks the event loop is named; one that does not is left alone."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import time
from collections.abc import AsyncIterator

import pytest

from dispatcher.adapters.runners.watch import LoopWatch
from tests.runners.fakes import Recorder, leased, runner_of

BLOCKED = 0.15


@pytest.fixture
async def watch() -> AsyncIterator[LoopWatch]:
    made = LoopWatch(blocked_seconds=BLOCKED)
    made.start()
    yield made
    made.stop()
    made._thread.join()


async def blocking() -> int:
    time.sleep(BLOCKED * 4)  # noqa: ASYNC251  # that is what the test is about
    return 1


async def in_a_task_of_its_own() -> int:
    return await asyncio.create_task(blocking())


class Ear(logging.Handler):
    """Hears of what the watch says, in whichever thread it does."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._heard = asyncio.Event()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self._loop.call_soon_threadsafe(self._heard.set)

    async def until(self, count: int) -> list[logging.LogRecord]:
        async with asyncio.timeout(5):
            while len(self.records) < count:
                await self._heard.wait()
                self._heard.clear()
        return self.records


@pytest.fixture
async def ear() -> AsyncIterator[Ear]:
    made = Ear()
    logger = logging.getLogger("dispatcher.handlers")
    logger.addHandler(made)
    yield made
    logger.removeHandler(made)


async def test_a_handler_that_blocks_is_named_while_it_does_and_after_it(
    watch: LoopWatch, ear: Ear
) -> None:
    await runner_of(blocking).run(leased(), Recorder())
    during, after = await ear.until(2)
    name = f"The handler of job {leased().job.id} (test.job)"
    assert during.getMessage().startswith(f"{name} has blocked the event loop for 0.1 s, and goes")
    assert "test_watch.py, line" in during.getMessage()
    assert "in blocking. Nothing" in during.getMessage()
    assert during.created < after.created
    assert re.fullmatch(
        rf"{re.escape(name)} blocked the event loop for 0\.\d s\.", after.getMessage()
    )
    assert (during.levelname, getattr(during, "job_id", None)) == ("WARNING", leased().job.id)


async def test_so_is_a_task_that_the_handler_started(watch: LoopWatch, ear: Ear) -> None:
    await runner_of(in_a_task_of_its_own).run(leased(), Recorder())
    during, _ = await ear.until(2)
    whose = "The handler of job" if sys.version_info >= (3, 12) else "Something"
    assert during.getMessage().startswith(f"{whose} ")
    assert "in blocking. Nothing" in during.getMessage()


async def test_who_awaits_blocks_nobody(watch: LoopWatch, ear: Ear) -> None:
    async def patient() -> None:
        await asyncio.sleep(BLOCKED * 4)

    await runner_of(patient).run(leased(), Recorder())
    # A machine that is busy with others may hold the loop up; that is no handler's doing.
    assert [each for each in ear.records if "The handler" in each.getMessage()] == []
