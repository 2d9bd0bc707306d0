"""How much may wait: of a caller, and in a queue."""

from __future__ import annotations

import msgspec

from dispatcher.core.changes import LeasedJob
from dispatcher.core.model import Job, JobState
from dispatcher.core.quotas import Full, WaitRoom
from dispatcher.ports.records import Added, AddResult, Idempotency, KeyReused, NoRoom, Replayed
from dispatcher.ports.store import Store
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import ANN, BEN, MAIL, REPORT

TWO = WaitRoom(jobs=2)


async def ask(
    scene: Scene,
    room: WaitRoom | None,
    *,
    body: bytes = b"{}",
    key: Idempotency | None = None,
    holder: str | None = None,
    store: Store | None = None,
    **members: object,
) -> AddResult:
    """Add one job, if there is room for it."""
    new = scene.new(scene.job(**members), body=body, key=key, holder=holder)
    (result,) = await scene.add_all(msgspec.structs.replace(new, room=room), store=store)
    return result


async def waits(scene: Scene, *, caller_id: str = ANN, queue: str | None = None) -> int:
    """How many jobs wait, found by what there is room for: it must be this many more or none."""
    most = 100
    for count in range(most):
        room = WaitRoom(jobs=count) if queue is None else WaitRoom(queue_jobs=count)
        answer = await ask(scene, room, caller_id=caller_id, queue=queue or "default")
        if isinstance(answer, Added):
            await scene.apply(scene.end_waiting(answer.job))
            return count - 1
    raise AssertionError(f"there is no room with {most}")


class TestRoom:
    async def test_no_more_wait_than_may(self, scene: Scene) -> None:
        for _ in range(2):
            assert isinstance(await ask(scene, TWO), Added)
        assert await ask(scene, TWO) == NoRoom(Full.JOBS)
        assert await ask(scene, TWO, store=scene.other) == NoRoom(Full.JOBS)
        assert len(await scene.jobs()) == 2
        assert isinstance(await ask(scene, WaitRoom(jobs=3)), Added)
        assert isinstance(await ask(scene, None), Added)

    async def test_what_is_refused_leaves_nothing(self, scene: Scene) -> None:
        await ask(scene, None)
        before = await scene.backend.count_rows()
        key = Idempotency("k", b"d" * 32, scene.now + 1_000)
        assert await ask(scene, WaitRoom(jobs=1), queue="new", type=REPORT, key=key) == NoRoom(
            Full.JOBS
        )
        assert await scene.backend.count_rows() == before
        assert isinstance(await ask(scene, None, key=key), Added)

    async def test_items_of_one_call_see_each_other(self, scene: Scene) -> None:
        news = [msgspec.structs.replace(scene.new(), room=TWO) for _ in range(5)]
        answers = await scene.add_all(*news)
        assert [type(each) for each in answers] == [Added, Added, NoRoom, NoRoom, NoRoom]

    async def test_bytes_of_inputs_are_counted(self, scene: Scene) -> None:
        room = WaitRoom(bytes=10)
        assert isinstance(await ask(scene, room, body=b"1234567"), Added)
        assert await ask(scene, room, body=b"1234") == NoRoom(Full.BYTES)
        assert isinstance(await ask(scene, room, body=b"123"), Added)
        assert await ask(scene, room, body=b"1") == NoRoom(Full.BYTES)
        assert isinstance(await ask(scene, WaitRoom(bytes=11), body=b"1"), Added)

    async def test_of_all_queues_and_types_of_one_caller(self, scene: Scene) -> None:
        await ask(scene, None, queue="a", type=MAIL)
        await ask(scene, None, queue="b", type=REPORT)
        assert await ask(scene, TWO, queue="c") == NoRoom(Full.JOBS)
        assert isinstance(await ask(scene, WaitRoom(jobs=1), caller_id=BEN), Added)

    async def test_a_queue_counts_all_callers_and_types(self, scene: Scene) -> None:
        room = WaitRoom(queue_jobs=2)
        await ask(scene, None, caller_id=BEN, type=MAIL)
        await ask(scene, None, type=REPORT)
        assert await ask(scene, room) == NoRoom(Full.QUEUE)
        assert isinstance(await ask(scene, room, queue="other"), Added)

    async def test_a_known_key_is_answered_whatever_waits(self, scene: Scene) -> None:
        key = Idempotency("k", b"d" * 32, scene.now + 1_000)
        first = await ask(scene, WaitRoom(jobs=1), key=key)
        assert isinstance(first, Added)
        again = await ask(scene, WaitRoom(jobs=1), key=key)
        assert isinstance(again, Replayed)
        assert again.job.id == first.job.id
        other = Idempotency("k", b"e" * 32, scene.now + 1_000)
        assert await ask(scene, WaitRoom(jobs=1), key=other) == KeyReused()

    async def test_what_is_handed_off_needs_no_room(self, scene: Scene) -> None:
        holder = await scene.hold()
        room = WaitRoom(jobs=1, bytes=2, queue_jobs=1)
        for _ in range(3):
            answer = await ask(scene, room, holder=holder)
            assert isinstance(answer, Added)
            assert answer.leased is not None
        assert await waits(scene) == 0

    async def test_what_waits_for_its_time_takes_room(self, scene: Scene) -> None:
        await ask(scene, None, due_at=scene.now + 3_600_000)
        assert await ask(scene, WaitRoom(jobs=1)) == NoRoom(Full.JOBS)

    async def test_room_comes_free_when_a_job_begins_and_goes_when_it_comes_back(
        self, scene: Scene
    ) -> None:
        jobs = await scene.add(count=3)
        assert await waits(scene) == await waits(scene, queue="default") == 3
        claimed = (await scene.claim(limit=2)).jobs
        assert await waits(scene) == 1
        await scene.apply(scene.back(claimed[0]))
        await scene.apply(scene.back(claimed[1], after_seconds=60, retrying=False))
        assert await waits(scene) == 3
        await scene.apply(scene.end_waiting(jobs[2]))
        assert await waits(scene) == 2
        await self._finish_all(scene, (await scene.claim()).jobs)
        await scene.advance(60)
        await self._finish_all(scene, (await scene.claim()).jobs)
        assert await waits(scene) == await waits(scene, queue="default") == 0

    async def test_what_is_taken_back_from_the_dead_is_claimed_again(self, scene: Scene) -> None:
        await scene.running()
        await scene.advance(31)
        types = {REPORT: 1}  # of another type: it is taken back, and waits
        assert (await scene.claim(types=types)).jobs == ()
        assert await waits(scene) == 1

    async def _finish_all(self, scene: Scene, leased: tuple[LeasedJob, ...]) -> None:
        for each in leased:
            await scene.apply(scene.finish(each))

    async def test_room_is_kept_by_no_job_that_has_ended(self, scene: Scene) -> None:
        for to in (JobState.CANCELED, JobState.EXPIRED):
            job: Job
            (job,) = await scene.add()
            await scene.apply(scene.end_waiting(job, to))
        await scene.advance(3_601)
        await scene.store.prune(10)
        assert await waits(scene) == 0
