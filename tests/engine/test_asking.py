"""One question that several wait for."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from dispatcher.core.errors import StoreUnavailable
from dispatcher.engine.asking import answer_of, ask


async def refused(door: asyncio.Event) -> int:
    await door.wait()
    raise StoreUnavailable("not now")


async def test_each_is_answered_and_who_goes_leaves_it_to_the_others() -> None:
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def question() -> int:
        return await answer

    asking = ask(question())
    gone, stays, other = (asyncio.create_task(answer_of(asking)) for _ in range(3))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait((gone,))
    answer.set_result(7)
    assert list(await asyncio.gather(stays, other)) == [7, 7]
    assert gone.cancelled()


async def test_each_has_a_failure_of_its_own() -> None:
    door = asyncio.Event()
    asking = ask(refused(door))
    waiting = [asyncio.create_task(answer_of(asking)) for _ in range(3)]
    await asyncio.sleep(0)
    door.set()
    failures = await asyncio.gather(*waiting, return_exceptions=True)
    assert [(type(each), str(each)) for each in failures] == [(StoreUnavailable, "not now")] * 3
    assert len({id(each) for each in failures}) == 3


async def test_a_failure_that_nobody_waits_for_is_no_warning() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    door = asyncio.Event()
    asking = ask(refused(door))
    gone = asyncio.create_task(answer_of(asking))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    door.set()
    await asyncio.wait((asking,))
    del asking
    gc.collect()
    await asyncio.sleep(0)
    assert told == []
