"""Endpoints as destinations: their rate, their order, their breaker."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dispatcher.core.breaker import Sign
from dispatcher.core.model import DeliveryState
from dispatcher.testing.conformance.registered import owed_to, registered, sent_to
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import TERMS


class TestFlowOfEndpoints:
    async def test_a_rate_of_its_own(self, scene: Scene) -> None:
        endpoint = await registered(scene, rate_limit=0.1)
        other = await registered(scene)
        for _ in range(3):
            await scene.end()
        claimed = (await scene.lease()).deliveries
        assert [one.delivery.endpoint_id for one in claimed].count(endpoint.id) == 1
        assert [one.delivery.endpoint_id for one in claimed].count(other.id) == 3
        assert (await scene.lease()).deliveries == ()
        await scene.advance(10)
        await sent_to(scene, endpoint.id)

    @pytest.mark.parametrize("faster", [None, 1_000.0])
    async def test_another_rate_holds_at_once(self, scene: Scene, faster: float | None) -> None:
        endpoint = await registered(scene, rate_limit=1 / 3_600)
        for _ in range(3):
            await scene.end()
        await sent_to(scene, endpoint.id)
        assert (await scene.lease()).deliveries == ()
        assert await scene.store.put_endpoint(replace(endpoint, rate_limit=faster, version=2))
        await scene.advance(0.001)
        await scene.lease()
        await scene.advance(0.001)
        await scene.lease()
        states = [each.state for each in await owed_to(scene, endpoint.id)]
        assert states == [DeliveryState.SENDING] * 3

    @pytest.mark.parametrize("ordered", [True, False])
    async def test_in_the_order_of_a_key(self, scene: Scene, ordered: bool) -> None:
        endpoint = await registered(scene, ordered=ordered)
        jobs = [await scene.end(ordering_key="k") for _ in range(3)]
        other = await scene.end(ordering_key="other")
        seen = []
        while claimed := (await scene.lease()).deliveries:
            assert all(one.delivery.endpoint_id == endpoint.id for one in claimed)
            seen.append([one.delivery.job_id or "" for one in claimed])
            for leased in claimed:
                await scene.apply(scene.tried(leased, DeliveryState.DEAD))  # skipped
        ids = [job.id for job in jobs]
        if ordered:
            assert sorted(seen[0]) == sorted([ids[0], other.id])
            assert seen[1:] == [[ids[1]], [ids[2]]]
        else:
            assert seen == [[*ids, other.id]]

    async def test_what_waits_in_order_is_canceled_with_the_endpoint(self, scene: Scene) -> None:
        endpoint = await registered(scene, ordered=True)
        for _ in range(3):
            await scene.end(ordering_key="k")
        assert await scene.store.delete_endpoint(endpoint.id, scene.now)
        await scene.store.prune(100)
        states = {each.state for each in await owed_to(scene, endpoint.id)}
        assert states == {DeliveryState.CANCELED}
        assert await scene.other.endpoint_secrets(endpoint.id) == []

    @pytest.mark.parametrize("sign", [Sign.NO_SERVICE, Sign.NO_CONNECTION])
    async def test_its_breaker_holds_it_alone(self, scene: Scene, sign: Sign) -> None:
        endpoint = await registered(scene)
        other = await registered(scene)
        for _ in range(TERMS.breaker.failures + 1):
            await scene.end()
            for leased in (await scene.lease()).deliveries:
                bad = leased.delivery.endpoint_id == endpoint.id
                to = DeliveryState.DEAD if bad else DeliveryState.DELIVERED
                await scene.apply(scene.tried(leased, to, sign=sign if bad else Sign.ANSWERED))
        waits = [each.state for each in await owed_to(scene, endpoint.id)]
        assert waits.count(DeliveryState.PENDING) == 1
        states = {each.state for each in await owed_to(scene, other.id)}
        assert states == {DeliveryState.DELIVERED}

    async def test_held_and_broken_it_waits_for_both(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        for _ in range(TERMS.breaker.failures):
            await scene.end()
            leased = await sent_to(scene, endpoint.id)
            change = scene.tried(leased, DeliveryState.DEAD, sign=Sign.NO_CONNECTION)
            result = await scene.apply(change)
        assert result.breakers != ()
        await scene.end()
        await scene.store.disable_endpoint(endpoint.id, scene.now, TERMS)
        await scene.advance(TERMS.breaker.max_seconds)
        assert (await scene.lease()).deliveries == ()
        await scene.store.enable_endpoint(endpoint.id)
        probe = await sent_to(scene, endpoint.id)
        await scene.apply(scene.tried(probe, DeliveryState.DELIVERED, sign=Sign.ANSWERED))
