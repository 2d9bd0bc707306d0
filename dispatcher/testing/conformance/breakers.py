"""Breakers: a receiver in trouble is left in peace, probed, and given its traffic back by steps."""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import replace

from dispatcher.core.breaker import BreakerState, Sign
from dispatcher.core.changes import Redeliver
from dispatcher.core.model import Callback, DeliveryState
from dispatcher.ports.records import Applied, DeliveryTerms, LeasedDelivery
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

OPEN_SECONDS = 30
FAILURES = TERMS.breaker.failures
URL = f"{ORIGIN}/hook"


def to_path(path: str, origin: str = ORIGIN) -> Callback:
    """A callback to another URL of an origin."""
    return replace(a_callback(origin), url=f"{origin}/{path}")


async def owe(scene: Scene, count: int, callback: Callback | None = None, **members: str) -> None:
    """`count` due deliveries, made in two calls."""
    jobs = [scene.job(callback=callback or a_callback(), **members) for _ in range(count)]
    await scene.add_all(*(scene.new(job) for job in jobs))
    await scene.apply_all(*(scene.end_waiting(job) for job in jobs))


async def fail(
    scene: Scene, sign: Sign, callback: Callback | None = None, *, count: int = FAILURES
) -> Applied:
    """So many attempts in a row that tell of trouble; the answer to the last."""
    applied = Applied()
    for _ in range(count):
        await owe(scene, 1, callback)
        (leased,) = (await scene.lease(limit=1)).deliveries
        change = scene.tried(leased, DeliveryState.DEAD, sign=sign)
        applied = await scene.apply(change)
    return applied


def urls(deliveries: tuple[LeasedDelivery, ...]) -> Counter[str]:
    """How many of them go where."""
    return Counter(leased.delivery.url for leased in deliveries)


