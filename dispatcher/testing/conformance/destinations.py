"""Destinations: which deliveries a claim picks, so that one receiver hurts no other."""

from __future__ import annotations

from collections import Counter

import pytest

from dispatcher.core.changes import EndDelivery, Redeliver
from dispatcher.core.model import DeliveryState
from dispatcher.ports.records import Applied, ClaimedDeliveries, DeliveryTerms, Stale
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import (
    ANN,
    BEN,
    ORIGIN,
    OTHER_ORIGIN,
    TERMS,
    a_callback,
    rests_until,
)

DEAD = "https://dead.example"
ONE_SLOT = DeliveryTerms(slots=1, lease_seconds=20.0)


def ids(claimed: ClaimedDeliveries) -> list[str]:
    return [leased.delivery.id for leased in claimed.deliveries]


def origins(claimed: ClaimedDeliveries) -> Counter[str]:
    return Counter(leased.delivery.origin for leased in claimed.deliveries)


async def backlog(scene: Scene, origin: str, count: int, caller_id: str = ANN) -> None:
    """`count` due deliveries for one destination, made in two calls."""
    callback = a_callback(origin)
    jobs = [scene.job(callback=callback, caller_id=caller_id) for _ in range(count)]
    await scene.add_all(*(scene.new(job) for job in jobs))
    await scene.apply_all(*(scene.end_waiting(job) for job in jobs))


