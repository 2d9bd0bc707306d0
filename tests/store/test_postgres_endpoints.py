"""Registered endpoints where several transactions are under way at once, and what they cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from dispatcher.adapters.postgres import Patience, transacting
from dispatcher.adapters.postgres.errors import Meaning, meaning
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.changes import LeasedJob, Redeliver
from dispatcher.core.endpoints import Endpoint
from dispatcher.core.model import DeliveryState, EventType
from dispatcher.ports.records import Applied
from dispatcher.ports.store import Store
from dispatcher.testing.conformance.endpoints import EVERYTHING
from dispatcher.testing.conformance.registered import HOOKS, found, owed_to, registered
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import ANN, TERMS, a_callback
from tests.store.postgres_backend import PostgresBackend
from tests.store.postgres_wire import Fault, wire

ROUNDS = 5
SHORT = Patience(connect_seconds=4.0, answer_seconds=2.0, commit_seconds=0.4, outcome_seconds=10.0)


@pytest.fixture
async def backend() -> AsyncIterator[PostgresBackend]:
    made = PostgresBackend()
    await made.create()
    yield made
    await made.drop()


@pytest.fixture
async def scene(backend: PostgresBackend) -> Scene:
    made = Scene(backend, await backend.open(), await backend.open())
    await made.populate()
    return made


@pytest.fixture
def met(monkeypatch: pytest.MonkeyPatch) -> list[Meaning]:
    """What the errors meant that transactions met: deadlocks among them, which are tried again."""
    known: list[Meaning] = []

    def spied(error: BaseException) -> Meaning:
        known.append(meaning(error))
        return known[-1]

    monkeypatch.setattr(transacting, "meaning", spied)
    return known


async def cleared(scene: Scene) -> None:
    """Prune until nothing is left to be done now."""
    while await scene.store.prune(50) >= 50:
        pass


class TestAtTheSameMoment:
    async def test_nothing_is_owed_to_one_that_is_deleted(
        self, scene: Scene, backend: PostgresBackend
    ) -> None:
        for _ in range(ROUNDS):
            endpoint = await registered(scene)
            ends = [scene.finish(await scene.running()) for _ in range(6)]
            await asyncio.gather(
                *(scene.store.apply([each], TERMS) for each in ends),
                scene.other.delete_endpoint(endpoint.id, scene.now),
            )
            await cleared(scene)
            states = {each.state for each in await owed_to(scene, endpoint.id)}
            assert states <= {DeliveryState.CANCELED}
        assert await backend.ask("SELECT count(*) FROM dispatcher.endpoint") == 0
        held = "SELECT count(*) FROM dispatcher.destination WHERE endpoint_id <> ''"
        assert await backend.ask(held) == 0

    async def test_nothing_is_claimed_for_one_that_is_being_disabled(self, scene: Scene) -> None:
        """Also where its destination is made at that moment."""
        for n in range(ROUNDS):
            origin = f"https://new{n}.example"
            endpoint = await registered(scene, url=f"{origin}/in", origin=origin)
            end = scene.finish(await scene.running())
            await asyncio.gather(
                scene.store.apply([end], TERMS),
                scene.other.disable_endpoint(endpoint.id, scene.now, TERMS),
            )
            assert len(await owed_to(scene, endpoint.id)) == 1
            assert (await scene.lease()).deliveries == ()
            await scene.store.enable_endpoint(endpoint.id)
            (leased,) = (await scene.lease()).deliveries
            await scene.apply(scene.tried(leased, DeliveryState.DELIVERED))
            await scene.store.delete_endpoint(endpoint.id, scene.now)

    async def test_of_two_who_find_it_gone_one_disables_it(self, scene: Scene) -> None:
        for _ in range(ROUNDS):
            endpoint = await registered(scene)
            other = await registered(scene, events=(EventType.ENDPOINT_DISABLED,))
            for _ in range(4):
                await scene.end()
            tried = [
                scene.tried(leased, DeliveryState.DEAD, gone=True)
                for leased in (await scene.lease()).deliveries
            ]
            answers = await asyncio.gather(
                scene.store.apply(tried[:2], TERMS), scene.other.apply(tried[2:], TERMS)
            )
            applied = [each for several in answers for each in several]
            assert all(isinstance(each, Applied) for each in applied)
            disabled = [each.disabled for each in applied if isinstance(each, Applied)]
            assert sum(each is not None for each in disabled) == 1
            assert len(await owed_to(scene, other.id)) == 1
            for each in (endpoint, other):
                await scene.store.delete_endpoint(each.id, scene.now)

    async def test_nobody_waits_in_a_circle(self, scene: Scene, met: list[Meaning]) -> None:
        """Ends, failures, pings, switches and deletions, all of one caller's endpoints."""
        endpoints = [
            await registered(scene, events=EVERYTHING, url=f"{HOOKS}/{n}", ordered=n == 1)
            for n in range(3)
        ]
        for turn in range(ROUNDS):
            keyed, plain = await _running(scene, "k"), await _running(scene)
            await asyncio.gather(
                _end(scene, scene.store, keyed),
                _end(scene, scene.other, plain),
                _attempts(scene, scene.store, turn),
                _attempts(scene, scene.other, turn),
                _switches(scene, scene.other, endpoints),
                _switches(scene, scene.store, endpoints[::-1]),
                scene.other.prune(10),
            )
            await scene.advance(60)
        gone = await registered(scene, events=EVERYTHING)
        last = await _running(scene)
        await asyncio.gather(
            _end(scene, scene.store, last),
            scene.other.delete_endpoint(gone.id, scene.now),
            *(scene.store.delete_endpoint(each.id, scene.now) for each in endpoints),
            _attempts(scene, scene.other, 0),
        )
        assert met == []