class TestBreakerOfADestination:
    async def test_it_opens_after_failures_in_a_row_and_says_so(self, scene: Scene) -> None:
        applied = await fail(scene, Sign.NO_CONNECTION)
        (changed,) = applied.breakers
        assert (changed.origin, changed.url) == (ORIGIN, None)
        assert (changed.before, changed.state) == (BreakerState.CLOSED, BreakerState.OPEN)
        assert changed.open_until == scene.now + OPEN_SECONDS * 1000
        assert changed.destination_id.startswith("dst_")

    async def test_while_it_is_open_nothing_is_leased_whoever_asks(self, scene: Scene) -> None:
        await fail(scene, Sign.NO_CONNECTION)
        await owe(scene, 3)
        await owe(scene, 1, to_path("elsewhere"))
        leased = await scene.running(callback=a_callback())
        handed = await scene.apply(scene.finish(leased, hand_off=True))
        assert handed.handed == ()
        assert rests_until(handed.delivery_ready_at, scene.now, scene.now + OPEN_SECONDS * 1000)
        for store in (scene.store, scene.other):
            claimed = await scene.lease(store=store)
            assert claimed.deliveries == ()
            assert rests_until(claimed.next_at, scene.now, scene.now + OPEN_SECONDS * 1000)

    async def test_nobody_else_is_kept_waiting(self, scene: Scene) -> None:
        await fail(scene, Sign.NO_CONNECTION)
        await owe(scene, 2)
        await owe(scene, 1, a_callback(OTHER_ORIGIN))
        await owe(scene, 1, caller_id=BEN)
        claimed = await scene.lease()
        found = [(one.delivery.caller_id, one.delivery.origin) for one in claimed.deliveries]
        assert sorted(found) == [(ANN, OTHER_ORIGIN), (BEN, ORIGIN)]

    async def test_waiting_uses_up_no_attempt(self, scene: Scene) -> None:
        await fail(scene, Sign.NO_CONNECTION)
        (owed,) = await scene.owed()
        await scene.lease()
        await scene.advance(OPEN_SECONDS)
        (probe,) = (await scene.lease()).deliveries
        assert (probe.delivery.id, probe.delivery.attempt_count) == (owed, 0)

    async def test_one_probe_then_more_and_more(self, scene: Scene) -> None:
        await fail(scene, Sign.NO_CONNECTION)
        await owe(scene, 20)
        await scene.advance(OPEN_SECONDS)
        steps = []
        while True:
            sending = (await scene.lease(store=scene.other)).deliveries
            assert (await scene.lease()).deliveries == (), "more than the step allows"
            steps.append(len(sending))
            if len(sending) == TERMS.slots:
                break
            for one in sending:
                change = scene.tried(one, DeliveryState.DELIVERED, sign=Sign.ANSWERED)
                applied = await scene.apply(change)
        assert steps == [1, 2, 4]
        assert [each.state for each in applied.breakers] == [BreakerState.CLOSED]

    async def test_a_probe_that_fails_opens_it_for_longer(self, scene: Scene) -> None:
        await fail(scene, Sign.NO_CONNECTION)
        await owe(scene, 2)
        await scene.advance(OPEN_SECONDS)
        (probe,) = (await scene.lease()).deliveries
        change = scene.tried(probe, after_seconds=0, sign=Sign.NO_CONNECTION, hand_off=True)
        applied = await scene.apply(change)
        assert applied.handed == ()
        (changed,) = applied.breakers
        assert changed.state is BreakerState.OPEN
        claimed = await scene.lease()
        assert claimed.deliveries == ()
        assert rests_until(claimed.next_at, scene.now, scene.now + 2 * OPEN_SECONDS * 1000)

    async def test_a_probe_that_nobody_recorded_is_made_again(self, scene: Scene) -> None:
        await fail(scene, Sign.NO_CONNECTION)
        await owe(scene, 2)
        await scene.advance(OPEN_SECONDS)
        assert len((await scene.lease()).deliveries) == 1
        await scene.advance(TERMS.lease_seconds)
        assert len((await scene.lease()).deliveries) == 1
        assert (await scene.lease()).deliveries == ()

    async def test_it_outlives_the_process(self, scene: Scene) -> None:
        await fail(scene, Sign.NO_CONNECTION, count=FAILURES - 1)
        await scene.backend.crash(scene.store)
        scene.store = await scene.backend.open()
        applied = await fail(scene, Sign.NO_CONNECTION, count=1)
        assert len(applied.breakers) == 1
        await scene.backend.crash(scene.store)
        scene.store = await scene.backend.open()
        await owe(scene, 1)
        assert (await scene.lease()).deliveries == ()
        await scene.advance(OPEN_SECONDS)
        assert len((await scene.lease()).deliveries) == 1

    async def test_a_new_round_obeys_it(self, scene: Scene) -> None:
        sending = await scene.sending()
        await scene.apply(scene.tried(sending, DeliveryState.DELIVERED))
        await fail(scene, Sign.NO_CONNECTION)
        again = Redeliver(delivery_id=sending.delivery.id, round=2, at=scene.now)
        applied = await scene.apply(again)
        assert rests_until(applied.delivery_ready_at, scene.now, scene.now + OPEN_SECONDS * 1000)
        assert (await scene.lease()).deliveries == ()

    async def test_what_is_answered_between_keeps_it_closed(self, scene: Scene) -> None:
        for _ in range(2):
            await fail(scene, Sign.NO_CONNECTION, count=FAILURES - 1)
            await fail(scene, Sign.ANSWERED, count=1)
        await owe(scene, 1)
        assert len((await scene.lease()).deliveries) == 1

    async def test_nothing_told_changes_nothing(self, scene: Scene) -> None:
        await fail(scene, Sign.NOTHING, count=3 * FAILURES)
        await owe(scene, 1)
        assert len((await scene.lease()).deliveries) == 1

    async def test_it_is_kept_while_nothing_waits(self, scene: Scene) -> None:
        await fail(scene, Sign.NO_CONNECTION)
        await scene.store.prune(100)
        await owe(scene, 1)
        assert (await scene.lease()).deliveries == ()

    async def test_the_backlog_counts_them(self, scene: Scene) -> None:
        await fail(scene, Sign.NO_CONNECTION)
        await fail(scene, Sign.NO_CONNECTION, a_callback(OTHER_ORIGIN), count=1)
        count = (await scene.other.backlog(100)).breakers
        assert (count.open, count.closed, count.half_open) == (1, 1, 0)


