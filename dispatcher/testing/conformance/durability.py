"""What stands stays; what is bad fails alone; many at once get each row once."""

from __future__ import annotations

import asyncio
from collections import Counter

from dispatcher.core.changes import AskCancel, EndDelivery
from dispatcher.core.model import DeliveryState, JobState
from dispatcher.ports.records import Added, Applied, Idempotency, Stale
from dispatcher.testing.conformance.changing import everything, note_output
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import (
    LEASE_SECONDS,
    TERMS,
    TOO_LATE,
    a_callback,
)


class TestDurability:
    async def test_all_is_there_after_a_crash(self, scene: Scene) -> None:
        key = Idempotency("k", b"d" * 32, scene.now + 86_400_000)
        (waiting,) = await scene.add(due_at=scene.now + 60_000)
        holder = await scene.hold()
        new = scene.new(scene.job(callback=a_callback()), key=key, holder=holder)
        (added,) = await scene.add_all(new)
        assert isinstance(added, Added)
        assert added.leased is not None
        await scene.apply(note_output(scene, new.job, added.leased.lease))
        sending = await scene.sending(queue="other")
        await scene.apply(scene.tried(sending))
        before = await everything(scene, new.job.id), await scene.jobs()
        await scene.backend.crash(scene.store)
        await scene.backend.crash(scene.other)
        scene.store, scene.other = await scene.backend.open(), await scene.backend.open()
        assert (await everything(scene, new.job.id), await scene.jobs()) == before
        assert (await scene.claim()).jobs == ()  # its holder's lease outlives its process
        await scene.apply(scene.finish(added.leased))  # and so does its token
        await scene.advance(60)
        (leased,) = (await scene.claim()).jobs
        assert leased.job.id == waiting.id
        again = await scene.add_all(scene.new(key=key))
        assert [type(result).__name__ for result in again] == ["Replayed"]

    async def test_a_jobs_holder_that_crashed_is_found_dead(self, scene: Scene) -> None:
        lost = await scene.running(await scene.hold(store=scene.store))
        await scene.backend.crash(scene.store)
        await scene.advance(LEASE_SECONDS)
        (again,) = (await scene.claim(await scene.hold(store=scene.other), store=scene.other)).jobs
        assert (again.job.id, again.job.attempt_count) == (lost.job.id, 2)
        scene.store = await scene.backend.open()

    async def test_close_finishes_what_is_under_way(self, scene: Scene) -> None:
        news = [scene.new() for _ in range(20)]
        calls = [asyncio.ensure_future(scene.store.add_jobs([new])) for new in news]
        await asyncio.sleep(0)  # each has been called; not one needs to have been committed
        await scene.store.close()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        added = {
            new.job.id
            for new, answer in zip(news, answers, strict=True)
            if isinstance(answer, list) and isinstance(answer[0], Added)
        }
        assert {job.id for job in await scene.jobs()} >= added

    async def test_a_caller_that_leaves_takes_nothing_along(self, scene: Scene) -> None:
        """A canceled await is a client that hung up: the job is there whole or not at all."""
        key = Idempotency("k", b"d" * 32, scene.now + 86_400_000)
        new = scene.new(key=key)
        call = asyncio.ensure_future(scene.store.add_jobs([new]))
        others = [asyncio.ensure_future(scene.store.add_jobs([scene.new()])) for _ in range(5)]
        await asyncio.sleep(0)
        call.cancel()
        for (result,) in await asyncio.gather(*others):
            assert isinstance(result, Added)
        (again,) = await scene.add_all(scene.new(key=key))
        there = new.job.id in [job.id for job in await scene.jobs()]
        assert there == (type(again).__name__ == "Replayed")
        assert len(await scene.jobs()) == 6

    async def test_few_rows(self, scene: Scene) -> None:
        """A job that succeeds at once, its callback delivered at once: five rows at most."""
        await scene.sending()  # lane and destination are there now
        holder = await scene.hold()
        before = await scene.backend.count_rows()
        (added,) = await scene.add_all(scene.new(scene.job(callback=a_callback()), holder=holder))
        assert isinstance(added, Added)
        assert added.leased is not None
        (sending,) = (await scene.apply(scene.finish(added.leased, hand_off=True))).handed
        await scene.apply(scene.tried(sending, DeliveryState.DELIVERED))
        assert await scene.backend.count_rows() - before <= 5


