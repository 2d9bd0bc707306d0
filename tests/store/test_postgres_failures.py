"""What fails between a store and PostgreSQL: nothing is lost, and it recovers by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest

from dispatcher.adapters.postgres import Patience, PostgresStore
from dispatcher.core.errors import StoreError, StoreUnavailable
from dispatcher.core.model import DeliveryState, JobState
from dispatcher.ports.bulk import BulkState, BulkStep, BulkStepped
from dispatcher.ports.erasing import Erasure
from dispatcher.ports.records import Added, Applied, NewJob, RemoteTerms
from dispatcher.ports.store import Store
from dispatcher.ports.views import Pauses
from dispatcher.testing.conformance.auditing import an_entry, log
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import ANN, LEASE_SECONDS, TERMS, a_callback
from tests.store.postgres_backend import PostgresBackend
from tests.store.postgres_wire import Fault, Wire, wire

SHORT = Patience(connect_seconds=4.0, answer_seconds=2.0, commit_seconds=0.4, outcome_seconds=10.0)


class Cable(Scene):
    """A scene whose first store hangs on a wire; the other goes straight to the server."""

    def __init__(self, backend: PostgresBackend, near: PostgresStore, line: Wire) -> None:
        super().__init__(backend, near, near)
        self.line = line

    async def added(self, new: NewJob) -> Added:
        (answer,) = await self.store.add_jobs([new])
        assert isinstance(answer, Added), answer
        return answer


@pytest.fixture
async def cable() -> AsyncIterator[Cable]:
    backend = PostgresBackend()
    await backend.create()
    async with wire() as line:
        store = backend.make(url=line.url, patience=SHORT)
        await store.open()
        scene = Cable(backend, store, line)
        scene.other = await backend.open()
        await scene.populate()
        yield scene
        line.flow()
        await store.close()
        await backend.drop()


class TestLostDuringCommit:
    @pytest.mark.parametrize("fault", Fault)
    async def test_a_job_is_added_once(self, cable: Cable, fault: Fault) -> None:
        holder = await cable.hold()
        new = cable.new(cable.job(callback=a_callback()), holder=holder)
        cable.line.fault = fault
        added = await cable.added(new)
        assert cable.line.struck.is_set()
        assert added.leased is not None
        assert [job.id for job in await cable.jobs()] == [new.job.id]
        assert await cable.state(new.job.id) is JobState.RUNNING

    @pytest.mark.parametrize("fault", Fault)
    async def test_an_end_stands_once_with_what_was_handed(
        self, cable: Cable, fault: Fault
    ) -> None:
        leased = await cable.running(callback=a_callback())
        cable.line.fault = fault
        applied = await cable.apply(cable.finish(leased, hand_off=True))
        assert cable.line.struck.is_set()
        (sending,) = applied.handed
        assert await cable.delivery(sending.delivery.id) == sending.delivery
        assert len(await cable.events(leased.job.id)) == 1
        cable.line.struck.clear()
        cable.line.fault = fault
        await cable.apply(cable.tried(sending, DeliveryState.DELIVERED))
        assert cable.line.struck.is_set()
        (record,) = await cable.delivery_records(leased.job.id)
        assert record.delivery.state is DeliveryState.DELIVERED
        assert len(record.attempts) == 1

    @pytest.mark.parametrize("fault", Fault)
    async def test_what_is_claimed_is_handed_over(self, cable: Cable, fault: Fault) -> None:
        (job,) = await cable.add()
        holder = await cable.hold(store=cable.other)
        cable.line.fault = fault
        (leased,) = (await cable.claim(holder)).jobs
        assert cable.line.struck.is_set()
        assert (leased.job.id, leased.job.attempt_count) == (job.id, 1)
        await cable.apply(cable.finish(leased))

    @pytest.mark.parametrize("fault", Fault)
    async def test_the_order_of_a_key_goes_on(self, cable: Cable, fault: Fault) -> None:
        holder = await cable.hold(store=cable.other)
        first, second = [cable.new(cable.job(ordering_key="k")) for _ in range(2)]
        for each in (first, second):
            cable.line.fault = fault
            await cable.added(each)
        (leased,) = (await cable.claim(holder)).jobs
        cable.line.fault = fault
        cable.line.struck.clear()
        assert (await cable.apply(cable.finish(leased))).job_ready_at == cable.now
        assert cable.line.struck.is_set()
        (leased,) = (await cable.claim(holder)).jobs
        assert leased.job.id == second.job.id

    @pytest.mark.parametrize("fault", Fault)
    async def test_a_remote_worker_s_lease_lasts_or_ends(self, cable: Cable, fault: Fault) -> None:
        await cable.add()
        terms = RemoteTerms(ANN, 40.0)
        cable.line.fault = fault
        (leased,) = (await cable.claim("nobody", remote=terms)).jobs
        cable.line.fault = fault
        assert await cable.store.renew_lease(leased.lease, ANN) is not None
        cable.line.fault = fault
        cable.line.struck.clear()
        assert isinstance(await cable.apply(cable.back(leased)), Applied)
        assert cable.line.struck.is_set()
        assert await cable.store.renew_lease(leased.lease, ANN) is None

    @pytest.mark.parametrize("fault", Fault)
    async def test_a_pause_stands_with_its_entry(self, cable: Cable, fault: Fault) -> None:
        cable.line.fault = fault
        entry = an_entry(cable)
        await cable.store.pause("default", cable.now, entry)
        assert cable.line.struck.is_set()
        assert await cable.other.pauses() == Pauses(None, {"default": cable.now})
        assert await log(cable) == [entry]

    @pytest.mark.parametrize("fault", Fault)
    async def test_a_step_is_taken_once(self, cable: Cable, fault: Fault) -> None:
        leased = await cable.running()
        (waits,) = await cable.add()
        step = BulkStep(
            job_id=leased.job.id,
            lease=leased.lease,
            since=0,
            after=9,
            items=(cable.end_waiting(waits), cable.new()),
            matched=2,
        )
        cable.line.fault = fault
        stepped = await cable.store.advance_bulk(step, TERMS)
        assert cable.line.struck.is_set()
        assert isinstance(stepped, BulkStepped)
        assert stepped.state == BulkState(after=9, matched=2, changed=2)
        assert await cable.other.bulk_state(leased.job.id) == stepped.state
        assert len(await cable.events(waits.id)) == 1
        assert len(await cable.jobs()) == 3

    @pytest.mark.parametrize("fault", Fault)
    async def test_a_job_is_erased(self, cable: Cable, fault: Fault) -> None:
        job = await cable.end()
        cable.line.fault = fault
        erased = await cable.store.erase_job(job.id, None, TERMS, cancel_deliveries=False)
        assert cable.line.struck.is_set()
        assert erased is Erasure.ERASED
        assert await cable.jobs() == []

    async def test_a_commit_that_waits_for_a_standby_is_awaited(self, cable: Cable) -> None:
        """Its answer is late, not lost: the connection is given up, the commit stands later."""
        operator = await asyncpg.connect(cable.backend.url)  # type: ignore[attr-defined]  # PostgresBackend
        new = cable.new()
        try:
            await _standby(operator, "nobody")
            adding = asyncio.create_task(cable.store.add_jobs([new]))
            waits = "wait_event = 'SyncRep' AND xact_start < now() - interval '0.6 s'"
            await _until(operator, waits)
            assert not adding.done()  # its own connection was given up by now
            assert await cable.other.get_job(new.job.id, None) is None
            await _standby(operator, "")
            assert await adding == [Added(new.job)]
        finally:
            await _standby(operator, "")
            await operator.close()
        assert [job.id for job in await cable.jobs()] == [new.job.id]

    async def test_one_that_is_not_known_in_time_says_so(self, cable: Cable) -> None:
        backend = cable.backend
        assert isinstance(backend, PostgresBackend)
        impatient = Patience(commit_seconds=0.2, outcome_seconds=0.3)
        store = backend.make(patience=impatient)
        await store.open()
        operator = await asyncpg.connect(backend.url)
        try:
            await _standby(operator, "nobody")
            (answer,) = await store.add_jobs([cable.new()])
            assert isinstance(answer, StoreUnavailable)
            assert "could not be found out in time" in str(answer)
        finally:
            await _standby(operator, "")
            await operator.close()
            await store.close()


async def _until(operator: asyncpg.Connection, activity: str) -> None:
    """Wait until a session does that."""
    query = f"SELECT count(*) FROM pg_stat_activity WHERE {activity}"  # noqa: S608  # our own words
    while not await operator.fetchval(query):  # noqa: ASYNC110  # the server gives no signal
        await asyncio.sleep(0.005)  # between looks: it is not what is waited for


async def _until_read(store: Store) -> None:
    """Let both event loops of a store come round: each reads then what stands on its lines."""

    async def turns() -> None:
        for _ in range(4):
            await asyncio.sleep(0)

    assert isinstance(store, PostgresStore)
    await turns()
    beating = store._pulse._loop
    if beating is not None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(turns(), beating))


async def _standby(operator: asyncpg.Connection, name: str) -> None:
    await operator.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    await operator.execute("SELECT pg_reload_conf()")


class TestLostConnections:
    async def test_one_that_was_cut_while_it_was_idle_is_replaced(self, cable: Cable) -> None:
        (job,) = await cable.add()
        cable.line.cut()
        assert await cable.record(job.id, store=cable.store)
        leased = (await cable.claim()).jobs
        cable.line.cut()
        await cable.apply(cable.finish(leased[0]))
        assert await cable.state(job.id) is JobState.SUCCEEDED

    async def test_one_on_which_the_server_said_goodbye_is_replaced(self, cable: Cable) -> None:
        """What is asked next meets the server's words before the end of the connection."""
        (job,) = await cable.add()
        holder = await cable.hold()
        heart = cable.store.heart(holder, "a test", LEASE_SECONDS)
        for _ in range(2):
            cable.line.say_goodbye()
            await _until_read(cable.store)
            assert await cable.record(job.id, store=cable.store)
            await asyncio.to_thread(heart.beat)
            await cable.add()
        leased = (await cable.claim(holder)).jobs
        assert len(leased) == 3
        heart.close()

    async def test_a_database_that_is_away_is_told_at_once_and_used_when_it_is_back(
        self, cable: Cable
    ) -> None:
        cable.line.refuses = True
        cable.line.cut()
        began = time.monotonic()
        answers = await asyncio.gather(*(cable.store.add_jobs([cable.new()]) for _ in range(20)))
        assert all(isinstance(one, StoreUnavailable) for (one,) in answers)
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await cable.store.get_job("job_x", None)
        with pytest.raises(StoreUnavailable):
            await cable.hold()
        with pytest.raises(StoreError):
            await cable.store.check()
        assert time.monotonic() - began < 5
        cable.line.refuses = False
        (job,) = await cable.add()
        await cable.hold()
        await cable.store.check()
        assert [one.id for one in await cable.jobs()] == [job.id]

    async def test_one_that_hangs_is_given_up(self, cable: Cable) -> None:
        await cable.add()
        cable.line.hang()
        added, read, beat = await asyncio.gather(
            cable.store.add_jobs([cable.new()]),
            cable.store.get_job("job_x", None),
            cable.hold(),
            return_exceptions=True,
        )
        assert isinstance(added, list)
        assert isinstance(added[0], StoreUnavailable)
        assert isinstance(read, StoreUnavailable)
        assert isinstance(beat, StoreUnavailable)
        cable.line.flow()
        await cable.add()
        assert len(await cable.jobs()) == 2

    async def test_a_session_that_an_operator_ends_costs_nothing(self, cable: Cable) -> None:
        (job,) = await cable.add()
        operator = await asyncpg.connect(cable.backend.url)  # type: ignore[attr-defined]  # PostgresBackend
        await operator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        await operator.close()
        (leased,) = (await cable.claim()).jobs
        assert leased.job.id == job.id


