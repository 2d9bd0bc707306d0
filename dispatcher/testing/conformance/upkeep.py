"""What keeps a store in order, as steps of the state machine; and how a run ends."""

from __future__ import annotations

from typing import Final

from dispatcher.core.changes import Change, FinishJob, PauseDestination, ResumeDestination
from dispatcher.core.lifecycle import (
    FINAL_DELIVERY_STATES,
    decide_delivery,
    decide_job,
    decide_overdue,
)
from dispatcher.core.model import DeliveryState, Instant, JobState
from dispatcher.core.outcome import Unknown, WorkerLost
from dispatcher.core.retry import DEFAULT_JOB_BACKOFF, DEFAULT_SCHEDULE
from dispatcher.ports.records import Applied, Overdue
from dispatcher.ports.views import DestinationFilter
from dispatcher.testing.conformance.agreement import agree, agree_on_events
from dispatcher.testing.conformance.model import Model
from dispatcher.testing.conformance.run import Run
from dispatcher.testing.conformance.values import EVERY_TYPE, TERMS, raise_first

PLENTY: Final = 1_000
MOST_ROUNDS: Final = 40


def _check(model: Model, overdue: Overdue, now: Instant) -> None:
    """What was found is overdue, all of it, and as it is stored."""
    lost = {one.job.id for one in model.jobs.values() if model.orphan(one, now)}
    late = {one.job.id for one in model.jobs.values() if not one.job.done and one.late(now)}
    found_lost = {job.id for job, _ in overdue.lost_jobs}
    found_late = {job.id for job, _ in overdue.late_jobs}
    assert found_late == late
    assert lost - late <= found_lost <= lost
    for job, lease in (*overdue.lost_jobs, *overdue.late_jobs):
        assert lease == model.jobs[job.id].lease
    gone = {one.delivery.id for one in model.deliveries.values() if one.lost(now) and one.given_up}
    assert {delivery.id for delivery, *_ in overdue.lost_deliveries} == gone
    for delivery, token, *_ in overdue.lost_deliveries:
        sent = model.by_id(delivery.id)
        assert sent is not None
        assert token == sent.lease
    assert overdue.old_deliveries == ()


async def sweep(run: Run, which: int) -> None:
    """Look for what is overdue, and decide as the engine does."""
    overdue = await run.stores[which].sweep(PLENTY)
    _check(run.model, overdue, run.now)
    changes: list[Change] = []
    for job, token in overdue.late_jobs:
        change = decide_overdue(job, token, now=run.now, event_id=run.scene.ids.new("evt"))
        assert change is not None, "the sweep found a job that is not late"
        changes.append(change)
    late = {job.id for job, _ in overdue.late_jobs}
    for job, lease in overdue.lost_jobs:
        if job.id not in late:
            changes.append(
                decide_job(
                    job,
                    lease,
                    WorkerLost(),
                    DEFAULT_JOB_BACKOFF,
                    now=run.now,
                    jitter=0,
                    event_id=run.scene.ids.new("evt"),
                )
            )
    for delivery, held, *_ in overdue.lost_deliveries:
        changes.append(
            decide_delivery(
                delivery, held, Unknown(), DEFAULT_SCHEDULE, attempt=None, now=run.now, jitter=0
            )
        )
    if changes:
        await run.apply(which, changes)


async def prune(run: Run, which: int, limit: int) -> None:
    """Erase what has had its time; again as long as nothing goes though something should.

    One call looks at a bounded number of jobs, and those that owe a delivery stay: the calls that
    follow go on.
    """
    for _ in range(2 + len(run.model.jobs)):
        ripe = {
            one.job.id
            for one in run.model.jobs.values()
            if one.job.expires_at is not None
            and one.job.expires_at <= run.now
            and not any(sent.keeps_its_job(run.now) for sent in run.model.of_job(one.job.id))
        }
        count = await run.stores[which].prune(limit)
        gone = set(run.model.jobs) - {job.id for job in await run.scene.jobs()}
        assert gone <= ripe, "a job was erased before its time"
        assert len(gone) <= limit
        assert count in {len(gone), limit}  # as many as it may: there is more to look at
        run.model.forget(gone)
        run.applied = [change for change in run.applied if not _is_of(change, gone)]
        if gone or not ripe or not limit:
            return
    raise AssertionError("nothing is erased though there is something")


def _is_of(change: Change, job_ids: set[str]) -> bool:
    return isinstance(change, FinishJob) and change.job_id in job_ids


async def held_jobs(run: Run, which: int) -> None:
    """Each holder is told of the jobs that it holds and that were asked to stop."""
    for holder, _, _ in run.holders:
        held = await run.stores[which].held_jobs(holder)
        told = {one.job_id for one in held if one.cancel_requested}
        asked = {
            one.job.id
            for one in run.model.jobs.values()
            if one.holder == holder and one.job.cancel_requested_at is not None
        }
        assert asked <= told
        running_on = {
            one.job.id
            for one in run.model.jobs.values()
            if one.holder == holder and one.job.cancel_requested_at is None
        }
        assert not told & running_on


async def pause(run: Run, which: int, pick: int, *, resume: bool) -> None:
    """Pause a destination, or resume it; again, it changes nothing."""
    store = run.stores[which]
    found = (await store.list_destinations(DestinationFilter(), limit=100, before=None)).items
    there = {(one.caller_id, one.origin) for one in found if one.paused_at is not None}
    assert there == run.model.paused, "a destination that is paused was forgotten, or the like"
    if not found:
        return
    chosen = found[pick % len(found)]
    place = (chosen.caller_id, chosen.origin)
    change = ResumeDestination(chosen.id) if resume else PauseDestination(chosen.id, run.now)
    (result,) = raise_first(await store.apply([change], TERMS))
    assert isinstance(result, Applied)
    if not resume:
        run.model.paused.add(place)
    elif place in run.model.paused:
        run.model.paused.discard(place)
        ready_at = result.delivery_ready_at
        assert ready_at is not None or not run.model.ready(place, run.now)
        run.told = run.told or (ready_at is not None and ready_at <= run.now)


async def finale(run: Run) -> None:
    """Nothing is lost: from wherever the run has come, every job ends and every callback lands."""
    for queue in list(run.model.queues_paused):
        await run.stores[0].resume(queue)
    run.model.queues_paused.clear()
    for pick in range(100 if run.model.paused else 0):
        await pause(run, 0, pick, resume=True)
    for _ in range(MOST_ROUNDS):
        await run.backend.advance(3_600)
        await sweep(run, 0)
        holder = await run.hold(1)
        while (claimed := await run.claim(1, holder, EVERY_TYPE, PLENTY)).jobs:
            await run.apply(1, [run.scene.finish(leased) for leased in claimed.jobs])
        while (sending := await run.lease(0, PLENTY)).deliveries:
            done = [run.scene.tried(one, DeliveryState.DELIVERED) for one in sending.deliveries]
            await run.apply(0, done)
        await agree(run.scene, run.model)
        jobs_done = all(one.job.done for one in run.model.jobs.values())
        deliveries = run.model.deliveries.values()
        if jobs_done and all(one.delivery.state in FINAL_DELIVERY_STATES for one in deliveries):
            break
    else:
        raise AssertionError(f"jobs or deliveries never end: {run.model}")
    await agree_on_events(run.scene, run.model)
    for one in run.model.jobs.values():
        assert one.job.state is not JobState.RUNNING
