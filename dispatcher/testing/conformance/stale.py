"""Compare-and-set: each change against each state, drawn from the transition tables.

What may be applied and what is stale follows from the guards in `core/lifecycle.py`; the tables
there say which ends each state has.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dispatcher.core.changes import (
    AskCancel,
    AskCancelDelivery,
    Change,
    EndDelivery,
    FinishJob,
    NoteOutput,
    NoteProgress,
    NoteStarted,
    RecordAttempt,
    Redeliver,
    ReleaseDelivery,
    ReleaseJob,
)
from dispatcher.core.lifecycle import (
    DELIVERY_TRANSITIONS,
    FINAL_DELIVERY_STATES,
    FINAL_JOB_STATES,
    JOB_TRANSITIONS,
)
from dispatcher.core.model import DeliveryState, JobState, Progress
from dispatcher.ports.records import Applied, Stale
from dispatcher.testing.conformance.changing import everything
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import EVERY_EVENT, TERMS, a_callback, an_attempt

JOB_CHANGES = (
    *(
        f"finish-{from_state}-{to}"
        for from_state, states in JOB_TRANSITIONS.items()
        for to in sorted(states & FINAL_JOB_STATES)
    ),
    "release",
    "ask-cancel",
    "progress",
    "progress-event",
    "output",
    "started",
)
DELIVERY_CHANGES = (
    *(f"record-{to}" for to in ("delivered", "dead", "pending")),
    "release",
    *(f"end-{to}" for to in ("canceled", "dead")),
    "cancel",
    "redeliver",
)
LEASES = ("own", "former", "none")


def job_change(scene: Scene, name: str, job_id: str, lease: str | None) -> Change | None:
    """The change of that name; None if it can't be written without a lease."""
    if name.startswith("finish-"):
        _, from_state, to = name.split("-")
        return FinishJob(
            job_id=job_id,
            from_state=JobState(from_state),
            lease=lease,
            to=JobState(to),
            at=scene.now,
            event_id=scene.ids.new("evt"),
            result=b"1" if to == JobState.SUCCEEDED else None,
        )
    if name == "ask-cancel":
        return AskCancel(job_id, scene.now)
    if lease is None:
        return None
    if name == "release":
        return ReleaseJob(job_id=job_id, lease=lease, due_at=scene.now, retrying=True, refund=False)
    return note(scene, name, job_id, lease)


def note(scene: Scene, name: str, job_id: str, lease: str) -> Change:
    event_id = scene.ids.new("evt")
    if name == "output":
        return NoteOutput(job_id=job_id, lease=lease, at=scene.now, event_id=event_id, output=b"1")
    if name == "started":
        return NoteStarted(job_id=job_id, lease=lease, at=scene.now, event_id=event_id)
    return NoteProgress(
        job_id=job_id,
        lease=lease,
        at=scene.now,
        progress=Progress(1),
        event_id=event_id if name == "progress-event" else None,
    )


async def job_in(scene: Scene, state: JobState) -> tuple[str, str | None, str]:
    """A job in that state: its id, the lease in force if there is one, and one of the past."""
    leased = await scene.running(callback=a_callback(events=EVERY_EVENT))
    former = leased.lease
    await scene.apply(scene.back(leased))
    if state is JobState.WAITING:
        return leased.job.id, None, former
    (leased,) = (await scene.claim()).jobs
    if state is JobState.RUNNING:
        return leased.job.id, leased.lease, former
    await scene.apply(scene.finish(leased, state))
    return leased.job.id, None, leased.lease


def job_change_applies(name: str, state: JobState, which: str) -> bool:
    if name.startswith("finish-"):
        _, from_state, _ = name.split("-")
        held = "own" if state is JobState.RUNNING else "none"
        return state == from_state and which == held
    return state is JobState.RUNNING and (which == "own" or name == "ask-cancel")


class TestStaleJobs:
    @pytest.mark.parametrize("state", list(JobState))
    @pytest.mark.parametrize("name", JOB_CHANGES)
    async def test_each_change_in_each_state(
        self, scene: Scene, name: str, state: JobState
    ) -> None:
        for which in LEASES:
            job_id, own, former = await job_in(scene, state)
            lease = {"own": own, "former": former, "none": None}[which]
            change = job_change(scene, name, job_id, lease)
            if change is not None and not (which == "own" and own is None):
                before = await everything(scene, job_id)
                applies = job_change_applies(name, state, which)
                (result,) = await scene.apply_all(change, store=scene.other)
                assert type(result) is (Applied if applies else Stale), f"{which} lease"
                changed = await everything(scene, job_id) != before
                assert changed == applies, f"{which} lease"
            await settle(scene)

    async def test_a_job_that_is_not_there(self, scene: Scene) -> None:
        for name in JOB_CHANGES:
            change = job_change(scene, name, scene.ids.new("job"), "lse_none")
            assert change is not None
            assert await scene.apply_all(change) == [Stale()], name
        assert await scene.jobs() == []

    async def test_an_event_id_of_another_job_is_no_replay(self, scene: Scene) -> None:
        """Only the same job's own event tells that the change was applied."""
        first, second = await scene.running(), await scene.running()
        change = scene.finish(first)
        await scene.apply(change)
        foreign = scene.finish(second, event_id=change.event_id)
        (result,) = await scene.store.apply([foreign], TERMS)
        assert isinstance(result, Exception | Stale)
        assert (await scene.record(second.job.id)).job == second.job