class TestCrossing:
    async def test_a_deadlock_is_tried_again(self, cable: Cable) -> None:
        """Somebody else locks in another order; the server ends one of the two."""
        await cable.sending()
        leased = await cable.running(callback=a_callback(), queue="other")
        operator = await asyncpg.connect(cable.backend.url)  # type: ignore[attr-defined]  # PostgresBackend
        async with operator.transaction():
            await operator.execute("SELECT 1 FROM dispatcher.destination FOR UPDATE")
            ending = asyncio.create_task(cable.apply(cable.finish(leased)))
            await _until(operator, "wait_event_type = 'Lock'")
            await operator.execute(
                "SELECT 1 FROM dispatcher.job WHERE id = $1 FOR UPDATE", leased.job.id
            )
        await operator.close()
        assert isinstance(await ending, Applied)
        assert await cable.state(leased.job.id) is JobState.SUCCEEDED

    async def test_two_stores_that_change_the_same_in_other_orders(self, cable: Cable) -> None:
        """Every transaction takes its locks in one order, so that nobody has to be ended."""
        await cable.add(count=30, callback=a_callback())
        leased = list((await cable.claim()).jobs)
        ends = [cable.finish(one) for one in leased]
        answers = await asyncio.gather(
            cable.store.apply(ends, TERMS), cable.other.apply(ends[::-1], TERMS)
        )
        assert all(isinstance(one, Applied) for several in answers for one in several)
        assert len(await cable.deliveries()) == 30


class TestClock:
    async def test_the_server_s_decides(self) -> None:
        backend = PostgresBackend()
        await backend.create()
        store = PostgresStore(backend.url, ids=backend.ids)
        await store.open()
        operator = await asyncpg.connect(backend.url)
        sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
        before = await operator.fetchval(sql)
        told = (await store.backlog(1)).at
        after = await operator.fetchval(sql)
        await operator.close()
        await store.close()
        assert before - 1 <= told <= after