class TestDestinations:
    async def test_an_empty_store_has_nothing_and_nothing_to_come(self, scene: Scene) -> None:
        assert await scene.lease() == ClaimedDeliveries((), None)

    async def test_no_more_than_the_limit(self, scene: Scene) -> None:
        await backlog(scene, ORIGIN, 5)
        claimed = await scene.lease(limit=3)
        assert len(claimed.deliveries) == 3
        assert claimed.next_at is not None
        assert claimed.next_at <= scene.now
        assert (await scene.lease(limit=0)).deliveries == ()

    async def test_no_more_than_the_slots_of_each(self, scene: Scene) -> None:
        await backlog(scene, ORIGIN, 9)
        await backlog(scene, OTHER_ORIGIN, 9)
        assert origins(await scene.lease()) == {ORIGIN: 4, OTHER_ORIGIN: 4}
        claimed = await scene.lease(store=scene.other)
        assert claimed.deliveries == ()
        assert rests_until(claimed.next_at, scene.now, scene.now + 20_000)

    async def test_a_destination_is_a_callers_origin(self, scene: Scene) -> None:
        await backlog(scene, ORIGIN, 9, ANN)
        await backlog(scene, ORIGIN, 9, BEN)
        claimed = await scene.lease()
        callers = Counter(leased.delivery.caller_id for leased in claimed.deliveries)
        assert callers == {ANN: 4, BEN: 4}

    async def test_the_terms_of_each_claim_count(self, scene: Scene) -> None:
        """Two processes may be set to different slots for a while: the tighter one keeps to its."""
        await backlog(scene, ORIGIN, 9)
        sending = (await scene.lease(terms=DeliveryTerms(3, 20.0))).deliveries
        assert len(sending) == 3
        for leased in sending[:2]:
            assert (await scene.lease(terms=DeliveryTerms(2, 20.0))).deliveries == ()
            await scene.apply(scene.tried(leased, DeliveryState.DELIVERED))
        assert len((await scene.lease(terms=DeliveryTerms(2, 20.0))).deliveries) == 1

    async def test_the_oldest_due_first(self, scene: Scene) -> None:
        wanted = []
        for _ in range(4):
            wanted += await scene.owed()
            await scene.advance(1)
        retried = (await scene.lease(limit=1)).deliveries[0]
        assert retried.delivery.id == wanted[0]
        await scene.apply(scene.tried(retried, after_seconds=0))
        order = [ids(await scene.lease(limit=1))[0] for _ in range(4)]
        assert order == [*wanted[1:], wanted[0]]

    async def test_one_with_no_end_of_due_ones_hides_nobody(self, scene: Scene) -> None:
        await backlog(scene, DEAD, 300)
        await scene.advance(1)
        await backlog(scene, ORIGIN, 3)
        claimed = await scene.lease(limit=20)
        assert origins(claimed) == {DEAD: 4, ORIGIN: 3}

    async def test_one_that_hangs_hides_nobody(self, scene: Scene) -> None:
        """Its slots are all sending, so that it isn't ready, however much is due."""
        await backlog(scene, DEAD, 100)
        await scene.lease()
        for _ in range(3):
            await scene.advance(1)
            await backlog(scene, ORIGIN, 1)
            assert origins(await scene.lease(limit=1)) == {ORIGIN: 1}

    async def test_one_claim_takes_evenly(self, scene: Scene) -> None:
        for number in range(5):
            await backlog(scene, f"https://r{number}.example", 4)
        assert set(origins(await scene.lease(limit=10)).values()) == {2}

    async def test_claims_go_round(self, scene: Scene) -> None:
        """The longest unserved comes first: whoever was served waits for the others."""
        names = [f"https://r{number}.example" for number in range(3)]
        for origin in names:
            await backlog(scene, origin, 4)
        served: list[str] = []
        for _ in range(9):
            await scene.advance(0.001)
            served += origins(await scene.lease(limit=1))
        for turn in range(3):
            assert sorted(served[turn * 3 : turn * 3 + 3]) == names, served

    async def test_more_destinations_than_the_limit_are_all_served(self, scene: Scene) -> None:
        for number in range(30):
            await backlog(scene, f"https://r{number}.example", 1)
        served: set[str] = set()
        for _ in range(10):
            await scene.advance(0.001)
            served |= set(origins(await scene.lease(limit=3)))
        assert len(served) == 30

    async def test_a_full_one_is_ready_when_a_slot_comes_free(self, scene: Scene) -> None:
        await backlog(scene, ORIGIN, TERMS.slots + 2)
        sending = (await scene.lease()).deliveries
        await scene.apply(scene.tried(sending[0], DeliveryState.DELIVERED))
        await scene.apply(scene.tried(sending[1], after_seconds=60))
        assert len((await scene.lease()).deliveries) == 2
        assert (await scene.lease()).deliveries == ()

    async def test_next_at_is_the_earliest_of_all(self, scene: Scene) -> None:
        await scene.owed(ORIGIN, OTHER_ORIGIN, DEAD)
        for seconds, leased in enumerate((await scene.lease()).deliveries, start=7):
            await scene.apply(scene.tried(leased, after_seconds=seconds))
        claimed = await scene.lease()
        assert claimed.deliveries == ()
        assert rests_until(claimed.next_at, scene.now, scene.now + 7_000)

    async def test_a_delivery_that_falls_due_earlier_moves_next_at(self, scene: Scene) -> None:
        """A new delivery to a destination whose others wait for long is not hidden by them."""
        sending = await scene.sending()
        await scene.apply(scene.tried(sending, after_seconds=3_600))
        claimed = await scene.lease()
        assert rests_until(claimed.next_at, scene.now, scene.now + 3_600_000)
        (owed,) = await scene.owed()
        assert ids(await scene.lease(store=scene.other)) == [owed]

    async def test_the_end_of_a_lease_is_not_slept_through(self, scene: Scene) -> None:
        """Two are lost at different times; each is found when its own lease ends."""
        first = await scene.sending()
        await scene.advance(5)
        second = await scene.sending()
        for lost, left_seconds in ((first, 15), (second, 5)):
            claimed = await scene.lease()
            assert claimed.deliveries == ()
            assert claimed.next_at is not None
            assert claimed.next_at <= scene.now + left_seconds * 1000
            await scene.advance(left_seconds)
            (again,) = (await scene.lease()).deliveries
            assert again.delivery.id == lost.delivery.id
            await scene.apply(scene.tried(again, DeliveryState.DELIVERED))

    async def test_idle_claims_come_to_rest(self, scene: Scene) -> None:
        await backlog(scene, ORIGIN, 9)
        await backlog(scene, OTHER_ORIGIN, 1)
        (other,) = (
            one for one in (await scene.lease()).deliveries if one.delivery.origin == OTHER_ORIGIN
        )
        await scene.apply(scene.tried(other, after_seconds=60))
        for _ in range(5):
            claimed = await scene.lease()
        assert claimed.deliveries == ()
        assert claimed.next_at is not None
        assert claimed.next_at > scene.now


