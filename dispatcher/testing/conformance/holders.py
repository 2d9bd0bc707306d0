"""Holders and their beat; jobs taken back from those whose lease has ended."""

from __future__ import annotations

import asyncio
import threading

import pytest

from dispatcher.core.changes import AskCancel
from dispatcher.core.errors import Stopping
from dispatcher.ports.records import HeldJob, Stale
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import LEASE_SECONDS, MAIL, REPORT


async def taken_back(scene: Scene) -> dict[str, int]:
    """What a claim by a new holder gets: job id to attempt."""
    claimed = await scene.claim(store=scene.other)
    return {leased.job.id: leased.job.attempt_count for leased in claimed.jobs}


class TestHeart:
    async def test_a_job_is_held_as_long_as_its_holder_beats(self, scene: Scene) -> None:
        holder = scene.ids.new("hld")
        heart = scene.store.heart(holder, "a test", LEASE_SECONDS)
        await asyncio.to_thread(heart.beat)
        leased = await scene.running(holder)
        for _ in range(5):
            await scene.advance(LEASE_SECONDS - 0.001)
            await asyncio.to_thread(heart.beat)
        await scene.advance(LEASE_SECONDS - 0.001)
        assert await taken_back(scene) == {}
        await scene.advance(0.001)
        assert await taken_back(scene) == {leased.job.id: 2}
        heart.close()

    async def test_a_holder_that_was_late_is_told_to_stop(self, scene: Scene) -> None:
        heart = scene.store.heart(scene.ids.new("hld"), "a test", LEASE_SECONDS)
        await asyncio.to_thread(heart.beat)
        await scene.advance(LEASE_SECONDS)
        for _ in range(2):
            with pytest.raises(Stopping):
                await asyncio.to_thread(heart.beat)
        heart.close()

    async def test_a_late_beat_gives_nothing_back(self, scene: Scene) -> None:
        holder = scene.ids.new("hld")
        heart = scene.store.heart(holder, "a test", LEASE_SECONDS)
        await asyncio.to_thread(heart.beat)
        leased = await scene.running(holder)
        await scene.advance(LEASE_SECONDS)
        with pytest.raises(Stopping):
            await asyncio.to_thread(heart.beat)
        assert await taken_back(scene) == {leased.job.id: 2}
        heart.close()

    async def test_a_holder_that_was_forgotten_is_told_to_stop(self, scene: Scene) -> None:
        """Its row may be gone once it holds nothing; its lease had ended all the same."""
        heart = scene.store.heart(scene.ids.new("hld"), "a test", LEASE_SECONDS)
        await asyncio.to_thread(heart.beat)
        await scene.advance(LEASE_SECONDS)
        await scene.claim()
        await scene.store.prune(100)
        with pytest.raises(Stopping):
            await asyncio.to_thread(heart.beat)
        heart.close()

    async def test_it_beats_while_the_event_loop_is_blocked(self, scene: Scene) -> None:
        """Blocks this very loop until a thread's beat stands: it must not need the loop."""
        holder = scene.ids.new("hld")
        heart = scene.store.heart(holder, "a test", LEASE_SECONDS)
        beaten = threading.Event()

        def beat() -> None:
            heart.beat()
            beaten.set()

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        thread.join(timeout=10)
        assert beaten.is_set(), "the beat waits for the event loop"
        heart.close()
        await scene.running(holder)
        assert await taken_back(scene) == {}

    async def test_closing_it_leaves_the_lease(self, scene: Scene) -> None:
        holder = await scene.hold()  # closes its heart
        leased = await scene.running(holder)
        assert await taken_back(scene) == {}
        await scene.apply(scene.finish(leased))

    async def test_a_second_process_has_a_lease_of_its_own(self, scene: Scene) -> None:
        first, second = await scene.hold(), await scene.hold(store=scene.other, seconds=90)
        lost = await scene.running(first)
        await scene.running(second)
        await scene.advance(LEASE_SECONDS)
        assert await taken_back(scene) == {lost.job.id: 2}


