"""What a plain job costs in statements: nothing is read again that this process wrote itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from dispatcher.adapters.postgres import PostgresStore, remembered
from dispatcher.adapters.postgres.schema import migrations
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement, statement_names
from dispatcher.adapters.postgres.transacting import Transactor
from dispatcher.core.changes import AskCancel, AskCancelDelivery, Change, LeasedJob, NoteStarted
from dispatcher.core.model import DeliveryState, EventType, JobState
from dispatcher.ports.records import Added, Applied, LeasedDelivery
from dispatcher.ports.store import Store
from dispatcher.testing.conformance.delivering import ONE_SLOT
from dispatcher.testing.conformance.registered import registered
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import TERMS, a_callback
from tests.store.postgres_backend import PostgresBackend

NAMES = {statement(name): name for name in statement_names()}

ENDS = ["settle", "events_owe"]
RECORDS = ["settle"]
SETTLE = {
    "jobs_end": ("ends",),
    "deliveries_tried": ("tries",),
    "destinations_lock": ("ids", "callers", "origins", "receivers"),
    "destinations_loads": ("callers", "origins", "receivers", "told"),
}
"""The statements that the function `settle` says again, and what it calls what they are given."""


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    backend = PostgresBackend()
    await backend.create()
    scene = Scene(backend, await backend.open(), await backend.open())
    await scene.populate()
    yield scene
    await backend.drop()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the statements that were asked."""
    names: list[str] = []

    def note(verb: str) -> None:
        ask = getattr(Session, verb)

        async def noted(session: Session, sql: str, *args: Any) -> Any:
            names.append(NAMES[sql])
            return await ask(session, sql, *args)

        monkeypatch.setattr(Session, verb, noted)

    for verb in ("execute", "fetch", "one"):
        note(verb)
    return names


async def handed_off(scene: Scene) -> LeasedJob:
    holder = await scene.hold()
    new = scene.new(scene.job(callback=a_callback()), holder=holder)
    (added,) = await scene.add_all(new)
    assert isinstance(added, Added)
    assert added.leased is not None
    return added.leased


async def warm(scene: Scene) -> None:
    """A first job, so that its destination is there."""
    job = await handed_off(scene)
    (sending,) = (await scene.apply(scene.finish(job, hand_off=True))).handed
    await scene.apply(scene.tried(sending, DeliveryState.DELIVERED, hand_off=True))


async def test_a_job_that_is_handed_off_all_the_way(scene: Scene, asked: list[str]) -> None:
    await warm(scene)
    asked.clear()
    job = await handed_off(scene)
    assert asked == ["adding_begin", "jobs_add"]
    asked.clear()
    (sending,) = (await scene.apply(scene.finish(job, hand_off=True))).handed
    assert asked == ENDS
    asked.clear()
    await scene.apply(scene.tried(sending, DeliveryState.DELIVERED, hand_off=True))
    assert asked == RECORDS


async def test_one_that_waits_for_a_slot_is_not_read_again(scene: Scene, asked: list[str]) -> None:
    first = await handed_off(scene)
    (sending,) = (await scene.apply(scene.finish(first, hand_off=True), terms=ONE_SLOT)).handed
    second = await handed_off(scene)
    await scene.apply(scene.finish(second, hand_off=True), terms=ONE_SLOT)
    asked.clear()
    done = scene.tried(sending, DeliveryState.DELIVERED, hand_off=True)
    (handed,) = (await scene.apply(done, terms=ONE_SLOT)).handed
    assert handed.job is not None
    assert handed.job.id == second.job.id
    assert "deliveries_lease_known" in asked
    assert "deliveries_lease" not in asked


async def test_what_has_changed_is_read_under_its_lock(scene: Scene, asked: list[str]) -> None:
    job = await handed_off(scene)
    await scene.apply(AskCancel(job.job.id, scene.now), store=scene.other)
    asked.clear()
    await scene.apply(scene.finish(job))
    assert asked[:2] == ["settle", "jobs_lock"]
    assert "jobs_finish" in asked


