"""A store with something of everything, and all that its read verbs tell of it."""

from __future__ import annotations

import hashlib
from typing import Any

from dispatcher.core.breaker import Sign
from dispatcher.core.changes import EndDelivery, PauseDestination, Redeliver
from dispatcher.core.model import ApiKey, DeliveryState, EventType, JobState, Role, ServiceKey
from dispatcher.core.quotas import CallerTerms
from dispatcher.ports.audit import AuditFilter
from dispatcher.ports.bulk import BulkStep
from dispatcher.ports.erasing import Erasure
from dispatcher.ports.records import Addition, Idempotency, RemoteTerms
from dispatcher.ports.store import Store
from dispatcher.ports.views import DestinationFilter, JobFilter
from dispatcher.testing.conformance.auditing import SET, an_entry
from dispatcher.testing.conformance.changing import note_output
from dispatcher.testing.conformance.registered import registered
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import (
    ANN,
    BEN,
    EVERY_TYPE,
    MISCHIEF,
    OTHER_ORIGIN,
    TERMS,
    a_callback,
)


async def everything(scene: Scene) -> None:
    """Put at least one row in each table, and jobs and deliveries in each state."""
    await _owned(scene)
    gone = await scene.end()
    erased = await scene.store.erase_job(gone.id, None, TERMS, cancel_deliveries=False)
    assert erased is Erasure.ERASED
    await _ended(scene)
    await _sent(scene)
    await _of_endpoints(scene)
    await _under_way(scene)


async def _owned(scene: Scene) -> None:
    """Callers' and the service's own things."""
    store = scene.store
    assert await store.set_terms(ANN, CallerTerms(), SET, an_entry(scene, target=MISCHIEF))
    for n in range(2):
        key = ApiKey(id=f"key_{n}", caller_id=BEN, role=Role.WORKER, created_at=scene.now)
        digest = hashlib.sha256(key.id.encode()).digest()
        assert await store.add_key(key, digest) is Addition.ADDED
    assert await store.revoke_key(BEN, "key_1")
    await scene.advance(1)
    for sealed in (b"sealed 2", b"sealed 3"):
        await store.rotate_secret(ANN, sealed, scene.now, overlap_seconds=60)
    assert await store.add_service_key(
        ServiceKey(id="svc_1", public=b"p" * 32, created_at=scene.now), b"sealed"
    )
    second = ServiceKey(id="svc_2", public=b"q" * 32, created_at=scene.now)
    await store.rotate_service_key(second, b"sealed", overlap_seconds=60)


async def _ended(scene: Scene) -> None:
    """A job in each final state; one has metadata, outputs and an odd error."""
    for state in (JobState.FAILED, JobState.CANCELED):
        await scene.end(state, metadata={"a": MISCHIEF}, correlation_id="c-1")
    await scene.apply(scene.end_waiting((await scene.add())[0], JobState.EXPIRED))
    leased = await scene.running(callback=a_callback(events=tuple(EventType)))
    await scene.apply(note_output(scene, leased.job, leased.lease))
    await scene.apply(scene.finish(leased, result=MISCHIEF.encode()))
    while claimed := (await scene.lease()).deliveries:
        await scene.apply_all(*(scene.tried(each, DeliveryState.DELIVERED) for each in claimed))


async def _sent(scene: Scene) -> None:
    """Deliveries in each final state, one of them in its second round; and a breaker."""
    dead = await scene.sending()
    await scene.apply(scene.tried(dead, after_seconds=0, sign=Sign.NO_SERVICE))
    (dead,) = (await scene.lease()).deliveries
    await scene.apply(scene.tried(dead, DeliveryState.DEAD, sign=Sign.NO_SERVICE))
    await scene.apply(Redeliver(delivery_id=dead.delivery.id, round=2, at=scene.now))
    (dead,) = (await scene.lease()).deliveries
    await scene.apply(scene.tried(dead, DeliveryState.DEAD, sign=Sign.NO_CONNECTION))
    (owed,) = await scene.owed("https://canceled.example")
    await scene.apply(EndDelivery(owed, DeliveryState.CANCELED, scene.now))


