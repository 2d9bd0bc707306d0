"""`/v1/leases` on the real engine: what a remote worker is given, says, and is answered."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dispatcher.core.facts import DeliveryAttemptEnded, JobAttemptEnded
from dispatcher.core.lifecycle import decide_job
from dispatcher.core.limits import Limits
from dispatcher.core.model import ApiKey, JobType, Role
from dispatcher.core.outcome import WorkerLost
from dispatcher.core.retry import JobBackoff
from dispatcher.engine.waiters import Places
from dispatcher.ports.records import Applied, DeliveryTerms
from dispatcher.web.holding import REST_SECONDS
from tests.databases import Database
from tests.web.edge import Answer
from tests.web.test_whole_path import OTHER, URL, Service, service

AUDIO = JobType(
    name="audio.transcribe",
    runner="remote",
    result_schema=json.dumps({"type": "object", "required": ["text"]}).encode(),
)
JOB = {"type": AUDIO.name, "input": {"file": "a.wav"}, "callbackUrl": URL}
DONE = {"result": {"text": "hello"}}
HOOK = "https://hooks.example/in"
FAILED = {"error": {"code": "no-speech", "detail": "It is silent."}}
EVERYTHING: tuple[tuple[str, Any], ...] = (
    ("complete", DONE),
    ("fail", FAILED),
    ("snooze", {"seconds": 5}),
    ("heartbeat", {}),
)


class Worker:
    """A worker of a service, by its API key."""

    def __init__(self, here: Service, key: str) -> None:
        self.here = here
        self.key = key

    async def call(self, path: str, body: Any = None, **more: Any) -> Answer:
        return await self.here.edge.call("POST", path, key=self.key, json=body, **more)

    async def lease(self, **more: Any) -> dict[str, Any]:
        """The only job that there is to do."""
        (leased,) = await self.leases(**more)
        return leased

    async def sooner_or_later(self, **more: Any) -> dict[str, Any]:
        """The only job that there will be to do, while somebody lets time pass."""
        while not (found := await self.leases(**more)):
            pass
        return found[0]

    async def leases(self, *, headers: Any = None, **more: Any) -> list[dict[str, Any]]:
        answer = await self.call("/v1/leases", {"types": [AUDIO.name], **more}, headers=headers)
        assert answer.status == 200, answer.body
        found: list[dict[str, Any]] = answer.json["leases"]
        return found

    async def say(self, lease: dict[str, Any], verb: str, body: Any) -> Answer:
        return await self.call(f"/v1/leases/{lease['id']}/{verb}", body)


@asynccontextmanager
async def at_work(database: Database, **options: Any) -> AsyncIterator[tuple[Service, Worker]]:
    async with service(database, remote=(AUDIO,), **options) as here:
        for key, caller_id in (("worker", here.stage.caller.id), ("stranger", OTHER.id)):
            row = ApiKey(
                id=here.stage.ids.new("key"), caller_id=caller_id, role=Role.WORKER, created_at=0
            )
            await here.stage.store.add_key(row, hashlib.sha256(key.encode()).digest())
        yield here, Worker(here, "worker")


async def shown(here: Service, job_id: str) -> Any:
    return (await here.call("GET", f"/v1/jobs/{job_id}")).json


async def test_a_job_is_leased_done_and_called_back(database: Database) -> None:
    async with at_work(database) as (here, worker):
        job_id = await here.submit(JOB)
        lease = await worker.lease(leaseSeconds=30)
        assert lease["job"]["id"] == job_id
        assert (lease["job"]["status"], lease["attempt"]) == ("running", 1)
        assert lease["input"] == {"file": "a.wav"}
        assert lease["expiresAt"] > lease["job"]["startedAt"]
        assert await worker.leases() == []
        answer = await worker.say(lease, "complete", DONE)
        assert (answer.status, answer.json["job"]["status"]) == (200, "succeeded")
        assert (await shown(here, job_id))["result"] == {"text": "hello"}
        await here.stage.seen(DeliveryAttemptEnded, lambda fact: fact.job_id == job_id)
        (told,) = here.stage.observer.all(JobAttemptEnded)
        assert (told.outcome, told.stale) == ("Succeeded", False)


async def test_the_same_said_again_is_fine_and_anything_else_is_refused(database: Database) -> None:
    async with at_work(database) as (here, worker):
        job_id = await here.submit(JOB)
        lease = await worker.lease()
        for _ in range(2):
            assert (await worker.say(lease, "complete", DONE)).status == 200
        for verb, body in (("complete", {"result": {"text": "else"}}), *EVERYTHING[1:]):
            answer = await worker.say(lease, verb, body)
            assert (answer.status, answer.json["code"]) == (409, "lease-lost"), verb
        assert (await shown(here, job_id))["result"] == {"text": "hello"}
        assert len(here.stage.observer.all(JobAttemptEnded)) == 1


async def test_failures_for_good_and_to_be_tried_again(database: Database) -> None:
    async with at_work(database) as (here, worker):
        job_id = await here.submit(JOB)
        again = {**FAILED, "retriable": True, "retryAfterSeconds": 30}
        first = await worker.lease()
        for _ in range(2):
            assert (await worker.say(first, "fail", again)).status == 200
        job = await shown(here, job_id)
        assert (job["status"], job["error"]["code"]) == ("retrying", "no-speech")
        assert await worker.leases() == []
        here.stage.advance(30)
        second = await worker.lease()
        assert second["attempt"] == 2
        for _ in range(2):
            assert (await worker.say(second, "fail", FAILED)).status == 200
        job = await shown(here, job_id)
        assert (job["status"], job["error"]["detail"]) == ("failed", "It is silent.")
        assert (await worker.say(first, "fail", again)).status == 409


async def test_snooze_gives_the_attempt_back(database: Database) -> None:
    async with at_work(database) as (here, worker):
        job_id = await here.submit(JOB)
        lease = await worker.lease()
        for _ in range(2):
            assert (await worker.say(lease, "snooze", {"seconds": 60})).status == 200
        job = await shown(here, job_id)
        assert (job["status"], job["attemptCount"]) == ("scheduled", 0)
        here.stage.advance(60)
        assert (await worker.lease())["attempt"] == 1
        assert (await worker.say(lease, "snooze", {"seconds": 60})).status == 200


async def test_a_failure_is_no_snooze_and_one_to_be_tried_again_not_for_good(
    database: Database,
) -> None:
    async with at_work(database) as (here, worker):
        await here.submit(JOB)
        lease = await worker.lease()
        again = {**FAILED, "retriable": True, "retryAfterSeconds": 30}
        assert (await worker.say(lease, "fail", again)).status == 200
        for verb, body in (("snooze", {"seconds": 5}), ("fail", FAILED)):
            answer = await worker.say(lease, verb, body)
            assert (answer.status, answer.json["code"]) == (409, "lease-lost"), verb
        assert (await worker.say(lease, "fail", again)).status == 200


async def test_heartbeats_renew_and_tell(database: Database) -> None:
    async with at_work(database) as (here, worker):
        job_id = await here.submit(JOB)
        lease = await worker.lease(leaseSeconds=10)
        here.stage.advance(9)
        told = {"progress": {"current": 3, "total": 10, "message": "listening"}}
        answer = await worker.say(lease, "heartbeat", told)
        assert answer.status == 200
        assert answer.json["cancelRequested"] is False
        assert answer.json["expiresAt"] > lease["expiresAt"]
        assert (await shown(here, job_id))["progress"] == told["progress"]
        assert (await worker.say(lease, "heartbeat", {"output": {"part": 1}})).status == 200
        events = (await here.call("GET", f"/v1/jobs/{job_id}/events")).json["items"]
        assert [each["type"] for each in events] == ["job.output"]
        here.stage.advance(9)
        assert (await worker.call(f"/v1/leases/{lease['id']}/heartbeat")).status == 200
        await here.call("POST", f"/v1/jobs/{job_id}/cancel")
        assert (await worker.say(lease, "heartbeat", {})).json["cancelRequested"] is True
        answer = await worker.say(lease, "fail", {**FAILED, "retriable": True})
        assert answer.json["job"]["status"] == "canceled"
        assert (await worker.say(lease, "fail", {**FAILED, "retriable": True})).status == 200


async def test_an_output_that_is_too_large_is_refused(database: Database) -> None:
    async with at_work(database, limits=Limits(output_bytes=9)) as (here, worker):
        job_id = await here.submit(JOB)
        lease = await worker.lease()
        answer = await worker.say(lease, "heartbeat", {"output": "12345678"})
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "/output")
        assert (await worker.say(lease, "heartbeat", {"output": "1234567"})).status == 200
        events = (await here.call("GET", f"/v1/jobs/{job_id}/events")).json["items"]
        assert [each["type"] for each in events] == ["job.output"]


async def test_endpoints_hear_of_what_they_asked_for(database: Database) -> None:
    asked = {"url": HOOK, "events": ["job.started", "job.progress", "job.succeeded"]}
    async with at_work(database) as (here, worker):
        made = await here.call("POST", "/v1/endpoints", json=asked)
        assert made.status == 201, made.body
        job_id = await here.submit(JOB)
        lease = await worker.lease()
        told = {"progress": {"current": 3, "total": 10}}
        assert (await worker.say(lease, "heartbeat", told)).status == 200
        assert (await worker.say(lease, "complete", DONE)).status == 200
        for kind in asked["events"]:
            await here.stage.seen(
                DeliveryAttemptEnded,
                lambda fact, kind=kind: (
                    (fact.job_id, fact.url, fact.event_type)  # type: ignore[misc]  # bound now
                    == (job_id, HOOK, kind)
                ),
            )


async def test_those_who_follow_a_job_hear_of_what_its_worker_does(database: Database) -> None:
    async with at_work(database) as (here, worker):
        job_id = await here.submit(JOB)
        with here.stage.waiters.job(job_id) as waiting:
            lease = await worker.lease()
            assert await waiting.wait(0.0)
            for verb, body in (("heartbeat", {"progress": {"current": 1}}), ("complete", DONE)):
                assert (await worker.say(lease, verb, body)).status == 200
                assert await waiting.wait(0.0), verb


async def test_a_lost_lease_changes_nothing(database: Database) -> None:
    async with at_work(database) as (here, worker):
        job_id = await here.submit({**JOB, "maxAttempts": 2})
        lost = await worker.lease(leaseSeconds=10)
        here.stage.advance(10)
        # The claim or the sweep takes it back: after the sweep it waits for a second or two.
        mine = await here.stage.passes_until(worker.sooner_or_later(leaseSeconds=10))
        assert mine["job"]["id"] == job_id
        for verb, body in EVERYTHING:
            answer = await worker.say(lost, verb, body)
            assert (answer.status, answer.json["code"]) == (409, "lease-lost"), verb
        here.stage.advance(10)
        await here.stage.sweep()
        job = await shown(here, job_id)
        assert (job["status"], job["error"]["code"]) == ("failed", "worker-lost")
        assert (await worker.say(mine, "complete", DONE)).status == 409


async def test_a_lease_is_lost_also_while_nobody_has_its_job(database: Database) -> None:
    """A snooze that came after the sweep was answered 200, and had changed nothing."""
    async with at_work(database) as (here, worker):
        job_id = await here.submit(JOB)
        lost = await worker.lease()
        record = await here.stage.store.get_job(job_id, None)
        assert record is not None
        swept = decide_job(
            record.job,
            lost["id"],
            WorkerLost(),
            JobBackoff(),
            now=here.stage.clock.now(),
            jitter=0.0,
            event_id=here.stage.ids.new("evt"),
        )
        (result,) = await here.stage.store.apply(
            (swept,), DeliveryTerms(slots=1, lease_seconds=30.0)
        )
        assert isinstance(result, Applied)
        for verb, body in EVERYTHING:
            answer = await worker.say(lost, verb, body)
            assert (answer.status, answer.json["code"]) == (409, "lease-lost"), verb


async def test_another_callers_worker_may_do_jobs_but_not_touch_this_ones_leases(
    database: Database,
) -> None:
    async with at_work(database) as (here, worker):
        await here.submit(JOB)
        lease = await worker.lease()
        stranger = Worker(here, "stranger")
        assert (await stranger.say(lease, "complete", DONE)).status == 409
        await here.submit(JOB)
        assert len(await stranger.leases()) == 1


async def test_a_result_that_does_not_fit_is_told_and_the_lease_goes_on(database: Database) -> None:
    async with at_work(database) as (here, worker):
        await here.submit(JOB)
        lease = await worker.lease()
        answer = await worker.say(lease, "complete", {"result": {"words": 3}})
        assert answer.status == 422
        assert [each["pointer"] for each in answer.json["errors"]] == ["/result/text"]
        assert (await worker.say(lease, "complete", DONE)).status == 200


async def test_who_waits_is_given_what_comes(database: Database) -> None:
    async with at_work(database) as (here, worker):
        headers = {"Prefer": "wait=20"}
        waiting = asyncio.create_task(worker.leases(headers=headers))
        job_id = await here.submit(JOB)
        async with asyncio.timeout(10):
            (lease,) = await waiting
        assert lease["job"]["id"] == job_id
        answer = await here.stage.passes_until(
            worker.call("/v1/leases", {"types": [AUDIO.name]}, headers={"Prefer": "wait=2"})
        )
        assert answer.json == {"leases": []}
        assert answer.headers["Preference-Applied"] == "wait=2"


async def test_workers_wait_within_the_places_that_there_are(database: Database) -> None:
    """So `limit_waits_at_once` bounds them too; who has none is answered after a moment."""
    async with at_work(database) as (here, worker):
        here.stage.waiters.waits = Places(2, 1)
        asked, headers = {"types": [AUDIO.name]}, {"Prefer": "wait=50"}
        waiting = asyncio.create_task(worker.call("/v1/leases", asked, headers=headers))
        async with asyncio.timeout(10):
            while not here.stage.engine.remote._lines:  # noqa: ASYNC110  # a wait that has begun tells nobody
                await asyncio.sleep(0)
        before = here.stage.clock.monotonic()
        answer = await here.stage.passes_until(worker.call("/v1/leases", asked, headers=headers))
        assert (answer.status, answer.json) == (200, {"leases": []})
        assert "Preference-Applied" not in answer.headers
        assert REST_SECONDS <= here.stage.clock.monotonic() - before < 20
        stranger = Worker(here, "stranger")
        brief = {"Prefer": "wait=2"}
        answer = await here.stage.passes_until(stranger.call("/v1/leases", asked, headers=brief))
        assert answer.headers["Preference-Applied"] == "wait=2"
        assert not waiting.done()
        await here.submit(JOB)
        async with asyncio.timeout(10):
            answer = await waiting
        assert (len(answer.json["leases"]), answer.headers["Preference-Applied"]) == (1, "wait=50")
        assert here.stage.waiters.waits.taken == 0


async def test_without_a_place_to_wait_what_is_there_is_leased_at_once(database: Database) -> None:
    async with at_work(database) as (here, worker):
        here.stage.waiters.waits = Places(0, 0)
        await here.submit(JOB)
        async with asyncio.timeout(10):
            await worker.lease(headers={"Prefer": "wait=50"})


async def test_the_end_of_the_service_lets_waiters_go(database: Database) -> None:
    async with at_work(database) as (here, worker):
        asked = worker.call("/v1/leases", {"types": [AUDIO.name]}, headers={"Prefer": "wait=50"})
        waiting = asyncio.create_task(asked)
        async with asyncio.timeout(10):
            while not here.stage.engine.remote._lines:  # noqa: ASYNC110  # a wait that has begun tells nobody
                await asyncio.sleep(0)
            here.stage.engine.remote.close()
            answer = await waiting
        assert (answer.status, answer.json["code"]) == (503, "stopping")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/types"),
        ({"types": []}, "/types"),
        ({"types": ["no.such"]}, "/types/0"),
        ({"types": ["audio.transcribe", "work"]}, "/types/1"),
        ({"types": ["audio.transcribe"], "limit": 0}, "/limit"),
        ({"types": ["audio.transcribe"], "limit": 101}, "/limit"),
        ({"types": ["audio.transcribe"], "leaseSeconds": 0.5}, "/leaseSeconds"),
        ({"types": ["audio.transcribe"], "leaseSeconds": 3601}, "/leaseSeconds"),
        ({"types": ["audio.transcribe"], "more": 1}, "/more"),
    ],
    ids=str,
)
async def test_what_can_not_be_leased(database: Database, body: Any, pointer: str) -> None:
    async with at_work(database) as (_, worker):
        answer = await worker.call("/v1/leases", body)
        assert answer.status == 422, answer.body
        assert pointer in [each["pointer"] for each in answer.json["errors"]]


async def test_it_is_for_workers_alone(database: Database) -> None:
    async with at_work(database) as (here, worker):
        answer = await here.call("POST", "/v1/leases", json={"types": [AUDIO.name]})
        assert answer.status == 403
        assert (await here.edge.call("GET", "/v1/jobs", key="worker")).status == 403
        assert (await worker.call("/v1/leases/nonsense/complete", DONE)).status == 404
        unknown = {"id": "lse_" + "0" * 32}
        assert (await worker.say(unknown, "complete", DONE)).status == 409


async def test_jobs_of_a_key_are_leased_one_after_another(database: Database) -> None:
    async with at_work(database) as (here, worker):
        first = await here.submit({**JOB, "orderingKey": "k"})
        second = await here.submit({**JOB, "orderingKey": "k"})
        lease = await worker.lease(limit=10)
        assert lease["job"]["id"] == first
        waiting = asyncio.create_task(worker.leases(headers={"Prefer": "wait=20"}))
        await worker.say(lease, "complete", DONE)
        async with asyncio.timeout(10):
            (lease,) = await waiting
        assert lease["job"]["id"] == second
