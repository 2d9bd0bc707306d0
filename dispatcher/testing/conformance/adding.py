"""`add_jobs`: what is added, idempotency, and the hand-off of jobs."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from dispatcher.core.model import (
    Callback,
    CallbackMode,
    EventType,
    JobState,
    Trace,
)
from dispatcher.core.retry import Schedule
from dispatcher.ports.records import (
    Added,
    AddResult,
    Idempotency,
    KeyReused,
    KeySpent,
    NewJob,
    Replayed,
)
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import ANN, BEN, MAIL, MISCHIEF, REPORT

HOUR_MS = 3_600_000


def a_key(scene: Scene, name: str = "k", digest: bytes = b"d" * 32) -> Idempotency:
    return Idempotency(name, digest, scene.now + 24 * HOUR_MS)


def kinds(results: list[AddResult]) -> list[type[Any]]:
    return [type(result) for result in results]


class TestAdding:
    async def test_each_member_comes_back_as_it_was_given(self, scene: Scene) -> None:
        full = scene.job(
            type=REPORT,
            queue="slow.lane_1-x",
            priority=9,
            max_attempts=7,
            timeout_seconds=0.25,
            retention_seconds=86_400.5,
            due_at=scene.now + 5_001,
            run_at=scene.now + 5_000,
            start_by=scene.now + HOUR_MS,
            deadline=scene.now + 2 * HOUR_MS,
            callback=Callback(
                url="https://receiver.example:8443/a?b=%20c",
                origin="https://receiver.example:8443",
                events=(EventType.JOB_OUTPUT, EventType.JOB_FAILED),
                mode=CallbackMode.THIN,
                schedule=Schedule((0, 0.5, 604_800)),
                headers=("x-one", "X-Two"),
                sealed_headers=bytes(range(256)),
                caller_schedule=Schedule((0.25, 1)),
            ),
            correlation_id="order-17",
            metadata={"": "", "k": MISCHIEF},
            replay_of=scene.ids.new("job"),
            trace=Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=b,c=d"),
        )
        bare = scene.job()
        results = await scene.add_all(scene.new(full, body=b'{"a":1}'), scene.new(bare))
        assert results == [Added(full), Added(bare)]
        record = await scene.record(full.id)
        assert (record.job, record.input) == (full, b'{"a":1}')
        assert (await scene.record(bare.id)).job == bare

    async def test_nothing_is_added_for_an_empty_list(self, scene: Scene) -> None:
        assert await scene.store.add_jobs([]) == []
        assert await scene.jobs() == []

    async def test_answers_are_in_the_order_of_the_items(self, scene: Scene) -> None:
        news = [scene.new() for _ in range(40)]
        results = await scene.add_all(*news)
        assert [r.job.id for r in results if isinstance(r, Added)] == [n.job.id for n in news]

    async def test_the_order_received_is_that_of_the_list_and_of_the_calls(
        self, scene: Scene
    ) -> None:
        first = [scene.new() for _ in range(10)]
        await scene.add_all(*first)
        then = await scene.add(count=3)
        received = [new.job.id for new in first] + [job.id for job in then]
        assert [job.id for job in await scene.jobs()] == received[::-1]

    async def test_a_job_is_there_for_the_other_store_at_once(self, scene: Scene) -> None:
        (job,) = await scene.add()
        assert (await scene.record(job.id, store=scene.other)).job == job


class TestIdempotency:
    async def test_the_same_key_and_body_adds_nothing(self, scene: Scene) -> None:
        first, again = scene.new(key=a_key(scene)), scene.new(key=a_key(scene))
        assert await scene.add_all(first) == [Added(first.job)]
        assert await scene.add_all(again, store=scene.other) == [Replayed(first.job)]
        assert [job.id for job in await scene.jobs()] == [first.job.id]

    async def test_a_replay_answers_the_job_as_it_is_now(self, scene: Scene) -> None:
        new = scene.new(key=a_key(scene))
        await scene.add_all(new)
        leased = (await scene.claim()).jobs[0]
        await scene.apply(scene.finish(leased))
        (result,) = await scene.add_all(scene.new(key=a_key(scene)))
        assert isinstance(result, Replayed)
        assert result.job == (await scene.record(new.job.id)).job
        assert result.job.state is JobState.SUCCEEDED

    async def test_the_same_key_with_another_body_is_told(self, scene: Scene) -> None:
        await scene.add_all(scene.new(key=a_key(scene)))
        other = scene.new(key=a_key(scene, digest=b"e" * 32))
        assert await scene.add_all(other) == [KeyReused()]
        assert len(await scene.jobs()) == 1

    async def test_a_key_is_its_callers_own(self, scene: Scene) -> None:
        anns = scene.new(scene.job(caller_id=ANN), key=a_key(scene))
        bens = scene.new(scene.job(caller_id=BEN), key=a_key(scene))
        assert kinds(await scene.add_all(anns, bens)) == [Added, Added]

    async def test_keys_differ_by_each_character(self, scene: Scene) -> None:
        names = ("k", "K", "k ", " k", "k%", "k_", '"k"', "")
        results = await scene.add_all(*(scene.new(key=a_key(scene, name)) for name in names))
        assert kinds(results) == [Added] * len(names)

    async def test_a_key_is_kept_until_it_expires(self, scene: Scene) -> None:
        await scene.add_all(scene.new(key=a_key(scene)))
        await scene.advance(24 * 3600 - 0.001)
        assert kinds(await scene.add_all(scene.new(key=a_key(scene)))) == [Replayed]

    async def test_a_key_past_its_time_counts_no_more(self, scene: Scene) -> None:
        await scene.add_all(scene.new(key=a_key(scene)))
        await scene.advance(24 * 3600 + 0.001)
        fresh = scene.new(key=a_key(scene, digest=b"e" * 32))
        assert kinds(await scene.add_all(fresh)) == [Added]
        assert await scene.add_all(scene.new(key=fresh.idempotency)) == [Replayed(fresh.job)]

    async def test_a_key_outlives_its_job(self, scene: Scene) -> None:
        """A submission that was sent again after its job's time was over made a second job."""
        new = scene.new(scene.job(retention_seconds=1), key=a_key(scene))
        await scene.add_all(new)
        await scene.apply(scene.finish((await scene.claim()).jobs[0]))
        await scene.advance(2)
        assert await scene.store.prune(100) == 1
        same, other = scene.new(key=a_key(scene)), scene.new(key=a_key(scene, digest=b"e" * 32))
        assert await scene.add_all(same, other, store=scene.other) == [KeySpent(), KeyReused()]
        assert await scene.jobs() == []
        await scene.advance(24 * 3600)
        assert kinds(await scene.add_all(scene.new(key=a_key(scene)))) == [Added]

    async def test_one_call_with_one_key_three_times(self, scene: Scene) -> None:
        first = scene.new(key=a_key(scene))
        same, different = scene.new(key=a_key(scene)), scene.new(key=a_key(scene, digest=b"e" * 32))
        results = await scene.add_all(first, same, different)
        assert results == [Added(first.job), Replayed(first.job), KeyReused()]

    async def test_two_stores_at_the_same_time(self, scene: Scene) -> None:
        for turn in range(10):
            key = a_key(scene, f"turn-{turn}")
            answers = await asyncio.gather(
                *(
                    scene.add_all(scene.new(key=key), store=store)
                    for store in (scene.store, scene.other) * 4
                )
            )
            results = [result for (result,) in answers]
            (added,) = [result for result in results if isinstance(result, Added)]
            replayed = [result.job.id for result in results if isinstance(result, Replayed)]
            assert replayed == [added.job.id] * 7

    async def test_a_refused_job_leaves_no_key(self, scene: Scene) -> None:
        """The same id twice is refused; a key that stood for nothing would lose a submission."""
        (job,) = await scene.add()
        (refused,) = await scene.store.add_jobs([scene.new(job, key=a_key(scene))])
        assert isinstance(refused, Exception)
        assert kinds(await scene.add_all(scene.new(key=a_key(scene)))) == [Added]

    async def test_a_replay_is_not_handed_off(self, scene: Scene) -> None:
        new = scene.new(key=a_key(scene))
        await scene.add_all(new)
        holder = await scene.hold()
        replay = await scene.add_all(scene.new(key=a_key(scene), holder=holder))
        assert replay == [Replayed(new.job)]
        assert await scene.state(new.job.id) is JobState.WAITING