async def _of_endpoints(scene: Scene) -> None:
    """One that is sent to, one whose events wait because it is disabled, and a ping."""
    store = scene.store
    works = await registered(scene, headers=("a",), sealed_headers=b"sealed", rate_limit=0.5)
    stopped = await registered(scene, url="https://s.example/in", origin="https://s.example")
    await store.rotate_endpoint_secret(works.id, b"sealed", scene.now, overlap_seconds=9)
    assert await store.disable_endpoint(stopped.id, scene.now, TERMS)
    assert await store.ping_endpoint(works.id, scene.ids.new("evt"), scene.now, TERMS)
    await scene.end()


async def _under_way(scene: Scene) -> None:
    """What runs, waits, is sent, stands in order or is paused."""
    store = scene.store
    bulk = await scene.running(type="report.make")
    step = BulkStep(job_id=bulk.job.id, lease=bulk.lease, since=0, after=7, matched=3, skipped=3)
    await store.advance_bulk(step, TERMS)
    await scene.owed("https://waits.example", OTHER_ORIGIN)
    (destination, *_) = (
        await store.list_destinations(DestinationFilter(), limit=9, before=None)
    ).items
    await scene.lease(limit=1)
    await scene.apply(PauseDestination(destination.id, scene.now))
    await scene.add(count=3, ordering_key="o1")
    await scene.add(ordering_key="o1", due_at=scene.now + 5_000)
    await scene.claim(limit=1)
    await scene.add(queue="remote", caller_id=BEN)
    remote = RemoteTerms(BEN, 1000.0)
    (leased,) = (await scene.claim(limit=1, remote=remote)).jobs
    assert leased.until is not None
    retried = await scene.running(caller_id=BEN)
    await scene.apply(scene.back(retried, after_seconds=30))
    key = Idempotency("a key", b"d" * 32, scene.now + 10**9)
    await scene.add_all(scene.new(key=key, body=b"a" * 1000))
    await store.pause("other", scene.now, an_entry(scene))
    await scene.add(queue="other")
    await store.key_check(b"the proof")


async def told(store: Store, scene: Scene) -> dict[str, Any]:
    """What the read verbs answer, but for cursors, which are each store's own."""
    scene.store = scene.other = store
    jobs = await scene.jobs()
    deliveries = await scene.delivery_records()
    callers = (await store.list_callers(limit=100, before=None)).items
    endpoints = (await store.list_endpoints(None, limit=100, before=None)).items
    destinations = await store.list_destinations(DestinationFilter(), limit=100, before=None)
    feed = await store.list_feed(None, after=None, types=None, limit=100)
    return {
        "jobs": jobs,
        "records": [await store.get_job(each.id, None, with_input=True) for each in jobs],
        "page": await store.list_jobs(JobFilter(), limit=3, before=5),
        "results": [await store.get_result(each.id, None) for each in jobs],
        "events": [await store.list_events(each.id, None, limit=99, after=0) for each in jobs],
        "deliveries": deliveries,
        "feed": [(item.event, item.job, item.result) for item in feed.items],
        "gap": feed.gap,
        "callers": callers,
        "secrets": [await store.sealed_secrets(each.caller.id) for each in callers],
        "key": await store.find_key(hashlib.sha256(b"ann").digest()),
        "service keys": await store.service_keys(),
        "types": await store.list_types(),
        "endpoints": endpoints,
        "their secrets": [await store.endpoint_secrets(each.endpoint.id) for each in endpoints],
        "destinations": destinations,
        "audit": await store.list_audit(AuditFilter(), limit=100, before=None),
        "pauses": await store.pauses(),
        "bulk": [await store.bulk_state(each.id) for each in jobs],
        "proof": await store.key_check(None),
    }


async def done_one_by_one(scene: Scene) -> list[str]:
    """Claim and end all that can be, one job at a time; the ordering keys in that order."""
    keys = []
    while claimed := (await scene.claim(limit=1, types=EVERY_TYPE)).jobs:
        await scene.apply_all(*(scene.finish(each) for each in claimed))
        keys += [each.job.id for each in claimed if each.job.ordering_key is not None]
    return keys