class TestHandingOn:
    """The slot that an attempt frees goes on at once, to the oldest due of the same destination."""

    async def test_the_oldest_due_takes_the_slot(self, scene: Scene) -> None:
        wanted = []
        for _ in range(3):
            wanted += await scene.owed()
            await scene.advance(1)
        (sending,) = (await scene.lease(terms=ONE_SLOT)).deliveries
        assert sending.delivery.id == wanted[0]
        change = scene.tried(sending, DeliveryState.DELIVERED, hand_off=True)
        applied = await scene.apply(change, terms=ONE_SLOT)
        (handed,) = applied.handed
        assert handed.delivery == await scene.delivery(wanted[1])
        assert handed.delivery.state is DeliveryState.SENDING
        assert handed.lease != sending.lease
        assert handed.job == (await scene.record(handed.delivery.job_id)).job
        assert [handed.event] == await scene.events(handed.delivery.job_id)
        assert handed.result is not None
        assert (await scene.lease(terms=ONE_SLOT, store=scene.other)).deliveries == ()
        await scene.apply(scene.tried(handed, DeliveryState.DELIVERED), terms=ONE_SLOT)
        (last,) = (await scene.lease(terms=ONE_SLOT)).deliveries
        assert last.delivery.id == wanted[2]

    @pytest.mark.parametrize("mine", [True, False])
    async def test_it_is_made_of_what_is_stored(self, scene: Scene, mine: bool) -> None:
        """Whoever ended the job, and whether or not a store keeps what it has just written."""
        first = await scene.running(callback=a_callback())
        second = await scene.running(
            callback=a_callback(), correlation_id="c-1", metadata={"a": "b"}
        )
        owed = await scene.apply(scene.finish(first, hand_off=True), terms=ONE_SLOT)
        full = scene.finish(second, hand_off=True, result=b'{"pages": [1,  2.0]}')
        assert (await scene.apply(full, terms=ONE_SLOT)).handed == ()
        (sending,) = owed.handed
        change = scene.tried(sending, DeliveryState.DELIVERED, hand_off=True)
        store = scene.store if mine else scene.other
        (handed,) = (await scene.apply(change, terms=ONE_SLOT, store=store)).handed
        assert handed.delivery == await scene.delivery(handed.delivery.id)
        assert handed.job == (await scene.record(second.job.id)).job
        assert [handed.event] == await scene.events(second.job.id)
        assert handed.result == b'{"pages": [1,  2.0]}'

    async def test_one_of_a_later_round_is_made_of_what_is_stored(self, scene: Scene) -> None:
        first = await scene.running(callback=a_callback())
        second = await scene.running(callback=a_callback())
        (sending,) = (await scene.apply(scene.finish(first, hand_off=True), terms=ONE_SLOT)).handed
        await scene.apply(scene.finish(second, hand_off=True), terms=ONE_SLOT)
        (waiting,) = await scene.deliveries(second.job.id)
        end = EndDelivery(waiting.id, DeliveryState.CANCELED, scene.now)
        await scene.apply(end)
        again = Redeliver(delivery_id=waiting.id, round=2, at=scene.now)
        await scene.apply(again, terms=ONE_SLOT)
        change = scene.tried(sending, DeliveryState.DELIVERED, hand_off=True)
        (handed,) = (await scene.apply(change, terms=ONE_SLOT)).handed
        assert handed.delivery == await scene.delivery(waiting.id)
        assert handed.delivery.round == 2

    async def test_its_lease_lasts_as_the_terms_say(self, scene: Scene) -> None:
        await scene.owed(ORIGIN, ORIGIN)
        (sending,) = (await scene.lease(terms=ONE_SLOT)).deliveries
        await scene.advance(5)
        change = scene.tried(sending, DeliveryState.DELIVERED, hand_off=True)
        (handed,) = (await scene.apply(change, terms=ONE_SLOT)).handed
        await scene.advance(19.999)
        assert (await scene.lease()).deliveries == ()
        await scene.advance(0.001)
        (again,) = (await scene.lease()).deliveries
        assert (again.delivery.id, again.delivery.unknown_count) == (handed.delivery.id, 1)

    async def test_only_if_asked(self, scene: Scene) -> None:
        await scene.owed(ORIGIN, ORIGIN)
        (sending,) = (await scene.lease(terms=ONE_SLOT)).deliveries
        change = scene.tried(sending, DeliveryState.DELIVERED)
        assert (await scene.apply(change, terms=ONE_SLOT)).handed == ()

    async def test_only_what_is_due_there(self, scene: Scene) -> None:
        waiting = await scene.sending()
        await scene.apply(scene.tried(waiting, after_seconds=60))
        sending = await scene.sending()
        others = await scene.owed(OTHER_ORIGIN) + await scene.owed(ORIGIN, caller_id=BEN)
        change = scene.tried(sending, after_seconds=5, hand_off=True)
        applied = await scene.apply(change)
        assert applied.handed == ()
        assert rests_until(applied.delivery_ready_at, scene.now - 1, scene.now + 5_000)
        assert set(ids(await scene.lease())) == set(others)

    async def test_not_past_the_slots(self, scene: Scene) -> None:
        """Tighter slots than those under which it was leased: none is free yet."""
        await backlog(scene, ORIGIN, 5)
        sending = (await scene.lease()).deliveries
        assert len(sending) == TERMS.slots
        change = scene.tried(sending[0], DeliveryState.DELIVERED, hand_off=True)
        assert (await scene.apply(change, terms=ONE_SLOT)).handed == ()

    async def test_sent_again_it_hands_on_nothing_new(self, scene: Scene) -> None:
        await backlog(scene, ORIGIN, 3)
        (sending,) = (await scene.lease(terms=ONE_SLOT)).deliveries
        change = scene.tried(sending, DeliveryState.DELIVERED, hand_off=True)
        (handed,) = (await scene.apply(change, terms=ONE_SLOT)).handed
        before = await scene.delivery_records()
        again = (await scene.apply(change, terms=ONE_SLOT, store=scene.other)).handed
        assert [one.lease for one in again] in ([], [handed.lease])
        assert await scene.delivery_records() == before

    async def test_a_stale_record_hands_on_nothing(self, scene: Scene) -> None:
        await scene.owed(ORIGIN)
        lost = (await scene.lease()).deliveries[0]
        await scene.advance(20)
        assert len((await scene.lease()).deliveries) == 1
        (owed,) = await scene.owed(ORIGIN)
        change = scene.tried(lost, DeliveryState.DELIVERED, hand_off=True)
        assert await scene.apply_all(change) == [Stale()]
        assert (await scene.delivery(owed)).state is DeliveryState.PENDING

    async def test_a_list_hands_on_each_slot_once(self, scene: Scene) -> None:
        await backlog(scene, ORIGIN, 3 * TERMS.slots)
        sending = (await scene.lease()).deliveries
        changes = [scene.tried(one, DeliveryState.DELIVERED, hand_off=True) for one in sending]
        results = await scene.apply_all(*changes)
        handed = [one for r in results if isinstance(r, Applied) for one in r.handed]
        assert len({one.delivery.id for one in handed}) == len(handed) == TERMS.slots
        assert len({one.lease for one in handed}) == TERMS.slots
