"""`claim_jobs`: what is leased, in which order, and when there is more."""

from __future__ import annotations

from dispatcher.core.model import Job, JobState
from dispatcher.ports.records import AGEING_MS, ClaimedJobs
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import ANN, BEN, EVERY_TYPE, MAIL, REPORT, rests_until


def ids(claimed: ClaimedJobs) -> list[str]:
    return [leased.job.id for leased in claimed.jobs]


def due(claimed: ClaimedJobs, now: int) -> bool:
    """Whether it is told that there is more at once."""
    return claimed.next_at is not None and claimed.next_at <= now


async def one_by_one(scene: Scene, count: int) -> list[str]:
    """Claim a job at a time: the whole order in which they are chosen."""
    holder = await scene.hold()
    claims = [await scene.claim(holder, limit=1) for _ in range(count)]
    return [job_id for claimed in claims for job_id in ids(claimed)]


class TestClaimingJobs:
    async def test_a_claim_leases(self, scene: Scene) -> None:
        await scene.add_all(scene.new(job := scene.job(), body=b'{"n":1}'))
        await scene.advance(2)
        (leased,) = (await scene.claim()).jobs
        assert leased.input == b'{"n":1}'
        assert leased.lease
        assert (leased.job.id, leased.job.state) == (job.id, JobState.RUNNING)
        assert (leased.job.attempt_count, leased.job.started_at) == (1, scene.now)
        assert leased.job.version > job.version
        assert (await scene.record(job.id)).job == leased.job

    async def test_nobody_gets_what_another_has(self, scene: Scene) -> None:
        leased = await scene.running()
        await scene.advance(1)
        for store in (scene.store, scene.other):
            assert (await scene.claim(store=store)).jobs == ()
        assert (await scene.record(leased.job.id)).job == leased.job

    async def test_an_empty_store_has_nothing_and_nothing_to_come(self, scene: Scene) -> None:
        assert await scene.claim() == ClaimedJobs((), None)

    async def test_each_claim_counts_and_the_first_sets_started_at(self, scene: Scene) -> None:
        first = await scene.running()
        await scene.apply(scene.back(first))
        started_at = scene.now
        await scene.advance(1)
        (second,) = (await scene.claim()).jobs
        assert (second.job.attempt_count, second.job.started_at) == (2, started_at)
        assert second.lease != first.lease

    async def test_leases_are_told_apart(self, scene: Scene) -> None:
        await scene.add(count=30)
        claimed = await scene.claim()
        assert len({leased.lease for leased in claimed.jobs}) == 30

    async def test_other_types_are_left(self, scene: Scene) -> None:
        (mail,) = await scene.add(type=MAIL)
        (report,) = await scene.add(type=REPORT)
        assert ids(await scene.claim(types={REPORT: 5})) == [report.id]
        assert ids(await scene.claim(types={REPORT: 5, "no.such": 1})) == []
        assert ids(await scene.claim(types={})) == []
        assert await scene.state(mail.id) is JobState.WAITING

    async def test_no_more_than_the_limit(self, scene: Scene) -> None:
        jobs = await scene.add(count=5)
        claimed = await scene.claim(limit=3)
        assert sorted(ids(claimed)) == sorted(job.id for job in jobs[:3])
        assert due(claimed, scene.now)
        assert (await scene.claim(limit=0)).jobs == ()
        assert len((await scene.claim(limit=3)).jobs) == 2

    async def test_no_more_of_a_type_than_it_has_slots(self, scene: Scene) -> None:
        for queue in ("one", "two", "three"):
            await scene.add(count=3, type=MAIL, queue=queue)
            await scene.add(count=3, type=REPORT, queue=queue)
        claimed = await scene.claim(types={MAIL: 2, REPORT: 0})
        assert [leased.job.type for leased in claimed.jobs] == [MAIL, MAIL]
        claimed = await scene.claim(types={MAIL: 1, REPORT: 4}, limit=10)
        assert sorted(leased.job.type for leased in claimed.jobs) == [MAIL] + [REPORT] * 4

    async def test_a_type_without_slots_hides_no_other(self, scene: Scene) -> None:
        await scene.add(count=50, type=MAIL, priority=9)
        (report,) = await scene.add(type=REPORT, priority=0)
        assert ids(await scene.claim(types={MAIL: 0, REPORT: 1}, limit=1)) == [report.id]

    async def test_what_has_ended_is_never_claimed(self, scene: Scene) -> None:
        await scene.end(JobState.SUCCEEDED)
        await scene.end(JobState.FAILED)
        (waiting,) = await scene.add()
        await scene.apply(scene.end_waiting(waiting))
        await scene.advance(86_400)
        assert (await scene.claim()).jobs == ()