class TestTakingBack:
    async def test_whoever_held_it_and_whatever_else_waits(self, scene: Scene) -> None:
        lost = await scene.running(priority=9)
        (waiting,) = await scene.add(priority=1)
        await scene.advance(LEASE_SECONDS)
        assert await taken_back(scene) == {lost.job.id: 2, waiting.id: 1}

    async def test_the_late_worker_changes_nothing(self, scene: Scene) -> None:
        lost = await scene.running()
        await scene.advance(LEASE_SECONDS)
        assert await taken_back(scene) == {lost.job.id: 2}
        before = await scene.record(lost.job.id)
        assert await scene.apply_all(scene.finish(lost)) == [Stale()]
        assert await scene.record(lost.job.id) == before

    async def test_a_worker_that_was_not_yet_replaced_may_finish(self, scene: Scene) -> None:
        """The token decides: as long as it is the row's, nobody else has begun."""
        late = await scene.running()
        await scene.advance(LEASE_SECONDS)
        await scene.apply(scene.finish(late))
        assert await taken_back(scene) == {}

    async def test_used_up_attempts_are_left_to_the_sweep(self, scene: Scene) -> None:
        poison = await scene.running(max_attempts=1)
        await scene.advance(LEASE_SECONDS)
        assert await taken_back(scene) == {}
        assert (await scene.record(poison.job.id)).job == poison.job
        overdue = await scene.store.sweep(10)
        assert overdue.lost_jobs == ((poison.job, poison.lease),)

    async def test_each_loss_counts(self, scene: Scene) -> None:
        (job,) = await scene.add(max_attempts=3)
        for attempt in (1, 2, 3):
            assert await taken_back(scene) == {job.id: attempt}
            await scene.advance(LEASE_SECONDS)
        assert await taken_back(scene) == {}

    async def test_a_type_that_is_not_asked_for_is_not_leased(self, scene: Scene) -> None:
        lost = await scene.running(type=MAIL)
        await scene.advance(LEASE_SECONDS)
        assert (await scene.claim(types={REPORT: 9})).jobs == ()
        assert await taken_back(scene) == {lost.job.id: 2}

    async def test_what_does_not_fit_is_taken_back_all_the_same(self, scene: Scene) -> None:
        """Jobs of a dead holder beyond the limit are found by the claims that follow."""
        await scene.add(count=20)
        dead = await scene.hold()
        assert len((await scene.claim(dead)).jobs) == 20
        await scene.advance(LEASE_SECONDS)
        found: list[str] = []
        for _ in range(7):
            claimed = await scene.claim(limit=3)
            found += [leased.job.id for leased in claimed.jobs]
            more = claimed.next_at is not None and claimed.next_at <= scene.now
            assert more == (len(found) < 20)
        assert len(set(found)) == len(found) == 20

    async def test_a_job_past_its_deadline_is_left_to_the_sweep(self, scene: Scene) -> None:
        late = await scene.running(deadline=scene.now + 1_000)
        await scene.advance(LEASE_SECONDS)
        assert await taken_back(scene) == {}
        overdue = await scene.store.sweep(10)
        assert [job.id for job, _ in overdue.late_jobs] == [late.job.id]


class TestEndingLeases:
    async def test_a_released_holder_holds_nothing(self, scene: Scene) -> None:
        holder = await scene.hold()
        leased = await scene.running(holder)
        await scene.store.release_holder(holder)
        assert await taken_back(scene) == {leased.job.id: 2}

    async def test_a_released_holder_is_told_to_stop(self, scene: Scene) -> None:
        holder = scene.ids.new("hld")
        heart = scene.store.heart(holder, "a test", LEASE_SECONDS)
        await asyncio.to_thread(heart.beat)
        await scene.store.release_holder(holder)
        with pytest.raises(Stopping):
            await asyncio.to_thread(heart.beat)
        heart.close()

    async def test_releasing_concerns_nobody_else(self, scene: Scene) -> None:
        await scene.running(await scene.hold())
        await scene.store.release_holder(await scene.hold())
        await scene.store.release_holder("hld_nobody")
        assert await taken_back(scene) == {}

    async def test_a_process_alone_ends_what_others_left(self, scene: Scene) -> None:
        lost = await scene.running(await scene.hold())
        mine = await scene.hold()
        await scene.running(mine)
        await scene.store.end_other_leases(mine)
        assert await taken_back(scene) == {lost.job.id: 2}

    async def test_a_process_alone_ends_every_delivery_that_was_being_sent(
        self, scene: Scene
    ) -> None:
        lost = await scene.sending()
        assert (await scene.lease()).deliveries == ()
        await scene.store.end_other_leases(await scene.hold())
        (again,) = (await scene.lease()).deliveries
        assert again.delivery.id == lost.delivery.id
        assert again.delivery.unknown_count == 1


class TestHeldJobs:
    async def test_its_own_and_which_were_asked_to_cancel(self, scene: Scene) -> None:
        holder = await scene.hold()
        asked = await scene.running(holder)
        other = await scene.running(holder)
        elsewhere = await scene.running(await scene.hold())
        await scene.apply(AskCancel(asked.job.id, scene.now), store=scene.other)
        await scene.apply(AskCancel(elsewhere.job.id, scene.now), store=scene.other)
        held = await scene.store.held_jobs(holder)
        assert sorted(held, key=lambda one: one.job_id) == sorted(
            [
                HeldJob(asked.job.id, asked.lease, cancel_requested=True),
                HeldJob(other.job.id, other.lease, cancel_requested=False),
            ],
            key=lambda one: one.job_id,
        )
        assert await scene.store.held_jobs("hld_nobody") == []

    async def test_not_those_that_were_put_back(self, scene: Scene) -> None:
        holder = await scene.hold()
        leased = await scene.running(holder)
        await scene.apply(AskCancel(leased.job.id, scene.now))
        back = scene.back(leased, retrying=False)
        await scene.apply(back)
        assert await scene.store.held_jobs(holder) == []
