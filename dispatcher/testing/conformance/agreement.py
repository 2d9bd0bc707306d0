"""Whether a store shows what the model holds."""

from __future__ import annotations

from msgspec.structs import replace

from dispatcher.core.lifecycle import FINAL_JOB_STATES, TERMINAL_EVENTS, wants
from dispatcher.core.model import Delivery, DeliveryState, Job, JobState
from dispatcher.testing.conformance.model import Model
from dispatcher.testing.conformance.scene import Scene


def _comparable(job: Job) -> Job:
    """Without what the contract leaves open.

    How far `version` grows with a change; whether a job that no longer waits still shows that it
    was retried; and whether one that succeeded still shows why an attempt before failed.
    """
    return replace(
        job,
        version=0,
        retrying=job.retrying and job.state is JobState.WAITING,
        error=None if job.state is JobState.SUCCEEDED else job.error,
    )


def same_job(one: Job, other: Job) -> bool:
    """Whether two pictures of a job show the same."""
    return _comparable(one) == _comparable(other)


def _comparable_delivery(delivery: Delivery) -> Delivery:
    """Without the due time of one that doesn't wait, which nothing shows."""
    waits = delivery.state is DeliveryState.PENDING
    return replace(delivery, due_at=delivery.due_at if waits else 0)


async def agree(scene: Scene, model: Model) -> None:
    """Compare all jobs and deliveries; learn the ids of deliveries that are new."""
    shown = await scene.jobs()
    assert [job.id for job in shown] == list(model.jobs)[::-1], "jobs were lost, added or moved"
    for job in shown:
        held = model.jobs[job.id]
        assert _comparable(job) == _comparable(held.job)
        if held.seen is not None:
            assert job.version >= held.seen.version, "a version went back"
            assert same_job(job, held.seen) or job.version > held.seen.version
        held.seen = job
    records = await scene.delivery_records()
    assert {record.delivery.event_id for record in records} == set(model.deliveries)
    assert len(records) == len(model.deliveries), "an event has two deliveries"
    for record in records:
        sent = model.deliveries[record.delivery.event_id]
        if not sent.delivery.id:
            sent.delivery = replace(sent.delivery, id=record.delivery.id)
        assert _comparable_delivery(record.delivery) == _comparable_delivery(sent.delivery)
        assert list(record.attempts) == sent.attempts, "attempts are lost, doubled or moved"
    for place in model.places():
        assert model.free_slots(place, scene.now) >= 0, f"more than the slots of {place}"


async def agree_on_events(scene: Scene, model: Model) -> None:
    """Compare the events of each job: none lost, none twice, no gap, one end."""
    for job_id, held in model.jobs.items():
        events = await scene.events(job_id)
        assert [(event.id, event.type) for event in events] == held.events
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        ends = [event for event in events if event.type in TERMINAL_EVENTS]
        assert len(ends) == (held.job.state in FINAL_JOB_STATES)
        for end in ends:
            assert end is events[-1]
            owed = [one for one in await scene.deliveries(job_id) if one.event_id == end.id]
            assert len(owed) == wants(held.job, end.type)
        found = await scene.other.get_result(job_id, held.job.caller_id)
        assert found is not None
        assert found[1] == held.result
