"""Destinations with more URLs in trouble than the store keeps breakers of."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dispatcher.adapters.postgres import breakers as of_postgres
from dispatcher.adapters.sqlite import breakers as of_sqlite
from dispatcher.core.breaker import BreakerTerms, Sign
from dispatcher.core.model import DeliveryState
from dispatcher.ports.records import DeliveryTerms
from dispatcher.testing.conformance.backend import Backend
from dispatcher.testing.conformance.breakers import fail, owe, to_path
from dispatcher.testing.conformance.scene import Scene, scene
from dispatcher.testing.conformance.values import TERMS
from tests.store.conftest import SqliteBackend
from tests.store.postgres_backend import PostgresBackend

__all__ = ["scene"]

FRAGILE = replace(TERMS, breaker=BreakerTerms(failures=1, first_seconds=30.0))
"""One failure opens a breaker."""


@pytest.fixture(params=["sqlite", "postgres"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    monkeypatch.setattr(of_postgres, "MOST_TARGETS", 2)
    monkeypatch.setattr(of_sqlite, "MOST_TARGETS", 2)
    return PostgresBackend() if request.param == "postgres" else SqliteBackend()


async def all_lands(scene: Scene, terms: DeliveryTerms) -> None:
    """Every receiver is well again: whatever waits is delivered in minutes."""
    for _ in range(10):
        await scene.advance(60)
        for leased in (await scene.lease(terms=terms)).deliveries:
            change = scene.tried(leased, DeliveryState.DELIVERED, sign=Sign.ANSWERED)
            await scene.apply(change, terms=terms)
    states = {each.state for each in await scene.deliveries()}
    assert DeliveryState.PENDING not in states


async def test_more_that_are_new_in_one_call(scene: Scene) -> None:
    for path in "abc":
        await owe(scene, 1, to_path(path))
    leased = (await scene.lease(terms=FRAGILE)).deliveries
    tried = [scene.tried(each, sign=Sign.NO_SERVICE) for each in leased]
    await scene.apply_all(*tried, terms=FRAGILE)
    await all_lands(scene, FRAGILE)


async def test_one_that_is_known_beside_a_new_one(scene: Scene) -> None:
    await fail(scene, Sign.NO_SERVICE, to_path("a"), count=TERMS.breaker.failures - 1)
    await scene.advance(1)
    await fail(scene, Sign.NO_SERVICE, to_path("b"))
    for path in "bac":  # b's waits in its line
        await owe(scene, 1, to_path(path))
    leased = (await scene.lease()).deliveries
    assert {each.delivery.url[-1] for each in leased} == {"a", "c"}
    await scene.apply_all(*(scene.tried(each, sign=Sign.NO_SERVICE) for each in leased))
    await all_lands(scene, TERMS)
