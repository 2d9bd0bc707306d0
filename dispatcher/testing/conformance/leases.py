"""Leases of remote workers: each ends by itself, and nothing that is said too late counts."""

from __future__ import annotations

from typing import Any

from dispatcher.core.changes import AskCancel, LeasedJob
from dispatcher.core.model import EventType, JobState
from dispatcher.ports.records import RemoteLease, RemoteTerms, Stale
from dispatcher.testing.conformance.registered import registered
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import ANN, BEN, LEASE_SECONDS

SECONDS = 40.0
TERMS = RemoteTerms(ANN, SECONDS)


async def lease(scene: Scene, **members: Any) -> LeasedJob:
    """A job that was added and leased to a remote worker; nothing else may be due."""
    (job,) = await scene.add(**members)
    claimed = await scene.claim("nobody", remote=TERMS)
    assert [one.job.id for one in claimed.jobs] == [job.id]
    return claimed.jobs[0]


class TestRemoteLeases:
    async def test_each_job_has_a_lease_of_its_own(self, scene: Scene) -> None:
        await scene.add(count=3)
        jobs = (await scene.claim("nobody", remote=TERMS)).jobs
        assert len({one.lease for one in jobs}) == 3
        for one in jobs:
            assert one.until == scene.now + 40_000
            found = await scene.other.find_lease(one.lease, ANN)
            job = (await scene.record(one.job.id)).job
            assert found == RemoteLease(job, one.until, scene.now)
        assert (await scene.claim()).jobs == ()

    async def test_processes_are_told_when_it_ends(self, scene: Scene) -> None:
        leased = await lease(scene)
        result = await scene.claim()
        assert result.jobs == ()
        assert result.next_at is not None
        assert result.next_at <= (leased.until or 0)

    async def test_renewing_makes_it_last(self, scene: Scene) -> None:
        leased = await lease(scene, timeout_seconds=600.0)
        await scene.advance(39.999)
        renewed = await scene.other.renew_lease(leased.lease, ANN)
        assert renewed is not None
        assert (renewed.until, renewed.cancel_requested) == (scene.now + 40_000, False)
        await scene.advance(39.999)
        assert (await scene.claim()).jobs == ()
        await scene.advance(0.001)
        (again,) = (await scene.claim()).jobs
        assert (again.job.attempt_count, again.job.crash_count) == (2, 1)

    async def test_no_longer_than_the_jobs_timeout(self, scene: Scene) -> None:
        leased = await lease(scene, timeout_seconds=50.0)
        await scene.advance(30)
        renewed = await scene.store.renew_lease(leased.lease, ANN)
        assert renewed is not None
        assert renewed.until == scene.now + 20_000
        await scene.advance(20)
        assert await scene.store.renew_lease(leased.lease, ANN) is None

    async def test_a_short_timeout_makes_a_short_lease(self, scene: Scene) -> None:
        short = await lease(scene, timeout_seconds=5.0)
        assert short.until == scene.now + 5_000

    async def test_one_that_ended_can_not_be_renewed(self, scene: Scene) -> None:
        leased = await lease(scene)
        await scene.advance(SECONDS)
        assert await scene.store.renew_lease(leased.lease, ANN) is None
        assert (await scene.claim()).jobs
        assert await scene.store.renew_lease(leased.lease, ANN) is None
        assert await scene.store.find_lease(leased.lease, ANN) is None

    async def test_it_is_its_owners_alone(self, scene: Scene) -> None:
        leased = await lease(scene)
        assert await scene.store.renew_lease(leased.lease, BEN) is None
        assert await scene.store.find_lease(leased.lease, BEN) is None
        assert await scene.store.find_lease("lse_" + "0" * 32, ANN) is None

    async def test_it_tells_of_a_cancel(self, scene: Scene) -> None:
        leased = await lease(scene)
        await scene.apply(AskCancel(leased.job.id, scene.now))
        renewed = await scene.store.renew_lease(leased.lease, ANN)
        assert renewed is not None
        assert renewed.cancel_requested

    async def test_the_start_of_a_process_leaves_it_alone(self, scene: Scene) -> None:
        await lease(scene)
        holder = await scene.hold()
        await scene.store.end_other_leases(holder)
        assert (await scene.claim(holder)).jobs == ()

    async def test_the_sweep_finds_what_no_claim_may_take(self, scene: Scene) -> None:
        leased = await lease(scene, max_attempts=1)
        await scene.advance(SECONDS)
        assert (await scene.claim()).jobs == ()
        overdue = await scene.store.sweep(10)
        assert [(job.id, token) for job, token in overdue.lost_jobs] == [
            (leased.job.id, leased.lease)
        ]


