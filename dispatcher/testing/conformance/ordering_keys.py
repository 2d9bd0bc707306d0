"""`ordering_key`: one after another, in the order received, and nobody else is held up."""

from __future__ import annotations

from typing import Any

from dispatcher.core.changes import LeasedJob
from dispatcher.core.model import Job, JobState
from dispatcher.ports.records import Added
from dispatcher.ports.views import QueueBacklog
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import ANN, BEN, LEASE_SECONDS, MAIL, REPORT, a_callback

KEY = "order-1"


async def keyed(scene: Scene, count: int = 1, **members: Any) -> list[Job]:
    return await scene.add(count=count, **{"ordering_key": KEY, **members})


async def claimed(scene: Scene, **members: Any) -> list[str]:
    return [leased.job.id for leased in (await scene.claim(**members)).jobs]


async def the_one(scene: Scene) -> LeasedJob:
    """The only job that a claim finds."""
    (leased,) = (await scene.claim()).jobs
    return leased


class TestKeys:
    async def test_one_after_another_in_the_order_received(self, scene: Scene) -> None:
        jobs = await keyed(scene, 4)
        for job in jobs:
            leased = await the_one(scene)
            assert leased.job.id == job.id
            assert await claimed(scene) == []
            assert await claimed(scene, store=scene.other) == []
            await scene.apply(scene.finish(leased))

    async def test_whatever_their_queues_types_and_priorities(self, scene: Scene) -> None:
        jobs = await keyed(scene, priority=0)
        jobs += await keyed(scene, priority=9)
        jobs += await keyed(scene, queue="other")
        jobs += await keyed(scene, type=REPORT)
        for job in jobs:
            leased = await the_one(scene)
            assert leased.job.id == job.id
            await scene.apply(scene.finish(leased))

    async def test_keys_of_others_and_other_keys_are_not_held_up(self, scene: Scene) -> None:
        (first,) = await keyed(scene)
        await keyed(scene, 3)
        (of_ben,) = await keyed(scene, caller_id=BEN)
        (other,) = await keyed(scene, ordering_key="order-2")
        (free,) = await scene.add()
        assert sorted(await claimed(scene)) == sorted([first.id, of_ben.id, other.id, free.id])

    async def test_a_job_that_failed_holds_its_place_until_it_is_tried_again(
        self, scene: Scene
    ) -> None:
        first, second = await keyed(scene, 2)
        await scene.apply(scene.back(await the_one(scene), after_seconds=60))
        assert await claimed(scene) == []
        await scene.advance(60)
        again = await the_one(scene)
        assert again.job.id == first.id
        await scene.apply(scene.back(again, after_seconds=5, retrying=False))
        assert await claimed(scene) == []
        await scene.advance(5)
        await scene.apply(scene.finish(await the_one(scene), JobState.FAILED))
        assert await claimed(scene) == [second.id]

    async def test_a_crash_loses_no_place(self, scene: Scene) -> None:
        first, second = await keyed(scene, 2)
        await the_one(scene)
        await scene.advance(LEASE_SECONDS)
        leased = await the_one(scene)
        assert (leased.job.id, leased.job.crash_count) == (first.id, 1)
        await scene.apply(scene.finish(leased))
        assert await claimed(scene) == [second.id]

    async def test_ends_without_a_run_let_the_next_go(self, scene: Scene) -> None:
        first, second, third = await keyed(scene, 3)
        await scene.apply(scene.end_waiting(second))
        result = await scene.apply(scene.end_waiting(first, JobState.EXPIRED))
        assert result.job_ready_at is not None
        assert result.job_ready_at <= scene.now
        assert await claimed(scene) == [third.id]

    async def test_whoever_ends_the_first_is_told_of_the_next(self, scene: Scene) -> None:
        _, second = await keyed(scene, 2, callback=a_callback())
        result = await scene.apply(scene.finish(await the_one(scene), hand_off=True))
        assert result.job_ready_at == scene.now
        assert result.handed
        result = await scene.apply(scene.finish(await the_one(scene)))
        assert result.job_ready_at is None
        assert (await scene.record(second.id)).job.done

    async def test_what_comes_later_waits_though_the_rest_has_ended(self, scene: Scene) -> None:
        await keyed(scene)
        await scene.apply(scene.finish(await the_one(scene)))
        (later,) = await keyed(scene)
        assert await claimed(scene) == [later.id]
        (last,) = await keyed(scene)
        assert await claimed(scene) == []
        assert await scene.state(last.id) is JobState.WAITING


