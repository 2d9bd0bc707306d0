"""Order: the callbacks of a chain are sent one at a time, whatever crashes, dies or is canceled."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from dispatcher.core.changes import EndDelivery, Redeliver, ReleaseDelivery
from dispatcher.core.lifecycle import (
    FINAL_DELIVERY_STATES,
    decide_cancel_delivery,
    decide_redeliver,
)
from dispatcher.core.model import Delivery, DeliveryState
from dispatcher.core.ordering import OnDead
from dispatcher.ports.records import Applied, LeasedDelivery
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import ANN, BEN, OTHER_ORIGIN, TERMS, a_callback

DELIVERED, DEAD, PENDING = DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.PENDING
CANCELED = DeliveryState.CANCELED
MONTH_SECONDS = 30 * 86_400


async def ordered(
    scene: Scene,
    count: int = 1,
    *,
    on_dead: OnDead = OnDead.SKIP,
    key: str | None = "k",
    caller_id: str = ANN,
    retention_seconds: float = 3_600,
) -> list[str]:
    """The ids of `count` deliveries owed one after another, of one chain."""
    found = []
    for _ in range(count):
        callback = replace(a_callback(), ordered=on_dead)
        job = scene.job(
            callback=callback,
            ordering_key=key,
            caller_id=caller_id,
            retention_seconds=retention_seconds,
        )
        await scene.add_all(scene.new(job))
        await scene.apply(scene.end_waiting(job))
        found += [each.id for each in await scene.deliveries(job.id)]
    return found


async def leased(scene: Scene) -> list[str]:
    """What a claim takes, each delivered at once; in their order."""
    claimed = (await scene.lease()).deliveries
    for one in claimed:
        await scene.apply(scene.tried(one, DELIVERED))
    return [one.delivery.id for one in claimed]


async def only(scene: Scene) -> LeasedDelivery:
    """The only one that a claim takes."""
    (one,) = (await scene.lease()).deliveries
    return one


def end(delivery_id: str, scene: Scene) -> EndDelivery:
    return EndDelivery(delivery_id, CANCELED, scene.now)


class TestOrder:
    async def test_one_at_a_time_in_the_order_owed(self, scene: Scene) -> None:
        wanted = await ordered(scene, 4)
        served = []
        for _ in wanted:
            one = await only(scene)
            assert (await scene.lease(store=scene.other)).deliveries == ()
            served.append(one.delivery.id)
            applied = await scene.apply(scene.tried(one, DELIVERED))
            if len(served) < 4:
                assert applied.delivery_ready_at is not None
                assert applied.delivery_ready_at <= scene.now
        assert served == wanted

    async def test_those_that_wait_say_so(self, scene: Scene) -> None:
        first, second = await ordered(scene, 2)
        assert not (await scene.delivery(first)).blocked
        behind = await scene.delivery(second)
        assert (behind.blocked, behind.state, behind.ordered) == (True, PENDING, OnDead.SKIP)
        await leased(scene)
        assert not (await scene.delivery(second)).blocked

    @pytest.mark.parametrize("mine", [True, False])
    async def test_the_slot_goes_on_to_the_next(self, scene: Scene, mine: bool) -> None:
        _, second = await ordered(scene, 2)
        one = await only(scene)
        change = scene.tried(one, DELIVERED, hand_off=True)
        store = scene.store if mine else scene.other
        (handed,) = (await scene.apply(change, store=store)).handed
        assert handed.delivery == await scene.delivery(second)

    async def test_a_retry_keeps_the_others_waiting(self, scene: Scene) -> None:
        wanted = await ordered(scene, 2)
        await scene.apply(scene.tried(await only(scene), after_seconds=60, hand_off=True))
        assert (await scene.lease()).deliveries == ()
        await scene.advance(60)
        assert await leased(scene) == wanted[:1]
        assert await leased(scene) == wanted[1:]

    async def test_a_new_one_is_handed_off_only_if_none_is_open(self, scene: Scene) -> None:
        callback = replace(a_callback(), ordered=OnDead.SKIP)
        job = await scene.running(callback=callback, ordering_key="k")
        (first,) = (await scene.apply(scene.finish(job, hand_off=True))).handed
        (behind,) = await ordered(scene)
        assert (await scene.delivery(behind)).blocked
        await scene.apply(scene.tried(first, DELIVERED))
        assert await leased(scene) == [behind]

    async def test_chains_do_not_wait_for_each_other(self, scene: Scene) -> None:
        await ordered(scene, 2, key="a")
        await ordered(scene, 2, key="b")
        await ordered(scene, 2, key="a", caller_id=BEN)
        await ordered(scene, 2, key=None)  # each its own
        assert len(await leased(scene)) == 4 + 1
        assert len(await leased(scene)) == 3

    async def test_it_survives_every_crash(self, scene: Scene) -> None:
        wanted = await ordered(scene, 5)
        served: list[str] = []
        while len(served) < 5:
            one = await only(scene)
            await scene.backend.crash(scene.store)
            scene.store = await scene.backend.open()
            await scene.advance(TERMS.lease_seconds)  # nobody recorded it: it is sent again
            again = await only(scene)
            assert again.delivery.id == one.delivery.id
            await scene.apply(scene.tried(again, DELIVERED))
            await scene.backend.crash(scene.store)
            scene.store = await scene.backend.open()
            served.append(again.delivery.id)
        assert served == wanted

    async def test_given_back_it_keeps_its_place(self, scene: Scene) -> None:
        wanted = await ordered(scene, 2)
        one = await only(scene)
        await scene.apply(ReleaseDelivery(one.delivery.id, one.lease, scene.now))
        assert await leased(scene) == wanted[:1]


class TestWhenOneEnds:
    async def test_a_dead_one_is_skipped(self, scene: Scene) -> None:
        wanted = await ordered(scene, 2)
        await scene.apply(scene.tried(await only(scene), DEAD))
        assert await leased(scene) == wanted[1:]

    async def test_a_dead_one_blocks_if_so_asked_until_it_was_redelivered(
        self, scene: Scene
    ) -> None:
        first, *others = await ordered(scene, 3, on_dead=OnDead.BLOCK)
        applied = await scene.apply(scene.tried(await only(scene), DEAD, hand_off=True))
        assert applied.handed == ()
        assert (await scene.lease()).deliveries == ()
        await scene.apply(Redeliver(delivery_id=first, round=2, at=scene.now))
        assert await leased(scene) == [first]
        assert await leased(scene) == others[:1]
        assert await leased(scene) == others[1:]

    async def test_a_new_one_waits_behind_a_dead_one_that_blocks(self, scene: Scene) -> None:
        await ordered(scene, on_dead=OnDead.BLOCK)
        await scene.apply(scene.tried(await only(scene), DEAD))
        (late,) = await ordered(scene, on_dead=OnDead.BLOCK)
        assert (await scene.delivery(late)).blocked

    async def test_redelivered_and_canceled_it_blocks_no_more(self, scene: Scene) -> None:
        first, second = await ordered(scene, 2, on_dead=OnDead.BLOCK)
        await scene.apply(scene.tried(await only(scene), DEAD))
        await scene.apply(Redeliver(delivery_id=first, round=2, at=scene.now))
        applied = await scene.apply(end(first, scene))
        assert applied.delivery_ready_at is not None
        assert await leased(scene) == [second]

    async def test_canceled_when_dead_it_blocks_no_more(self, scene: Scene) -> None:
        first, second = await ordered(scene, 2, on_dead=OnDead.BLOCK)
        await scene.apply(scene.tried(await only(scene), DEAD))
        await scene.apply(end(first, scene))
        assert (await scene.delivery(first)).state is CANCELED
        assert await leased(scene) == [second]

    async def test_canceled_while_it_waits_its_turn(self, scene: Scene) -> None:
        first, second, third = await ordered(scene, 3)
        await scene.apply(end(second, scene))
        assert await leased(scene) == [first]
        assert await leased(scene) == [third]

    async def test_canceled_when_it_is_next(self, scene: Scene) -> None:
        first, second = await ordered(scene, 2)
        await scene.apply(end(first, scene))
        assert await leased(scene) == [second]

    async def test_one_too_old_makes_way(self, scene: Scene) -> None:
        first, second = await ordered(scene, 2)
        await scene.advance(MONTH_SECONDS)
        old = (await scene.store.sweep(100)).old_deliveries
        assert {each.id for each in old} == {first, second}
        await scene.apply(EndDelivery(first, DEAD, scene.now, 1))
        assert await leased(scene) == [second]

    async def test_erased_with_its_job_it_blocks_no_more(self, scene: Scene) -> None:
        await ordered(scene, on_dead=OnDead.BLOCK, retention_seconds=1)
        await scene.apply(scene.tried(await only(scene), DEAD))
        await scene.advance(MONTH_SECONDS)
        (second,) = await ordered(scene, on_dead=OnDead.BLOCK)
        assert (await scene.delivery(second)).blocked
        assert await scene.store.prune(100) == 1
        assert await leased(scene) == [second]

    async def test_one_of_the_past_waits_for_what_is_under_way(self, scene: Scene) -> None:
        first, second, third = await ordered(scene, 3)
        assert await leased(scene) == [first]
        sending = await only(scene)
        assert sending.delivery.id == second
        again = await scene.apply(Redeliver(delivery_id=first, round=2, at=scene.now))
        assert again == Applied()
        assert (await scene.delivery(first)).blocked
        await scene.apply(scene.tried(sending, DELIVERED))
        assert await leased(scene) == [first]
        assert await leased(scene) == [third]

    async def test_the_destination_stays_while_one_waits_there(self, scene: Scene) -> None:
        first, second = await ordered(scene, 2, on_dead=OnDead.BLOCK)
        await scene.apply(scene.tried(await only(scene), DEAD))
        await scene.store.prune(100)
        await scene.apply(Redeliver(delivery_id=first, round=2, at=scene.now))
        assert await leased(scene) == [first]
        assert await leased(scene) == [second]

    async def test_one_to_another_origin_is_another_chain(self, scene: Scene) -> None:
        await ordered(scene, 2)
        callback = replace(a_callback(OTHER_ORIGIN), ordered=OnDead.SKIP)
        job = scene.job(callback=callback, ordering_key="k")
        await scene.add_all(scene.new(job))
        await scene.apply(scene.end_waiting(job))
        assert len(await leased(scene)) == 2


class TestChainsAtRandom:
    """Long walks, with a model as simple as the rule: nothing overtakes, nothing is stuck."""

    @pytest.mark.parametrize("seed", range(12))
    async def test_nothing_overtakes_and_nothing_is_stuck(self, scene: Scene, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311  # a walk that can be repeated
        on_dead = chance.choice(list(OnDead))
        ids: list[str] = []
        for _ in range(25):
            await self._step(scene, chance, ids, on_dead)
            await scene.advance(1)
            self._check([await scene.delivery(each) for each in ids], on_dead)
        for _ in range(3 * len(ids)):
            await scene.advance(100)
            await self._send(scene, DELIVERED)
            for each in ids:
                delivery = await scene.delivery(each)
                if delivery.state is DEAD and on_dead is OnDead.BLOCK:
                    begins = delivery.round + 1
                    change = Redeliver(delivery_id=each, round=begins, at=scene.now)
                    await scene.apply(change)
        left = [await scene.delivery(each) for each in ids]
        assert [each for each in left if each.state not in FINAL_DELIVERY_STATES] == []

    async def _step(
        self, scene: Scene, chance: random.Random, ids: list[str], on_dead: OnDead
    ) -> None:
        delivery = await scene.delivery(chance.choice(ids)) if ids else None
        match chance.randrange(6):
            case 0 | 1:
                ids += await ordered(scene, on_dead=on_dead)
            case 2:
                await self._send(scene, chance.choice([DELIVERED, DEAD, PENDING]))
            case 3 if delivery is not None:
                change = decide_cancel_delivery(delivery, now=scene.now)
                if change is not None:
                    await scene.apply(change)
            case 4 if delivery is not None:
                again = decide_redeliver(delivery, now=scene.now)
                if again is not None:
                    await scene.apply(again)
            case _:
                await scene.backend.crash(scene.store)
                scene.store = await scene.backend.open()

    async def _send(self, scene: Scene, to: DeliveryState) -> None:
        claimed = (await scene.lease()).deliveries
        assert len(claimed) <= 1
        for one in claimed:
            await scene.apply(scene.tried(one, to))

    def _check(self, stand: list[Delivery], on_dead: OnDead) -> None:
        open_ = [each for each in stand if each.state not in FINAL_DELIVERY_STATES]
        going = [each for each in open_ if not each.blocked]
        assert len(going) <= 1, "two of a chain at once"
        blocking = [each for each in stand if each.state is DEAD and on_dead is OnDead.BLOCK]
        if open_ and not going:
            assert stand.index(blocking[0]) < stand.index(open_[0]), "nothing goes, and why?"