class TestEndingRemoteLeases:
    async def test_what_was_ended_under_it_is_known_by_it(self, scene: Scene) -> None:
        leased = await lease(scene)
        change = scene.finish(leased)
        await scene.apply(change)
        found = await scene.other.find_lease(leased.lease, ANN)
        assert found is not None
        assert (found.job.state, found.until) == (JobState.SUCCEEDED, None)
        await scene.apply(change)
        assert await scene.store.renew_lease(leased.lease, ANN) is None

    async def test_what_was_put_back_under_it_is_known_by_it(self, scene: Scene) -> None:
        leased = await lease(scene)
        change = scene.back(leased)
        await scene.apply(change)
        found = await scene.other.find_lease(leased.lease, ANN)
        assert found is not None
        assert (found.job.state, found.until) == (JobState.WAITING, None)
        (again,) = (await scene.claim()).jobs
        before = (await scene.record(leased.job.id)).job
        await scene.apply(change)  # sent again: it stands already, and changes nothing
        assert (await scene.record(leased.job.id)).job == before
        await scene.apply(scene.finish(again))

    async def test_nothing_counts_once_another_has_the_job(self, scene: Scene) -> None:
        leased = await lease(scene)
        await scene.advance(SECONDS)
        (again,) = (await scene.claim("nobody", remote=TERMS)).jobs
        changes = (scene.finish(leased), scene.back(leased))
        assert await scene.apply_all(*changes) == [Stale(), Stale()]
        await scene.apply(scene.finish(again))
        assert await scene.apply_all(*changes) == [Stale(), Stale()]

    async def test_what_is_said_late_counts_while_nobody_else_has_the_job(
        self, scene: Scene
    ) -> None:
        leased = await lease(scene)
        await scene.advance(SECONDS + LEASE_SECONDS)
        found = await scene.store.find_lease(leased.lease, ANN)
        assert found is not None
        assert found.until is not None
        assert found.until <= scene.now
        await scene.apply(scene.finish(leased))
        assert await scene.state(leased.job.id) is JobState.SUCCEEDED

    async def test_it_tells_what_endpoints_ask_for_now(self, scene: Scene) -> None:
        leased = await lease(scene)
        assert leased.asked == frozenset()
        await registered(scene, events=(EventType.JOB_STARTED, EventType.JOB_OUTPUT))
        found = await scene.other.find_lease(leased.lease, ANN)
        assert found is not None
        assert found.asked == {EventType.JOB_STARTED}
        await scene.apply(scene.finish(leased))
        (again,) = await scene.add()
        (leased,) = (await scene.claim("nobody", remote=TERMS)).jobs
        assert leased.job.id == again.id
        assert leased.asked == {EventType.JOB_STARTED}

    async def test_nothing_is_left_of_leases(self, scene: Scene) -> None:
        await scene.add(count=2)
        one, two = (await scene.claim("nobody", remote=TERMS)).jobs
        before = await scene.backend.count_rows()
        await scene.apply(scene.back(one, after_seconds=60))
        await scene.apply(scene.back(two, after_seconds=60))
        assert await scene.backend.count_rows() == before - 2
