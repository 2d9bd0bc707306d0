"""Somebody else holds a row for long: who wants it fails, and the others of the batch don't."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from dispatcher.adapters.postgres import PostgresStore, connection, transacting
from dispatcher.adapters.postgres.transacting import RunAny
from dispatcher.core.changes import FinishJob
from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.model import JobState
from dispatcher.ports.records import Applied
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import TERMS, a_callback
from tests.store.postgres_backend import PostgresBackend

HELD = "https://held.example"
FREE = "https://free.example"


class Batches:
    """What is told of commits: how many items each had, and whether it failed."""

    def __init__(self) -> None:
        self.told: list[tuple[int, bool]] = []

    def __call__(self, seconds: float, items: int, *, failed: bool) -> None:
        self.told.append((items, failed))


class Stalled(Scene):
    """A scene whose first store meets a destination that an operator has locked."""

    backend: PostgresBackend
    store: PostgresStore
    batches: Batches

    async def ends(self, *origins: str) -> list[FinishJob]:
        """The ends of running jobs, with a callback to each origin."""
        running = [await self.running(callback=a_callback(origin)) for origin in origins]
        return [self.finish(each) for each in running]

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Hold the destination HELD; it is there from now on."""
        await self.apply_all(*await self.ends(HELD))
        operator = await asyncpg.connect(self.backend.url)
        try:
            async with operator.transaction():
                await operator.execute(
                    "SELECT 1 FROM dispatcher.destination WHERE origin = $1 FOR UPDATE", HELD
                )
                yield
        finally:
            await operator.close()


def _plain(url: str) -> str:
    return url


def _pooled(url: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}pgbouncer=true"


@pytest.fixture(params=[_plain, _pooled])
async def stalled(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stalled]:
    monkeypatch.setattr(connection, "SETTINGS", {**connection.SETTINGS, "lock_timeout": "900ms"})
    backend, batches = PostgresBackend(), Batches()
    await backend.create()
    as_said: Callable[[str], str] = request.param
    store = backend.make(url=as_said(backend.url), on_commit=batches)
    await store.open()
    scene = Stalled(backend, store, await backend.open())
    scene.batches = batches
    await scene.populate()
    yield scene
    await store.close()
    await backend.drop()


async def test_only_those_who_want_it_fail(stalled: Stalled) -> None:
    ends = await stalled.ends(FREE, FREE, HELD, FREE, FREE, FREE, HELD)
    async with stalled.locked():
        stalled.batches.told.clear()
        began = time.monotonic()
        answers = await stalled.store.apply(ends, TERMS)
        assert time.monotonic() - began < 5.0  # seven waits of 0.9 s would be more
        assert stalled.batches.told == [(7, False)]
        for end, answer in zip(ends, answers, strict=True):
            wants_it = end in (ends[2], ends[6])
            assert isinstance(answer, StoreUnavailable if wants_it else Applied), answer
            state = JobState.RUNNING if wants_it else JobState.SUCCEEDED
            assert await stalled.state(end.job_id) is state
    failed = [answers[2], answers[6]]
    assert failed[0] is not failed[1]
    assert all("a lock was held for too long" in str(each) for each in failed)
    await stalled.apply_all(ends[2], ends[6])


async def test_what_went_well_is_let_go_before_the_rest_is_tried(
    stalled: Stalled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another store changes the same destination while the first still waits for the other one."""
    free, held, other = await stalled.ends(FREE, HELD, FREE)
    transactor = stalled.store._changes._transactor
    settle = transactor._settle
    seen: list[JobState] = []

    async def spied(
        run: RunAny, entries: Sequence[Any], more: Callable[[], bool], apart: Any
    ) -> list[Any]:
        if apart is not None and await stalled.state(free.job_id) is JobState.SUCCEEDED:
            seen.append(await stalled.state(held.job_id))
            await stalled.apply(other, store=stalled.other)
        return await settle(run, entries, more, apart)

    monkeypatch.setattr(transactor, "_settle", spied)
    async with stalled.locked():
        await stalled.store.apply([free, held], TERMS)
    assert seen == [JobState.RUNNING]


async def test_halving_ends_in_time(stalled: Stalled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transacting, "APART_SECONDS", 0.1)
    ends = await stalled.ends(HELD, HELD, HELD, HELD, FREE)
    async with stalled.locked():
        stalled.batches.told.clear()
        answers = await stalled.store.apply(ends, TERMS)
        assert all(isinstance(each, StoreUnavailable) for each in answers)
        assert stalled.batches.told == [(5, True)]
    await stalled.apply_all(*ends)


async def test_one_alone_waits_as_long_as_ever_and_fails(stalled: Stalled) -> None:
    (end,) = await stalled.ends(HELD)
    async with stalled.locked():
        began = time.monotonic()
        (answer,) = await stalled.store.apply([end], TERMS)
        assert time.monotonic() - began >= 0.8
        assert isinstance(answer, StoreUnavailable)
    await stalled.apply(end)
