"""Deliveries: hand-off, what is leased, what is recorded, and attempts that nobody recorded."""

from __future__ import annotations

import msgspec
import pytest

from dispatcher.core.changes import EndDelivery, FinishJob, ReleaseDelivery
from dispatcher.core.lifecycle import DELIVERY_LIFE_MS, UNKNOWN_ATTEMPTS
from dispatcher.core.model import (
    INLINE_RESULT_BYTES,
    Attempt,
    AttemptError,
    DeliveryState,
)
from dispatcher.core.payload import callback_body
from dispatcher.core.retry import Schedule
from dispatcher.ports.records import (
    Added,
    Applied,
    ClaimedDeliveries,
    DeliveryTerms,
    LeasedDelivery,
    Stale,
)
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import (
    BEN,
    MISCHIEF,
    ORIGIN,
    OTHER_ORIGIN,
    TERMS,
    a_callback,
    an_attempt,
    rests_until,
)

ONE_SLOT = DeliveryTerms(slots=1, lease_seconds=20.0)


async def handed(
    scene: Scene,
    origin: str = ORIGIN,
    *,
    terms: DeliveryTerms = TERMS,
    caller_id: str = "",
) -> tuple[LeasedDelivery | None, Applied]:
    """End a job and ask for its delivery: what was handed off, if anything."""
    members = {"caller_id": caller_id} if caller_id else {}
    leased = await scene.running(callback=a_callback(origin), **members)
    applied = await scene.apply(scene.finish(leased, hand_off=True), terms=terms)
    assert len(applied.handed) <= 1
    return (applied.handed[0] if applied.handed else None), applied


class TestHandOffOfDeliveries:
    async def test_a_caller_s_schedule_says_when_it_is_due_if_the_job_does_not(
        self, scene: Scene
    ) -> None:
        for schedule, wait_ms in ((None, 1_500), (Schedule((0.25,)), 250)):
            callback = msgspec.structs.replace(
                a_callback(), schedule=schedule, caller_schedule=Schedule((1.5,))
            )
            leased = await scene.running(callback=callback)
            await scene.apply(scene.finish(leased, hand_off=True))
            (delivery,) = await scene.deliveries(leased.job.id)
            assert delivery.due_at == scene.now + wait_ms

    async def test_with_a_free_slot_and_nothing_before_it(self, scene: Scene) -> None:
        leased = await scene.running(callback=a_callback())
        change = scene.finish(leased, hand_off=True)
        (sending,) = (await scene.apply(change)).handed
        record = await scene.record(leased.job.id)
        assert sending.job == record.job
        assert sending.result == change.result
        assert (sending.event,) == tuple(await scene.events(leased.job.id))
        assert sending.delivery == await scene.delivery(sending.delivery.id)
        assert sending.delivery.state is DeliveryState.SENDING
        assert sending.delivery.event_id == change.event_id
        assert (await scene.lease(store=scene.other)).deliveries == ()
        await scene.apply(scene.tried(sending, DeliveryState.DELIVERED), store=scene.other)

    async def test_no_more_than_the_slots(self, scene: Scene) -> None:
        for _ in range(TERMS.slots):
            sending, _ = await handed(scene)
            assert sending is not None
        sending, applied = await handed(scene)
        assert sending is None
        assert applied.delivery_ready_at is not None
        assert applied.delivery_ready_at <= scene.now + 20_000
        assert (await scene.lease()).deliveries == ()

    async def test_slots_are_a_destinations_own(self, scene: Scene) -> None:
        await handed(scene, terms=ONE_SLOT)
        for origin, caller_id in ((OTHER_ORIGIN, ""), (ORIGIN, BEN)):
            sending, _ = await handed(scene, origin, terms=ONE_SLOT, caller_id=caller_id)
            assert sending is not None

    async def test_one_that_waits_goes_first(self, scene: Scene) -> None:
        (first,) = await scene.owed()
        sending, applied = await handed(scene)
        assert sending is None
        assert applied.delivery_ready_at is not None
        assert applied.delivery_ready_at <= scene.now
        leased = (await scene.lease(limit=1)).deliveries
        assert [one.delivery.id for one in leased] == [first]

    async def test_one_that_waits_for_later_does_not_count(self, scene: Scene) -> None:
        sending = await scene.sending()
        await scene.apply(scene.tried(sending, after_seconds=60))
        again, _ = await handed(scene)
        assert again is not None

    async def test_a_list_hands_off_within_the_slots(self, scene: Scene) -> None:
        await scene.add(count=6, callback=a_callback())
        changes = [scene.finish(leased, hand_off=True) for leased in (await scene.claim()).jobs]
        results = await scene.apply_all(*changes)
        sending = [one for r in results if isinstance(r, Applied) for one in r.handed]
        assert len(sending) == TERMS.slots
        assert len({one.lease for one in sending}) == TERMS.slots

    async def test_a_slot_whose_lease_has_ended_is_free(self, scene: Scene) -> None:
        (lost, _) = await handed(scene, terms=ONE_SLOT)
        assert lost is not None
        await scene.advance(20)
        (again,) = (await scene.lease(terms=ONE_SLOT)).deliveries
        assert again.delivery.id == lost.delivery.id

    async def test_its_lease_lasts_as_the_terms_say(self, scene: Scene) -> None:
        sending, _ = await handed(scene)
        assert sending is not None
        await scene.advance(19.999)
        assert (await scene.lease()).deliveries == ()
        await scene.advance(0.001)
        assert len((await scene.lease()).deliveries) == 1


