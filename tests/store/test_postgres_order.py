"""Keys, bounds and leases where several transactions are under way at once."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from dispatcher.adapters.postgres import pruning
from dispatcher.core.breaker import Sign
from dispatcher.core.changes import Change, EndDelivery, LeasedJob, Redeliver
from dispatcher.core.model import DeliveryState, JobState
from dispatcher.core.ordering import OnDead
from dispatcher.ports.records import Added, Applied, Concurrency, HandOff, NewJob, RemoteTerms
from dispatcher.ports.store import Store
from dispatcher.testing.conformance.breakers import owe, to_path
from dispatcher.testing.conformance.ordering import end, ordered
from dispatcher.testing.conformance.ordering_keys import KEY, claimed, keyed
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import (
    ANN,
    LEASE_SECONDS,
    MAIL,
    REPORT,
    TERMS,
    a_callback,
)
from tests.store.postgres_backend import PostgresBackend

KEYS = 4
OF_EACH = 12
MOST = Concurrency(types={MAIL: 3}, queues={"b": 2})

GATE = "SELECT pg_advisory_xact_lock(7)::text"
AT_GATE = """
SELECT EXISTS (
  SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
  WHERE locktype = 'advisory' AND objid = 7 AND NOT granted AND datname = current_database()
)
"""
"""A lock of the tests' own keeps a statement from going on, once it has begun to read."""


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
async def aside(backend: PostgresBackend) -> AsyncIterator[asyncpg.Connection]:
    """A transaction of somebody else."""
    connection = await asyncpg.connect(backend.url)
    async with connection.transaction():
        yield connection
    await connection.close()


async def circles(backend: PostgresBackend) -> Any:
    """How many transactions have been ended because they waited in a circle."""
    return await backend.ask("SELECT sum(deadlocks) FROM pg_stat_database")