class TestBreakerOfAUrl:
    async def test_its_url_waits_and_no_other(self, scene: Scene) -> None:
        applied = await fail(scene, Sign.NO_SERVICE)
        (changed,) = applied.breakers
        assert (changed.url, changed.state) == (URL, BreakerState.OPEN)
        await owe(scene, 3)
        await owe(scene, 2, to_path("other"))
        claimed = await scene.lease()
        assert urls(claimed.deliveries) == {f"{ORIGIN}/other": 2}

    async def test_what_waited_before_it_opened_makes_way_too(self, scene: Scene) -> None:
        await owe(scene, FAILURES + 30)
        await scene.advance(1)
        await owe(scene, 3, to_path("other"))
        for _ in range(FAILURES):
            (leased,) = (await scene.lease(limit=1)).deliveries
            await scene.apply(scene.tried(leased, DeliveryState.DEAD, sign=Sign.NO_SERVICE))
        claimed = await scene.lease()
        assert urls(claimed.deliveries) == {f"{ORIGIN}/other": 3}
        assert rests_until((await scene.lease()).next_at, scene.now, scene.now + 30_000)

    async def test_a_hand_off_obeys_it(self, scene: Scene) -> None:
        await fail(scene, Sign.NO_SERVICE)
        leased = await scene.running(callback=a_callback())
        assert (await scene.apply(scene.finish(leased, hand_off=True))).handed == ()
        leased = await scene.running(callback=to_path("other"))
        (handed,) = (await scene.apply(scene.finish(leased, hand_off=True))).handed
        await owe(scene, 2, to_path("third"))
        change = scene.tried(handed, DeliveryState.DELIVERED, sign=Sign.ANSWERED, hand_off=True)
        (handed,) = (await scene.apply(change)).handed
        assert handed.delivery.url == f"{ORIGIN}/third"

    async def test_its_line_is_probed_and_opens_up(self, scene: Scene) -> None:
        await fail(scene, Sign.NO_SERVICE)
        await owe(scene, 20)
        await scene.advance(OPEN_SECONDS)
        steps = []
        for _ in range(3):
            sending = (await scene.lease()).deliveries
            steps.append(len(sending))
            for one in sending:
                await scene.apply(scene.tried(one, DeliveryState.DELIVERED, sign=Sign.ANSWERED))
        assert steps == [1, 2, 4]
        count = 7
        while sending := (await scene.lease()).deliveries:
            count += len(sending)
            await scene.apply_all(
                *(scene.tried(o, DeliveryState.DELIVERED, sign=Sign.ANSWERED) for o in sending)
            )
        assert count == 20

    async def test_its_line_and_the_others_share_the_slots(self, scene: Scene) -> None:
        await fail(scene, Sign.NO_SERVICE)
        await owe(scene, 9)
        await scene.advance(OPEN_SECONDS)
        await owe(scene, 9, to_path("other"))
        found = urls((await scene.lease()).deliveries)
        assert found == {URL: 1, f"{ORIGIN}/other": TERMS.slots - 1}

    async def test_a_url_in_trouble_says_nothing_against_its_origin(self, scene: Scene) -> None:
        for path in ("a", "b", "c"):
            await fail(scene, Sign.NO_SERVICE, to_path(path), count=FAILURES - 1)
        await owe(scene, 1, to_path("d"))
        assert len((await scene.lease()).deliveries) == 1

    async def test_a_failed_one_goes_into_its_line_and_lands_later(self, scene: Scene) -> None:
        """Nothing is lost between the lines, whatever a crash leaves behind."""
        await owe(scene, 8)
        for _ in range(2):
            for one in (await scene.lease()).deliveries:
                await scene.apply(scene.tried(one, after_seconds=1, sign=Sign.NO_SERVICE))
            await scene.advance(1)
        left = 8
        for _ in range(20):
            await scene.backend.crash(scene.store)
            scene.store = await scene.backend.open()
            sending = (await scene.lease()).deliveries
            left -= len(sending)
            for one in sending:
                await scene.apply(scene.tried(one, DeliveryState.DELIVERED, sign=Sign.ANSWERED))
            await scene.advance(10)
            await scene.store.prune(100)
        assert left == 0