class TestLeasedDeliveries:
    async def test_it_brings_all_that_its_bytes_are_made_of(self, scene: Scene) -> None:
        (job,) = await scene.add(callback=a_callback(), metadata={"k": MISCHIEF})
        (leased,) = (await scene.claim()).jobs
        await scene.apply(scene.finish(leased, result=b'{"n": 1}'))
        (sending,) = (await scene.lease()).deliveries
        record = await scene.record(job.id)
        assert (sending.job, sending.result) == (record.job, b'{"n": 1}')
        assert sending.delivery == await scene.delivery(sending.delivery.id)
        assert (sending.event,) == tuple(await scene.events(job.id))

    async def test_each_attempt_sends_the_same_bytes(self, scene: Scene) -> None:
        leased = await scene.running(callback=a_callback())
        (sending,) = (await scene.apply(scene.finish(leased, hand_off=True))).handed
        bodies = [body_of(sending)]
        for _ in range(3):
            await scene.apply(scene.tried(sending, after_seconds=1))
            await scene.advance(1)
            (sending,) = (await scene.lease(store=scene.other)).deliveries
            bodies.append(body_of(sending))
        assert len(set(bodies)) == 1

    @pytest.mark.parametrize("over", [0, 1])
    async def test_a_result_comes_along_if_it_may_stand_inline(
        self, scene: Scene, over: int
    ) -> None:
        result = b'"%s"' % (b"x" * (INLINE_RESULT_BYTES - 2 + over))
        leased = await scene.running(callback=a_callback())
        await scene.apply(scene.finish(leased, result=result))
        (sending,) = (await scene.lease()).deliveries
        assert sending.result == (None if over else result)
        assert sending.job is not None
        assert sending.job.result_bytes == len(result)


def body_of(leased: LeasedDelivery) -> bytes:
    return callback_body(leased.event, leased.job, leased.delivery.url, leased.result)


