"""Endpoints that are disabled, enabled, or deleted, and what becomes of what they are owed."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from dispatcher.core.changes import Redeliver
from dispatcher.core.endpoints import DisabledReason, Endpoint, endpoint_json
from dispatcher.core.lifecycle import DELIVERY_LIFE_MS
from dispatcher.core.model import DeliveryState, EventType
from dispatcher.core.payload import encode
from dispatcher.ports.records import Stale
from dispatcher.testing.conformance.endpoints import EVERYTHING
from dispatcher.testing.conformance.registered import (
    FAILING,
    HOOKS,
    found,
    owed_to,
    registered,
    sent_to,
)
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import TERMS, a_callback


async def disabled(scene: Scene, endpoint: Endpoint) -> Endpoint:
    switched = await scene.store.disable_endpoint(endpoint.id, scene.now, TERMS)
    assert switched is not None
    assert switched.changed
    return switched.endpoint


class TestDisablingEndpoints:
    async def test_nothing_is_sent_until_it_is_enabled(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        await scene.end()
        shown = await disabled(scene, endpoint)
        assert (shown.disabled_reason, shown.disabled_at) == (DisabledReason.MANUAL, scene.now)
        assert (await found(scene, endpoint.id)).endpoint == shown
        result = await scene.apply(scene.finish(await scene.running()))
        assert result.delivery_ready_at is None
        await scene.advance(60)
        claimed = await scene.lease()
        assert (claimed.deliveries, claimed.next_at) == ((), None)
        again = await scene.other.disable_endpoint(endpoint.id, scene.now, TERMS)
        assert again is not None
        assert (again.changed, again.endpoint) == (False, shown)
        await scene.store.prune(100)
        switched = await scene.other.enable_endpoint(endpoint.id)
        assert switched is not None
        assert (switched.changed, switched.ready_at) == (True, scene.now)
        assert switched.endpoint.enabled
        assert len((await scene.lease()).deliveries) == 2
        again = await scene.other.enable_endpoint(endpoint.id)
        assert again is not None
        assert not again.changed

    async def test_one_that_was_never_owed_anything(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        await disabled(scene, endpoint)
        await scene.end()
        assert (await scene.lease()).deliveries == ()
        await scene.store.prune(100)
        assert (await scene.lease()).deliveries == ()
        await scene.store.enable_endpoint(endpoint.id)
        assert len((await scene.lease()).deliveries) == 1

    async def test_others_go_on(self, scene: Scene) -> None:
        await disabled(scene, await registered(scene))
        other = await registered(scene)
        await scene.end(callback=a_callback(HOOKS))
        claimed = (await scene.lease()).deliveries
        assert {one.delivery.endpoint_id for one in claimed} == {None, other.id}

    @pytest.mark.parametrize("hand_off", [False, True])
    async def test_what_is_under_way_may_land_and_hands_nothing_on(
        self, scene: Scene, hand_off: bool
    ) -> None:
        endpoint = await registered(scene)
        for _ in range(TERMS.slots + 2):
            await scene.end()
        first, second, third, *_ = (await scene.lease()).deliveries
        await disabled(scene, endpoint)
        result = await scene.apply(scene.tried(first, DeliveryState.DELIVERED, hand_off=hand_off))
        assert (result.handed, result.delivery_ready_at) == ((), None)
        result = await scene.apply(scene.tried(second, after_seconds=0, hand_off=hand_off))
        assert (result.handed, result.delivery_ready_at) == ((), None)
        assert (await scene.delivery(first.delivery.id)).state is DeliveryState.DELIVERED
        assert (await scene.delivery(second.delivery.id)).state is DeliveryState.PENDING
        await scene.advance(TERMS.lease_seconds)  # whoever sends the others dies
        assert (await scene.lease()).deliveries == ()
        await scene.store.prune(100)
        waits = await scene.delivery(third.delivery.id)
        assert (waits.state, waits.unknown_count) == (DeliveryState.PENDING, 1)
        assert await scene.apply_all(scene.tried(third)) == [Stale()]
        await scene.store.enable_endpoint(endpoint.id)
        assert len((await scene.lease()).deliveries) == TERMS.slots

    async def test_what_waits_dies_of_age(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        await scene.end()
        await disabled(scene, endpoint)
        await scene.advance(DELIVERY_LIFE_MS / 1000)
        (old,) = (await scene.store.sweep(10)).old_deliveries
        assert old.endpoint_id == endpoint.id

    async def test_a_new_round_waits_too(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        await scene.end()
        leased = await sent_to(scene, endpoint.id)
        await scene.apply(scene.tried(leased, DeliveryState.DELIVERED))
        await disabled(scene, endpoint)
        change = Redeliver(delivery_id=leased.delivery.id, round=2, at=scene.now)
        assert (await scene.apply(change)).delivery_ready_at is None
        assert (await scene.lease()).deliveries == ()
        await scene.store.enable_endpoint(endpoint.id)
        assert (await sent_to(scene, endpoint.id)).delivery.round == 2

    async def test_the_others_hear_of_it(self, scene: Scene) -> None:
        endpoint = await registered(scene, events=EVERYTHING)
        other = await registered(scene, events=(EventType.ENDPOINT_DISABLED,))
        resting = await registered(scene, events=(EventType.ENDPOINT_DISABLED,))
        await registered(scene)
        await disabled(scene, resting)
        before = len(await owed_to(scene, other.id))
        shown = await disabled(scene, endpoint)
        told = await owed_to(scene, other.id)
        assert len(told) == before + 1
        assert len(await owed_to(scene, resting.id)) == 0
        assert [each for each in await owed_to(scene, endpoint.id) if each.job_id] == []
        leased = {one.delivery.id: one for one in (await scene.lease()).deliveries}
        event = leased[told[0].id].event
        assert (event.type, event.job_id) == (EventType.ENDPOINT_DISABLED, None)
        assert event.data == encode(endpoint_json(shown))

    async def test_what_is_not_there(self, scene: Scene) -> None:
        assert await scene.store.disable_endpoint("ep_1", scene.now, TERMS) is None
        assert await scene.store.enable_endpoint("ep_1") is None
        assert not await scene.store.delete_endpoint("ep_1", scene.now)


class TestFailingEndpoints:
    async def test_gone_ends_the_delivery_and_disables(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        other = await registered(scene, events=(EventType.ENDPOINT_DISABLED,))
        await scene.end()
        await scene.end()
        first, _ = (await scene.lease()).deliveries
        await scene.end()
        change = scene.tried(first, DeliveryState.DEAD, gone=True, hand_off=True)
        result = await scene.apply(change)
        assert result.handed == ()
        assert result.disabled == (await found(scene, endpoint.id)).endpoint
        assert result.disabled.disabled_reason is DisabledReason.GONE
        assert result.delivery_ready_at == scene.now  # of what the other is told
        assert (await sent_to(scene, other.id)).event.type is EventType.ENDPOINT_DISABLED
        repeated = await scene.apply(change)
        assert repeated.disabled is None
        assert len(await owed_to(scene, other.id)) == 1

    async def test_gone_of_a_callback_url_disables_nothing(self, scene: Scene) -> None:
        endpoint = await registered(scene, events=(EventType.JOB_FAILED,))
        leased = await scene.sending()
        assert (
            await scene.apply(scene.tried(leased, DeliveryState.DEAD, gone=True))
        ).disabled is None
        assert (await found(scene, endpoint.id)).endpoint == endpoint

    async def test_a_stretch_of_failures_is_kept_and_disables(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        await scene.end()
        began = scene.now
        await scene.apply(scene.tried(await sent_to(scene, endpoint.id)), terms=FAILING)
        for _ in range(2):
            await scene.advance(299)
            leased = await sent_to(scene, endpoint.id)
            assert leased.endpoint is not None
            assert leased.endpoint.failing_since == began
            result = await scene.apply(scene.tried(leased), terms=FAILING)
            assert result.disabled is None
            await scene.backend.crash(scene.store)
            scene.store = await scene.backend.open()
        await scene.advance(5)
        leased = await sent_to(scene, endpoint.id)
        result = await scene.apply(scene.tried(leased), terms=FAILING)
        assert result.disabled is not None
        assert result.disabled.disabled_reason is DisabledReason.FAILING
        assert result.disabled.failing_since == began
        switched = await scene.store.enable_endpoint(endpoint.id)
        assert switched is not None
        assert switched.endpoint.failing_since is None

    async def test_a_success_ends_the_stretch(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        await scene.end()
        await scene.apply(scene.tried(await sent_to(scene, endpoint.id)), terms=FAILING)
        await scene.advance(500)
        leased = await sent_to(scene, endpoint.id)
        await scene.apply(scene.tried(leased, DeliveryState.DELIVERED), terms=FAILING)
        assert (await found(scene, endpoint.id)).endpoint.failing_since is None
        await scene.end()
        began = scene.now
        await scene.apply(scene.tried(await sent_to(scene, endpoint.id)), terms=FAILING)
        assert (await found(scene, endpoint.id)).endpoint.failing_since == began
        await scene.advance(500)
        result = await scene.apply(scene.tried(await sent_to(scene, endpoint.id)), terms=FAILING)
        assert result.disabled is None

    async def test_never_if_it_is_not_asked(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        await scene.end()
        await scene.apply(scene.tried(await sent_to(scene, endpoint.id)))
        await scene.advance(86_400 * 20)
        assert (await scene.apply(scene.tried(await sent_to(scene, endpoint.id)))).disabled is None

    @pytest.mark.parametrize("gone", [False, True])
    async def test_its_former_url_says_nothing_of_it(self, scene: Scene, gone: bool) -> None:
        endpoint = await registered(scene)
        await scene.end()
        await scene.apply(scene.tried(await sent_to(scene, endpoint.id)), terms=FAILING)
        wanted = replace(endpoint, url="https://new.example/in", origin="https://new.example")
        assert await scene.store.put_endpoint(replace(wanted, version=2))
        assert (await found(scene, endpoint.id)).endpoint.failing_since is None
        await scene.advance(601)
        leased = await sent_to(scene, endpoint.id)
        assert leased.delivery.url == endpoint.url  # each attempt sends the same bytes
        to = DeliveryState.DEAD if gone else DeliveryState.PENDING
        result = await scene.apply(scene.tried(leased, to, gone=gone), terms=FAILING)
        assert result.disabled is None
        assert (await found(scene, endpoint.id)).endpoint.failing_since is None
        await disabled(scene, endpoint)
        await scene.end()
        await scene.advance(5)
        assert (await scene.lease()).deliveries == ()  # of either destination
        await scene.store.enable_endpoint(endpoint.id)
        assert len((await scene.lease()).deliveries) == 2 - gone


class TestDeletingEndpoints:
    async def test_nothing_of_it_is_there(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        assert await scene.store.delete_endpoint(endpoint.id, scene.now)
        assert not await scene.other.delete_endpoint(endpoint.id, scene.now)
        assert await scene.other.get_endpoint(endpoint.id, None) is None
        assert (await scene.other.list_endpoints(None, limit=9, before=None)).items == ()
        assert not await scene.store.put_endpoint(replace(endpoint, version=2))
        assert await scene.store.enable_endpoint(endpoint.id) is None
        assert await scene.store.disable_endpoint(endpoint.id, scene.now, TERMS) is None
        assert await scene.store.ping_endpoint(endpoint.id, "evt_1", scene.now, TERMS) is None
        await scene.end()
        assert await owed_to(scene, endpoint.id) == []

    async def test_what_it_was_owed_is_canceled(self, scene: Scene) -> None:
        rows = await scene.backend.count_rows()
        endpoint = await registered(scene)
        jobs = [await scene.end() for _ in range(TERMS.slots + 2)]
        under_way = (await scene.lease()).deliveries
        await scene.store.delete_endpoint(endpoint.id, scene.now)
        assert (await scene.lease()).deliveries == ()
        assert await scene.other.endpoint_secrets(endpoint.id) != []  # for those under way
        result = await scene.apply(scene.tried(under_way[0], hand_off=True))
        assert (result.canceled, result.handed) == (True, ())
        await scene.apply(scene.tried(under_way[1], DeliveryState.DELIVERED))
        for leased in under_way[2:]:
            await scene.apply(scene.tried(leased, DeliveryState.DEAD))
        await scene.store.prune(100)
        states = [each.state for each in await owed_to(scene, endpoint.id)]
        assert sorted(states) == ["canceled"] * 3 + ["dead"] * 2 + ["delivered"]
        assert await scene.other.endpoint_secrets(endpoint.id) == []
        await scene.advance(86_400 * 31)
        await scene.store.prune(100)
        assert await scene.store.get_job(jobs[0].id, None) is None
        await scene.advance(86_400 * 31)
        await scene.store.prune(100)  # then it is forgotten that they were there
        # What a check or a holder left, and how far the caller's events were erased.
        assert await scene.backend.count_rows() <= rows + 2

    async def test_a_bounded_number_at_a_time_and_after_a_crash(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        leased = [await scene.running() for _ in range(250)]
        await scene.apply_all(*[scene.finish(each) for each in leased])
        await scene.store.delete_endpoint(endpoint.id, scene.now)
        await scene.backend.crash(scene.store)
        scene.store = await scene.backend.open()
        for _ in range(260):
            if await scene.store.prune(10) < 10:
                break
            assert (await scene.lease(limit=1)).deliveries == ()
        await scene.store.prune(10)
        states = {each.state for each in await owed_to(scene, endpoint.id)}
        assert states == {DeliveryState.CANCELED}
        assert await scene.other.endpoint_secrets(endpoint.id) == []

    async def test_a_new_round_is_stale(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        await scene.end()
        leased = await sent_to(scene, endpoint.id)
        await scene.apply(scene.tried(leased, DeliveryState.DELIVERED))
        await scene.store.delete_endpoint(endpoint.id, scene.now)
        change = Redeliver(delivery_id=leased.delivery.id, round=2, at=scene.now)
        assert await scene.apply_all(change) == [Stale()]
        await scene.store.prune(10)
        assert await scene.apply_all(change) == [Stale()]

    async def test_while_events_are_written(self, scene: Scene) -> None:
        """Whatever comes first: nothing stays open of what was deleted."""
        endpoint = await registered(scene)
        leased = [await scene.running() for _ in range(20)]
        await asyncio.gather(
            *(scene.apply(scene.finish(each)) for each in leased[:10]),
            scene.other.delete_endpoint(endpoint.id, scene.now),
            *(scene.apply(scene.finish(each), store=scene.other) for each in leased[10:]),
        )
        await scene.store.prune(100)
        states = {each.state for each in await owed_to(scene, endpoint.id)}
        assert states <= {DeliveryState.CANCELED}
