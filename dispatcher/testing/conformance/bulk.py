"""Bulk operations: what they select, and steps that are taken once or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from dispatcher.core.changes import AskCancel, EndDelivery, LeasedJob, Redeliver
from dispatcher.core.model import Delivery, DeliveryState, EventType, Job, JobState, JobStatus
from dispatcher.core.quotas import Full, WaitRoom
from dispatcher.ports.bulk import BulkState, BulkStep, BulkStepped
from dispatcher.ports.records import Added, Applied, NoRoom, Stale
from dispatcher.ports.views import DeliveryFilter, JobFilter
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import (
    ANN,
    BEN,
    MAIL,
    ORIGIN,
    OTHER_ORIGIN,
    REPORT,
    TERMS,
    a_callback,
)


async def the_deliveries(scene: Scene, *, limit: int = 100, **members: Any) -> list[Delivery]:
    """All that a selection gives, through all pages."""
    wanted = DeliveryFilter(**({"caller_id": ANN, "state": DeliveryState.DEAD} | members))
    found: list[Delivery] = []
    after = 0
    while True:
        page = await scene.other.select_deliveries(wanted, after=after, limit=limit)
        assert len(page.items) <= limit
        assert page.after > after or page.ended
        found += page.items
        if page.ended:
            return found
        after = page.after


async def the_jobs(
    scene: Scene, *, limit: int = 100, before: str = "", **members: Any
) -> list[Job]:
    """The same of jobs; `before` is the job that they were received before."""
    wanted = JobFilter(**({"caller_id": ANN} | members))
    found: list[Job] = []
    after = 0
    while True:
        page = await scene.other.select_jobs(wanted, before_job=before, after=after, limit=limit)
        assert len(page.items) <= limit
        assert page.after > after or page.ended
        found += [job for job, body in page.items if body is None]
        if page.ended:
            return found
        after = page.after


async def ended_deliveries(scene: Scene, count: int, to: DeliveryState) -> list[str]:
    """The ids of deliveries that have ended so, in the order they were made."""
    owed = [(await scene.owed())[0] for _ in range(count)]
    if to is DeliveryState.CANCELED:
        await scene.apply_all(*(EndDelivery(each, to, scene.now) for each in owed))
        return owed
    while leased := (await scene.lease()).deliveries:
        await scene.apply_all(*(scene.tried(each, to) for each in leased))
    return owed


class TestSelecting:
    @pytest.mark.parametrize(
        "state", [DeliveryState.DEAD, DeliveryState.DELIVERED, DeliveryState.CANCELED]
    )
    async def test_deliveries_in_the_order_they_were_made(
        self, scene: Scene, state: DeliveryState
    ) -> None:
        expected = await ended_deliveries(scene, 7, state)
        await scene.owed()
        for limit in (1, 3, 100):
            found = await the_deliveries(scene, limit=limit, state=state)
            assert [each.id for each in found] == expected
            assert found == [await scene.delivery(each) for each in expected]
        assert await the_deliveries(scene, state=state, caller_id=BEN) == []

    async def test_deliveries_of_one_kind(self, scene: Scene) -> None:
        first = (await scene.sending()).delivery
        await scene.store.end_other_leases(await scene.hold())
        await scene.advance(1)
        job = await scene.end(JobState.FAILED, callback=a_callback(OTHER_ORIGIN))
        second = (await scene.deliveries(job.id))[0]
        while leased := (await scene.lease()).deliveries:
            await scene.apply_all(*(scene.tried(each, DeliveryState.DEAD) for each in leased))
        filters: list[tuple[dict[str, Any], list[str]]] = [
            ({"url": first.url}, [first.id]),
            ({"url": ORIGIN}, []),
            ({"event_type": EventType.JOB_FAILED}, [second.id]),
            ({"created_after": first.created_at}, [second.id]),
            ({"created_before": second.created_at}, [first.id]),
            ({"created_after": second.created_at}, []),
            ({}, [first.id, second.id]),
        ]
        for members, expected in filters:
            found = [each.id for each in await the_deliveries(scene, limit=1, **members)]
            assert found == expected, members

    async def test_open_jobs_in_the_order_received(self, scene: Scene) -> None:
        running = await scene.running()
        await scene.end(JobState.SUCCEEDED)
        later = await scene.add(count=3, due_at=scene.now + 60_000)
        queued = await scene.add(count=3, priority=9)
        await scene.add(caller_id=BEN)
        expected = [running.job.id, *(job.id for job in (*later, *queued))]
        for limit in (1, 3, 100):
            assert [job.id for job in await the_jobs(scene, limit=limit)] == expected
        scheduled = await the_jobs(scene, status=JobStatus.SCHEDULED, limit=2)
        assert [job.id for job in scheduled] == [job.id for job in later]
        assert await the_jobs(scene, status=JobStatus.RUNNING) == [running.job]
        assert await the_jobs(scene, status=JobStatus.RETRYING) == []

    @pytest.mark.parametrize(
        "to", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED]
    )
    async def test_jobs_that_ended_so(self, scene: Scene, to: JobState) -> None:
        other = JobState.FAILED if to is not JobState.FAILED else JobState.CANCELED
        expected = []
        for _ in range(4):
            expected.append((await scene.end(to)).id)
            await scene.end(other)
            await scene.end(to, caller_id=BEN)
        for limit in (1, 3, 100):
            found = await the_jobs(scene, limit=limit, status=JobStatus(to.value))
            assert [job.id for job in found] == expected

    async def test_jobs_of_one_kind(self, scene: Scene) -> None:
        (first,) = await scene.add(queue="a")
        await scene.advance(1)
        (second,) = await scene.add(type="dispatcher.echo")
        (third,) = await scene.add(type=REPORT, queue="b")
        filters: list[tuple[dict[str, Any], list[Job]]] = [
            ({"queue": "a"}, [first]),
            ({"type": MAIL}, [first]),
            ({"type": REPORT}, [third]),
            ({"type": second.type}, []),
            ({"created_after": first.created_at}, [third]),
            ({"created_before": third.created_at}, [first]),
            ({"before": third.id}, [first]),
            ({"before": first.id}, []),
            ({}, [first, third]),
        ]
        for members, expected in filters:
            assert await the_jobs(scene, limit=1, **members) == expected, members

    async def test_jobs_with_their_inputs(self, scene: Scene) -> None:
        bodies = [b'{"n":%d}' % n for n in range(3)] + [b"[" + b"1," * 1_000_000 + b"1]"] * 4
        jobs = [scene.job() for _ in bodies]
        for job, body in zip(jobs, bodies, strict=True):
            await scene.add_all(scene.new(job, body=body))
        found: list[tuple[Job, bytes | None]] = []
        after, pages = 0, 0
        while True:
            page = await scene.other.select_jobs(
                JobFilter(caller_id=ANN), before_job="", after=after, limit=100, with_input=True
            )
            found, after, pages = [*found, *page.items], page.after, pages + 1
            if page.ended:
                break
        assert found == list(zip(jobs, bodies, strict=True))
        assert pages > 1
        last = found[-1][0].id
        assert await scene.other.get_input(last, ANN) == found[-1]
        assert await scene.other.get_input(last, BEN) is None


async def begun(scene: Scene) -> LeasedJob:
    """A bulk operation that runs; nothing else may be due."""
    return await scene.running(type=REPORT)


async def redelivering(scene: Scene, leased: LeasedJob, *delivery_ids: str) -> BulkStep:
    """The next step, which redelivers these."""
    state = await scene.store.bulk_state(leased.job.id)
    items = [Redeliver(delivery_id=each, round=2, at=scene.now) for each in delivery_ids]
    return BulkStep(
        job_id=leased.job.id,
        lease=leased.lease,
        since=state.after,
        after=state.after + 10,
        items=tuple(items),
        matched=len(items),
        total=9,
    )


async def take(scene: Scene, step: BulkStep) -> BulkStepped:
    stepped = await scene.store.advance_bulk(step, TERMS)
    assert isinstance(stepped, BulkStepped)
    return stepped


class TestBulkSteps:
    async def test_a_step_does_what_it_says_and_is_kept(self, scene: Scene) -> None:
        dead = await ended_deliveries(scene, 3, DeliveryState.DEAD)
        leased = await begun(scene)
        assert await scene.other.bulk_state(leased.job.id) == BulkState()
        stepped = await take(scene, await redelivering(scene, leased, *dead[:2]))
        assert stepped.state == BulkState(after=10, matched=2, changed=2, total=9)
        assert stepped.results == (Applied(delivery_ready_at=scene.now),) * 2
        assert await scene.other.bulk_state(leased.job.id) == stepped.state
        assert [each.id for each in await the_deliveries(scene)] == dead[2:]
        step = await redelivering(scene, leased, dead[2])
        stepped = await take(scene, replace(step, ended=True, skipped=1, matched=2))
        assert stepped.state == BulkState(
            after=20, matched=4, changed=3, skipped=1, total=9, ended=True
        )
        assert len((await scene.lease()).deliveries) == 3

    async def test_sent_again_it_changes_nothing(self, scene: Scene) -> None:
        """Its answer was lost with the connection; meanwhile the new round has ended."""
        dead = await ended_deliveries(scene, 2, DeliveryState.DEAD)
        leased = await begun(scene)
        step = await redelivering(scene, leased, *dead)
        first = await take(scene, step)
        for each in (await scene.lease()).deliveries:
            await scene.apply(scene.tried(each, DeliveryState.DEAD))
        assert await take(scene, step) == BulkStepped(first.state)
        assert [(await scene.delivery(each)).round for each in dead] == [2, 2]

    async def test_two_at_once_take_one(self, scene: Scene) -> None:
        dead = await ended_deliveries(scene, 2, DeliveryState.DEAD)
        leased = await begun(scene)
        step = await redelivering(scene, leased, *dead)
        stores = (scene.store, scene.other) * 2
        answers = await asyncio.gather(*(store.advance_bulk(step, TERMS) for store in stores))
        assert all(isinstance(each, BulkStepped) for each in answers)
        assert sorted(len(each.results) for each in answers if isinstance(each, BulkStepped)) == [
            0,
            0,
            0,
            2,
        ]
        assert (await scene.store.bulk_state(leased.job.id)).changed == 2

    async def test_whoever_lost_the_job_takes_none(self, scene: Scene) -> None:
        """A process that was paused comes back, while another goes on with the operation."""
        (dead,) = await ended_deliveries(scene, 1, DeliveryState.DEAD)
        late = await begun(scene)
        step = await redelivering(scene, late, dead)
        await scene.store.end_other_leases(await scene.hold())
        (again,) = (await scene.claim()).jobs
        assert again.job.id == late.job.id
        assert await scene.store.advance_bulk(step, TERMS) == Stale()
        assert (await scene.delivery(dead)).round == 1
        await take(scene, replace(step, lease=again.lease))
        assert await scene.store.advance_bulk(step, TERMS) == Stale()
        assert (await scene.delivery(dead)).round == 2

    async def test_one_decided_for_another_place_is_stale(self, scene: Scene) -> None:
        (dead,) = await ended_deliveries(scene, 1, DeliveryState.DEAD)
        leased = await begun(scene)
        step = await redelivering(scene, leased, dead)
        wrong = replace(step, since=5, after=15)
        assert await scene.store.advance_bulk(wrong, TERMS) == Stale()
        assert (await scene.delivery(dead)).state is DeliveryState.DEAD
        ended = replace(step, job_id=scene.ids.new("job"))
        assert await scene.store.advance_bulk(ended, TERMS) == Stale()

    async def test_a_round_that_others_began_is_begun_and_what_is_gone_is_skipped(
        self, scene: Scene
    ) -> None:
        dead = await ended_deliveries(scene, 3, DeliveryState.DEAD)
        await scene.apply(Redeliver(delivery_id=dead[0], round=2, at=scene.now))
        leased = await begun(scene)
        step = await redelivering(scene, leased, *dead)
        gone = Redeliver(delivery_id=scene.ids.new("dlv"), round=2, at=scene.now)
        stepped = await take(scene, replace(step, items=(*step.items, gone), matched=4))
        assert stepped.state == BulkState(after=10, matched=4, changed=3, skipped=1, total=9)
        assert [(await scene.delivery(each)).round for each in dead] == [2, 2, 2]

    async def test_jobs_are_canceled(self, scene: Scene) -> None:
        leased = await begun(scene)
        runs = await scene.running()
        done = await scene.end()
        (waits,) = await scene.add(callback=a_callback())
        items = (
            scene.end_waiting(waits),
            AskCancel(runs.job.id, scene.now),
            scene.end_waiting(done),
        )
        step = BulkStep(
            job_id=leased.job.id, lease=leased.lease, since=0, after=7, items=items, matched=3
        )
        stepped = await take(scene, step)
        assert (stepped.state.changed, stepped.state.skipped) == (2, 1)
        assert [type(each) for each in stepped.results] == [Applied, Applied, Stale]
        assert await scene.state(waits.id) is JobState.CANCELED
        assert (await scene.record(runs.job.id)).job.cancel_requested_at == scene.now
        (owed,) = await scene.deliveries(waits.id)
        assert owed.event_type is EventType.JOB_CANCELED

    async def test_jobs_are_added(self, scene: Scene) -> None:
        leased = await begun(scene)
        news = [scene.new(scene.job(replay_of="job_x"), body=b"[%d]" % n) for n in range(2)]
        step = BulkStep(
            job_id=leased.job.id,
            lease=leased.lease,
            since=0,
            after=7,
            items=tuple(news),
            matched=2,
        )
        stepped = await take(scene, step)
        assert [type(each) for each in stepped.results] == [Added, Added]
        assert await take(scene, step) == BulkStepped(stepped.state)
        added = (await scene.claim()).jobs
        assert [(each.job.id, each.input) for each in added] == [
            (new.job.id, new.input) for new in news
        ]
        assert {each.job.replay_of for each in added} == {"job_x"}

    async def test_without_room_for_each_job_none_is_added(self, scene: Scene) -> None:
        leased = await begun(scene)
        room = WaitRoom(jobs=2)
        news = [replace(scene.new(), room=room) for _ in range(3)]
        step = BulkStep(
            job_id=leased.job.id,
            lease=leased.lease,
            since=0,
            after=7,
            items=tuple(news),
            matched=3,
        )
        assert await scene.store.advance_bulk(step, TERMS) == NoRoom(Full.JOBS)
        assert await scene.store.bulk_state(leased.job.id) == BulkState()
        assert [job.id for job in await scene.jobs()] == [leased.job.id]
        await take(scene, replace(step, items=tuple(news[:2]), matched=2))
        assert len((await scene.claim()).jobs) == 2

    async def test_its_state_goes_with_its_job(self, scene: Scene) -> None:
        (dead,) = await ended_deliveries(scene, 1, DeliveryState.DEAD)
        leased = await begun(scene)
        await take(scene, await redelivering(scene, leased, dead))
        await scene.apply(scene.finish(leased))
        rows = await scene.backend.count_rows()
        await scene.store.erase_job(leased.job.id, ANN, TERMS, cancel_deliveries=False)
        # Job, input, result, event and state go; that it was there is remembered, and so is how far
        # the caller's events were erased.
        assert await scene.backend.count_rows() == rows - 3
        assert await scene.store.bulk_state(leased.job.id) == BulkState()