class TestRecordingAttempts:
    async def test_a_success_ends_it(self, scene: Scene) -> None:
        sending = await scene.sending()
        await scene.advance(1)
        change = scene.tried(sending, DeliveryState.DELIVERED)
        await scene.apply(change)
        (record,) = await scene.delivery_records(sending.delivery.job_id)
        assert record.attempts == (change.attempt,)
        assert record.delivery == msgspec.structs.replace(
            sending.delivery,
            state=DeliveryState.DELIVERED,
            attempt_count=1,
            entries_used=1,
            finished_at=scene.now,
            due_at=record.delivery.due_at,
        )
        await scene.advance(86_400)
        assert await scene.lease() == ClaimedDeliveries((), None)

    async def test_attempts_are_kept_in_order(self, scene: Scene) -> None:
        sending = await scene.sending()
        attempts: list[Attempt] = []
        for number in range(1, 7):
            attempt = Attempt(
                number=number,
                at=scene.now,
                duration_ms=number * 7,
                status_code=None if number % 2 else 503,
                error=AttemptError("timeout", MISCHIEF) if number % 2 else None,
                body=None if number == 1 else bytes(range(256)) * 16,
            )
            change = scene.tried(sending, after_seconds=1, attempt=attempt)
            await scene.apply(change)
            attempts.append(attempt)
            await scene.advance(1)
            (sending,) = (await scene.lease()).deliveries
            assert sending.delivery.attempt_count == number
        (record,) = await scene.delivery_records(sending.delivery.job_id)
        assert record.attempts == tuple(attempts)
        assert record.delivery.entries_used == 6

    async def test_only_what_uses_an_entry_counts_as_such(self, scene: Scene) -> None:
        sending = await scene.sending()
        used = 0
        for number, uses_entry in enumerate((False, True, False, True), start=1):
            change = scene.tried(sending, after_seconds=0, uses_entry=uses_entry)
            await scene.apply(change)
            used += uses_entry
            (sending,) = (await scene.lease()).deliveries
            counts = sending.delivery.attempt_count, sending.delivery.entries_used
            assert counts == (number, used)

    async def test_it_waits_until_the_next_is_due(self, scene: Scene) -> None:
        sending = await scene.sending()
        applied = await scene.apply(scene.tried(sending, after_seconds=5))
        assert applied.delivery_ready_at is not None
        assert applied.delivery_ready_at <= scene.now + 5_000
        assert (await scene.delivery(sending.delivery.id)).due_at == scene.now + 5_000
        await scene.advance(4.999)
        claimed = await scene.lease()
        assert claimed.deliveries == ()
        assert rests_until(claimed.next_at, scene.now, scene.now + 1)
        await scene.advance(0.001)
        (again,) = (await scene.lease()).deliveries
        assert again.lease != sending.lease

    async def test_sent_again_it_is_applied_without_effect(self, scene: Scene) -> None:
        for to in (DeliveryState.PENDING, DeliveryState.DELIVERED, DeliveryState.DEAD):
            sending = await scene.sending()
            change = scene.tried(sending, to)
            await scene.apply(change)
            before = await scene.delivery_records()
            await scene.apply(change, store=scene.other)
            assert await scene.delivery_records() == before

    async def test_sent_again_after_later_attempts_have_begun(self, scene: Scene) -> None:
        sending = await scene.sending()
        changes = []
        for _ in range(3):
            changes.append(scene.tried(sending, after_seconds=1))
            await scene.apply(changes[-1])
            await scene.advance(1)
            (sending,) = (await scene.lease()).deliveries
            before = await scene.delivery_records()
            for change in changes:
                await scene.apply(change)
            assert await scene.delivery_records() == before

    async def test_another_attempt_under_an_old_lease_is_stale(self, scene: Scene) -> None:
        sending = await scene.sending()
        await scene.apply(scene.tried(sending))
        other = scene.tried(sending, attempt=an_attempt(2, scene.now))
        assert await scene.apply_all(other) == [Stale()]

    async def test_a_freed_slot_tells_that_others_wait(self, scene: Scene) -> None:
        await scene.owed(ORIGIN, ORIGIN)
        (first,) = (await scene.lease(terms=ONE_SLOT)).deliveries
        applied = await scene.apply(scene.tried(first, DeliveryState.DELIVERED), terms=ONE_SLOT)
        assert applied.delivery_ready_at is not None
        assert applied.delivery_ready_at <= scene.now
        assert len((await scene.lease(terms=ONE_SLOT)).deliveries) == 1

    async def test_given_back_unsent_it_is_as_before(self, scene: Scene) -> None:
        sending = await scene.sending()
        applied = await scene.apply(ReleaseDelivery(sending.delivery.id, sending.lease, scene.now))
        assert applied.delivery_ready_at is not None
        assert applied.delivery_ready_at <= scene.now
        (again,) = (await scene.lease()).deliveries
        assert again.delivery == sending.delivery
        assert again.lease != sending.lease

    @pytest.mark.parametrize("to", [DeliveryState.CANCELED, DeliveryState.DEAD])
    async def test_a_waiting_one_can_be_ended(self, scene: Scene, to: DeliveryState) -> None:
        (owed,) = await scene.owed()
        await scene.apply(EndDelivery(owed, to, scene.now))
        delivery = await scene.delivery(owed)
        assert (delivery.state, delivery.finished_at) == (to, scene.now)
        await scene.advance(86_400)
        assert await scene.lease() == ClaimedDeliveries((), None)