async def test_jobs_are_locked_before_attempts_are_recorded(scene: Scene, asked: list[str]) -> None:
    """Where a job has to be read, nothing of a delivery is locked yet."""
    await warm(scene)
    first = await handed_off(scene)
    (sending,) = (await scene.apply(scene.finish(first, hand_off=True))).handed
    job = await handed_off(scene)
    await scene.apply(AskCancel(job.job.id, scene.now), store=scene.other)
    asked.clear()
    done = scene.tried(sending, DeliveryState.DELIVERED)
    await scene.apply_all(done, scene.finish(job))
    assert asked[:3] == ["settle", "jobs_lock", "deliveries_tried"]
    assert await scene.state(job.job.id) == "succeeded"
    (delivery,) = await scene.deliveries(first.job.id)
    assert (delivery.state, delivery.attempt_count) == (DeliveryState.DELIVERED, 1)


async def test_ends_stand_though_an_attempt_has_to_be_read(scene: Scene, asked: list[str]) -> None:
    await warm(scene)
    first = await handed_off(scene)
    (sending,) = (await scene.apply(scene.finish(first, hand_off=True))).handed
    job = await handed_off(scene)
    asks = AskCancelDelivery(sending.delivery.id, scene.now)
    await scene.apply(asks, store=scene.other)
    asked.clear()
    done = scene.tried(sending, DeliveryState.PENDING)
    await scene.apply_all(done, scene.finish(job))
    assert asked[:2] == ["settle", "deliveries_lock"]
    assert await scene.state(job.job.id) == "succeeded"
    (delivery,) = await scene.deliveries(first.job.id)
    assert (delivery.state, delivery.attempt_count) == (DeliveryState.CANCELED, 1)


async def test_so_much_is_kept_and_no_more(
    scene: Scene, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "MOST_KEPT", 2)
    jobs = [await handed_off(scene) for _ in range(3)]
    asked.clear()
    await scene.apply_all(*(scene.finish(job) for job in jobs))
    assert {"jobs_end", "jobs_lock"} <= set(asked)
    assert [await scene.state(job.job.id) for job in jobs] == ["succeeded"] * 3


async def test_a_batch_of_both_kinds_looks_at_destinations_once(
    scene: Scene, asked: list[str]
) -> None:
    await warm(scene)
    first = await handed_off(scene)
    sending: LeasedDelivery
    (sending,) = (await scene.apply(scene.finish(first, hand_off=True))).handed
    second = await handed_off(scene)
    asked.clear()
    done = scene.tried(sending, DeliveryState.DELIVERED, hand_off=True)
    await scene.apply_all(scene.finish(second, hand_off=True), done)
    assert asked == ENDS


async def test_nor_does_one_that_hands_slots_on_while_others_wait(
    scene: Scene, asked: list[str]
) -> None:
    await warm(scene)
    first = await handed_off(scene)
    (sending,) = await handed(scene, scene.finish(first, hand_off=True))
    for _ in range(3):
        await handed(scene, scene.finish(await handed_off(scene), hand_off=True))
    job = await handed_off(scene)
    asked.clear()
    done = scene.tried(sending, DeliveryState.DELIVERED, hand_off=True)
    assert len(await handed(scene, scene.finish(job, hand_off=True), done)) == 1
    assert asked == ["settle", "deliveries_heads", "deliveries_lease_known", "events_owe"]


@pytest.mark.parametrize("name", SETTLE)
def test_the_function_says_what_the_statement_says(name: str) -> None:
    """The statement's plan is looked at; only what comes out of the function is named otherwise."""
    changes = r"(RETURNING delivery.id, delivery.seq|SELECT id, seq FROM ended)$"
    sql = re.sub(changes, "", plain(statement(name)))
    sql = re.sub(r"\$(\d+)::[\w.]+(\[\])?", lambda found: SETTLE[name][int(found[1]) - 1], sql)
    made = "FUNCTION dispatcher.settle("
    *_, newest = (each.sql for each in migrations() if made in each.sql)
    assert sql.strip() in plain(newest)


def plain(sql: str) -> str:
    """Without comments, and with one space between words."""
    return " ".join(re.sub(r"--.*", "", sql).split())


