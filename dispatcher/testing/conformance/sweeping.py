"""`sweep` finds what is overdue, `prune` erases what has had its time."""

from __future__ import annotations

import asyncio

from dispatcher.core.changes import EndDelivery, Redeliver
from dispatcher.core.lifecycle import UNKNOWN_ATTEMPTS, decide_overdue
from dispatcher.core.model import DeliveryState, JobState
from dispatcher.ports.erasing import ERASED_KEPT_SECONDS
from dispatcher.ports.records import DEAD_KEPT_SECONDS, Idempotency, Overdue
from dispatcher.testing.conformance.changing import note_output
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import (
    EVERY_EVENT,
    LEASE_SECONDS,
    ORIGIN,
    TERMS,
    a_callback,
)


class TestSweep:
    async def test_nothing_is_overdue_where_all_is_well(self, scene: Scene) -> None:
        await scene.running(deadline=scene.now + 1_000)
        await scene.add(start_by=scene.now + 1_000)
        assert await scene.store.sweep(10) == Overdue()

    async def test_jobs_of_types_that_nobody_claims(self, scene: Scene) -> None:
        leased = await scene.running()
        await scene.advance(LEASE_SECONDS - 0.001)
        assert (await scene.store.sweep(10)).lost_jobs == ()
        await scene.advance(0.001)
        assert (await scene.store.sweep(10)).lost_jobs == ((leased.job, leased.lease),)

    async def test_what_is_late(self, scene: Scene) -> None:
        (deadline,) = await scene.add(deadline=scene.now + 1_000, queue="a")
        (start_by,) = await scene.add(start_by=scene.now + 2_000, queue="b")
        (later,) = await scene.add(start_by=scene.now + 3_000, due_at=scene.now + 90_000, queue="c")
        await scene.advance(0.999)
        assert await scene.store.sweep(10) == Overdue()
        for job in (deadline, start_by, later):
            await scene.advance(0.001)
            late = (await scene.store.sweep(10)).late_jobs
            assert late == ((job, None),)
            change = decide_overdue(job, None, now=scene.now, event_id=scene.ids.new("evt"))
            assert change is not None
            await scene.apply(change)
            assert await scene.state(job.id) is JobState.EXPIRED
            await scene.advance(0.999)

    async def test_a_running_job_past_its_deadline_comes_with_its_lease(self, scene: Scene) -> None:
        leased = await scene.running(deadline=scene.now + 1_000)
        await scene.advance(1)
        ((job, lease),) = (await scene.store.sweep(10)).late_jobs
        assert (job, lease) == (leased.job, leased.lease)
        change = decide_overdue(job, lease, now=scene.now, event_id=scene.ids.new("evt"))
        assert change is not None
        await scene.apply(change)
        assert await scene.state(job.id) is JobState.EXPIRED
        assert await scene.store.sweep(10) == Overdue()

    async def test_start_by_binds_only_until_the_first_attempt(self, scene: Scene) -> None:
        """What `decide_overdue` lets go on would fill the sweep's answer for ever."""
        await scene.running(start_by=scene.now + 1_000)
        leased = await scene.running(start_by=scene.now + 1_000)
        back = scene.back(leased, after_seconds=9)
        await scene.apply(back)
        await scene.advance(2)
        assert (await scene.store.sweep(10)).late_jobs == ()

    async def test_it_changes_nothing_and_keeps_to_its_limit(self, scene: Scene) -> None:
        await scene.add(count=5, deadline=scene.now + 1_000, due_at=scene.now + 1)
        for _ in range(2):
            await scene.running(max_attempts=1)
        await scene.advance(LEASE_SECONDS)
        before = await scene.jobs()
        first = await scene.store.sweep(2)
        assert (len(first.late_jobs), len(first.lost_jobs)) == (2, 2)
        assert await scene.other.sweep(2) == first
        assert await scene.jobs() == before
        whole = await scene.store.sweep(100)
        assert len(whole.late_jobs) == 5
        assert whole.late_jobs[:2] == first.late_jobs

    async def test_lost_deliveries_are_oldest_first(self, scene: Scene) -> None:
        lost = []
        for number in range(3):
            callback = a_callback(f"{ORIGIN}:90{number}0")
            job = await scene.end(callback=callback)
            lost += [delivery.id for delivery in await scene.deliveries(job.id)]
        for _ in range(UNKNOWN_ATTEMPTS + 1):
            assert len((await scene.lease()).deliveries) == 3
            await scene.advance(TERMS.lease_seconds)
        found = (await scene.store.sweep(10)).lost_deliveries
        assert {delivery.id for delivery, *_ in found} == set(lost)
        assert len((await scene.store.sweep(2)).lost_deliveries) == 2


async def whole_life(scene: Scene) -> str:
    """A job with all that a job can leave behind, ended and delivered; it expires at once."""
    key = Idempotency("life", b"d" * 32, scene.now + 1)
    job = scene.job(
        callback=a_callback(events=EVERY_EVENT), retention_seconds=0.001, metadata={"a": "b"}
    )
    await scene.add_all(scene.new(job, key=key))
    (leased,) = (await scene.claim()).jobs
    for _ in range(3):
        await scene.apply(note_output(scene, leased.job, leased.lease))
    await scene.apply(scene.finish(leased, result=b"[" + b"1," * 99_999 + b"1]"))
    for _ in range(3):
        (sending,) = (await scene.lease()).deliveries
        await scene.apply(scene.tried(sending, after_seconds=0))
    (sending,) = (await scene.lease()).deliveries
    await scene.apply(scene.tried(sending, DeliveryState.DELIVERED))
    return job.id


