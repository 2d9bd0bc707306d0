"""Rates over several processes on a real PostgreSQL: one bucket, through two stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from dispatcher.adapters.postgres import PostgresStore
from dispatcher.core.ratelimit import MOST_REQUESTS, MOST_WINDOW_SECONDS, Rate
from dispatcher.ports.tokens import TokenStore
from tests.store.postgres_backend import PostgresBackend

ANN, BEN = "clr_a", "clr_b"


@pytest.fixture
async def backend() -> AsyncIterator[PostgresBackend]:
    made = PostgresBackend()
    await made.create()
    yield made
    await made.drop()


@pytest.fixture
async def both(backend: PostgresBackend) -> list[PostgresStore]:
    for _ in range(2):
        await backend.open()
    return backend.stores


async def test_two_stores_take_from_one_bucket(
    both: list[PostgresStore], backend: PostgresBackend
) -> None:
    assert isinstance(both[0], TokenStore)
    rate = Rate(100, 60)
    grants = await asyncio.gather(*(each.take_tokens(ANN, rate, 8) for each in both * 10))
    assert sum(grant.tokens for grant in grants) == 100
    assert (await both[0].take_tokens(BEN, rate, 8)).remaining == 92
    none = await both[1].take_tokens(ANN, rate, 1)
    assert (none.tokens, none.remaining, none.more_in_ms) == (0, 0, 600)
    backend.clock.advance(1.2)
    assert (await both[0].take_tokens(ANN, rate, 8)).tokens == 2


async def test_another_rate_begins_with_a_full_bucket(both: list[PostgresStore]) -> None:
    assert (await both[0].take_tokens(ANN, Rate(2, 60), 5)).tokens == 2
    assert (await both[1].take_tokens(ANN, Rate(3, 60), 5)).tokens == 3


async def test_the_largest_rate_is_counted_exactly(both: list[PostgresStore]) -> None:
    rate = Rate(MOST_REQUESTS, MOST_WINDOW_SECONDS)
    assert (await both[0].take_tokens(ANN, rate, 7)).remaining == MOST_REQUESTS - 7
    assert (await both[1].take_tokens(ANN, rate, 3)).remaining == MOST_REQUESTS - 10
