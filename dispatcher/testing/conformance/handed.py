"""What was handed out, and changed by another before it is ended or recorded: the change counts.

A store may keep what it handed out, to save reading it again. It must not be told from one that
reads everything each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest
from msgspec.structs import replace

from dispatcher.core.breaker import BreakerState, BreakerTerms, Sign
from dispatcher.core.changes import (
    AskCancel,
    AskCancelDelivery,
    Change,
    EndDelivery,
    LeasedJob,
    NoteOutput,
    NoteProgress,
    PauseDestination,
    RecordAttempt,
    Redeliver,
    ReleaseDelivery,
)
from dispatcher.core.model import DeliveryState, EventType, JobState, Progress
from dispatcher.core.ordering import OnDead
from dispatcher.ports.records import (
    Added,
    Applied,
    ApplyResult,
    DeliveryTerms,
    LeasedDelivery,
    Stale,
)
from dispatcher.ports.views import DestinationFilter
from dispatcher.testing.conformance.delivering import ONE_SLOT
from dispatcher.testing.conformance.registered import owed_to, registered
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import (
    ANN,
    EVERY_EVENT,
    LEASE_SECONDS,
    ORIGIN,
    OTHER_ORIGIN,
    TERMS,
    a_callback,
)

Together: TypeAlias = Callable[..., Awaitable[list[ApplyResult]]]

_FRAGILE = replace(TERMS, breaker=BreakerTerms(failures=1))
"""One failure opens a breaker."""


class TestJobsChangedByAnother:
    @pytest.fixture(params=["claimed", "handed off"])
    async def leased(self, scene: Scene, request: pytest.FixtureRequest) -> LeasedJob:
        holder = await scene.hold()
        job = scene.job(callback=a_callback(events=EVERY_EVENT))
        if request.param == "claimed":
            await scene.add_all(scene.new(job))
            (leased,) = (await scene.claim(holder)).jobs
            return leased
        (added,) = await scene.add_all(scene.new(job, holder=holder))
        assert isinstance(added, Added)
        assert added.leased is not None
        return added.leased

    async def test_nothing(self, scene: Scene, leased: LeasedJob) -> None:
        before = leased.job
        applied = await scene.apply(scene.finish(leased, hand_off=True))
        record = await scene.record(before.id)
        assert (record.job.state, record.job.version) == (JobState.SUCCEEDED, before.version + 1)
        assert record.job.result_bytes == len(b'{"ok":true}')
        found = await scene.other.get_result(before.id, None)
        assert found is not None
        assert found[1] == b'{"ok":true}'
        (handed,) = applied.handed
        assert handed.job is not None
        assert (handed.job.state, handed.result) == (JobState.SUCCEEDED, b'{"ok":true}')

    async def test_cancelling_was_asked(self, scene: Scene, leased: LeasedJob) -> None:
        await scene.apply(AskCancel(leased.job.id, scene.now), store=scene.other)
        await scene.apply(scene.finish(leased))
        job = (await scene.record(leased.job.id)).job
        assert job.state is JobState.SUCCEEDED
        assert job.cancel_requested_at == scene.now
        assert job.version == leased.job.version + 2

    async def test_progress_was_noted(self, scene: Scene, leased: LeasedJob) -> None:
        progress = Progress(50)
        note = NoteProgress(
            job_id=leased.job.id, lease=leased.lease, at=scene.now, progress=progress
        )
        await scene.apply(note, store=scene.other)
        await scene.apply(scene.finish(leased))
        assert (await scene.record(leased.job.id)).job.progress == progress

    async def test_an_output_was_told(self, scene: Scene, leased: LeasedJob) -> None:
        """What is owed of it is dropped with the end, and the end is the second event."""
        note = NoteOutput(
            job_id=leased.job.id,
            lease=leased.lease,
            at=scene.now,
            event_id=scene.ids.new("evt"),
            output=b"1",
        )
        await scene.apply(note, store=scene.other)
        await scene.apply(scene.finish(leased))
        events = await scene.events(leased.job.id)
        assert [each.sequence for each in events] == [1, 2]
        states = {each.event_type: each.state for each in await scene.deliveries(leased.job.id)}
        assert states == {
            EventType.JOB_OUTPUT: DeliveryState.CANCELED,
            EventType.JOB_SUCCEEDED: DeliveryState.PENDING,
        }

    async def test_an_endpoint_was_registered(self, scene: Scene, leased: LeasedJob) -> None:
        endpoint = await registered(scene)
        await scene.apply(scene.finish(leased))
        assert len(await owed_to(scene, endpoint.id)) == 1

    async def test_its_holder_was_lost(self, scene: Scene, leased: LeasedJob) -> None:
        await scene.advance(LEASE_SECONDS + 1)
        (again,) = (await scene.claim(store=scene.other)).jobs
        assert await scene.apply_all(scene.finish(leased)) == [Stale()]
        await scene.apply(scene.finish(again), store=scene.other)
        assert len(await scene.events(leased.job.id)) == 1

    async def test_it_was_ended_already(self, scene: Scene, leased: LeasedJob) -> None:
        end = scene.finish(leased)
        await scene.apply(end)
        await scene.apply(end)
        await scene.apply(end, store=scene.other)
        assert await scene.apply_all(scene.finish(leased, JobState.FAILED)) == [Stale()]
        assert len(await scene.deliveries(leased.job.id)) == 1


class TestDeliveriesChangedByAnother:
    @pytest.fixture(params=["handed off", "claimed", "claimed by another", "handed on"])
    async def sending(self, scene: Scene, request: pytest.FixtureRequest) -> LeasedDelivery:
        one = TERMS if request.param != "handed on" else ONE_SLOT
        if request.param == "handed off":
            job = await scene.running(callback=a_callback())
            return (await scene.apply(scene.finish(job, hand_off=True))).handed[0]
        if request.param == "handed on":
            first = await scene.running(callback=a_callback())
            handed = (await scene.apply(scene.finish(first, hand_off=True), terms=one)).handed[0]
            second = await scene.running(callback=a_callback())
            waits = await scene.apply(scene.finish(second, hand_off=True), terms=one)
            assert not waits.handed
            done = scene.tried(handed, DeliveryState.DELIVERED, hand_off=True)
            (leased,) = (await scene.apply(done, terms=one)).handed
            assert leased.job is not None
            assert (leased.job.id, leased.result) == (second.job.id, b'{"ok":true}')
            assert leased.event.job_id == second.job.id
            return leased
        if request.param == "claimed":
            return await scene.sending()
        job = await scene.running(callback=a_callback())
        await scene.apply(scene.finish(job), store=scene.other)
        (leased,) = (await scene.lease()).deliveries
        return leased

    async def test_nothing(self, scene: Scene, sending: LeasedDelivery) -> None:
        await scene.apply(scene.tried(sending, DeliveryState.DELIVERED))
        (record,) = await scene.delivery_records(sending.delivery.job_id)
        assert record.delivery.state is DeliveryState.DELIVERED
        assert record.delivery.finished_at == scene.now
        assert [attempt.number for attempt in record.attempts] == [1]

    async def test_it_failed(self, scene: Scene, sending: LeasedDelivery) -> None:
        applied = await scene.apply(scene.tried(sending, after_seconds=5))
        assert applied.delivery_ready_at == scene.now + 5_000
        await scene.advance(5)
        (again,) = (await scene.lease()).deliveries
        assert (again.delivery.attempt_count, again.delivery.entries_used) == (1, 1)
        await scene.apply(scene.tried(again, DeliveryState.DEAD))
        assert (await scene.delivery(sending.delivery.id)).state is DeliveryState.DEAD

    async def test_cancelling_was_asked(self, scene: Scene, sending: LeasedDelivery) -> None:
        asked = AskCancelDelivery(sending.delivery.id, scene.now)
        await scene.apply(asked, store=scene.other)
        assert (await scene.apply(scene.tried(sending))).canceled
        assert (await scene.delivery(sending.delivery.id)).state is DeliveryState.CANCELED

    async def test_its_lease_was_lost(self, scene: Scene, sending: LeasedDelivery) -> None:
        await scene.advance(TERMS.lease_seconds + 1)
        (again,) = (await scene.lease(store=scene.other)).deliveries
        assert again.delivery.unknown_count == 1
        late = scene.tried(sending, DeliveryState.DELIVERED)
        assert await scene.apply_all(late) == [Stale()]
        await scene.apply(scene.tried(again, DeliveryState.DELIVERED), store=scene.other)

    async def test_it_was_recorded_already(self, scene: Scene, sending: LeasedDelivery) -> None:
        done = scene.tried(sending, DeliveryState.DELIVERED)
        for store in (scene.store, scene.store, scene.other):
            await scene.apply(done, store=store)
        (record,) = await scene.delivery_records(sending.delivery.job_id)
        assert len(record.attempts) == 1

    async def test_its_receiver_was_in_trouble(self, scene: Scene, sending: LeasedDelivery) -> None:
        """An attempt that failed so tells the breaker, whatever the store keeps."""
        failed = scene.tried(sending, sign=Sign.NO_CONNECTION)
        applied = await scene.apply(failed, terms=_FRAGILE)
        assert [each.state for each in applied.breakers] == [BreakerState.OPEN]
        assert (await scene.delivery(sending.delivery.id)).attempt_count == 1


class TestWaitingChangedByAnother:
    """A delivery that waits for a slot, which another changes before it has its turn."""

    async def waiting(self, scene: Scene) -> tuple[LeasedDelivery, str]:
        """One that is being sent in the only slot; the id of one that waits for it."""
        job = await scene.running(callback=a_callback())
        (sending,) = (await scene.apply(scene.finish(job, hand_off=True), terms=ONE_SLOT)).handed
        job = await scene.running(callback=a_callback())
        await scene.apply(scene.finish(job, hand_off=True), terms=ONE_SLOT)
        (waits,) = await scene.deliveries(job.job.id)
        return sending, waits.id

    async def end(self, scene: Scene, delivery_id: str) -> None:
        change = EndDelivery(delivery_id=delivery_id, to=DeliveryState.CANCELED, at=scene.now)
        await scene.apply(change, terms=ONE_SLOT, store=scene.other)

    async def test_it_was_canceled(self, scene: Scene) -> None:
        sending, waits = await self.waiting(scene)
        await self.end(scene, waits)
        done = scene.tried(sending, DeliveryState.DELIVERED, hand_off=True)
        assert (await scene.apply(done, terms=ONE_SLOT)).handed == ()
        assert (await scene.delivery(waits)).state is DeliveryState.CANCELED

    async def test_it_was_canceled_and_redelivered(self, scene: Scene) -> None:
        sending, waits = await self.waiting(scene)
        await self.end(scene, waits)
        again = Redeliver(delivery_id=waits, round=2, at=scene.now)
        await scene.apply(again, terms=ONE_SLOT, store=scene.other)
        done = scene.tried(sending, DeliveryState.DELIVERED, hand_off=True)
        (handed,) = (await scene.apply(done, terms=ONE_SLOT)).handed
        assert (handed.delivery.id, handed.delivery.round) == (waits, 2)

    async def test_another_sent_it_first(self, scene: Scene) -> None:
        sending, waits = await self.waiting(scene)
        await scene.apply(
            scene.tried(sending, DeliveryState.DELIVERED), terms=ONE_SLOT, store=scene.other
        )
        (taken,) = (await scene.lease(terms=ONE_SLOT, store=scene.other)).deliveries
        assert taken.delivery.id == waits
        await scene.apply(scene.tried(taken), terms=ONE_SLOT, store=scene.other)
        await scene.advance(5)
        (again,) = (await scene.lease(terms=ONE_SLOT)).deliveries
        assert (again.delivery.attempt_count, again.delivery.entries_used) == (1, 1)

    async def test_another_gave_up_on_what_nobody_knows_of(self, scene: Scene) -> None:
        """An entry of the schedule is used up, without an attempt."""
        sending, waits = await self.waiting(scene)
        done = scene.tried(sending, DeliveryState.DELIVERED)
        await scene.apply(done, terms=ONE_SLOT, store=scene.other)
        (taken,) = (await scene.lease(terms=ONE_SLOT, store=scene.other)).deliveries
        assert taken.delivery.id == waits
        unknown = scene.tried(taken, attempt=None)
        await scene.apply(unknown, terms=ONE_SLOT, store=scene.other)
        await scene.advance(5)
        (again,) = (await scene.lease(terms=ONE_SLOT)).deliveries
        assert (again.delivery.attempt_count, again.delivery.entries_used) == (0, 1)

    async def test_it_was_erased(self, scene: Scene) -> None:
        sending, waits = await self.waiting(scene)
        job_id = (await scene.delivery(waits)).job_id or ""
        await scene.other.erase_job(job_id, ANN, ONE_SLOT, cancel_deliveries=True)
        done = scene.tried(sending, DeliveryState.DELIVERED, hand_off=True)
        assert (await scene.apply(done, terms=ONE_SLOT)).handed == ()


class TestAttemptsThatAreLate:
    """Between changes of one batch: what comes after them goes by what came before."""

    @pytest.fixture
    async def late(self, scene: Scene) -> RecordAttempt:
        """An attempt whose lease is another's by now, at a destination of its own."""
        job = await scene.running(callback=a_callback(OTHER_ORIGIN))
        (sending,) = (await scene.apply(scene.finish(job, hand_off=True))).handed
        return replace(scene.tried(sending, DeliveryState.DELIVERED), lease="lse_other")

    @pytest.fixture(params=["in one call", "in calls of their own"])
    def together(self, scene: Scene, request: pytest.FixtureRequest) -> Together:
        async def apply(*changes: Change, terms: DeliveryTerms = TERMS) -> list[ApplyResult]:
            if request.param == "in one call":
                return await scene.apply_all(*changes, terms=terms)
            calls = [scene.apply_all(change, terms=terms) for change in changes]
            return [answer for each in await asyncio.gather(*calls) for answer in each]

        return apply

    async def test_a_destination_that_was_paused_is(
        self, scene: Scene, late: RecordAttempt, together: Together
    ) -> None:
        first = await scene.running(callback=a_callback())
        (sending,) = (await scene.apply(scene.finish(first, hand_off=True))).handed
        await scene.apply(scene.tried(sending, DeliveryState.DELIVERED))
        page = await scene.other.list_destinations(DestinationFilter(), limit=10, before=None)
        (here,) = [each for each in page.items if each.origin == ORIGIN]
        job = await scene.running(callback=a_callback())
        answers = await together(
            PauseDestination(here.id, scene.now), late, scene.finish(job, hand_off=True)
        )
        assert isinstance(answers[2], Applied)
        assert answers[2].handed == ()

    async def test_a_slot_that_was_taken_is(
        self, scene: Scene, late: RecordAttempt, together: Together
    ) -> None:
        ordered = replace(a_callback(), ordered=OnDead.SKIP)
        jobs = [await scene.running(callback=each) for each in (ordered, a_callback())]
        first, second = (scene.finish(job, hand_off=True) for job in jobs)
        answers = await together(first, late, second, terms=ONE_SLOT)
        assert sum(len(each.handed) for each in answers if isinstance(each, Applied)) == 1

    async def test_what_waits_is_looked_at(
        self, scene: Scene, late: RecordAttempt, together: Together
    ) -> None:
        """The last that was at a destination is canceled there, and something else comes."""
        ordered = replace(a_callback(), ordered=OnDead.SKIP)
        first = await scene.running(callback=ordered)
        (sending,) = (await scene.apply(scene.finish(first, hand_off=True))).handed
        await scene.apply(AskCancelDelivery(sending.delivery.id, scene.now))
        job = await scene.running(callback=a_callback(schedule=(60.0, 60.0)))
        back = ReleaseDelivery(sending.delivery.id, sending.lease, scene.now)
        await together(back, late, scene.finish(job))
        await scene.advance(100)
        (waits,) = await scene.deliveries(job.job.id)
        claimed = (await scene.lease()).deliveries
        assert waits.id in {each.delivery.id for each in claimed}