class TestPrune:
    async def test_what_has_expired_goes_with_all_of_its_own(self, scene: Scene) -> None:
        kept = await scene.end(retention_seconds=60)
        gone = await whole_life(scene)
        assert await scene.store.prune(100) == 0
        await scene.advance(0.001)
        assert await scene.store.prune(100) == 1
        assert await scene.store.get_job(gone, None) is None
        assert await scene.store.get_result(gone, None) is None
        assert await scene.store.list_events(gone, None, limit=10, after=0) is None
        assert await scene.delivery_records(gone) == []
        assert [job.id for job in await scene.jobs()] == [kept.id]
        assert (await scene.record(kept.id)).result is not None

    async def test_no_row_is_left_behind(self, scene: Scene) -> None:
        """Lanes and destinations stay; what each further job leaves would add up for ever."""
        counts = []
        for _ in range(3):
            await whole_life(scene)
            await scene.advance(3_600)
            assert await scene.store.prune(100) == 1
            await scene.advance(ERASED_KEPT_SECONDS)
            await scene.store.prune(100)
            counts.append(await scene.backend.count_rows())
        assert counts[1] == counts[0]
        assert counts[2] == counts[0]

    async def test_in_small_batches(self, scene: Scene) -> None:
        await scene.add_all(*(scene.new(scene.job(retention_seconds=1)) for _ in range(7)))
        leased = (await scene.claim()).jobs
        await scene.apply_all(*(scene.finish(one) for one in leased))
        await scene.advance(1)
        assert [await scene.store.prune(3) for _ in range(4)] == [3, 3, 1, 0]
        assert await scene.jobs() == []

    async def test_two_at_once_erase_different_jobs(self, scene: Scene) -> None:
        await scene.add_all(*(scene.new(scene.job(retention_seconds=1)) for _ in range(12)))
        leased = (await scene.claim()).jobs
        await scene.apply_all(*(scene.finish(one) for one in leased))
        await scene.advance(1)
        erased = await asyncio.gather(*(each.prune(3) for each in (scene.store, scene.other)))
        assert erased == [3, 3]
        assert len(await scene.jobs()) == 6

    async def test_what_is_not_done_never_goes(self, scene: Scene) -> None:
        await scene.add(retention_seconds=1, queue="other", due_at=scene.now + 9_000_000)
        await scene.running(retention_seconds=1)
        await scene.advance(86_400)
        assert await scene.store.prune(100) == 0
        assert len(await scene.jobs()) == 2

    async def test_what_owes_a_delivery_stays(self, scene: Scene) -> None:
        job = await scene.end(callback=a_callback(), retention_seconds=1)
        await scene.advance(86_400)
        assert await scene.store.prune(100) == 0
        (sending,) = (await scene.lease()).deliveries
        assert await scene.store.prune(100) == 0
        await scene.apply(scene.tried(sending, DeliveryState.DELIVERED))
        assert await scene.store.prune(100) == 1
        assert await scene.store.get_job(job.id, None) is None

    async def test_a_dead_delivery_keeps_its_job_for_thirty_days(self, scene: Scene) -> None:
        sending = await scene.sending(retention_seconds=1)
        await scene.advance(10)
        await scene.apply(scene.tried(sending, DeliveryState.DEAD))
        await scene.advance(DEAD_KEPT_SECONDS - 0.001)
        assert await scene.store.prune(100) == 0
        assert (await scene.delivery(sending.delivery.id)).state is DeliveryState.DEAD
        await scene.advance(0.001)
        assert await scene.store.prune(100) == 1
        assert await scene.store.get_delivery(sending.delivery.id, None) is None

    async def test_a_canceled_delivery_goes_with_its_job(self, scene: Scene) -> None:
        (owed,) = await scene.owed()
        await scene.apply(EndDelivery(owed, DeliveryState.CANCELED, scene.now))
        await scene.advance(3_600)
        assert await scene.store.prune(100) == 1

    async def test_one_redelivered_and_delivered_goes_with_its_job(self, scene: Scene) -> None:
        sending = await scene.sending(retention_seconds=1)
        await scene.apply(scene.tried(sending, DeliveryState.DEAD))
        await scene.advance(10)
        await scene.apply(Redeliver(delivery_id=sending.delivery.id, round=2, at=scene.now))
        assert await scene.store.prune(100) == 0
        (again,) = (await scene.lease()).deliveries
        await scene.apply(scene.tried(again, DeliveryState.DELIVERED))
        assert await scene.store.prune(100) == 1

    async def test_one_that_stays_blocks_no_other(self, scene: Scene) -> None:
        for _ in range(5):
            await scene.end(callback=a_callback(), retention_seconds=1)
        free = await scene.end(retention_seconds=2)
        await scene.advance(86_400)
        assert sum([await scene.store.prune(2) for _ in range(10)]) == 1
        assert free.id not in [job.id for job in await scene.jobs()]

    async def test_a_key_is_forgotten_only_past_its_time(self, scene: Scene) -> None:
        key = Idempotency("k", b"d" * 32, scene.now + 86_400_000)
        await scene.add_all(scene.new(scene.job(), key=key))
        await scene.store.prune(100)
        (again,) = await scene.add_all(scene.new(scene.job(), key=key))
        assert type(again).__name__ == "Replayed"

    async def test_a_holder_with_jobs_is_not_forgotten(self, scene: Scene) -> None:
        leased = await scene.running(max_attempts=1)
        await scene.advance(LEASE_SECONDS)
        await scene.store.prune(100)
        assert (await scene.store.sweep(10)).lost_jobs == ((leased.job, leased.lease),)
