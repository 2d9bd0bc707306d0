"""How much there is to do: what waits, for how long, and what is under way."""

from __future__ import annotations

from dispatcher.core.model import DeliveryState
from dispatcher.ports.views import Backlog, DeliveryBacklog, QueueBacklog
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import ANN, BEN, MAIL, ORIGIN, OTHER_ORIGIN, REPORT

PLENTY = 10_000


async def backlog(scene: Scene, most: int = PLENTY) -> Backlog:
    """Asked of the other store, so that it tells what stands in the database."""
    return await scene.other.backlog(most)


class TestBacklog:
    async def test_of_an_empty_store_there_is_none(self, scene: Scene) -> None:
        assert await backlog(scene) == Backlog(at=scene.now)

    async def test_jobs_are_told_by_queue_whoever_they_are_of(self, scene: Scene) -> None:
        later = scene.now + 60_000
        began = scene.now
        await scene.add(count=2, caller_id=ANN, type=MAIL, queue="mail", priority=0)
        await scene.advance(3)
        await scene.add(count=3, caller_id=BEN, type=REPORT, queue="mail", priority=9)
        await scene.add(count=4, caller_id=ANN, queue="mail", due_at=later)
        await scene.add(count=1, caller_id=ANN, queue="later", due_at=later)
        assert (await backlog(scene)).queues == (
            QueueBacklog(queue="later", scheduled=1),
            QueueBacklog(queue="mail", waiting=5, scheduled=4, oldest_due_at=began),
        )

    async def test_what_is_scheduled_becomes_due(self, scene: Scene) -> None:
        due_at = scene.now + 60_000
        await scene.add(due_at=due_at)
        await scene.advance(60)
        (found,) = (await backlog(scene)).queues
        assert found == QueueBacklog(queue="default", waiting=1, oldest_due_at=due_at)

    async def test_the_oldest_is_found_behind_younger_ones_of_its_queue(self, scene: Scene) -> None:
        """A lane that was served goes behind others, and its oldest job may have waited longest."""
        await scene.add(count=3, caller_id=ANN)
        oldest = scene.now
        await scene.advance(5)
        await scene.add(count=3, caller_id=BEN)
        await scene.claim(limit=2)
        (found,) = (await backlog(scene)).queues
        assert (found.waiting, found.running, found.oldest_due_at) == (4, 2, oldest)

    async def test_what_runs_waits_no_more_and_what_ended_is_gone(self, scene: Scene) -> None:
        leased = await scene.running(queue="mail")
        assert (await backlog(scene)).queues == (QueueBacklog(queue="mail", running=1),)
        await scene.apply(scene.finish(leased))
        assert (await backlog(scene)).queues == ()

    async def test_what_is_tried_again_is_scheduled(self, scene: Scene) -> None:
        leased = await scene.running()
        await scene.apply(scene.back(leased, after_seconds=5))
        assert (await backlog(scene)).queues == (QueueBacklog(queue="default", scheduled=1),)

    async def test_deliveries_are_due_scheduled_or_being_sent(self, scene: Scene) -> None:
        first_at = scene.now
        await scene.owed(ORIGIN, ORIGIN, ORIGIN, OTHER_ORIGIN)
        await scene.advance(2)
        assert (await backlog(scene)).deliveries == DeliveryBacklog(due=4, oldest_due_at=first_at)
        claimed = (await scene.lease(limit=3)).deliveries
        await scene.apply(scene.tried(claimed[0], after_seconds=5))
        await scene.apply(scene.tried(claimed[1], DeliveryState.DELIVERED))
        assert (await backlog(scene)).deliveries == DeliveryBacklog(
            due=1, scheduled=1, sending=1, oldest_due_at=first_at
        )
        await scene.advance(5)
        found = (await backlog(scene)).deliveries
        assert (found.due, found.scheduled, found.sending) == (2, 0, 1)

    async def test_it_counts_no_further_than_asked(self, scene: Scene) -> None:
        jobs = [scene.job() for _ in range(60)]
        await scene.add_all(*(scene.new(job) for job in jobs))
        (found,) = (await backlog(scene, most=20)).queues
        assert 20 <= found.waiting <= 30
        assert found.oldest_due_at == scene.now