async def test_a_batch_that_waits_is_begun_by_the_commit_before_it(scene: Scene) -> None:
    await warm(scene)
    store = scene.store
    assert isinstance(store, PostgresStore)
    jobs = [await handed_off(scene) for _ in range(3)]
    connection = store._changes._transactor._connection  # what is said on it is the point
    assert connection is not None
    said: list[str] = []
    connection.add_query_logger(lambda each: said.append(each.query))
    each = zip(jobs, (TERMS, ONE_SLOT, ONE_SLOT), strict=True)  # other terms, another batch
    await asyncio.gather(*(scene.apply(scene.finish(job), terms=terms) for job, terms in each))
    begins = [sql for sql in said if sql == statement("begin")]
    chained = [sql for sql in said if sql == statement("commit_and_begin")]
    assert (len(begins), len(chained)) == (1, 1)
    assert said[-1] == statement("commit")
    assert not connection.is_in_transaction()
    assert [await scene.state(job.job.id) for job in jobs] == ["succeeded"] * 3


async def test_one_whose_number_is_another_s_after_a_commit_was_lost(scene: Scene) -> None:
    """As after a fail-over: what this process made is gone, its number was given out again."""
    first = await handed_off(scene)
    (sending,) = (await scene.apply(scene.finish(first, hand_off=True), terms=ONE_SLOT)).handed
    lost, there = await handed_off(scene), await handed_off(scene)
    await scene.apply(scene.finish(lost, hand_off=True), terms=ONE_SLOT)
    (gone,) = await scene.deliveries(lost.job.id)
    await lose(gone.id)
    await scene.apply(scene.finish(there), terms=ONE_SLOT, store=scene.other)
    (waits,) = await scene.deliveries(there.job.id)
    done = scene.tried(sending, DeliveryState.DELIVERED, hand_off=True)
    (handed,) = (await scene.apply(done, terms=ONE_SLOT)).handed
    assert handed.delivery.id == waits.id
    assert handed.job is not None
    assert handed.job.id == handed.event.job_id == there.job.id


async def test_a_retry_has_its_turn_though_each_attempt_comes_with_an_end(scene: Scene) -> None:
    """The slot that an attempt frees is for what waits, not for what the same batch adds."""
    first, second = await handed_off(scene), await handed_off(scene)
    (fails,) = (await scene.apply(scene.finish(first, hand_off=True), terms=ONE_SLOT)).handed
    failed = scene.tried(fails, hand_off=True)
    (sending,) = await handed(scene, failed, scene.finish(second, hand_off=True))
    await scene.advance(5)
    for _ in range(4):
        job = await handed_off(scene)
        done = scene.tried(sending, DeliveryState.DELIVERED, hand_off=True)
        (sending,) = await handed(scene, scene.finish(job, hand_off=True), done)
        if sending.delivery.id == fails.delivery.id:
            return
    raise AssertionError("the retry is passed over")


async def handed(scene: Scene, *changes: Change) -> list[LeasedDelivery]:
    """Apply changes with one slot; what was handed to who sent them."""
    answers = await scene.apply_all(*changes, terms=ONE_SLOT)
    return [leased for each in answers if isinstance(each, Applied) for leased in each.handed]