async def was_handed_off(scene: Scene, new: NewJob) -> bool:
    """Add, and tell whether it was leased; checks what must hold in either case."""
    (result,) = await scene.add_all(new)
    assert isinstance(result, Added)
    stored = (await scene.record(new.job.id)).job
    assert result.job == stored
    if result.leased is None:
        assert stored == new.job
        return False
    assert new.hand_off is not None
    assert result.leased.lease == new.hand_off.lease
    assert result.leased.input == new.input
    assert result.leased.job == stored
    expected = msgspec.structs.replace(
        new.job,
        state=JobState.RUNNING,
        attempt_count=1,
        started_at=scene.now,
        version=stored.version,
    )
    assert stored == expected
    return True


class TestHandOffOfJobs:
    async def test_a_due_job_with_nothing_before_it_is_leased_at_once(self, scene: Scene) -> None:
        holder = await scene.hold()
        assert await was_handed_off(scene, scene.new(holder=holder))
        assert (await scene.claim()).jobs == ()

    async def test_the_lease_is_a_full_one(self, scene: Scene) -> None:
        holder = await scene.hold()
        (result,) = await scene.add_all(scene.new(holder=holder))
        assert isinstance(result, Added)
        assert result.leased is not None
        await scene.apply(scene.finish(result.leased), store=scene.other)
        assert await scene.state(result.job.id) is JobState.SUCCEEDED

    async def test_its_lease_ends_with_its_holder(self, scene: Scene) -> None:
        holder = await scene.hold()
        new = scene.new(holder=holder)
        assert await was_handed_off(scene, new)
        await scene.store.release_holder(holder)
        (again,) = (await scene.claim()).jobs
        assert (again.job.id, again.job.attempt_count) == (new.job.id, 2)

    async def test_without_being_asked_nothing_is_handed_off(self, scene: Scene) -> None:
        assert not await was_handed_off(scene, scene.new())

    async def test_a_job_that_is_not_due_waits(self, scene: Scene) -> None:
        holder = await scene.hold()
        later = scene.job(due_at=scene.now + 1)
        assert not await was_handed_off(scene, scene.new(later, holder=holder))

    async def test_a_job_past_its_deadline_waits_for_the_sweep(self, scene: Scene) -> None:
        """Handed off exactly when the claim would choose it, and the claim would not."""
        holder = await scene.hold()
        late = scene.job(deadline=scene.now)
        assert not await was_handed_off(scene, scene.new(late, holder=holder))
        late = scene.job(start_by=scene.now, queue="another")
        assert not await was_handed_off(scene, scene.new(late, holder=holder))

    async def test_one_that_waits_in_the_same_queue_goes_first(self, scene: Scene) -> None:
        await scene.add(type=REPORT)  # another type: the queue is what counts
        holder = await scene.hold()
        assert not await was_handed_off(scene, scene.new(scene.job(type=MAIL), holder=holder))
        assert not await was_handed_off(scene, scene.new(scene.job(priority=9), holder=holder))

    async def test_one_that_waits_elsewhere_or_until_later_does_not_count(
        self, scene: Scene
    ) -> None:
        await scene.add(queue="other")
        await scene.add(caller_id=BEN)
        await scene.add(due_at=scene.now + 1)
        holder = await scene.hold()
        assert await was_handed_off(scene, scene.new(holder=holder))

    async def test_those_that_run_or_have_ended_do_not_count(self, scene: Scene) -> None:
        await scene.end()
        await scene.running()
        holder = await scene.hold()
        assert await was_handed_off(scene, scene.new(holder=holder))

    async def test_a_list_goes_in_order(self, scene: Scene) -> None:
        """The second waits and is due, so that the third has one before it."""
        holder = await scene.hold()
        results = await scene.add_all(
            scene.new(holder=holder), scene.new(), scene.new(holder=holder)
        )
        leased = [r.leased is not None for r in results if isinstance(r, Added)]
        assert leased == [True, False, False]

    async def test_a_job_that_came_due_goes_first(self, scene: Scene) -> None:
        await scene.add(due_at=scene.now + 10)
        await scene.advance(0.010)
        holder = await scene.hold()
        assert not await was_handed_off(scene, scene.new(holder=holder))
