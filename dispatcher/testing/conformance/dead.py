"""`delivery.dead`, and how long events of no job are kept."""

from __future__ import annotations

import msgspec
import pytest

from dispatcher.core.changes import EndDelivery, NoteStarted, Redeliver
from dispatcher.core.lifecycle import DELIVERY_LIFE_MS, UNKNOWN_ATTEMPTS, decide_delivery
from dispatcher.core.model import DeliveryState, EventType
from dispatcher.core.outcome import Unknown
from dispatcher.core.payload import dead_data
from dispatcher.core.retry import Schedule
from dispatcher.ports.erasing import ERASED_KEPT_SECONDS
from dispatcher.ports.records import DEAD_KEPT_SECONDS, Stale
from dispatcher.testing.conformance.registered import owed_to, registered, sent_to
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import TERMS, a_callback

DEAD = (EventType.DELIVERY_DEAD,)


class TestDeadDeliveries:
    async def test_the_last_attempt_tells_the_endpoints(self, scene: Scene) -> None:
        endpoint = await registered(scene, events=DEAD)
        leased = await scene.sending()
        await scene.apply(scene.tried(leased, after_seconds=0))
        assert await owed_to(scene, endpoint.id) == []
        (leased,) = (await scene.lease()).deliveries
        change = scene.tried(leased, DeliveryState.DEAD)
        result = await scene.apply(change)
        assert result.delivery_ready_at == scene.now
        dead = await scene.delivery(leased.delivery.id)
        told = await sent_to(scene, endpoint.id)
        assert (told.event.type, told.event.job_id) == (EventType.DELIVERY_DEAD, dead.job_id)
        assert (told.event.sequence, told.event.caller_id) == (None, dead.caller_id)
        assert told.event.data == dead_data(dead, change.attempt)
        shown = msgspec.json.decode(told.event.data or b"")
        assert (shown["id"], shown["status"]) == (dead.id, "dead")
        assert shown["lastAttempt"]["number"] == 2
        assert "responseBody" not in shown["lastAttempt"]
        assert told.job is not None
        assert told.job.id == dead.job_id
        await scene.apply(change)  # sent again: it stands
        assert len(await owed_to(scene, endpoint.id)) == 1
        assert [event.type for event in await scene.events(dead.job_id)] == [
            EventType.JOB_SUCCEEDED
        ]  # it is not of the job's course

    async def test_age_and_unknown_attempts_tell_them_too(self, scene: Scene) -> None:
        endpoint = await registered(scene, events=DEAD)
        (owed,) = await scene.owed()
        await scene.advance(DELIVERY_LIFE_MS / 1000)
        (old,) = (await scene.store.sweep(10)).old_deliveries
        change = EndDelivery(owed, DeliveryState.DEAD, scene.now, old.round)
        assert (await scene.apply(change)).delivery_ready_at == scene.now
        assert await scene.apply_all(change) == [Stale()]
        told = await sent_to(scene, endpoint.id)
        assert b'"lastAttempt":null' in (told.event.data or b"")
        await scene.apply(scene.tried(told, DeliveryState.DELIVERED))
        await scene.sending()
        for _ in range(UNKNOWN_ATTEMPTS + 1):
            await scene.advance(TERMS.lease_seconds)
            await scene.lease()
        ((lost, lease, _, none),) = (await scene.store.sweep(10)).lost_deliveries
        assert none is None
        await scene.apply(
            decide_delivery(
                lost, lease, Unknown(), Schedule((0.0,)), attempt=None, now=scene.now, jitter=0
            )
        )
        assert len(await owed_to(scene, endpoint.id)) == 2

    async def test_a_swept_one_comes_with_its_endpoint(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        await scene.end()
        for _ in range(UNKNOWN_ATTEMPTS + 1):
            await scene.lease()
            await scene.advance(TERMS.lease_seconds)
        ((_, _, _, found),) = (await scene.store.sweep(10)).lost_deliveries
        assert found == endpoint

    async def test_each_round_tells_of_its_own_end(self, scene: Scene) -> None:
        endpoint = await registered(scene, events=DEAD)
        leased = await scene.sending()
        await scene.apply(scene.tried(leased, DeliveryState.DEAD))
        await scene.apply(Redeliver(delivery_id=leased.delivery.id, round=2, at=scene.now))
        again = [one for one in (await scene.lease()).deliveries if one.delivery.round == 2]
        await scene.apply(scene.tried(again[0], DeliveryState.DEAD))
        assert len(await owed_to(scene, endpoint.id)) == 2

    @pytest.mark.parametrize("to", [DeliveryState.DELIVERED, DeliveryState.PENDING])
    async def test_nothing_else_does(self, scene: Scene, to: DeliveryState) -> None:
        endpoint = await registered(scene, events=DEAD)
        await scene.apply(scene.tried(await scene.sending(), to))
        (owed,) = await scene.owed()
        await scene.apply(EndDelivery(owed, DeliveryState.CANCELED, scene.now))
        assert await owed_to(scene, endpoint.id) == []

    async def test_its_own_death_is_no_event(self, scene: Scene) -> None:
        endpoint = await registered(scene, events=DEAD)
        await scene.apply(scene.tried(await scene.sending(), DeliveryState.DEAD))
        told = await sent_to(scene, endpoint.id)
        result = await scene.apply(scene.tried(told, DeliveryState.DEAD))
        assert result.delivery_ready_at is None
        assert len(await owed_to(scene, endpoint.id)) == 1

    async def test_it_outlives_the_end_of_its_job(self, scene: Scene) -> None:
        """A best-effort event that died while the job ran: the job's end drops others, not this."""
        endpoint = await registered(scene, events=DEAD)
        held = await scene.running(
            callback=a_callback(events=(EventType.JOB_STARTED, EventType.JOB_SUCCEEDED))
        )
        started = NoteStarted(
            job_id=held.job.id, lease=held.lease, at=scene.now, event_id=scene.ids.new("evt")
        )
        await scene.apply(started)
        (leased,) = (await scene.lease()).deliveries
        await scene.apply(scene.tried(leased, DeliveryState.DEAD))
        await scene.apply(scene.finish(held))
        (told,) = await owed_to(scene, endpoint.id)
        assert told.state is DeliveryState.PENDING

    async def test_without_endpoints_it_is_an_event_all_the_same(self, scene: Scene) -> None:
        rows = await scene.backend.count_rows()
        leased = await scene.sending()
        before = await scene.backend.count_rows()
        result = await scene.apply(scene.tried(leased, DeliveryState.DEAD))
        assert result.delivery_ready_at is None
        assert await scene.backend.count_rows() == before + 1
        await scene.advance(DEAD_KEPT_SECONDS + 3_600)
        await scene.lease()  # it finds the destination empty
        await scene.store.prune(10)  # it goes with its job
        await scene.advance(ERASED_KEPT_SECONDS + 1)
        await scene.store.prune(10)  # and then what tells that it was there
        # One more may tell how far the caller's events were erased.
        assert await scene.backend.count_rows() <= rows + 1


class TestPruningEventsOfNoJob:
    async def test_they_are_kept_as_long_as_the_dead(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        rows = await scene.backend.count_rows()
        pinged = await scene.store.ping_endpoint(endpoint.id, "evt_1", scene.now, TERMS)
        assert pinged is not None
        leased = await sent_to(scene, endpoint.id)
        await scene.apply(scene.tried(leased, after_seconds=0))
        leased = await sent_to(scene, endpoint.id)
        await scene.apply(scene.tried(leased, DeliveryState.DELIVERED))
        await scene.advance(DEAD_KEPT_SECONDS - 1)
        await scene.store.prune(10)
        assert await scene.store.get_delivery(pinged.delivery_id, None) is not None
        await scene.advance(1)
        await scene.lease()  # it finds the destination empty
        await scene.store.prune(10)
        assert await scene.store.get_delivery(pinged.delivery_id, None) is None
        await scene.advance(ERASED_KEPT_SECONDS + 1)
        await scene.store.prune(10)  # and then what tells that it was there
        # One more may tell how far the caller's events were erased.
        assert await scene.backend.count_rows() <= rows + 1

    async def test_not_while_something_is_open_or_died_lately(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        await scene.store.ping_endpoint(endpoint.id, "evt_1", scene.now, TERMS)
        await scene.advance(DEAD_KEPT_SECONDS + 1)
        await scene.store.prune(10)
        leased = await sent_to(scene, endpoint.id)
        await scene.apply(scene.tried(leased, DeliveryState.DEAD))
        await scene.advance(DEAD_KEPT_SECONDS - 1)
        await scene.store.prune(10)
        assert len(await owed_to(scene, endpoint.id)) == 1
        await scene.advance(1)
        await scene.store.prune(10)
        assert await owed_to(scene, endpoint.id) == []

    async def test_those_that_stay_are_looked_past(self, scene: Scene) -> None:
        stays, goes = await registered(scene), await registered(scene)
        for number in range(9):
            await scene.store.ping_endpoint(stays.id, f"evt_a{number}", scene.now, TERMS)
        await scene.store.disable_endpoint(stays.id, scene.now, TERMS)
        await scene.store.ping_endpoint(goes.id, "evt_b", scene.now, TERMS)
        leased = await sent_to(scene, goes.id)
        await scene.apply(scene.tried(leased, DeliveryState.DELIVERED))
        await scene.advance(DEAD_KEPT_SECONDS)
        for _ in range(9):
            await scene.store.prune(1)
        assert await owed_to(scene, goes.id) == []
        assert len(await owed_to(scene, stays.id)) == 9