class TestDueTimes:
    async def test_a_job_is_claimed_from_its_due_time_on(self, scene: Scene) -> None:
        (job,) = await scene.add(due_at=scene.now + 10)
        await scene.advance(0.009)
        claimed = await scene.claim()
        assert ids(claimed) == []
        assert rests_until(claimed.next_at, scene.now, scene.now + 1)
        await scene.advance(0.001)
        assert ids(await scene.claim()) == [job.id]

    async def test_next_at_is_the_earliest_of_the_types_asked_for(self, scene: Scene) -> None:
        for seconds in (50, 20, 40):
            await scene.add(type=MAIL, due_at=scene.now + seconds * 1000)
        await scene.add(type=REPORT, due_at=scene.now + 10_000)
        claimed = await scene.claim(types={MAIL: 1})
        assert claimed.jobs == ()
        assert rests_until(claimed.next_at, scene.now, scene.now + 20_000)

    async def test_next_at_after_some_were_taken(self, scene: Scene) -> None:
        await scene.add()
        await scene.add(due_at=scene.now + 7_000)
        claimed = await scene.claim()
        assert len(claimed.jobs) == 1
        assert claimed.next_at is not None
        assert claimed.next_at <= scene.now + 7_000

    async def test_an_earlier_job_that_comes_later_moves_next_at(self, scene: Scene) -> None:
        await scene.add(due_at=scene.now + 60_000)
        claimed = await scene.claim()
        assert rests_until(claimed.next_at, scene.now, scene.now + 60_000)
        await scene.add(due_at=scene.now + 10_000)
        claimed = await scene.claim(store=scene.other)
        assert rests_until(claimed.next_at, scene.now, scene.now + 10_000)

    async def test_idle_claims_come_to_rest(self, scene: Scene) -> None:
        """`next_at` is a lower bound, but one that says "now" for ever would spin."""
        await scene.add(count=3)
        await scene.add(due_at=scene.now + 60_000)
        await scene.add(deadline=scene.now + 30_000, due_at=scene.now + 60_000)
        await scene.add(deadline=scene.now + 1, queue="late")
        await scene.advance(0.001)
        for _ in range(5):
            claimed = await scene.claim()
        assert claimed.jobs == ()
        assert claimed.next_at is None or claimed.next_at > scene.now

    async def test_a_job_put_back_is_due_when_it_says(self, scene: Scene) -> None:
        leased = await scene.running()
        back = scene.back(leased, after_seconds=4)
        applied = await scene.apply(back)
        assert applied.job_ready_at is not None
        assert applied.job_ready_at <= scene.now + 4_000
        claimed = await scene.claim()
        assert claimed.jobs == ()
        assert rests_until(claimed.next_at, scene.now, scene.now + 4_000)
        await scene.advance(4)
        assert ids(await scene.claim()) == [leased.job.id]

    async def test_a_job_put_back_before_others_moves_next_at(self, scene: Scene) -> None:
        leased = await scene.running()
        await scene.add(due_at=scene.now + 60_000)
        await scene.claim()
        await scene.apply(scene.back(leased, after_seconds=4))
        claimed = await scene.claim(store=scene.other)
        assert rests_until(claimed.next_at, scene.now, scene.now + 4_000)

    async def test_passed_deadlines_are_left_to_the_sweep(self, scene: Scene) -> None:
        await scene.add(deadline=scene.now + 1_000)
        await scene.add(start_by=scene.now + 1_000)
        (fine,) = await scene.add(deadline=scene.now + 1_001, start_by=scene.now + 1_001)
        await scene.advance(1)
        assert ids(await scene.claim()) == [fine.id]

    async def test_start_by_binds_only_until_the_first_attempt(self, scene: Scene) -> None:
        """A retry is no late start (`decide_overdue`): left by the claim it would wait for ever."""
        leased = await scene.running(start_by=scene.now + 1_000)
        back = scene.back(leased, after_seconds=2)
        await scene.apply(back)
        await scene.advance(2)
        assert ids(await scene.claim()) == [leased.job.id]


