"""New rounds of deliveries that have ended, and cancels of those that are being sent."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from dispatcher.core.changes import (
    AskCancelDelivery,
    Change,
    EndDelivery,
    Redeliver,
    ReleaseDelivery,
)
from dispatcher.core.lifecycle import (
    DELIVERY_LIFE_MS,
    FINAL_DELIVERY_STATES,
    UNKNOWN_ATTEMPTS,
    decide_delivery,
)
from dispatcher.core.model import DeliveryState
from dispatcher.core.outcome import Unknown
from dispatcher.core.retry import DEFAULT_SCHEDULE
from dispatcher.ports.records import Applied, LeasedDelivery, Stale
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import (
    ORIGIN,
    TERMS,
    a_callback,
    an_attempt,
    raise_first,
    rests_until,
)


async def ended(scene: Scene, state: DeliveryState = DeliveryState.DEAD) -> LeasedDelivery:
    """A delivery that was tried twice, unknown once, and has ended."""
    leased = await scene.sending()
    await scene.apply(scene.tried(leased, after_seconds=0))
    await scene.lease()
    await scene.advance(TERMS.lease_seconds)
    (leased,) = (await scene.lease()).deliveries
    assert leased.delivery.unknown_count == 1
    await scene.apply(scene.tried(leased, state))
    return leased


def redelivery(scene: Scene, leased: LeasedDelivery, *, begins: int = 2) -> Redeliver:
    return Redeliver(delivery_id=leased.delivery.id, round=begins, at=scene.now)


class TestRedelivering:
    @pytest.mark.parametrize("state", sorted(FINAL_DELIVERY_STATES))
    async def test_a_new_round_begins_at_once(self, scene: Scene, state: DeliveryState) -> None:
        before = await ended(scene, state)
        ended_as = await scene.delivery(before.delivery.id)
        await scene.advance(90)
        result = await scene.apply(redelivery(scene, before))
        assert (result.handed, result.delivery_ready_at) == ((), scene.now)
        record = await scene.other.get_delivery(before.delivery.id, None)
        assert record is not None
        assert record.delivery == replace(
            ended_as,
            state=DeliveryState.PENDING,
            due_at=scene.now,
            entries_used=0,
            unknown_count=0,
            finished_at=None,
            round=2,
            redelivered_at=scene.now,
        )
        assert [attempt.number for attempt in record.attempts] == [1, 2]
        (again,) = (await scene.lease(store=scene.other)).deliveries
        assert (again.event, again.job, again.result) == (before.event, before.job, before.result)
        assert again.delivery.attempt_count == 2
        await scene.apply(scene.tried(again, DeliveryState.DELIVERED))
        record = await scene.other.get_delivery(before.delivery.id, None)
        assert record is not None
        assert [attempt.number for attempt in record.attempts] == [1, 2, 3]
        assert record.delivery.finished_at == scene.now

    async def test_again_and_again(self, scene: Scene) -> None:
        leased = await ended(scene)
        for begins in (2, 3, 4):
            await scene.apply(redelivery(scene, leased, begins=begins))
            (leased,) = (await scene.lease()).deliveries
            assert leased.delivery.round == begins
            await scene.apply(scene.tried(leased, DeliveryState.DEAD))
        assert (await scene.delivery(leased.delivery.id)).attempt_count == 5

    async def test_one_never_tried_has_its_first_attempt_then(self, scene: Scene) -> None:
        (owed,) = await scene.owed()
        await scene.apply(EndDelivery(owed, DeliveryState.CANCELED, scene.now))
        await scene.apply(Redeliver(delivery_id=owed, round=2, at=scene.now))
        (leased,) = (await scene.lease()).deliveries
        change = scene.tried(leased, DeliveryState.DELIVERED)
        await scene.apply(change)
        (record,) = await scene.delivery_records()
        assert record.attempts == (change.attempt,)

    async def test_many_who_begin_the_same_round_begin_one(self, scene: Scene) -> None:
        leased = await ended(scene)
        change = redelivery(scene, leased)
        stores = (scene.store, scene.other) * 3
        answers = await asyncio.gather(*(store.apply([change], TERMS) for store in stores))
        assert all(isinstance(raise_first(answer)[0], Applied) for answer in answers)
        assert len((await scene.lease()).deliveries) == 1
        await scene.apply(change)
        assert (await scene.delivery(leased.delivery.id)).state is DeliveryState.SENDING

    async def test_a_late_one_does_not_begin_a_third(self, scene: Scene) -> None:
        """A bulk that is resumed after a crash sends nothing twice in one round."""
        leased = await ended(scene)
        await scene.apply(redelivery(scene, leased))
        (again,) = (await scene.lease()).deliveries
        await scene.apply(scene.tried(again, DeliveryState.DEAD))
        await scene.apply(redelivery(scene, leased))
        delivery = await scene.delivery(leased.delivery.id)
        assert (delivery.state, delivery.round) == (DeliveryState.DEAD, 2)

    async def test_a_round_that_is_not_the_next_is_stale(self, scene: Scene) -> None:
        leased = await ended(scene)
        change = redelivery(scene, leased, begins=3)
        assert await scene.apply_all(change) == [Stale()]

    async def test_the_former_rounds_writes_change_nothing(self, scene: Scene) -> None:
        leased = await ended(scene)
        recorded = scene.tried(leased, DeliveryState.DEAD)
        await scene.apply(redelivery(scene, leased))
        before = await scene.delivery_records()
        late: list[Change] = [
            scene.tried(leased, attempt=an_attempt(3, scene.now)),
            ReleaseDelivery(leased.delivery.id, leased.lease, scene.now),
        ]
        for change in late:
            assert await scene.apply_all(change) == [Stale()]
        await scene.apply(recorded)  # it stands already
        assert await scene.delivery_records() == before

    async def test_an_end_decided_for_the_former_round_changes_nothing(self, scene: Scene) -> None:
        """The sweep found it old; meanwhile its caller canceled and redelivered it."""
        (owed,) = await scene.owed()
        late = EndDelivery(owed, DeliveryState.DEAD, scene.now, 1)
        await scene.apply(EndDelivery(owed, DeliveryState.CANCELED, scene.now, 1))
        await scene.apply(Redeliver(delivery_id=owed, round=2, at=scene.now))
        assert await scene.apply_all(late) == [Stale()]
        assert (await scene.delivery(owed)).state is DeliveryState.PENDING
        await scene.apply(EndDelivery(owed, DeliveryState.DEAD, scene.now, 2))

    async def test_its_life_begins_anew(self, scene: Scene) -> None:
        leased = await ended(scene)
        await scene.advance(DELIVERY_LIFE_MS / 1000)
        await scene.apply(redelivery(scene, leased))
        assert (await scene.store.sweep(10)).old_deliveries == ()
        await scene.advance(DELIVERY_LIFE_MS / 1000)
        (old,) = (await scene.store.sweep(10)).old_deliveries
        assert old == await scene.delivery(leased.delivery.id)

    async def test_a_destination_that_was_forgotten_is_made_again(self, scene: Scene) -> None:
        leased = await ended(scene)
        await scene.advance(TERMS.lease_seconds)
        assert (await scene.lease()).next_at is None
        await scene.store.prune(100)
        result = await scene.apply(redelivery(scene, leased))
        assert result.delivery_ready_at == scene.now
        (again,) = (await scene.lease()).deliveries
        assert again.delivery.id == leased.delivery.id
        await scene.store.prune(100)
        await scene.apply(scene.tried(again, after_seconds=5))
        await scene.advance(5)
        assert len((await scene.lease()).deliveries) == 1

    async def test_it_waits_for_a_slot_as_others_do(self, scene: Scene) -> None:
        leased = await ended(scene)
        await scene.owed(*[ORIGIN] * TERMS.slots)
        others = (await scene.lease()).deliveries
        assert len(others) == TERMS.slots
        result = await scene.apply(redelivery(scene, leased))
        free_at = scene.now + round(TERMS.lease_seconds * 1000)
        assert rests_until(result.delivery_ready_at, scene.now, free_at)
        claimed = await scene.lease()
        assert claimed.deliveries == ()
        assert rests_until(claimed.next_at, scene.now, free_at)
        change = scene.tried(others[0], DeliveryState.DELIVERED, hand_off=True)
        (handed,) = (await scene.apply(change)).handed
        assert handed.delivery.id == leased.delivery.id


class TestAskingToCancelDeliveries:
    async def asked(self, scene: Scene) -> LeasedDelivery:
        leased = await scene.sending()
        await scene.apply(AskCancelDelivery(leased.delivery.id, scene.now))
        return leased

    async def test_it_goes_on_being_sent_and_shows_that_it_was_asked(self, scene: Scene) -> None:
        leased = await self.asked(scene)
        asked_at = scene.now
        await scene.advance(1)
        await scene.apply(AskCancelDelivery(leased.delivery.id, scene.now), store=scene.other)
        delivery = await scene.delivery(leased.delivery.id)
        assert delivery == replace(leased.delivery, cancel_requested_at=asked_at)

    @pytest.mark.parametrize("hand_off", [False, True])
    async def test_it_is_not_tried_again(self, scene: Scene, hand_off: bool) -> None:
        leased = await self.asked(scene)
        change = scene.tried(leased, hand_off=hand_off)
        result = await scene.apply(change)
        assert (result.canceled, result.delivery_ready_at) == (True, None)
        (record,) = await scene.delivery_records()
        assert record.delivery.state is DeliveryState.CANCELED
        assert record.delivery.finished_at == scene.now
        assert record.attempts == (change.attempt,)
        await scene.advance(3_600)
        assert (await scene.lease()).deliveries == ()

    @pytest.mark.parametrize("to", [DeliveryState.DELIVERED, DeliveryState.DEAD])
    async def test_another_end_of_the_attempt_stands(self, scene: Scene, to: DeliveryState) -> None:
        leased = await self.asked(scene)
        result = await scene.apply(scene.tried(leased, to))
        assert not result.canceled
        delivery = await scene.delivery(leased.delivery.id)
        assert (delivery.state, delivery.finished_at) == (to, scene.now)

    async def test_one_given_back_unsent_has_ended(self, scene: Scene) -> None:
        leased = await self.asked(scene)
        change = ReleaseDelivery(leased.delivery.id, leased.lease, scene.now + 5)
        assert (await scene.apply(change)).canceled
        delivery = await scene.delivery(leased.delivery.id)
        assert (delivery.state, delivery.finished_at) == (DeliveryState.CANCELED, scene.now)

    async def test_one_whose_sender_died_is_the_sweeps(self, scene: Scene) -> None:
        leased = await self.asked(scene)
        await scene.advance(TERMS.lease_seconds)
        claimed = await scene.lease()
        assert (claimed.deliveries, claimed.next_at) == ((), None)
        ((lost, lease, job, _),) = (await scene.store.sweep(10)).lost_deliveries
        assert (lost.id, lease, job) == (leased.delivery.id, leased.lease, leased.job)
        change = decide_delivery(
            lost, lease, Unknown(), DEFAULT_SCHEDULE, attempt=None, now=scene.now, jitter=0
        )
        assert (await scene.apply(change)).canceled
        assert (await scene.delivery(lost.id)).state is DeliveryState.CANCELED
        assert (await scene.store.sweep(10)).lost_deliveries == ()

    async def test_its_slot_goes_on_to_the_next(self, scene: Scene) -> None:
        await scene.owed(*[ORIGIN] * (TERMS.slots + 1))
        claimed = (await scene.lease()).deliveries
        assert len(claimed) == TERMS.slots
        await scene.apply(AskCancelDelivery(claimed[0].delivery.id, scene.now))
        assert (await scene.lease()).deliveries == ()
        result = await scene.apply(scene.tried(claimed[0]))
        assert result.delivery_ready_at == scene.now
        assert len((await scene.lease()).deliveries) == 1

    async def test_a_new_round_forgets_it(self, scene: Scene) -> None:
        leased = await self.asked(scene)
        await scene.apply(scene.tried(leased))
        await scene.apply(redelivery(scene, leased))
        assert (await scene.delivery(leased.delivery.id)).cancel_requested_at is None
        for number in range(UNKNOWN_ATTEMPTS + 1):
            (again,) = (await scene.lease()).deliveries
            assert again.delivery.unknown_count == number
            await scene.advance(TERMS.lease_seconds)

    async def test_what_was_asked_survives_a_crash(self, scene: Scene) -> None:
        leased = await self.asked(scene)
        await scene.backend.crash(scene.store)
        scene.store = await scene.backend.open()
        await scene.apply(scene.tried(leased))
        job = await scene.end(callback=a_callback())
        (other,) = (await scene.lease()).deliveries
        assert other.delivery.job_id == job.id