class TestUnknownAttempts:
    async def test_an_attempt_that_nobody_recorded_is_made_again(self, scene: Scene) -> None:
        lost = await scene.sending()
        claimed = await scene.lease()
        assert claimed.deliveries == ()
        assert rests_until(claimed.next_at, scene.now, scene.now + 20_000)
        await scene.advance(20)
        (again,) = (await scene.lease(store=scene.other)).deliveries
        assert again.delivery == msgspec.structs.replace(lost.delivery, unknown_count=1)
        assert again.lease != lost.lease
        assert await scene.apply_all(scene.tried(lost)) == [Stale()]
        await scene.apply(scene.tried(again, DeliveryState.DELIVERED))

    async def test_three_times_running_at_most(self, scene: Scene) -> None:
        leased = await scene.sending()
        for unknown in range(1, UNKNOWN_ATTEMPTS + 1):
            await scene.advance(20)
            (leased,) = (await scene.lease()).deliveries
            assert leased.delivery.unknown_count == unknown
            assert (leased.delivery.attempt_count, leased.delivery.entries_used) == (0, 0)
        assert (await scene.store.sweep(10)).lost_deliveries == ()
        await scene.advance(20)
        for _ in range(3):
            claimed = await scene.lease()
        assert claimed.deliveries == ()
        assert claimed.next_at is None or claimed.next_at > scene.now
        job = (await scene.record(leased.delivery.job_id)).job
        overdue = await scene.store.sweep(10)
        assert overdue.lost_deliveries == ((leased.delivery, leased.lease, job, None),)

    async def test_the_sweeps_verdict_uses_an_entry(self, scene: Scene) -> None:
        """Nobody knows of an attempt, so that none is recorded; the count begins anew."""
        leased = await scene.sending()
        for _ in range(UNKNOWN_ATTEMPTS):
            await scene.advance(20)
            (leased,) = (await scene.lease()).deliveries
        await scene.advance(20)
        await scene.apply(scene.tried(leased, attempt=None, after_seconds=5))
        (record,) = await scene.delivery_records(leased.delivery.job_id)
        assert record.attempts == ()
        assert record.delivery.state is DeliveryState.PENDING
        assert (record.delivery.attempt_count, record.delivery.entries_used) == (0, 1)
        assert record.delivery.unknown_count == 0
        await scene.advance(5)
        assert len((await scene.lease()).deliveries) == 1

    async def test_a_recorded_attempt_ends_the_row(self, scene: Scene) -> None:
        await scene.sending()
        await scene.advance(20)
        (leased,) = (await scene.lease()).deliveries
        await scene.apply(scene.tried(leased, after_seconds=0))
        (again,) = (await scene.lease()).deliveries
        assert (again.delivery.unknown_count, again.delivery.attempt_count) == (0, 1)

    async def test_a_lost_one_does_not_keep_its_slot(self, scene: Scene) -> None:
        await scene.sending()
        for _ in range(UNKNOWN_ATTEMPTS):
            await scene.advance(20)
            assert len((await scene.lease(terms=ONE_SLOT)).deliveries) == 1
        await scene.advance(20)
        (owed,) = await scene.owed()
        (other,) = (await scene.lease(terms=ONE_SLOT)).deliveries
        assert other.delivery.id == owed

    async def test_an_old_one_that_waits_is_found_by_the_sweep(self, scene: Scene) -> None:
        (owed,) = await scene.owed()
        await scene.advance(DELIVERY_LIFE_MS / 1000 - 0.001)
        assert (await scene.store.sweep(10)).old_deliveries == ()
        await scene.advance(0.001)
        overdue = await scene.store.sweep(10)
        assert [delivery.id for delivery in overdue.old_deliveries] == [owed]


class TestHandedOverBetweenProcesses:
    async def test_a_delivery_handed_to_one_is_recorded_by_another(self, scene: Scene) -> None:
        (added,) = await scene.add_all(
            scene.new(scene.job(callback=a_callback()), holder=await scene.hold())
        )
        assert isinstance(added, Added)
        assert added.leased is not None
        change: FinishJob = scene.finish(added.leased, hand_off=True)
        (sending,) = (await scene.apply(change, store=scene.other)).handed
        await scene.apply(scene.tried(sending, DeliveryState.DELIVERED))
        (record,) = await scene.delivery_records(added.job.id)
        assert record.delivery.state is DeliveryState.DELIVERED