class Course:
    """What several workers do at once; it fails as soon as two jobs of a key run."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.running: dict[str, str] = {}
        self.of_type: Counter[str] = Counter()
        self.of_queue: Counter[str] = Counter()
        self.begun: defaultdict[str, list[str]] = defaultdict(list)
        self.left = KEYS * OF_EACH
        self.turn = 0

    async def add(self, store: Store, which: int, holder: str) -> None:
        """Add jobs of every key, one after another, some handed off, some scheduled."""
        for n in range(OF_EACH // 2):
            news = []
            for key in range(KEYS):
                job = self.scene.job(
                    ordering_key=f"key-{key}",
                    queue="ab"[(n + key) % 2],
                    type=(MAIL, REPORT)[(n + which) % 2],
                )
                offer = HandOff(holder, self.scene.ids.new("lse"), MOST) if n % 2 else None
                news.append(NewJob(job, b"{}", None, offer))
            for answer in await self.scene.add_all(*news[:: 1 - 2 * which], store=store):
                assert isinstance(answer, Added)
                if answer.leased is not None:
                    self.begins(answer.leased)
                    await self.ends(store, answer.leased)

    async def work(self, store: Store, holder: str) -> None:
        """Claim and end jobs until none is left."""
        while self.left:
            found = await self.scene.claim(holder, limit=3, store=store, concurrency=MOST)
            for leased in found.jobs:
                self.begins(leased)
            for leased in found.jobs:
                await self.ends(store, leased)

    def begins(self, leased: LeasedJob) -> None:
        job = leased.job
        key = job.ordering_key or ""
        assert key not in self.running, "two of a key run at once"
        self.running[key] = job.id
        self.of_type[job.type] += 1
        self.of_queue[job.queue] += 1
        assert self.of_type[MAIL] <= 3, "more of a type than may run"
        assert self.of_queue["b"] <= 2, "more of a queue than may run"
        if job.attempt_count == 1:
            self.begun[key].append(job.id)

    async def ends(self, store: Store, leased: LeasedJob) -> None:
        """End it, or now and then put it back first."""
        job = leased.job
        self.turn += 1
        back = job.attempt_count == 1 and self.turn % 3 == 0
        del self.running[job.ordering_key or ""]  # from here on the next may begin
        self.of_type[job.type] -= 1
        self.of_queue[job.queue] -= 1
        self.left -= not back
        change = self.scene.back(leased) if back else self.scene.finish(leased)
        await self.scene.apply(change, store=store)


class TestManyAtOnce:
    async def test_keys_and_bounds_hold_and_nobody_waits_in_a_circle(
        self, scene: Scene, backend: PostgresBackend
    ) -> None:
        before = await circles(backend)
        course = Course(scene)
        stores = (scene.store, scene.other)
        holders = [await scene.hold(store=store) for store in stores]
        async with asyncio.timeout(60):
            await asyncio.gather(
                *(course.add(store, n, holders[n]) for n, store in enumerate(stores)),
                *(course.work(store, holders[n]) for n, store in enumerate(stores)),
                *(course.work(store, holders[n]) for n, store in enumerate(stores)),
            )
        received = [job.id for job in (await scene.jobs())[::-1]]
        for key, begun in course.begun.items():
            assert begun == sorted(begun, key=received.index), f"out of order: {key}"
        await backend.drop()  # whoever waited in a circle tells of it when he goes
        assert await circles(backend) == before
        assert await backend.ask("SELECT count(*) FROM dispatcher.ordering_key") == 0

    async def test_what_comes_while_the_front_ends_is_not_forgotten(self, scene: Scene) -> None:
        holder = await scene.hold()
        await keyed(scene)
        for n in range(60):
            (leased,) = (await scene.claim(holder)).jobs
            next_one = scene.new(scene.job(ordering_key=KEY, queue=f"q{n}"))
            await asyncio.gather(
                scene.add_all(next_one, store=scene.other), scene.apply(scene.finish(leased))
            )

    async def test_what_is_canceled_while_its_turn_comes_keeps_nobody_waiting(
        self, scene: Scene
    ) -> None:
        holder = await scene.hold()
        for _ in range(30):
            first, second, third = await keyed(scene, 3)
            (leased,) = (await scene.claim(holder)).jobs
            assert leased.job.id == first.id
            await asyncio.gather(
                scene.apply(scene.finish(leased)),
                scene.apply(scene.end_waiting(second), store=scene.other),
            )
            (leased,) = (await scene.claim(holder)).jobs
            assert leased.job.id == third.id
            await scene.apply(scene.finish(leased))

    async def test_bounds_hold_for_hand_offs_of_two_processes(self, scene: Scene) -> None:
        stores = (scene.store, scene.other)
        holders = [await scene.hold(store=store) for store in stores]

        async def add(n: int) -> bool:
            offer = HandOff(holders[n % 2], scene.ids.new("lse"), MOST)
            new = NewJob(scene.job(queue=f"q{n}"), b"{}", None, offer)
            (answer,) = await scene.add_all(new, store=stores[n % 2])
            return isinstance(answer, Added) and answer.leased is not None

        assert sum(await asyncio.gather(*(add(n) for n in range(20)))) == 3


class TestPassingOver:
    async def test_a_key_that_somebody_changes_keeps_no_claim_waiting(
        self, scene: Scene, aside: asyncpg.Connection
    ) -> None:
        (held,) = await keyed(scene)
        (free,) = await keyed(scene, ordering_key="another")
        await aside.execute("SELECT 1 FROM dispatcher.ordering_key WHERE key = $1 FOR UPDATE", KEY)
        assert await claimed(scene) == [free.id]
        result = await scene.claim()
        assert (result.jobs, result.next_at) == ((), scene.now)
        await aside.execute("COMMIT")
        assert await claimed(scene) == [held.id]

    async def test_a_beat_that_is_under_way_decides(
        self, scene: Scene, aside: asyncpg.Connection
    ) -> None:
        """The lease has ended by the claim's clock, and the beat came in time by its own."""
        holder = await scene.hold()
        await scene.running(holder)
        await aside.execute("UPDATE dispatcher.holder SET expires_at = expires_at + 1000")
        await scene.advance(LEASE_SECONDS)
        assert await claimed(scene, store=scene.other) == []
        await aside.execute("COMMIT")
        assert await claimed(scene, store=scene.other) == []
        await scene.advance(1)
        assert len(await claimed(scene, store=scene.other)) == 1

    async def test_a_lane_made_while_a_queue_is_paused_and_resumed(
        self, scene: Scene, aside: asyncpg.Connection
    ) -> None:
        """What is being added is not seen by who pauses, nor by who resumes."""
        await aside.execute(
            "INSERT INTO dispatcher.lane (caller_id, queue, type, ready_at) "
            "VALUES ($1, 'held', $2, 0)",
            *(ANN, MAIL),
        )
        await scene.store.pause("held", scene.now)
        await aside.execute("COMMIT")
        (job,) = await scene.add(queue="held")
        assert await claimed(scene) == []
        await scene.other.resume("held")
        assert await claimed(scene) == [job.id]