async def settle(scene: Scene) -> None:
    """End what waits and runs, so that the next job is the only one due."""
    while claimed := (await scene.claim()).jobs:
        for leased in claimed:
            await scene.apply(scene.finish(leased, JobState.FAILED))


async def delivery_in(scene: Scene, state: DeliveryState) -> tuple[str, str | None, str]:
    """A delivery in that state: its id, the lease in force if there is one, and a past one."""
    leased = await scene.sending()
    former = leased.lease
    await scene.apply(ReleaseDelivery(leased.delivery.id, former, scene.now))
    if state is DeliveryState.PENDING:
        return leased.delivery.id, None, former
    if state is DeliveryState.CANCELED:
        await scene.apply(EndDelivery(leased.delivery.id, state, scene.now))
        return leased.delivery.id, None, former
    (leased,) = (await scene.lease()).deliveries
    if state is DeliveryState.SENDING:
        return leased.delivery.id, leased.lease, former
    await scene.apply(scene.tried(leased, state))
    return leased.delivery.id, None, former


def delivery_change(scene: Scene, name: str, delivery_id: str, lease: str | None) -> Change | None:
    kind, _, to = name.partition("-")
    if kind == "end":
        return EndDelivery(delivery_id, DeliveryState(to), scene.now)
    if kind == "cancel":
        return AskCancelDelivery(delivery_id, scene.now)
    if kind == "redeliver":
        return Redeliver(delivery_id=delivery_id, round=2, at=scene.now)
    if lease is None:
        return None
    if kind == "release":
        return ReleaseDelivery(delivery_id, lease, scene.now)
    return RecordAttempt(
        delivery_id=delivery_id,
        lease=lease,
        attempt=an_attempt(2, scene.now),
        to=DeliveryState(to),
        due_at=scene.now,
        uses_entry=True,
        at=scene.now,
    )


def delivery_change_applies(name: str, state: DeliveryState, which: str) -> bool:
    if name.startswith("end-"):
        return state is DeliveryState.PENDING
    if name == "redeliver":
        return state in FINAL_DELIVERY_STATES
    return state is DeliveryState.SENDING and (name == "cancel" or which == "own")


def delivery_cases() -> Iterator[tuple[str, DeliveryState]]:
    for name in DELIVERY_CHANGES:
        for state in DELIVERY_TRANSITIONS:
            yield name, state


class TestStaleDeliveries:
    @pytest.mark.parametrize(("name", "state"), list(delivery_cases()))
    async def test_each_change_in_each_state(
        self, scene: Scene, name: str, state: DeliveryState
    ) -> None:
        for which in LEASES:
            delivery_id, own, former = await delivery_in(scene, state)
            lease = {"own": own, "former": former, "none": None}[which]
            change = delivery_change(scene, name, delivery_id, lease)
            if change is not None and not (which == "own" and own is None):
                before = await scene.delivery_records()
                applies = delivery_change_applies(name, state, which)
                (result,) = await scene.apply_all(change, store=scene.other)
                assert type(result) is (Applied if applies else Stale), f"{which} lease"
                changed = await scene.delivery_records() != before
                assert changed == applies, f"{which} lease"
            await finish_deliveries(scene)

    async def test_a_delivery_that_is_not_there(self, scene: Scene) -> None:
        for name in DELIVERY_CHANGES:
            change = delivery_change(scene, name, scene.ids.new("dlv"), "lse_none")
            assert change is not None
            assert await scene.apply_all(change) == [Stale()], name

    async def test_what_was_dropped_by_its_job_s_end_in_the_same_call(self, scene: Scene) -> None:
        leased = await scene.running(callback=a_callback(events=EVERY_EVENT))
        await scene.apply(note(scene, "output", leased.job.id, leased.lease))
        (dropped,) = await scene.deliveries(leased.job.id)
        end = EndDelivery(dropped.id, DeliveryState.DEAD, scene.now)
        finished, ended = await scene.apply_all(scene.finish(leased), end)
        assert isinstance(finished, Applied)
        assert ended == Stale()
        assert (await scene.delivery(dropped.id)).state is DeliveryState.CANCELED

    async def test_ended_deliveries_say_when(self, scene: Scene) -> None:
        for state in FINAL_DELIVERY_STATES:
            delivery_id, _, _ = await delivery_in(scene, state)
            assert (await scene.delivery(delivery_id)).finished_at == scene.now
        for state in set(DeliveryState) - FINAL_DELIVERY_STATES:
            delivery_id, _, _ = await delivery_in(scene, state)
            assert (await scene.delivery(delivery_id)).finished_at is None
            await finish_deliveries(scene)


async def finish_deliveries(scene: Scene) -> None:
    """End every delivery that is open, so that the next is the only one due."""
    await scene.store.end_other_leases(await scene.hold())
    for leased in (await scene.lease()).deliveries:
        await scene.apply(scene.tried(leased, DeliveryState.DEAD))
