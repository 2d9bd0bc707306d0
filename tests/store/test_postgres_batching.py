"""The PostgreSQL adapter's batches: what goes together, and who never waits for company."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import pytest

from dispatcher.adapters.postgres import PostgresStore
from dispatcher.adapters.postgres.batching import (
    BATCH_BYTES,
    BUSY_CALLS,
    REST_SECONDS,
    Batcher,
    Entry,
    Run,
)
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.transacting import RunAny, Transactor
from dispatcher.core.changes import Change, LeasedJob, NoteOutput
from dispatcher.testing.conformance import ShuffledIds
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import TERMS
from tests.store.postgres_backend import PostgresBackend

LONG = 3_600.0


class _Commits:
    """Stands for a database: each batch is answered at once, and its size kept."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.runs = True

    async def transact(
        self, run: RunAny, entries: Sequence[Any], more: Callable[[], bool]
    ) -> list[Any]:
        self.sizes.append(len(entries))
        await asyncio.sleep(0)
        return await run(cast("Session", None), entries) if self.runs else [None for _ in entries]

    async def close(self) -> None:
        pass


async def _echo(_: Session, entries: Sequence[Entry[int]]) -> list[int]:
    return [each.item for each in entries]


async def _negate(_: Session, entries: Sequence[Entry[int]]) -> list[int]:
    return [-each.item for each in entries]


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


async def test_calls_of_two_kinds_in_turn_make_a_batch_of_each() -> None:
    commits = _Commits()
    batcher = _batcher(commits, 0.0)
    asked = [batcher.one(_negate if n % 2 else _echo, n) for n in range(40)]
    assert await asyncio.gather(*asked) == [-n if n % 2 else n for n in range(40)]
    assert commits.sizes == [20, 20]
    await batcher.close()


async def test_what_is_passed_over_is_next_and_in_order() -> None:
    commits, order = _Commits(), list[int]()
    batcher = _batcher(commits, 0.0)

    async def ask(run: Run[int, int], number: int) -> None:
        order.append(await batcher.one(run, number))
        if number == 1:  # once more, behind those that were passed over
            order.append(await batcher.one(run, 5))

    runs = [_echo, _negate, _echo, _negate]
    await asyncio.gather(*(ask(run, n) for n, run in enumerate(runs, 1)))
    assert commits.sizes == [2, 2, 1]
    assert order == [1, 3, -2, -4, 5]
    await batcher.close()


async def test_a_batch_carries_no_more_bytes_than_a_statement_can_in_time() -> None:
    commits = _Commits()
    batcher = _batcher(commits, 0.0)
    third = BATCH_BYTES // 3
    sizes = [third, third, third, third, BATCH_BYTES + 1, 0, BATCH_BYTES, 0, 1]
    asked = [batcher.each(_echo, [n], size) for n, size in enumerate(sizes)]
    assert await asyncio.gather(*asked) == [[n] for n in range(len(sizes))]
    assert commits.sizes == [3, 1, 1, 3, 1]
    await batcher.close()


async def test_inputs_results_and_outputs_count() -> None:
    store = PostgresStore("postgresql://nobody@127.0.0.1/none", ids=ShuffledIds("bytes"))
    scene = Scene(PostgresBackend(), store, store)
    half = b"x" * (BATCH_BYTES // 2)
    adds, changes = _Commits(), _Commits()
    leased = LeasedJob(scene.job(), "lease", b"")
    output = NoteOutput(job_id="j", lease="l", at=0, event_id="e", output=half)
    for batcher, commits in ((store._adds, adds), (store._changes, changes)):
        batcher._transactor = cast("Transactor", commits)
        commits.runs = False
        batcher.start()
    news = [scene.new(body=half) for _ in range(5)]
    small, large = scene.finish(leased), scene.finish(leased, result=half)
    ends: list[Change] = [large, small, output, output, output]
    await asyncio.gather(
        *(store.add_jobs([each]) for each in news), *(store.apply([each], TERMS) for each in ends)
    )
    assert (adds.sizes, changes.sizes) == ([2, 2, 1], [2, 2, 1])
    await asyncio.gather(store._adds.close(), store._changes.close())


async def test_of_a_store_s_batchers_only_that_of_changes_rests() -> None:
    store = PostgresStore("postgresql://nobody@127.0.0.1/none", ids=ShuffledIds("rest"))
    resting = [each for each in store._batchers() if each._rest_seconds]
    assert resting == [store._changes]
    assert store._changes._rest_seconds == REST_SECONDS