class TestOrderOfJobs:
    async def test_the_order_received(self, scene: Scene) -> None:
        jobs = await scene.add(count=6)
        assert await one_by_one(scene, 6) == [job.id for job in jobs]

    async def test_higher_priority_first(self, scene: Scene) -> None:
        by_priority: dict[int, Job] = {}
        for priority in (3, 9, 0, 5):
            (by_priority[priority],) = await scene.add(priority=priority)
        wanted = [by_priority[priority].id for priority in (9, 5, 3, 0)]
        assert await one_by_one(scene, 4) == wanted

    async def test_priority_holds_between_the_types_of_a_queue(self, scene: Scene) -> None:
        (low,) = await scene.add(type=MAIL, priority=2)
        (high,) = await scene.add(type=REPORT, priority=8)
        (middle,) = await scene.add(type=MAIL, priority=5)
        assert await one_by_one(scene, 3) == [high.id, middle.id, low.id]

    async def test_a_limit_takes_the_highest(self, scene: Scene) -> None:
        await scene.add(count=5, priority=4)
        high = await scene.add(count=2, priority=6)
        assert sorted(ids(await scene.claim(limit=2))) == sorted(job.id for job in high)

    async def test_waiting_makes_up_for_priority(self, scene: Scene) -> None:
        """A level of priority is worth `AGEING_MS` of waiting, to the millisecond."""
        (old,) = await scene.add(priority=4)
        await scene.advance((AGEING_MS - 1) / 1000)
        (fresh,) = await scene.add(priority=5)
        assert await one_by_one(scene, 2) == [fresh.id, old.id]

        (old,) = await scene.add(priority=4)
        await scene.advance((AGEING_MS + 1) / 1000)
        await scene.add(priority=5)
        assert (await one_by_one(scene, 2))[0] == old.id

    async def test_none_starves(self, scene: Scene) -> None:
        (patient,) = await scene.add(priority=0)
        await scene.advance((9 * AGEING_MS + 1) / 1000)
        await scene.add(count=20, priority=9)
        assert (await one_by_one(scene, 1)) == [patient.id]


class TestLanesInTurn:
    async def test_a_flood_of_one_caller_does_not_hide_another(self, scene: Scene) -> None:
        await scene.add_all(*(scene.new(scene.job(caller_id=ANN)) for _ in range(200)))
        (bens,) = await scene.add(caller_id=BEN)
        assert bens.id in ids(await scene.claim(limit=4))

    async def test_one_claim_takes_evenly(self, scene: Scene) -> None:
        await scene.add(count=9, caller_id=ANN)
        await scene.add(count=9, caller_id=BEN)
        await scene.add(count=9, caller_id=BEN, queue="other")
        claimed = await scene.claim(limit=9)
        lanes = [(leased.job.caller_id, leased.job.queue) for leased in claimed.jobs]
        assert {lane: lanes.count(lane) for lane in lanes} == {
            (ANN, "default"): 3,
            (BEN, "default"): 3,
            (BEN, "other"): 3,
        }

    async def test_what_one_lane_leaves_goes_to_the_others(self, scene: Scene) -> None:
        await scene.add(count=9, caller_id=ANN)
        await scene.add(count=1, caller_id=BEN)
        claimed = await scene.claim(limit=8)
        assert len(claimed.jobs) == 8
        assert [leased.job.caller_id for leased in claimed.jobs].count(BEN) == 1

    async def test_claims_go_round(self, scene: Scene) -> None:
        """The longest unserved comes first: whoever was served waits for the others."""
        for caller_id, queue in ((ANN, "a"), (BEN, "b"), (BEN, "c")):
            await scene.add(count=4, caller_id=caller_id, queue=queue)
        holder = await scene.hold()
        served = []
        for _ in range(9):
            await scene.advance(0.001)
            claimed = await scene.claim(holder, limit=1)
            served += [leased.job.queue for leased in claimed.jobs]
        for turn in range(3):
            assert sorted(served[turn * 3 : turn * 3 + 3]) == ["a", "b", "c"], served

    async def test_more_lanes_than_the_limit_are_all_served(self, scene: Scene) -> None:
        for number in range(25):
            await scene.add(queue=f"q{number}")
        holder = await scene.hold()
        served: set[str] = set()
        for _ in range(9):
            await scene.advance(0.001)
            claimed = await scene.claim(holder, limit=3, types=EVERY_TYPE)
            served |= {leased.job.queue for leased in claimed.jobs}
        assert len(served) == 25
