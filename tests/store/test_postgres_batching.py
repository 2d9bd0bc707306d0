"""The PostgreSQL adapter's batches: what goes together, and who never waits for company."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import pytest

from dispatcher.adapters.postgres import PostgresStore
from dispatcher.adapters.postgres.batching import BUSY_CALLS, REST_SECONDS, Batcher, Entry
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.transacting import RunAny, Transactor
from dispatcher.testing.conformance import ShuffledIds

LONG = 3_600.0


class _Commits:
    """Stands for a database: each batch is answered at once, and its size kept."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def transact(
        self, run: RunAny, entries: Sequence[Any], more: Callable[[], bool]
    ) -> list[Any]:
        self.sizes.append(len(entries))
        await asyncio.sleep(0)
        return await run(cast("Session", None), entries)

    async def close(self) -> None:
        pass


async def _echo(_: Session, entries: Sequence[Entry[int]]) -> list[int]:
    return [each.item for each in entries]


def _nobody_looks(seconds: float, items: int, *, failed: bool) -> None:
    pass


def _batcher(commits: _Commits, rest_seconds: float) -> Batcher:
    batcher = Batcher(
        cast("Transactor", commits),
        on_commit=_nobody_looks,
        rest_seconds=rest_seconds,
    )
    batcher.start()
    return batcher


async def _passes(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _twice(batcher: Batcher, number: int, *, between: int) -> None:
    await batcher.one(_echo, number)
    await _passes(between)
    await batcher.one(_echo, number)


async def _round(rest_seconds: float, *, callers: int) -> list[int]:
    """The sizes of the batches of callers who come back after ever more turns of the loop."""
    commits = _Commits()
    batcher = _batcher(commits, rest_seconds)
    await asyncio.gather(*(_twice(batcher, n, between=5 * n) for n in range(callers)))
    await batcher.close()
    return commits.sizes


async def test_after_a_busy_batch_those_who_come_back_share_the_next() -> None:
    assert await _round(0.5, callers=BUSY_CALLS) == [BUSY_CALLS, BUSY_CALLS]


async def test_without_a_rest_each_has_a_batch_of_its_own() -> None:
    assert await _round(0.0, callers=BUSY_CALLS) == [BUSY_CALLS, *[1] * BUSY_CALLS]


@pytest.mark.parametrize("callers", [1, BUSY_CALLS - 1])
async def test_a_store_that_is_not_busy_never_rests(callers: int) -> None:
    async with asyncio.timeout(20):
        assert sum(await _round(LONG, callers=callers)) == callers * 2


async def test_once_closed_it_rests_no_more() -> None:
    commits = _Commits()
    batcher = _batcher(commits, LONG)
    asked: list[Awaitable[int]] = [
        asyncio.ensure_future(batcher.one(_echo, n)) for n in range(BUSY_CALLS)
    ]
    await _passes(1)
    async with asyncio.timeout(20):
        closing = asyncio.ensure_future(batcher.close())
        assert await asyncio.gather(*asked) == list(range(BUSY_CALLS))
        await closing


async def test_of_a_store_s_batchers_only_that_of_changes_rests() -> None:
    store = PostgresStore("postgresql://nobody@127.0.0.1/none", ids=ShuffledIds("rest"))
    resting = [each for each in store._batchers() if each._rest_seconds]
    assert resting == [store._changes]
    assert store._changes._rest_seconds == REST_SECONDS