class TestTurns:
    async def test_first_attempts_do_not_wait_behind_retries(self, scene: Scene) -> None:
        await owe(scene, 12)
        for _ in range(3):
            for one in (await scene.lease()).deliveries:
                await scene.apply(scene.tried(one, after_seconds=0))
        await scene.advance(60)
        await owe(scene, 12)
        served = []
        for _ in range(12):
            (one,) = (await scene.lease(limit=1)).deliveries
            served.append(one.delivery.attempt_count)
            await scene.apply(scene.tried(one, DeliveryState.DELIVERED))
        assert served.count(0) >= 8
        assert len(served) - served.count(0) >= 3

    async def test_a_retry_does_not_keep_a_new_one_from_being_handed_off(
        self, scene: Scene
    ) -> None:
        sending = await scene.sending()
        await scene.apply(scene.tried(sending, after_seconds=0))
        leased = await scene.running(callback=a_callback())
        (handed,) = (await scene.apply(scene.finish(leased, hand_off=True))).handed
        assert handed.delivery.attempt_count == 0

    async def test_slots_handed_on_leave_a_quarter_to_retries(self, scene: Scene) -> None:
        one_slot = DeliveryTerms(slots=1, lease_seconds=20.0)
        await owe(scene, 8)
        sending = (await scene.lease()).deliveries + (await scene.lease()).deliveries
        assert len(sending) == TERMS.slots
        for one in sending:
            await scene.apply(scene.tried(one, after_seconds=0))
        await owe(scene, 20)
        (one,) = (await scene.lease(limit=1, terms=one_slot)).deliveries
        served = []
        for _ in range(8):
            change = scene.tried(one, DeliveryState.DELIVERED, hand_off=True)
            (one,) = (await scene.apply(change, terms=one_slot)).handed
            served.append(one.delivery.attempt_count)
        assert served.count(1) == 2


class TestRate:
    TERMS = DeliveryTerms(slots=4, lease_seconds=20.0, rate_per_second=2.0)

    async def test_claims_keep_to_it(self, scene: Scene) -> None:
        await owe(scene, 6)
        began, at = scene.now, list[int]()
        while len(at) < 6:
            claimed = await scene.lease(terms=self.TERMS, store=scene.other)
            for one in claimed.deliveries:
                at.append(scene.now - began)
                await scene.apply(scene.tried(one, DeliveryState.DELIVERED), terms=self.TERMS)
            claimed = await scene.lease(terms=self.TERMS)
            assert claimed.deliveries == ()
            if len(at) < 6:
                assert claimed.next_at is not None
                await scene.advance(max((claimed.next_at - scene.now) / 1000, 0.001))
        assert at == [0, 500, 1000, 1500, 2000, 2500]

    @pytest.mark.parametrize("store", ["store", "other"])
    async def test_hand_offs_keep_to_it(self, scene: Scene, store: str) -> None:
        first = await scene.running(callback=a_callback())
        second = await scene.running(callback=a_callback())
        change = scene.finish(first, hand_off=True)
        (handed,) = (await scene.apply(change, terms=self.TERMS)).handed
        change = scene.finish(second, hand_off=True)
        applied = await scene.apply(change, terms=self.TERMS, store=getattr(scene, store))
        assert applied.handed == ()
        assert rests_until(applied.delivery_ready_at, scene.now - 1, scene.now + 500)
        recorded = scene.tried(handed, DeliveryState.DELIVERED, hand_off=True)
        assert (await scene.apply(recorded, terms=self.TERMS)).handed == ()
        await scene.advance(0.5)
        assert len((await scene.lease(terms=self.TERMS)).deliveries) == 1

    async def test_each_destination_has_its_own(self, scene: Scene) -> None:
        await owe(scene, 2)
        await owe(scene, 2, a_callback(OTHER_ORIGIN))
        assert len((await scene.lease(terms=self.TERMS)).deliveries) == 2


class TestRoomOfCallers:
    async def test_no_more_than_the_room_of_each(self, scene: Scene) -> None:
        for number in range(3):
            await owe(scene, 3, a_callback(f"https://r{number}.example"))
        await owe(scene, 3, caller_id=BEN)
        claimed = await scene.store.claim_deliveries(20, TERMS, {ANN: 4})
        found = Counter(one.delivery.caller_id for one in claimed.deliveries)
        assert found == {ANN: 4, BEN: 3}
        assert claimed.next_at is None or claimed.next_at > scene.now

    async def test_one_with_no_room_hides_nobody(self, scene: Scene) -> None:
        for number in range(30):
            await owe(scene, 1, a_callback(f"https://r{number}.example"))
        await scene.advance(1)
        await owe(scene, 1, caller_id=BEN)
        claimed = await scene.store.claim_deliveries(5, TERMS, {ANN: 0})
        assert [one.delivery.caller_id for one in claimed.deliveries] == [BEN]
        assert claimed.next_at is None or claimed.next_at > scene.now
        assert len((await scene.lease()).deliveries) == 30
