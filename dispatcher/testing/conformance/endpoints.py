"""Registered endpoints: kept, changed, and owed what they subscribed to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from dispatcher.core.changes import NoteOutput, NoteProgress, NoteStarted
from dispatcher.core.endpoints import ASKED_EVENTS, DEFAULT_EVENTS, ENDPOINT_EVENTS, endpoint_json
from dispatcher.core.model import DeliveryState, EventType, JobState, Progress
from dispatcher.core.payload import encode
from dispatcher.core.quotas import CallerTerms
from dispatcher.core.retry import Schedule
from dispatcher.ports.records import MOST_SECRETS, Added, Addition, SecretRecord
from dispatcher.testing.conformance.registered import (
    HOOKS,
    MOST,
    found,
    owed_to,
    registered,
    sent_to,
    types_of,
)
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import ANN, BEN, MISCHIEF, TERMS, a_callback

EVERYTHING = tuple(kind for kind in EventType if kind in ENDPOINT_EVENTS)


class TestKeepingEndpoints:
    async def test_one_is_found_as_it_was_added(self, scene: Scene) -> None:
        endpoint = await registered(
            scene,
            events=EVERYTHING,
            headers=("x-token", "X-Other"),
            sealed_headers=b"\0sealed",
            schedule=Schedule((0.5, 5.0)),
        )
        record = await found(scene, endpoint.id)
        assert record.endpoint == endpoint
        assert record.secrets == (SecretRecord(endpoint.created_at, None),)
        assert await scene.other.endpoint_secrets(endpoint.id) == [
            b"sealed " + endpoint.id.encode()
        ]

    async def test_only_its_own_caller_finds_it(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        assert await scene.store.get_endpoint(endpoint.id, ANN) is not None
        assert await scene.store.get_endpoint(endpoint.id, BEN) is None
        assert await scene.store.get_endpoint(MISCHIEF, None) is None

    async def test_lists_are_newest_first_and_go_on(self, scene: Scene) -> None:
        of_ann = [(await registered(scene)).id for _ in range(3)]
        of_ben = (await registered(scene, caller_id=BEN)).id
        for caller_id, wanted in ((ANN, of_ann), (BEN, [of_ben]), (None, [*of_ann, of_ben])):
            ids, before = [], None
            while True:
                page = await scene.other.list_endpoints(caller_id, limit=2, before=before)
                ids += [each.endpoint.id for each in page.items]
                before = page.next
                if before is None:
                    break
            assert ids == wanted[::-1]

    async def test_a_caller_has_so_many_at_most(self, scene: Scene) -> None:
        kept = [await registered(scene) for _ in range(MOST)]
        more = replace(kept[0], id=scene.ids.new("ep"))
        assert await scene.other.add_endpoint(more, b"s", most=MOST) is Addition.TOO_MANY
        others = replace(more, caller_id=BEN)
        assert await scene.other.add_endpoint(others, b"s", most=MOST) is Addition.ADDED
        await scene.store.delete_endpoint(kept[1].id, scene.now)
        more = replace(more, id=scene.ids.new("ep"))
        assert await scene.other.add_endpoint(more, b"s", most=MOST) is Addition.ADDED

    async def test_nobody_has_none(self, scene: Scene) -> None:
        endpoint = replace(await registered(scene), id="ep_1", caller_id="clr_nobody")
        assert await scene.store.add_endpoint(endpoint, b"s", most=9) is Addition.NO_CALLER

    async def test_a_change_takes_the_place_of_the_version_before(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        wanted = replace(
            endpoint,
            url="https://new.example/in",
            origin="https://new.example",
            events=EVERYTHING,
            headers=("a",),
            sealed_headers=b"b",
            schedule=Schedule((1.0,)),
            version=2,
        )
        answers = await asyncio.gather(
            scene.store.put_endpoint(wanted),
            scene.other.put_endpoint(replace(wanted, events=DEFAULT_EVENTS)),
        )
        assert sorted(answers) == [False, True]
        if answers[0]:
            assert (await found(scene, endpoint.id)).endpoint == wanted
        assert not await scene.store.put_endpoint(replace(wanted, id="ep_none"))

    async def test_its_secrets_overlap_as_a_caller_s_do(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        first = b"sealed " + endpoint.id.encode()
        at = scene.now

        async def rotate(sealed: bytes, overlap: float) -> Addition:
            return await scene.store.rotate_endpoint_secret(
                endpoint.id, sealed, scene.now, overlap_seconds=overlap
            )

        await scene.advance(1)
        assert await rotate(b"second", 60) is Addition.ADDED
        assert await scene.other.endpoint_secrets(endpoint.id) == [b"second", first]
        record = await found(scene, endpoint.id)
        assert record.secrets == (
            SecretRecord(scene.now, None),
            SecretRecord(at, scene.now + 60_000),
        )
        await scene.advance(60)
        assert await scene.other.endpoint_secrets(endpoint.id) == [b"second"]
        for number in range(MOST_SECRETS - 1):
            assert await rotate(b"%d" % number, 60) is Addition.ADDED
        assert await rotate(b"one more", 60) is Addition.TOO_MANY
        assert await rotate(b"at once", 0) is Addition.ADDED
        assert await scene.other.endpoint_secrets(endpoint.id) == [b"at once"]
        none = await scene.store.rotate_endpoint_secret("ep_1", b"s", 0, overlap_seconds=0)
        assert none is Addition.NO_CALLER


class TestEventsOfEndpoints:
    async def test_each_is_owed_what_it_subscribed_to(self, scene: Scene) -> None:
        ends = await registered(scene)
        failures = await registered(scene, events=(EventType.JOB_FAILED,))
        await registered(scene, caller_id=BEN, events=EVERYTHING)
        job = await scene.end()
        (delivery,) = await owed_to(scene, ends.id)
        assert (delivery.event_type, delivery.job_id) == (EventType.JOB_SUCCEEDED, job.id)
        assert (delivery.url, delivery.origin) == (ends.url, ends.origin)
        assert (delivery.state, delivery.due_at) == (DeliveryState.PENDING, scene.now)
        assert await owed_to(scene, failures.id) == []
        assert len(await scene.delivery_records(caller_id=BEN)) == 0
        failed = await scene.end(JobState.FAILED)
        assert [each.job_id for each in await owed_to(scene, failures.id)] == [failed.id]
        assert len(await owed_to(scene, ends.id)) == 2

    async def test_beside_the_job_s_own_callback(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        job = await scene.end(callback=a_callback())
        own, other = sorted(await scene.deliveries(job.id), key=lambda one: one.endpoint_id or "")
        assert (own.endpoint_id, other.endpoint_id) == (None, endpoint.id)
        assert own.event_id == other.event_id
        leased = {one.delivery.endpoint_id: one for one in (await scene.lease()).deliveries}
        assert leased[None].endpoint is None
        assert leased[endpoint.id].endpoint == endpoint
        assert (leased[endpoint.id].job, leased[endpoint.id].result) == (job, b'{"ok":true}')
        await scene.apply(scene.tried(leased[endpoint.id], DeliveryState.DELIVERED))
        record = await scene.record(job.id)
        assert record.delivery is not None
        assert record.delivery.state is DeliveryState.SENDING  # of the callback URL alone

    async def test_the_callback_s_own_hand_off_is_as_before(self, scene: Scene) -> None:
        await registered(scene)
        leased = await scene.running(callback=a_callback())
        result = await scene.apply(scene.finish(leased, hand_off=True))
        (handed,) = result.handed
        assert handed.endpoint is None
        assert result.delivery_ready_at == scene.now

    async def test_what_another_process_registers_counts_at_once(self, scene: Scene) -> None:
        await scene.end()
        endpoint = await registered(scene)
        await scene.apply(scene.finish(await scene.running()), store=scene.other)
        assert len(await owed_to(scene, endpoint.id)) == 1
        wanted = replace(endpoint, events=(EventType.JOB_FAILED,), version=2)
        assert await scene.other.put_endpoint(wanted)
        await scene.end()
        assert len(await owed_to(scene, endpoint.id)) == 1

    async def test_by_its_own_schedule_or_its_caller_s_or_the_default(self, scene: Scene) -> None:
        own = await registered(scene, schedule=Schedule((30.0,)))
        plain = await registered(scene)
        terms = replace(TERMS, first_wait_seconds=10.0)
        at = scene.now
        leased = await scene.running()
        result = await scene.apply(scene.finish(leased), terms=terms)
        assert result.delivery_ready_at == at + 10_000
        assert (await owed_to(scene, own.id))[0].due_at == at + 30_000
        assert (await owed_to(scene, plain.id))[0].due_at == at + 10_000
        caller_s = CallerTerms(schedule=Schedule((60.0, 1.0)))
        assert await scene.store.set_terms(ANN, CallerTerms(), caller_s)
        await scene.apply(scene.finish(await scene.running()), terms=terms)
        assert (await owed_to(scene, own.id))[0].due_at == at + 30_000
        assert (await owed_to(scene, plain.id))[0].due_at == at + 60_000
        await scene.advance(60)
        (due,) = [
            each
            for each in (await scene.lease()).deliveries
            if each.endpoint is not None and each.delivery.due_at == at + 60_000
        ]
        assert due.endpoint is not None
        assert due.endpoint.own_schedule == caller_s.schedule

    async def test_each_has_slots_of_its_own(self, scene: Scene) -> None:
        busy, free = await registered(scene), await registered(scene)
        for _ in range(TERMS.slots + 1):
            await scene.end()
        claimed = (await scene.lease()).deliveries
        assert [one.delivery.endpoint_id for one in claimed].count(busy.id) == TERMS.slots
        assert [one.delivery.endpoint_id for one in claimed].count(free.id) == TERMS.slots

    @pytest.mark.parametrize("asks", [True, False])
    async def test_who_runs_a_job_knows_what_was_asked(self, scene: Scene, asks: bool) -> None:
        events = EVERYTHING if asks else DEFAULT_EVENTS
        endpoint = await registered(scene, events=events)
        wanted = ASKED_EVENTS if asks else frozenset()
        assert (await scene.running()).asked == wanted
        holder = await scene.hold()
        (added,) = await scene.add_all(scene.new(holder=holder))
        assert isinstance(added, Added)
        assert added.leased is not None
        assert added.leased.asked == wanted
        await scene.store.disable_endpoint(endpoint.id, scene.now, TERMS)
        assert (await scene.running()).asked == frozenset()

    async def test_events_of_a_running_job(self, scene: Scene) -> None:
        endpoint = await registered(scene, events=EVERYTHING, schedule=Schedule((30.0, 1.0)))
        held = await scene.running()
        about: dict[str, Any] = {"job_id": held.job.id, "lease": held.lease, "at": scene.now}
        for change in (
            NoteStarted(**about, event_id="evt_s"),
            NoteProgress(**about, progress=Progress(1), event_id="evt_p"),
            NoteOutput(**about, event_id="evt_o", output=b"1"),
            NoteOutput(**about, event_id="evt_q", output=b"2", deliver=False),
        ):
            result = await scene.apply(change)
            kept = change.event_id == "evt_q"
            assert result.delivery_ready_at == (None if kept else scene.now)
        assert types_of(await owed_to(scene, endpoint.id))[::-1] == [
            EventType.JOB_STARTED,
            EventType.JOB_PROGRESS,
            EventType.JOB_OUTPUT,
        ]
        await scene.apply(scene.finish(held))
        last, *before = await owed_to(scene, endpoint.id)
        assert last.event_type is EventType.JOB_SUCCEEDED
        assert {each.state for each in before} == {DeliveryState.CANCELED}
        assert last.state is DeliveryState.PENDING

    async def test_a_ping_goes_to_one_alone(self, scene: Scene) -> None:
        endpoint = await registered(scene, events=EVERYTHING, schedule=Schedule((30.0,)))
        await registered(scene, events=EVERYTHING)
        pinged = await scene.store.ping_endpoint(endpoint.id, "evt_ping", scene.now, TERMS)
        assert pinged is not None
        assert pinged.ready_at == scene.now
        leased = await sent_to(scene, endpoint.id)
        assert leased.delivery.id == pinged.delivery_id
        assert (leased.event.id, leased.event.type) == ("evt_ping", EventType.PING)
        assert (leased.job, leased.event.sequence, leased.delivery.job_id) == (None, None, None)
        assert leased.event.data == encode(endpoint_json(endpoint))
        await scene.apply(scene.tried(leased, DeliveryState.DEAD))
        (record,) = await scene.delivery_records(endpoint_id=endpoint.id)
        assert (record.delivery.state, len(record.attempts)) == (DeliveryState.DEAD, 1)
        assert await scene.other.get_delivery(pinged.delivery_id, BEN) is None
        assert len(await scene.delivery_records()) == 1  # its death is no event
        assert await scene.store.ping_endpoint("ep_1", "evt_2", scene.now, TERMS) is None

    async def test_the_filter_of_lists(self, scene: Scene) -> None:
        one, two = await registered(scene), await registered(scene, url=f"{HOOKS}/two")
        job = await scene.end()
        assert len(await scene.delivery_records(job.id)) == 2
        for endpoint in (one, two):
            (record,) = await scene.delivery_records(endpoint_id=endpoint.id, caller_id=ANN)
            assert record.delivery.url == endpoint.url
        assert await scene.delivery_records(endpoint_id=one.id, caller_id=BEN) == []
