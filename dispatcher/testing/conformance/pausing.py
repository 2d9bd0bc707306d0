"""Paused queues, and how much may run at once over all processes."""

from __future__ import annotations

import asyncio

from dispatcher.core.model import JobState
from dispatcher.ports.records import UNBOUNDED, Added, Concurrency, HandOff, NewJob
from dispatcher.ports.views import Pauses
from dispatcher.testing.conformance.ordering_keys import claimed
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import BEN, LEASE_SECONDS, MAIL, REPORT


async def handed(
    scene: Scene, holder: str, concurrency: Concurrency = UNBOUNDED, **members: object
) -> bool:
    """Whether a job that is added now is handed off."""
    hand_off = HandOff(holder, scene.ids.new("lse"), concurrency)
    (result,) = await scene.add_all(NewJob(scene.job(**members), b"{}", None, hand_off))
    assert isinstance(result, Added)
    return result.leased is not None


class TestPausingQueues:
    async def test_nothing_of_a_paused_queue_is_claimed(self, scene: Scene) -> None:
        (held,) = await scene.add(queue="held")
        await scene.store.pause("held", scene.now)
        (later,) = await scene.add(queue="held", caller_id=BEN, type=REPORT)
        (free,) = await scene.add(queue="free")
        result = await scene.claim()
        assert [leased.job.id for leased in result.jobs] == [free.id]
        assert result.next_at is None or result.next_at > scene.now
        await scene.other.resume("held")
        assert sorted(await claimed(scene)) == sorted([held.id, later.id])

    async def test_nothing_of_it_is_handed_off(self, scene: Scene) -> None:
        holder = await scene.hold()
        await scene.store.pause("held", scene.now)
        assert not await handed(scene, holder, queue="held")
        assert await handed(scene, holder, queue="free")
        await scene.store.pause(None, scene.now)
        assert not await handed(scene, holder, queue="free")
        assert not await handed(scene, holder, queue="new")

    async def test_what_runs_goes_on_and_what_is_put_back_waits(self, scene: Scene) -> None:
        leased = await scene.running(queue="held")
        await scene.store.pause("held", scene.now)
        await scene.apply(scene.back(leased))
        assert await claimed(scene) == []
        await scene.store.resume("held")
        (again,) = (await scene.claim()).jobs
        await scene.store.pause("held", scene.now)
        await scene.apply(scene.finish(again))
        assert await scene.state(again.job.id) is JobState.SUCCEEDED

    async def test_all_and_one_are_independent(self, scene: Scene) -> None:
        (one,) = await scene.add(queue="one")
        (two,) = await scene.add(queue="two")
        began = scene.now
        await scene.store.pause("one", began)
        await scene.advance(1)
        await scene.store.pause(None, scene.now)
        await scene.store.pause("one", scene.now)
        assert await scene.other.pauses() == Pauses(scene.now, {"one": began})
        await scene.other.resume("two")
        assert await claimed(scene) == []
        await scene.other.resume(None)
        assert await claimed(scene) == [two.id]
        await scene.other.resume("one")
        assert await claimed(scene) == [one.id]
        assert await scene.store.pauses() == Pauses(None, {})

    async def test_it_holds_for_lanes_that_go_and_come(self, scene: Scene) -> None:
        await scene.end(queue="held")
        await scene.store.pause("held", scene.now)
        await scene.store.prune(100)
        await scene.add(queue="held")
        assert await claimed(scene) == []

    async def test_what_is_taken_back_in_a_paused_queue_waits(self, scene: Scene) -> None:
        leased = await scene.running(queue="held")
        await scene.store.pause("held", scene.now)
        await scene.advance(LEASE_SECONDS)
        assert await claimed(scene) == []
        await scene.store.resume("held")
        assert await claimed(scene) == [leased.job.id]


class TestConcurrency:
    async def test_no_more_of_a_queue_than_may_run(self, scene: Scene) -> None:
        most = Concurrency(queues={"narrow": 2})
        await scene.add(count=3, queue="narrow")
        await scene.add(count=2, queue="narrow", caller_id=BEN, type=REPORT)
        (free,) = await scene.add(queue="free")
        result = await scene.claim(concurrency=most)
        narrow = [one for one in result.jobs if one.job.queue == "narrow"]
        assert len(narrow) == 2
        assert free.id in [one.job.id for one in result.jobs]
        assert result.next_at is None or result.next_at > scene.now
        assert await claimed(scene, concurrency=most, store=scene.other) == []
        await scene.apply(scene.finish(narrow[0]))
        assert len(await claimed(scene, concurrency=most, store=scene.other)) == 1

    async def test_no_more_of_a_type_than_may_run(self, scene: Scene) -> None:
        most = Concurrency(types={MAIL: 1})
        await scene.add(count=2, queue="one")
        await scene.add(count=2, queue="two", caller_id=BEN)
        (report,) = await scene.add(type=REPORT)
        result = await scene.claim(concurrency=most)
        assert sorted(one.job.type for one in result.jobs) == [MAIL, REPORT]
        assert result.next_at is None or result.next_at > scene.now
        assert report.id in [one.job.id for one in result.jobs]
        assert await claimed(scene, concurrency=most) == []

    async def test_hand_offs_count_and_are_counted(self, scene: Scene) -> None:
        holder = await scene.hold()
        most = Concurrency(types={REPORT: 1}, queues={"narrow": 1})
        assert await handed(scene, holder, most, queue="narrow")
        assert not await handed(scene, holder, most, queue="narrow")
        assert await claimed(scene, concurrency=most) == []
        assert await handed(scene, holder, most, queue="one", type=REPORT)
        assert not await handed(scene, holder, most, queue="two", type=REPORT)

    async def test_it_is_exact_however_many_claim_at_once(self, scene: Scene) -> None:
        most = Concurrency(queues={"narrow": 3})
        await scene.add(count=12, queue="narrow")
        claims = await asyncio.gather(
            *(scene.claim(concurrency=most, limit=2, store=s) for s in (scene.store, scene.other)),
            *(scene.claim(concurrency=most, limit=2, store=s) for s in (scene.store, scene.other)),
        )
        assert sum(len(one.jobs) for one in claims) == 3

    async def test_an_ended_lease_makes_room(self, scene: Scene) -> None:
        most = Concurrency(queues={"narrow": 1})
        await scene.running(queue="narrow")
        await scene.add(queue="narrow")
        assert await claimed(scene, concurrency=most) == []
        await scene.advance(LEASE_SECONDS)
        found = await claimed(scene, concurrency=most)
        assert len(found) == 1
        assert await claimed(scene, concurrency=most) == []