class TestEachItemAlone:
    async def test_a_refused_job_among_many(self, scene: Scene) -> None:
        news = [scene.new() for _ in range(9)]
        news[4] = scene.new(scene.job(created_at=TOO_LATE))
        results = await scene.store.add_jobs(news)
        assert [isinstance(result, Exception) for result in results] == [n == 4 for n in range(9)]
        assert {job.id for job in await scene.jobs()} == {
            new.job.id for n, new in enumerate(news) if n != 4
        }

    async def test_a_job_id_that_was_used_before_is_refused(self, scene: Scene) -> None:
        (job,) = await scene.add()
        results = await scene.store.add_jobs([scene.new(), scene.new(job), scene.new()])
        assert [isinstance(result, Exception) for result in results] == [False, True, False]
        assert len(await scene.jobs()) == 3

    async def test_refused_ones_in_calls_at_the_same_time(self, scene: Scene) -> None:
        bad = {3, 11, 12}
        news = [
            scene.new(scene.job(created_at=TOO_LATE)) if n in bad else scene.new()
            for n in range(20)
        ]
        answers = await asyncio.gather(*(scene.store.add_jobs([new]) for new in news))
        assert {n for n, (result,) in enumerate(answers) if isinstance(result, Exception)} == bad
        assert len(await scene.jobs()) == 17

    async def test_a_stale_and_a_refused_change_among_many(self, scene: Scene) -> None:
        await scene.add(count=6, callback=a_callback())
        leased = (await scene.claim()).jobs
        changes = [scene.finish(one) for one in leased]
        changes[1] = scene.finish(leased[1], lease="lse_of_another")
        changes[3] = scene.finish(leased[3], at=TOO_LATE)
        results = await scene.store.apply(changes, TERMS)
        kinds = [
            "refused" if isinstance(result, Exception) else type(result).__name__
            for result in results
        ]
        assert kinds == ["Applied", "Stale", "Applied", "refused", "Applied", "Applied"]
        assert [await scene.state(one.job.id) for one in leased] == [
            JobState.RUNNING if n in (1, 3) else JobState.SUCCEEDED for n in range(6)
        ]
        assert len(await scene.deliveries()) == 4
        for n in (1, 3):  # both are as they were: their own changes still apply
            assert await scene.events(leased[n].job.id) == []
            await scene.apply(scene.finish(leased[n]))

    async def test_a_bad_item_does_not_disturb_another_verb(self, scene: Scene) -> None:
        (owed,) = await scene.owed()
        await scene.add(count=3)
        holder = await scene.hold()
        bad, claimed, ended, fine = await asyncio.gather(
            scene.store.add_jobs([scene.new(scene.job(created_at=TOO_LATE))]),
            scene.claim(holder),
            scene.apply(EndDelivery(owed, DeliveryState.CANCELED, scene.now)),
            scene.store.add_jobs([scene.new(scene.job(due_at=scene.now + 1))]),
        )
        assert isinstance(bad[0], Exception)
        assert len(claimed.jobs) == 3
        assert isinstance(ended, Applied)
        assert isinstance(fine[0], Added)

    async def test_changes_of_one_call_go_in_order(self, scene: Scene) -> None:
        leased = await scene.running()
        results = await scene.apply_all(
            note_output(scene, leased.job, leased.lease),
            scene.finish(leased),
            note_output(scene, leased.job, leased.lease),
            AskCancel(leased.job.id, scene.now),
            scene.finish(leased, JobState.FAILED),
        )
        assert [type(result) for result in results] == [Applied, Applied, Stale, Stale, Stale]
        assert [event.sequence for event in await scene.events(leased.job.id)] == [1, 2]

    async def test_nothing_is_answered_for_nothing(self, scene: Scene) -> None:
        assert await scene.store.apply([], TERMS) == []


class TestManyAtOnce:
    async def test_each_job_is_claimed_once(self, scene: Scene) -> None:
        await scene.add_all(*(scene.new(scene.job(queue=f"q{n % 5}")) for n in range(150)))
        holders = [await scene.hold() for _ in range(10)]
        claims = await asyncio.gather(
            *(
                scene.claim(holder, limit=7, store=store)
                for holder in holders
                for store in (scene.store, scene.other)
            )
        )
        taken = Counter(leased.job.id for claimed in claims for leased in claimed.jobs)
        assert set(taken.values()) == {1}
        assert len(taken) == 20 * 7
        tokens = {leased.lease for claimed in claims for leased in claimed.jobs}
        assert len(tokens) == 20 * 7

    async def test_each_delivery_is_claimed_once_and_slots_hold(self, scene: Scene) -> None:
        callbacks = [a_callback(f"https://r{n}.example") for n in range(6)]
        jobs = [scene.job(callback=callbacks[n % 6]) for n in range(60)]
        await scene.add_all(*(scene.new(job) for job in jobs))
        await scene.apply_all(*(scene.end_waiting(job) for job in jobs))
        claims = await asyncio.gather(
            *(scene.lease(limit=3, store=store) for store in (scene.store, scene.other) * 10)
        )
        leased = [one for claimed in claims for one in claimed.deliveries]
        assert len({one.delivery.id for one in leased}) == len(leased)
        by_origin = Counter(one.delivery.origin for one in leased)
        assert by_origin == {callback.origin: TERMS.slots for callback in callbacks}

    async def test_one_end_wins(self, scene: Scene) -> None:
        for _ in range(5):
            leased = await scene.running(callback=a_callback())
            ends = [scene.finish(leased, to) for to in (JobState.SUCCEEDED, JobState.FAILED)] * 3
            stores = (scene.store, scene.other)
            answers = await asyncio.gather(
                *(scene.apply_all(end, store=stores[n % 2]) for n, end in enumerate(ends))
            )
            won = {ends[n].to for n, (result,) in enumerate(answers) if isinstance(result, Applied)}
            assert won == {await scene.state(leased.job.id)}
            assert any(result == Stale() for (result,) in answers)
            assert len(await scene.events(leased.job.id)) == 1
            assert len(await scene.deliveries(leased.job.id)) == 1

    async def test_a_whole_life_of_many_through_both_stores(self, scene: Scene) -> None:
        holders = [await scene.hold(store=scene.store), await scene.hold(store=scene.other)]
        stores = (scene.store, scene.other)

        async def one(n: int) -> DeliveryState:
            store = stores[n % 2]
            job = scene.job(callback=a_callback(f"https://r{n}.example"), queue=f"q{n}")
            new = scene.new(job, holder=holders[n % 2])
            (added,) = await scene.add_all(new, store=store)
            assert isinstance(added, Added)
            assert added.leased is not None
            change = scene.finish(added.leased, hand_off=True)
            (sending,) = (await scene.apply(change, store=stores[(n + 1) % 2])).handed
            recorded = scene.tried(sending, DeliveryState.DELIVERED)
            await scene.apply(recorded, store=store)
            return (await scene.deliveries(job.id))[0].state

        states = await asyncio.gather(*(one(n) for n in range(40)))
        assert states == [DeliveryState.DELIVERED] * 40
        assert len(await scene.jobs(limit=13)) == 40