class TestForgetting:
    async def test_a_destination_stays_if_something_came_that_waits_behind_a_dead_callback(
        self,
        scene: Scene,
        backend: PostgresBackend,
        aside: asyncpg.Connection,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """It comes when pruning has begun to read, and leaves the destination's row as it was."""
        slow = pruning._LOCK_DESTINATIONS.replace(
            "WHERE ready_at", f"WHERE ({GATE}) IS NOT NULL AND ready_at"
        )
        assert slow != pruning._LOCK_DESTINATIONS
        monkeypatch.setattr(pruning, "_LOCK_DESTINATIONS", slow)
        (first,) = await ordered(scene, on_dead=OnDead.BLOCK)
        (leased,) = (await scene.lease()).deliveries
        await scene.apply(scene.tried(leased, DeliveryState.DEAD))
        callback = replace(a_callback(), ordered=OnDead.BLOCK)
        running = await scene.running(callback=callback, ordering_key="k")
        await aside.execute(GATE)
        pruned = asyncio.create_task(scene.other.prune(10))
        while not await backend.ask(AT_GATE):
            assert not pruned.done()
        await scene.apply(scene.finish(running))
        await aside.execute("COMMIT")
        await pruned
        (second,) = await scene.deliveries(running.job.id)
        assert second.blocked
        await scene.apply(EndDelivery(first, DeliveryState.CANCELED, scene.now, 1))
        assert [each.delivery.id for each in (await scene.lease()).deliveries] == [second.id]


class TestTakenForAlive:
    async def test_a_process_is_remembered_while_somebody_may_still_lease_to_it(
        self, scene: Scene, aside: asyncpg.Connection
    ) -> None:
        """A hand-off that took it for alive is committed after its lease has ended."""
        holder = await scene.hold()
        (job,) = await scene.add()
        await aside.execute(
            "UPDATE dispatcher.job SET state = 'running', lease = 'lse', holder_id = $1, "
            "attempt_count = 1, started_at = created_at WHERE id = $2",
            *(holder, job.id),
        )
        await aside.execute("UPDATE dispatcher.lane SET waiting = 0, waiting_bytes = 0")
        await scene.advance(LEASE_SECONDS)
        await scene.store.prune(10)
        await aside.execute("COMMIT")
        assert await claimed(scene) == [job.id]

    async def test_one_that_holds_nothing_is_forgotten_later(self, scene: Scene) -> None:
        before = await scene.backend.count_rows()
        heart = scene.store.heart(await scene.hold(), "a test", LEASE_SECONDS)
        await scene.advance(LEASE_SECONDS + 60)
        await scene.store.prune(10)
        assert await scene.backend.count_rows() == before
        heart.close()


class TestLostAnswers:
    async def test_what_a_remote_worker_says_again_stands_once(self, scene: Scene) -> None:
        (job,) = await scene.add(ordering_key=KEY)
        (leased,) = (await scene.claim("nobody", remote=RemoteTerms(ANN, 40.0))).jobs
        change = scene.back(leased)
        first, again = await scene.apply_all(change, change)
        assert isinstance(first, Applied)
        assert again == Applied()
        assert (await scene.record(job.id)).job.state is JobState.WAITING


class TestGrowing:
    async def test_a_column_that_comes_meanwhile_keeps_nobody_from_working(
        self, scene: Scene, backend: PostgresBackend
    ) -> None:
        """A later version migrates while this one serves: what the driver remembers is no more."""
        await scene.end(ordering_key=KEY)
        leased = await scene.running(ordering_key=KEY)
        await backend.ask("ALTER TABLE dispatcher.job ADD COLUMN later text")
        try:
            await scene.apply(scene.finish(leased))
            await keyed(scene)
            (leased,) = (await scene.claim("nobody", remote=RemoteTerms(ANN, 40.0))).jobs
            assert leased.input == b"{}"
            assert await scene.state(leased.job.id) is JobState.RUNNING
            found = await scene.store.find_lease(leased.lease, ANN)
            assert found is not None
            assert found.until == leased.until
        finally:
            await backend.ask("ALTER TABLE dispatcher.job DROP COLUMN later")


@pytest.mark.parametrize("again", [False, True])
async def test_a_claim_that_moves_callbacks_to_the_line_of_their_url_waits_for_none_of_them(
    backend: PostgresBackend, scene: Scene, again: bool
) -> None:
    """Whoever changes them has their rows, and waits for the destination that the claim has."""
    before = await circles(backend)
    for n in range(6):
        callback = to_path(f"hook-{n}", f"https://receiver-{n}.example")
        await owe(scene, 40, callback)
        ids = [each.id for each in await scene.deliveries() if each.url == callback.url]
        changes: list[Change] = [end(each, scene) for each in ids]
        if again:  # a new round of each has begun, and is asked for once more
            await scene.apply_all(*changes)
            changes = [Redeliver(delivery_id=each, round=2, at=scene.now) for each in ids]
            await scene.apply_all(*changes)
        for _ in range(TERMS.breaker.failures):
            (one,) = (await scene.lease(limit=1)).deliveries
            change = scene.tried(one, DeliveryState.DEAD, sign=Sign.NO_SERVICE)
            await scene.apply(change)
        await asyncio.gather(scene.lease(), scene.apply_all(*changes))
        stands = [await scene.delivery(each) for each in ids]
        left = [each for each in stands if each.state is DeliveryState.PENDING]
        assert len(left) == (40 - TERMS.breaker.failures if again else 0)
        assert (await scene.lease()).deliveries == ()
        await scene.apply_all(*(end(each.id, scene) for each in left))
    await backend.drop()  # whoever waited in a circle tells of it when he goes
    assert await circles(backend) == before