async def _running(scene: Scene, key: str | None = None) -> list[LeasedJob]:
    """Some running jobs, the first with a callback, and maybe a key."""
    first = await scene.running(callback=a_callback(HOOKS), ordering_key=key)
    return [first, await scene.running(), await scene.running()]


async def _end(scene: Scene, store: Store, leased: list[LeasedJob]) -> None:
    """End jobs, over one store."""
    for answer in await store.apply([scene.finish(each) for each in leased], TERMS):
        assert isinstance(answer, Applied)


async def _attempts(scene: Scene, store: Store, turn: int) -> None:
    """Send what is due, over one store; some of it fails, or dies."""
    to = (DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.PENDING)
    claimed = (await store.claim_deliveries(20, TERMS)).deliveries
    changes = [
        scene.tried(leased, to[(turn + n) % 3], gone=(turn + n) % 7 == 1)
        for n, leased in enumerate(claimed)
    ]
    for answer in await store.apply(changes, TERMS) if changes else ():
        assert isinstance(answer, Applied)


async def _switches(scene: Scene, store: Store, endpoints: list[Endpoint]) -> None:
    for endpoint in endpoints:
        await store.ping_endpoint(endpoint.id, scene.ids.new("evt"), scene.now, TERMS)
        await store.disable_endpoint(endpoint.id, scene.now, TERMS)
        await store.enable_endpoint(endpoint.id)


class TestLostDuringCommit:
    @pytest.mark.parametrize("fault", Fault)
    async def test_each_write_stands_once(
        self, scene: Scene, backend: PostgresBackend, fault: Fault
    ) -> None:
        endpoint = await registered(scene)
        other = await registered(scene, events=(EventType.ENDPOINT_DISABLED,))
        async with wire() as line:
            near = backend.make(url=line.url, patience=SHORT)
            await near.open()
            try:
                line.fault = fault
                switched = await near.disable_endpoint(endpoint.id, scene.now, TERMS)
                assert line.struck.is_set()
                assert switched is not None
                assert switched.changed
                line.struck.clear()
                line.fault = fault
                again = await near.enable_endpoint(endpoint.id)
                assert again is not None
                assert again.changed
                line.struck.clear()
                line.fault = fault
                pinged = await near.ping_endpoint(endpoint.id, "evt_ping", scene.now, TERMS)
                assert pinged is not None
            finally:
                line.flow()
                await near.close()
        assert (await found(scene, endpoint.id)).endpoint.version == endpoint.version + 2
        assert len(await owed_to(scene, other.id)) == 1
        (ping,) = await owed_to(scene, endpoint.id)
        assert ping.id == pinged.delivery_id


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that are sent."""
    sent: list[str] = []
    for name in ("execute", "fetch", "fetchrow"):
        real = getattr(asyncpg.Connection, name)

        async def spied(self: Any, sql: str, *args: Any, _real: Any = real, **kwargs: Any) -> Any:
            sent.append(sql)
            return await _real(self, sql, *args, **kwargs)

        monkeypatch.setattr(asyncpg.Connection, name, spied)
    return sent


class TestCost:
    async def test_callers_without_endpoints_ask_nothing_of_them(
        self, scene: Scene, asked: list[str]
    ) -> None:
        """A look-up by index in statements that are sent anyway is all that they pay."""
        names = ("endpoints_lock", "endpoints_share", "endpoints_by_id", "endpoints_fare")
        theirs = {statement(name) for name in names}
        for endpoints in (0, 1):
            if endpoints:
                await registered(scene, caller_id=ANN)
            asked.clear()
            leased = await scene.running(callback=a_callback())
            await scene.apply(scene.finish(leased))
            for sending in (await scene.lease()).deliveries:
                await scene.apply(scene.tried(sending, DeliveryState.DELIVERED))
            assert bool(theirs & set(asked)) == bool(endpoints)

    async def test_it_asks_no_more_the_more_there_is_where_more_than_slots_counts(
        self, scene: Scene, asked: list[str]
    ) -> None:
        """Endpoints that have a rate or an order, or were down, must not hold up what ends."""
        owed, sent, recorded, again = [], [], [], []
        for endpoints, jobs in ((2, 1), (20, 1), (0, 20)):
            for n in range(endpoints):
                await registered(scene, rate_limit=100_000.0, ordered=n % 2 == 1)
            running = [await scene.running(callback=a_callback()) for _ in range(jobs)]
            asked.clear()
            await scene.apply_all(*(scene.finish(leased) for leased in running))
            owed.append(len(asked))
            asked.clear()
            claimed = await scene.lease(limit=1_000)
            sent.append(len(asked))
            asked.clear()
            tried = [scene.tried(each, DeliveryState.DELIVERED) for each in claimed.deliveries]
            await scene.apply_all(*tried)
            recorded.append(len(asked))
            asked.clear()
            ids = [each.delivery.id for each in claimed.deliveries]
            await scene.apply_all(
                *(Redeliver(delivery_id=each, round=2, at=scene.now) for each in ids)
            )
            again.append(len(asked))
            while left := (await scene.lease(limit=1_000)).deliveries:
                await scene.apply_all(
                    *(scene.tried(each, DeliveryState.DELIVERED) for each in left)
                )
            await scene.advance(1)
        for counts in (owed, sent, recorded, again):
            assert max(counts) <= counts[0] + 2, (owed, sent, recorded, again)
