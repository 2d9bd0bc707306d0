"""New rounds of several deliveries in one call: as if they had been asked for one after another."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from dispatcher.core.breaker import Sign
from dispatcher.core.changes import EndDelivery, Redeliver
from dispatcher.core.model import DeliveryState
from dispatcher.ports.records import Applied, ApplyResult, Stale
from dispatcher.testing.conformance.breakers import OPEN_SECONDS, URL, fail, to_path, urls
from dispatcher.testing.conformance.ordering import end, leased, only, ordered
from dispatcher.testing.conformance.registered import registered
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.steering import known
from dispatcher.testing.conformance.values import ORIGIN, OTHER_ORIGIN, TERMS, rests_until


async def redeliver(scene: Scene, ids: Sequence[str], *, begins: int = 2) -> list[ApplyResult]:
    """Begin a new round of each, in one call."""
    changes = [Redeliver(delivery_id=each, round=begins, at=scene.now) for each in ids]
    return await scene.apply_all(*changes)


async def canceled(scene: Scene, *origins: str) -> list[str]:
    """Deliveries that were canceled before they were sent, to each origin."""
    ids = await scene.owed(*origins)
    await scene.apply_all(*(end(each, scene) for each in ids))
    return ids


class TestRedeliveringTogether:
    async def test_each_is_answered_by_itself(self, scene: Scene) -> None:
        begun, *ids = await canceled(scene, ORIGIN, OTHER_ORIGIN, ORIGIN)
        await redeliver(scene, [begun])
        (waits,) = await scene.owed()
        await scene.advance(5)
        answers = await redeliver(scene, [begun, ids[0], waits, scene.ids.new("dlv"), ids[1]])
        ready = Applied(delivery_ready_at=scene.now)
        assert answers == [Applied(), ready, Stale(), Stale(), ready]
        stands = [await scene.delivery(each) for each in (begun, *ids, waits)]
        assert [each.round for each in stands] == [2, 2, 2, 1]
        assert [each.state for each in stands] == [DeliveryState.PENDING] * 4
        came = [each.delivery.due_at for each in (await scene.lease()).deliveries]
        assert sorted(came) == [scene.now - 5_000] * 2 + [scene.now] * 2

    async def test_the_same_one_twice_begins_one_round(self, scene: Scene) -> None:
        ids = await canceled(scene)
        answers = await redeliver(scene, [*ids, *ids])
        assert answers == [Applied(delivery_ready_at=scene.now), Applied()]
        assert len((await scene.lease()).deliveries) == 1

    async def test_what_was_forgotten_of_a_destination_is_made_again(self, scene: Scene) -> None:
        ids = await canceled(scene, ORIGIN, OTHER_ORIGIN, ORIGIN)
        assert (await scene.lease()).deliveries == ()
        await scene.store.prune(100)
        assert await known(scene) == []
        await redeliver(scene, ids)
        assert {each.delivery.id for each in (await scene.lease()).deliveries} == set(ids)

    async def test_those_of_a_chain_go_one_after_another(self, scene: Scene) -> None:
        first, *others = await ordered(scene, 4)
        await scene.apply_all(*(end(each, scene) for each in (first, *others)))
        (besides,) = await canceled(scene, OTHER_ORIGIN)
        answers = await redeliver(scene, [first, besides, *others])
        ready = Applied(delivery_ready_at=scene.now)
        assert answers == [ready, ready, *[Applied()] * 3]
        blocked = [(await scene.delivery(each)).blocked for each in (first, *others)]
        assert blocked == [False, True, True, True]
        assert set(await leased(scene)) == {first, besides}
        for each in others:
            assert await leased(scene) == [each]

    async def test_they_wait_behind_what_is_under_way(self, scene: Scene) -> None:
        *ended, going = await ordered(scene, 3)
        await scene.apply_all(*(end(each, scene) for each in ended))
        sending = await only(scene)
        assert sending.delivery.id == going
        assert await redeliver(scene, ended) == [Applied(), Applied()]
        await scene.apply(scene.tried(sending, DeliveryState.DELIVERED))
        assert [await leased(scene), await leased(scene)] == [[each] for each in ended]

    async def test_each_waits_in_the_line_of_its_url(self, scene: Scene) -> None:
        ids = await canceled(scene, ORIGIN, ORIGIN)
        other = await scene.end(callback=to_path("other"))
        (elsewhere,) = [each.id for each in await scene.deliveries(other.id)]
        await scene.apply(end(elsewhere, scene))
        await fail(scene, Sign.NO_SERVICE)
        *held, free = await redeliver(scene, [*ids, elsewhere])
        assert free == Applied(delivery_ready_at=scene.now)
        for each in held:
            assert isinstance(each, Applied)
            opens = scene.now + OPEN_SECONDS * 1000
            assert rests_until(each.delivery_ready_at, scene.now, opens)
        (sending,) = (await scene.lease()).deliveries
        assert sending.delivery.id == elsewhere
        await scene.apply(scene.tried(sending, DeliveryState.DELIVERED))
        await scene.advance(OPEN_SECONDS)
        assert urls((await scene.lease()).deliveries) == {URL: 1}

    async def test_those_whose_endpoint_was_deleted_are_left_alone(self, scene: Scene) -> None:
        kept, gone = await registered(scene), await registered(scene)
        await scene.end()
        sent = {each.delivery.endpoint_id: each for each in (await scene.lease()).deliveries}
        for each in sent.values():
            await scene.apply(scene.tried(each, DeliveryState.DELIVERED))
        ids = [sent[endpoint.id].delivery.id for endpoint in (kept, gone)]
        await scene.store.delete_endpoint(gone.id, scene.now)
        ids += (await canceled(scene))[-1:]
        ready = Applied(delivery_ready_at=scene.now)
        assert await redeliver(scene, ids) == [ready, Stale(), ready]
        assert len((await scene.lease()).deliveries) == 2

    async def test_more_than_there_are_slots(self, scene: Scene) -> None:
        ids = await canceled(scene, *[ORIGIN] * (2 * TERMS.slots))
        answers = await redeliver(scene, ids)
        assert answers == [Applied(delivery_ready_at=scene.now)] * len(ids)
        served: list[str] = []
        while sending := (await scene.lease()).deliveries:
            assert len(sending) <= TERMS.slots
            served += [each.delivery.id for each in sending]
            changes = [scene.tried(each, DeliveryState.DELIVERED) for each in sending]
            await scene.apply_all(*changes)
        assert sorted(served) == sorted(ids)

    @pytest.mark.parametrize("seed", range(8))
    async def test_none_is_lost_and_one_of_a_chain_goes_at_a_time(
        self, scene: Scene, seed: int
    ) -> None:
        chance = random.Random(seed)  # noqa: S311  # a choice that can be repeated
        chains = [await ordered(scene, chance.randint(1, 4), key=key) for key in "abc"]
        singles = await scene.owed(*chance.choices([ORIGIN, OTHER_ORIGIN], k=4))
        every = [each for chain in (*chains, singles) for each in chain]
        ended = chance.sample(every, chance.randint(1, len(every)))
        await scene.apply_all(*(EndDelivery(each, DeliveryState.DEAD, scene.now) for each in ended))
        again = sorted(chance.sample(ended, chance.randint(1, len(ended))), key=every.index)
        answers = await redeliver(scene, again)
        assert all(isinstance(each, Applied) for each in answers)
        for each, answer in zip(again, answers, strict=True):
            blocked = (await scene.delivery(each)).blocked
            assert (answer == Applied()) == blocked
        served: list[str] = []
        while batch := await leased(scene):
            assert all(len(set(chain) & set(batch)) <= 1 for chain in chains)
            served += batch
        left_out = set(ended) - set(again)
        assert sorted(served) == sorted(each for each in every if each not in left_out)
