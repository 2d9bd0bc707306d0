"""Long walks through breakers, lines, rates, orders and pauses: nothing is stuck, or overfull."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from msgspec.structs import replace

from dispatcher.core.breaker import BreakerTerms, Sign
from dispatcher.core.changes import (
    Change,
    FinishJob,
    PauseDestination,
    RecordAttempt,
    ReleaseDelivery,
    ResumeDestination,
)
from dispatcher.core.lifecycle import (
    FINAL_DELIVERY_STATES,
    decide_cancel_delivery,
    decide_redeliver,
)
from dispatcher.core.model import Callback, DeliveryState
from dispatcher.core.ordering import OnDead
from dispatcher.ports.records import Applied, DeliveryTerms, LeasedDelivery
from dispatcher.ports.views import DestinationFilter
from dispatcher.testing.conformance.breakers import owe, to_path
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import ANN, BEN, ORIGIN, OTHER_ORIGIN

WHERE = [(origin, path) for origin in (ORIGIN, OTHER_ORIGIN) for path in ("a", "b", "c")]
SIGNS = [Sign.ANSWERED, Sign.NO_SERVICE, Sign.NO_SERVICE, Sign.NO_CONNECTION, Sign.NOTHING]
MOST_STEPS = 2_000


class Walk:
    """One walk: what is under way, and the chance that leads it."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene = scene
        self.chance = random.Random(seed)  # noqa: S311  # a walk that can be repeated
        rate = self.chance.choice([None, None, 5.0])
        breaker = BreakerTerms(failures=2)  # so that many open
        self.terms = DeliveryTerms(4, 20.0, rate_per_second=rate, breaker=breaker)
        self.sending: list[LeasedDelivery] = []

    async def claim(self) -> int | None:
        """Claim; what is leased at once to one destination never passes its slots."""
        limit = self.chance.choice([1, 3, 50])
        claimed = await self.scene.lease(limit=limit, terms=self.terms)
        self.sending += claimed.deliveries
        now = self.scene.now
        held = Counter((one.delivery.caller_id, one.delivery.origin) for one in self.sending)
        assert max(held.values(), default=0) <= self.terms.slots
        assert len({one.delivery.id for one in self.sending}) == len(self.sending), "sent twice"
        if not claimed.deliveries and claimed.next_at is not None and limit == 50:
            return max(claimed.next_at, now)
        return None

    async def record(self, *, well: bool = False) -> None:
        """Something comes of an attempt, or of several in one call, beside jobs that end."""
        count = min(len(self.sending), self.chance.choice([1, 1, 5]))
        changes: list[Change] = [self._outcome(well=well) for _ in range(count)]
        if not well and self.chance.random() < 0.3:
            changes += await self._ends(self.chance.choice([1, 4]))
        for applied in await self.scene.apply_all(*changes, terms=self.terms):
            assert isinstance(applied, Applied)
            self.sending += applied.handed

    async def _ends(self, count: int) -> list[FinishJob]:
        """Jobs that end, what they owe to be handed off."""
        callback = self.callback()
        jobs = [self.scene.job(callback=callback, ordering_key="k") for _ in range(count)]
        await self.scene.add_all(*(self.scene.new(job) for job in jobs))
        return [replace(self.scene.end_waiting(job), hand_off=True) for job in jobs]

    def callback(self) -> Callback:
        """To one of the places, maybe in order."""
        origin, path = self.chance.choice(WHERE)
        ordered = self.chance.choice([None, None, OnDead.SKIP])
        return replace(to_path(path, origin), ordered=ordered)

    def _outcome(self, *, well: bool) -> RecordAttempt:
        one = self.sending.pop(self.chance.randrange(len(self.sending)))
        sign = Sign.ANSWERED if well else self.chance.choice(SIGNS)
        to = DeliveryState.PENDING
        if sign is Sign.ANSWERED:
            to = DeliveryState.DELIVERED
        elif self.chance.random() < 0.3:
            to = DeliveryState.DEAD
        return self.scene.tried(
            one,
            to,
            after_seconds=self.chance.choice([0, 1, 60]),
            sign=sign,
            jitter=self.chance.random(),
            hand_off=self.chance.random() < 0.5,
        )

    async def steer(self) -> None:
        """A caller, an operator or a drain does something."""
        scene, chance = self.scene, self.chance
        known = (
            await scene.store.list_destinations(DestinationFilter(), limit=100, before=None)
        ).items
        match chance.randrange(4):
            case 0 if known:
                await scene.apply(PauseDestination(chance.choice(known).id, scene.now))
            case 1 if known:
                await scene.apply(ResumeDestination(chance.choice(known).id), terms=self.terms)
            case 2 if self.sending:
                one = self.sending.pop()
                change = ReleaseDelivery(one.delivery.id, one.lease, scene.now)
                await scene.apply(change, terms=self.terms)
            case _ if deliveries := await scene.deliveries():
                delivery = chance.choice(deliveries)
                steered = decide_redeliver(delivery, now=scene.now) or decide_cancel_delivery(
                    delivery, now=scene.now
                )
                if steered is not None:
                    await scene.apply(steered, terms=self.terms)

    async def step(self) -> None:
        scene, chance = self.scene, self.chance
        match chance.randrange(8):
            case 0 | 1:
                caller_id = chance.choice([ANN, BEN])
                count = chance.choice([1, 2, 7])
                await owe(scene, count, self.callback(), caller_id=caller_id, ordering_key="k")
            case 2:
                await self.claim()
            case 3 | 4 if self.sending:
                await self.record()
            case 5:
                await self.steer()
            case 6:
                await scene.backend.crash(scene.store)
                scene.store = await scene.backend.open()
                if chance.random() < 0.5:  # what nobody records is sent again
                    self.sending.clear()
                    await scene.advance(self.terms.lease_seconds)
                await scene.store.prune(100)
            case _:
                seconds = chance.choice([0.001, 1.0, 15.0, 61.0])
                if seconds >= 1:  # no lease may end unseen
                    while self.sending:
                        await self.record()
                await scene.advance(seconds)

    async def finish(self) -> None:
        """From now on all is well, and whoever sleeps until it is told misses nothing."""
        scene = self.scene
        page = await scene.store.list_destinations(DestinationFilter(), limit=100, before=None)
        for one in page.items:
            await scene.apply(ResumeDestination(one.id), terms=self.terms)
        for _ in range(MOST_STEPS):
            while self.sending:
                await self.record(well=True)
            next_at = await self.claim()
            if self.sending:
                continue
            if next_at is not None and next_at > scene.now:
                await scene.advance((next_at - scene.now) / 1000)
            overdue = await scene.store.sweep(100)
            for delivery, lease, *_ in overdue.lost_deliveries:
                change = ReleaseDelivery(delivery.id, lease, scene.now)
                await scene.apply(change, terms=self.terms)
            left = [
                one for one in await scene.deliveries() if one.state not in FINAL_DELIVERY_STATES
            ]
            if not left:
                return
        raise AssertionError(f"these are stuck: {left}")


class TestWalks:
    @pytest.mark.parametrize("seed", range(10))
    async def test_nothing_is_stuck_and_nothing_overfull(self, scene: Scene, seed: int) -> None:
        walk = Walk(scene, seed)
        for _ in range(60):
            await walk.step()
        await walk.finish()