class TestScheduledWithKeys:
    async def test_a_job_joins_when_it_becomes_due(self, scene: Scene) -> None:
        (scheduled,) = await keyed(scene, due_at=scene.now + 60_000)
        first, second, third = await keyed(scene, 3)
        running = await the_one(scene)
        assert running.job.id == first.id
        await scene.apply(scene.finish(running))
        running = await the_one(scene)
        assert running.job.id == second.id
        await scene.advance(60)
        await scene.apply(scene.finish(running))
        running = await the_one(scene)
        assert running.job.id == scheduled.id, "received before the third, and due by now"
        await scene.apply(scene.finish(running))
        assert await claimed(scene) == [third.id]

    async def test_one_that_becomes_due_goes_before_those_received_later(
        self, scene: Scene
    ) -> None:
        (scheduled,) = await keyed(scene, due_at=scene.now + 5_000, queue="other")
        await keyed(scene)
        await scene.advance(5)
        assert await claimed(scene) == [scheduled.id]

    async def test_the_next_is_told_in_time(self, scene: Scene) -> None:
        (late,) = await keyed(scene, due_at=scene.now + 9_000)
        (early,) = await keyed(scene, due_at=scene.now + 5_000)
        result = await scene.claim()
        assert result.jobs == ()
        assert result.next_at is not None
        assert scene.now < result.next_at <= scene.now + 5_000
        await scene.advance(5)
        running = await the_one(scene)
        assert running.job.id == early.id
        await scene.advance(4)
        assert await claimed(scene) == []
        await scene.apply(scene.finish(running))
        assert await claimed(scene) == [late.id]

    async def test_many_that_become_due_at_once(self, scene: Scene) -> None:
        jobs = [scene.job(ordering_key=KEY, due_at=scene.now + 1_000) for _ in range(700)]
        await scene.add_all(*(scene.new(job) for job in jobs))
        (free,) = await scene.add(due_at=scene.now + 1_000)
        await scene.advance(1)
        found: list[str] = []
        for _ in range(10):
            found += await claimed(scene)
        assert sorted(found) == sorted([jobs[0].id, free.id])


class TestKeysAndHandOff:
    async def test_only_if_nothing_of_its_key_is_open(self, scene: Scene) -> None:
        holder = await scene.hold()

        async def handed(**members: Any) -> LeasedJob | None:
            new = scene.new(scene.job(**{"ordering_key": KEY, **members}), holder=holder)
            (result,) = await scene.add_all(new)
            assert isinstance(result, Added)
            return result.leased

        first = await handed()
        assert first is not None
        assert await handed(queue="other") is None
        assert await handed(ordering_key="order-2") is not None
        assert await handed(ordering_key=None) is not None, "what can't be claimed holds nobody up"
        assert await handed(caller_id=BEN) is not None
        await scene.apply(scene.finish(first))
        assert await handed() is None

    async def test_scheduled_ones_hold_nothing_up_until_they_are_due(self, scene: Scene) -> None:
        holder = await scene.hold()
        await keyed(scene, due_at=scene.now + 1_000, queue="other")
        one = scene.new(scene.job(ordering_key=KEY), holder=holder)
        (result,) = await scene.add_all(one)
        assert isinstance(result, Added)
        assert result.leased is not None
        await scene.apply(scene.finish(result.leased))
        await scene.advance(1)
        two = scene.new(scene.job(ordering_key=KEY), holder=holder)
        (result,) = await scene.add_all(two)
        assert isinstance(result, Added)
        assert result.leased is None


class TestManyBehindAKey:
    async def test_they_are_counted_as_waiting_and_outlive_pruning(self, scene: Scene) -> None:
        await keyed(scene, 3)
        await scene.add(due_at=scene.now + 1_000)
        leased = await the_one(scene)
        await scene.advance(0.5)
        await scene.other.prune(100)
        (queue,) = (await scene.store.backlog(100)).queues
        assert queue == QueueBacklog(
            queue="default",
            waiting=2,
            scheduled=1,
            running=1,
            oldest_due_at=leased.job.created_at,
        )
        await scene.apply(scene.finish(leased))
        await scene.apply(scene.finish(await the_one(scene)))
        await scene.apply(scene.finish(await the_one(scene)))

    async def test_a_key_with_nothing_else_in_its_queue_is_not_forgotten(
        self, scene: Scene
    ) -> None:
        await keyed(scene, queue="one", type=MAIL)
        (behind,) = await keyed(scene, queue="two", type=REPORT)
        leased = await the_one(scene)
        await scene.store.prune(100)
        await scene.apply(scene.finish(leased))
        assert await claimed(scene) == [behind.id]
        assert (await scene.record(behind.id)).job.caller_id == ANN