async def test_an_endpoint_is_registered_after_one_was_ended_and_before_another(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the other asks for other destinations than that of the first would need."""
    await warm(scene)
    known, other = await handed_off(scene), await handed_off(scene)
    await scene.apply(AskCancel(other.job.id, scene.now), store=scene.other)
    fetch, part = Session.fetch, Transactor._part
    added: list[str] = []
    batches: list[int] = []

    async def fetched(session: Session, sql: str, *args: Any) -> list[Any]:
        if NAMES[sql] == "jobs_lock" and not added:
            added.append("")
            added[0] = (await registered(scene, events=(EventType.JOB_SUCCEEDED,))).id
        return await fetch(session, sql, *args)

    async def parted(transactor: Transactor, *args: Any) -> Any:
        batches.append(1)
        return await part(transactor, *args)

    monkeypatch.setattr(Session, "fetch", fetched)
    monkeypatch.setattr(Transactor, "_part", parted)
    await scene.apply_all(scene.finish(known), scene.finish(other, JobState.FAILED))
    assert batches == []
    assert [each.endpoint_id for each in await scene.deliveries(known.job.id)] == [None]


async def lose(delivery_id: str) -> None:
    connection = await asyncpg.connect(PostgresBackend().url)
    try:
        sql = "DELETE FROM dispatcher.delivery WHERE id = $1 RETURNING seq"
        seq = await connection.fetchval(sql, delivery_id)
        column = "pg_get_serial_sequence('dispatcher.delivery', 'seq')"
        await connection.execute(f"SELECT setval({column}, {seq:d}, FALSE)")
    finally:
        await connection.close()


# --- locks -------------------------------------------------------------------------------------


async def told(scene: Scene, origin: str, store: Store) -> LeasedJob:
    """A running job of which a delivery tells that it has begun."""
    events = frozenset({EventType.JOB_STARTED, EventType.JOB_SUCCEEDED})
    callback = replace(a_callback(origin), events=events)
    new = scene.new(scene.job(callback=callback), holder=await scene.hold(store=store))
    (added,) = await scene.add_all(new, store=store)
    assert isinstance(added, Added)
    assert added.leased is not None
    job = added.leased.job
    begun = NoteStarted(
        job_id=job.id, lease=added.leased.lease, at=scene.now, event_id=scene.ids.new("evt")
    )
    await scene.apply(begun, store=store)
    return added.leased


async def test_who_sends_what_the_other_s_job_told_does_not_cross_its_end(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ends a job that drops what the other records: both lock both first, in one order."""
    jobs = [
        await told(scene, "https://one.example", scene.store),
        await told(scene, "https://two.example", scene.other),
    ]
    (mine,) = (await scene.lease(limit=1)).deliveries
    (theirs,) = (await scene.lease(store=scene.other)).deliveries
    by_id = {each.job.id: each for each in jobs}
    both_have_tried, fetch, once = asyncio.Barrier(2), Session.fetch, Transactor._once
    crossed: list[Exception] = []

    async def fetched(session: Session, sql: str, *args: Any) -> list[Any]:
        rows = await fetch(session, sql, *args)
        if NAMES[sql] == "deliveries_tried":
            try:
                async with asyncio.timeout(0.3):  # in vain if the other waits for these locks
                    await both_have_tried.wait()
            except (TimeoutError, asyncio.BrokenBarrierError):
                pass
        return rows

    async def tried(transactor: Transactor, *args: Any) -> Any:
        try:
            return await once(transactor, *args)
        except asyncpg.DeadlockDetectedError as error:
            crossed.append(error)
            raise

    monkeypatch.setattr(Session, "fetch", fetched)
    monkeypatch.setattr(Transactor, "_once", tried)
    await asyncio.gather(
        *(
            scene.apply_all(
                scene.finish(by_id[other.delivery.job_id or ""]),
                scene.tried(sending, DeliveryState.DELIVERED),
                store=store,
            )
            for sending, other, store in (
                (mine, theirs, scene.store),
                (theirs, mine, scene.other),
            )
        )
    )
    assert crossed == []


async def test_of_many_that_wait_the_first_are_remembered(
    scene: Scene, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are sent in that order. What others sent instead does not fill the memory for ever."""
    monkeypatch.setattr(remembered, "MOST_KEPT", 2)
    first = await handed_off(scene)
    (sending,) = (await scene.apply(scene.finish(first, hand_off=True), terms=ONE_SLOT)).handed
    for _ in range(3):
        await scene.apply(scene.finish(await handed_off(scene), hand_off=True), terms=ONE_SLOT)
    read = []
    for _ in range(3):
        asked.clear()
        done = scene.tried(sending, DeliveryState.DELIVERED, hand_off=True)
        (sending,) = (await scene.apply(done, terms=ONE_SLOT)).handed
        read.append("deliveries_lease" in asked)
    assert read == [False, False, True]


def test_what_is_never_taken_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "MOST_KEPT", 2)
    first: remembered._First[str] = remembered._First()  # as few as that are told apart here
    for key in range(5):
        first.put(key, str(key))
    assert [first.take(key) for key in range(5)] == [None, None, None, None, "4"]
