"""Endpoints as destinations: their rate, their order, their breaker."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from dispatcher.core.breaker import Sign
from dispatcher.core.changes import PauseDestination, ReleaseDelivery
from dispatcher.core.model import Callback, DeliveryState, Job
from dispatcher.core.ordering import OnDead
from dispatcher.ports.records import Applied, DeliveryTerms
from dispatcher.ports.views import DestinationFilter
from dispatcher.testing.conformance.breakers import fail, to_path
from dispatcher.testing.conformance.registered import owed_to, registered, sent_to
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import OTHER_ORIGIN, TERMS, a_callback


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


async def ends(
    scene: Scene, owed: Sequence[Job | Callback], terms: DeliveryTerms = TERMS
) -> list[Applied]:
    """Waiting jobs that end in one call, what they owe to be handed off; the answers in order.

    In place of a job its callback will do.
    """
    jobs = [scene.job(callback=each) if isinstance(each, Callback) else each for each in owed]
    await scene.add_all(*(scene.new(job) for job in jobs))
    changes = [replace(scene.end_waiting(job), hand_off=True) for job in jobs]
    results = await scene.apply_all(*changes, terms=terms)
    assert all(isinstance(each, Applied) for each in results)
    return [each for each in results if isinstance(each, Applied)]


def handed(applied: Sequence[Applied]) -> list[int]:
    """How many each handed off."""
    return [len(each.handed) for each in applied]


class TestFlowInOneCall:
    """What is owed in one call, where more than slots counts: as if one came after another."""

    async def test_of_a_chain_the_first_goes_and_the_others_wait_for_it(self, scene: Scene) -> None:
        ordered = replace(a_callback(), ordered=OnDead.SKIP)
        jobs = [scene.job(callback=ordered, ordering_key="k") for _ in range(3)]
        applied = await ends(scene, jobs)
        assert handed(applied) == [1, 0, 0]
        assert [each.delivery_ready_at for each in applied[1:]] == [None, None]
        (sending,) = applied[0].handed
        for job in jobs:
            assert sending.delivery.job_id == job.id
            assert (await scene.lease()).deliveries == ()
            await scene.apply(scene.tried(sending, DeliveryState.DELIVERED))
            if job is not jobs[-1]:
                (sending,) = (await scene.lease()).deliveries

    async def test_of_a_rate_so_many_go_as_it_lets_through(self, scene: Scene) -> None:
        terms = replace(TERMS, rate_per_second=0.5)
        both = [a_callback(), a_callback(OTHER_ORIGIN)]
        applied = await ends(scene, [*both, *both], terms)
        assert handed(applied) == [1, 1, 0, 0]
        assert [each.delivery_ready_at for each in applied[2:]] == [scene.now + 2_000] * 2
        assert (await scene.lease(terms=terms)).deliveries == ()
        await scene.advance(2)
        assert len((await scene.lease(terms=terms)).deliveries) == len(both)

    @pytest.mark.parametrize("slots", [1, 2])
    async def test_where_slots_lack_it_waits_for_a_lease_to_end(
        self, scene: Scene, slots: int
    ) -> None:
        """By a rate that holds nobody back."""
        terms = replace(TERMS, rate_per_second=1_000_000.0, slots=slots)
        applied = await ends(scene, [a_callback()] * 3, terms)
        assert handed(applied) == [1] * slots + [0] * (3 - slots)
        lease_ms = round(terms.lease_seconds * 1_000)
        assert {each.delivery_ready_at for each in applied[slots:]} == {scene.now + lease_ms}
        (first,) = applied[0].handed
        await scene.apply(scene.tried(first, DeliveryState.DELIVERED), terms=terms)
        assert len((await scene.lease(terms=terms)).deliveries) == 1

    async def test_of_a_breaker_that_was_open_one_probes(self, scene: Scene) -> None:
        await fail(scene, Sign.NO_CONNECTION)
        applied = await ends(scene, [a_callback()] * 2)
        open_until = scene.now + round(TERMS.breaker.first_seconds * 1_000)
        assert [(each.handed, each.delivery_ready_at) for each in applied] == [((), open_until)] * 2
        await scene.advance(TERMS.breaker.first_seconds)
        (probe,) = (await scene.lease()).deliveries
        more = await ends(scene, [a_callback()] * 2)
        assert handed(more) == [0, 0]
        await scene.apply(scene.tried(probe, DeliveryState.DELIVERED, sign=Sign.ANSWERED))
        assert (await scene.lease()).deliveries != ()

    async def test_those_of_a_url_in_trouble_wait_apart(self, scene: Scene) -> None:
        await fail(scene, Sign.NO_SERVICE)
        other = to_path("elsewhere")
        applied = await ends(scene, [a_callback(), other, a_callback(), other])
        assert handed(applied) == [0, 1, 0, 1]
        assert (await scene.lease()).deliveries == ()
        for each in (applied[1], applied[3]):
            await scene.apply(scene.tried(each.handed[0], DeliveryState.DELIVERED))
        await scene.advance(TERMS.breaker.first_seconds)
        (probe,) = (await scene.lease()).deliveries
        assert probe.delivery.url == a_callback().url

    async def test_nothing_goes_where_it_is_paused(self, scene: Scene) -> None:
        (sent,) = (await ends(scene, [a_callback()]))[0].handed
        await scene.apply(scene.tried(sent, DeliveryState.DELIVERED))
        page = await scene.store.list_destinations(DestinationFilter(), limit=2, before=None)
        (place,) = page.items
        await scene.apply(PauseDestination(place.id, scene.now))
        applied = await ends(scene, [a_callback()] * 2)
        assert [(each.handed, each.delivery_ready_at) for each in applied] == [((), None)] * 2
        assert (await scene.lease()).deliveries == ()

    async def test_a_slot_that_goes_on_to_a_url_in_trouble_tells_when_more_may(
        self, scene: Scene
    ) -> None:
        terms = replace(TERMS, lease_seconds=300.0)
        await fail(scene, Sign.NO_SERVICE)
        await ends(scene, [a_callback()] * 2)
        (other,) = (await ends(scene, [to_path("elsewhere")], terms))[0].handed
        await scene.advance(TERMS.breaker.first_seconds)
        tried = scene.tried(other, DeliveryState.DELIVERED, sign=Sign.ANSWERED, hand_off=True)
        applied = await scene.apply(tried, terms=terms)
        (probe,) = applied.handed
        assert probe.delivery.url == a_callback().url
        assert applied.delivery_ready_at in (None, scene.now + 300_000)

    @pytest.mark.parametrize("rate", [None, 1_000_000.0])
    async def test_whoever_has_more_slots_sends_what_waits_for_one(
        self, scene: Scene, rate: float | None
    ) -> None:
        terms = replace(TERMS, slots=1, rate_per_second=rate)
        assert handed(await ends(scene, [a_callback()], terms)) == [1]
        await scene.advance(0.001)
        assert handed(await ends(scene, [a_callback()], terms)) == [0]
        more = replace(terms, slots=2)
        assert len((await scene.lease(terms=more)).deliveries) == 1

    @pytest.mark.parametrize("rate", [None, 1_000_000.0])
    async def test_what_is_handed_on_is_not_given_back_by_its_old_lease(
        self, scene: Scene, rate: float | None
    ) -> None:
        terms = replace(TERMS, slots=2, rate_per_second=rate)
        (late,) = (await ends(scene, [a_callback()], terms))[0].handed
        await scene.advance(TERMS.lease_seconds - 1)
        (soon,) = (await ends(scene, [a_callback()], terms))[0].handed
        await scene.advance(2)
        done, back = await scene.apply_all(
            scene.tried(soon, DeliveryState.DELIVERED, hand_off=True),
            ReleaseDelivery(late.delivery.id, late.lease, scene.now),
            terms=terms,
        )
        assert isinstance(done, Applied)
        state = (await scene.delivery(late.delivery.id)).state
        assert (handed([done]), state) in (
            ([1], DeliveryState.SENDING),
            ([0], DeliveryState.PENDING),
        ), back
