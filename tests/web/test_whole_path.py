"""The edge on the real engine and a real database: what is submitted is what is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from dispatcher.adapters.system import SystemRandom
from dispatcher.core.changes import LeasedJob
from dispatcher.core.facts import DeliveryAttemptEnded, JobEnded
from dispatcher.core.limits import Limits
from dispatcher.core.model import Caller, JobType
from dispatcher.core.outcome import Failed, JobOutcome, Succeeded
from dispatcher.engine.callers import Callers
from dispatcher.engine.catalog import Catalog
from dispatcher.engine.rates import Rates
from dispatcher.ports.runner import RunReport
from dispatcher.web.jwks import PublicKeys
from tests.databases import Database
from tests.engine.stage import FAILS, OK, ScriptedRunner, Stage
from tests.web.edge import PUBLIC_URL, Answer, Edge

URL = "https://receiver.example/hook"
WORK = {"type": "work", "input": {"n": 1}, "callbackUrl": URL}
OTHER = Caller("clr_" + "e" * 32, "other", 0)


class Service:
    """An edge before a stage; its caller's key is the caller's id."""

    def __init__(self, stage: Stage, edge: Edge) -> None:
        self.stage = stage
        self.edge = edge

    async def call(self, method: str, path: str, **more: Any) -> Answer:
        return await self.edge.call(method, path, key=self.stage.caller.id, **more)

    async def submit(self, body: dict[str, Any] = WORK, **more: Any) -> str:
        answer = await self.call("POST", "/v1/jobs", json=body, **more)
        assert answer.status == 202, answer.body
        job_id: str = answer.json["id"]
        return job_id

    async def ended(self, job_id: str) -> None:
        await self.stage.seen(JobEnded, lambda fact: fact.job.id == job_id)

    async def delivered(self, job_id: str, attempts: int = 1) -> None:
        await self.stage.seen(
            DeliveryAttemptEnded, lambda fact: fact.job_id == job_id, count=attempts
        )


@asynccontextmanager
async def service(
    database: Database,
    *runners: ScriptedRunner,
    limits: Limits | None = None,
    remote: tuple[JobType, ...] = (),
    stall_seconds: float = 20.0,
    public_url: str = PUBLIC_URL,
) -> AsyncIterator[Service]:
    names = tuple(each.name for each in remote)
    stage = Stage(database, *runners, remote=names, limits=limits or Limits())
    await stage.start()
    try:
        await stage.add_caller(OTHER)
        edge = Edge(limits=limits)
        edge.services = replace(
            edge.services,
            accept=stage.engine.accept,
            cancel=stage.engine.cancel,
            erase=stage.engine.erase,
            redeliver=stage.engine.redeliver,
            cancel_delivery=stage.engine.cancel_delivery,
            endpoints=stage.engine.endpoints,
            destinations=stage.engine.destinations,
            callers=Callers(
                stage.store,
                stage.vault,
                stage.clock,
                stage.ids,
                SystemRandom(),
                stage.observer,
            ),
            rates=Rates((limits or Limits()).of_a_caller, stage.clock, stage.observer),
            store=stage.store,
            queues=stage.engine.queues,
            remote=stage.engine.remote,
            catalog=Catalog([*(runner.type for runner in stage.runners.values()), *remote]),
            vault=stage.vault,
            public_keys=PublicKeys(stage.store, stage.clock),
            waiters=stage.waiters,
            clock=stage.clock,
            ids=stage.ids,
            ready=stage.engine.ready,
            stall_seconds=stall_seconds,
            public_url=public_url,
        )
        async with edge.running():
            yield Service(stage, edge)
    finally:
        await stage.close()


async def test_a_job_from_submission_to_callback(database: Database) -> None:
    async with service(database) as here:
        here.stage.sender.answers[URL] = [FAILS, OK]
        headers = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
        job_id = await here.submit(
            {**WORK, "callback": {"headers": {"X-Token": "t 1"}}, "correlationId": "c-1"},
            headers=headers,
        )
        await here.delivered(job_id)
        waiting = await here.call("GET", f"/v1/jobs/{job_id}")
        assert waiting.json["status"] == "succeeded"
        assert waiting.json["delivery"] == {
            "status": "pending",
            "attemptCount": 1,
            "lastStatusCode": 500,
            "nextAttemptAt": "2026-01-31T12:00:05.000Z",
        }
        assert "Retry-After" not in waiting.headers
        here.stage.advance(5)
        await here.delivered(job_id, attempts=2)

        read = await here.call("GET", f"/v1/jobs/{job_id}")
        assert read.headers["ETag"] != waiting.headers["ETag"]
        assert read.json["input"] == {"n": 1}
        assert read.json["result"] == {"n": 1}
        assert read.json["delivery"]["status"] == "delivered"
        assert read.json["callback"] == {"headers": {"X-Token": "***"}}
        assert read.json["expiresAt"] is not None
        unchanged = await here.call(
            "GET", f"/v1/jobs/{job_id}", headers={"If-None-Match": read.headers["ETag"]}
        )
        assert unchanged.status == 304
        result = await here.call("GET", f"/v1/jobs/{job_id}/result")
        assert result.body == b'{"n": 1}'

        (delivery,) = (await here.call("GET", f"/v1/jobs/{job_id}/deliveries")).json["items"]
        assert [attempt["statusCode"] for attempt in delivery["attempts"]] == [500, 200]
        assert delivery["url"] == URL
        (event,) = (await here.call("GET", f"/v1/jobs/{job_id}/events")).json["items"]
        assert (event["type"], event["id"]) == ("job.succeeded", delivery["eventId"])
        assert event["data"]["result"] == {"n": 1}

        sent = dict(here.stage.sender.sent[0].headers)
        assert sent["X-Token"] == "t 1"
        assert sent["correlation-id"] == "c-1"
        assert sent["traceparent"] == headers["traceparent"]


async def test_a_key_used_many_times_at_once_makes_one_job(database: Database) -> None:
    async with service(database) as here:
        headers = {"Idempotency-Key": "same"}
        answers = await asyncio.gather(
            *(here.call("POST", "/v1/jobs", json=WORK, headers=headers) for _ in range(12))
        )
        assert {answer.status for answer in answers} == {202}
        assert len({answer.json["id"] for answer in answers}) == 1
        replayed = [answer.headers.get("Idempotency-Replayed") for answer in answers]
        assert sorted(replayed, key=str) == [None] + ["true"] * 11
        other = await here.call("POST", "/v1/jobs", json={**WORK, "input": 2}, headers=headers)
        assert (other.status, other.json["code"]) == (422, "idempotency-key-reused")
        assert len((await here.call("GET", "/v1/jobs")).json["items"]) == 1


async def test_a_running_job_is_stopped(database: Database) -> None:
    begun = asyncio.Event()

    async def forever(leased: LeasedJob, report: RunReport) -> JobOutcome:
        begun.set()
        await asyncio.Event().wait()
        return Succeeded(b"null")

    async with service(database, ScriptedRunner(forever)) as here:
        job_id = await here.submit()
        await begun.wait()
        assert (await here.call("GET", f"/v1/jobs/{job_id}")).json["status"] == "running"
        assert (await here.call("GET", f"/v1/jobs/{job_id}/result")).status == 409
        stopping = await here.call("POST", f"/v1/jobs/{job_id}/cancel")
        assert stopping.status in {200, 202}
        await here.ended(job_id)
        again = await here.call("POST", f"/v1/jobs/{job_id}/cancel")
        assert (again.status, again.json["status"]) == (200, "canceled")
        result = await here.call("GET", f"/v1/jobs/{job_id}/result")
        assert (result.status, result.json["code"]) == (409, "job-canceled")
        assert result.json["error"]["code"] == "canceled"


async def test_a_waiting_job_ends_at_once(database: Database) -> None:
    async with service(database) as here:
        job_id = await here.submit({**WORK, "delaySeconds": 60})
        canceled = await here.call("POST", f"/v1/jobs/{job_id}/cancel")
        assert (canceled.status, canceled.json["status"]) == (200, "canceled")


async def test_a_failed_job_tells_why(database: Database) -> None:
    async def fails(leased: LeasedJob, report: RunReport) -> JobOutcome:
        return Failed("no-data", "There is nothing.")

    async with service(database, ScriptedRunner(fails)) as here:
        job_id = await here.submit()
        await here.ended(job_id)
        answer = await here.call("GET", f"/v1/jobs/{job_id}/result")
        assert answer.json["error"] == {
            "code": "no-data",
            "detail": "There is nothing.",
            "attempt": 1,
        }


async def test_lists_page_and_filter(database: Database) -> None:
    async with service(database) as here:
        done = [await here.submit() for _ in range(4)]
        for job_id in done:
            await here.ended(job_id)
        later = await here.submit({**WORK, "delaySeconds": 60, "correlationId": "x"})
        await here.edge.call("POST", "/v1/jobs", json=WORK, key=OTHER.id)

        async def ids(query: str) -> list[str]:
            seen: list[str] = []
            path: str | None = f"/v1/jobs?limit=2{query}"
            while path is not None:
                page = (await here.call("GET", path)).json
                seen += [job["id"] for job in page["items"]]
                cursor = page["nextCursor"]
                path = None if cursor is None else f"/v1/jobs?limit=2{query}&cursor={cursor}"
            return seen

        assert await ids("") == [later, *reversed(done)]
        assert await ids("&status=succeeded") == done[::-1]
        assert await ids("&status=scheduled") == [later]
        assert await ids("&correlationId=x") == [later]
        assert await ids("&status=failed") == []
        other = await here.edge.call("GET", f"/v1/jobs/{later}", key=OTHER.id)
        assert other.status == 404


async def test_a_large_result_stands_behind_its_link(database: Database) -> None:
    large = b'"' + b"x" * 70_000 + b'"'

    async def makes_much(leased: LeasedJob, report: RunReport) -> JobOutcome:
        return Succeeded(large)

    async with service(database, ScriptedRunner(makes_much)) as here:
        job_id = await here.submit({**WORK, "input": "y" * 70_000})
        await here.ended(job_id)
        read = (await here.call("GET", f"/v1/jobs/{job_id}")).json
        assert read["resultOmitted"] is True
        assert "result" not in read
        assert "input" not in read
        assert (await here.call("GET", f"/v1/jobs/{job_id}/result")).body == large


async def test_a_service_that_stops_says_so(database: Database) -> None:
    async with service(database) as here:
        assert (await here.call("GET", "/readyz")).status == 200
        await here.stage.engine.stop()
        here.stage.started = False
        assert (await here.call("GET", "/readyz")).status == 503
        refused = await here.call("POST", "/v1/jobs", json=WORK)
        assert (refused.status, refused.json["code"]) == (503, "stopping")
        assert (await here.call("GET", "/healthz")).status == 200


async def test_more_submissions_at_once_than_may_be_held_are_turned_away(
    database: Database,
) -> None:
    """Promise 7: memory is bounded by settings, not by the load."""
    async with service(database, limits=Limits(submissions_at_once=1)) as here:
        gate = here.stage.faults.hold("add_jobs")
        first = asyncio.create_task(here.submit())
        await gate.reached()
        refused = await here.call("POST", "/v1/jobs", json=WORK)
        assert (refused.status, refused.json["code"]) == (503, "overloaded")
        assert "Retry-After" in refused.headers
        gate.open()
        await first
        await here.submit()


async def test_one_caller_does_not_keep_the_others_from_submitting(database: Database) -> None:
    """A quarter of the submissions under way may be one caller's."""
    async with service(database, limits=Limits(submissions_at_once=4)) as here:
        gate = here.stage.faults.hold("add_jobs")
        first = asyncio.create_task(here.submit())
        await gate.reached()
        refused = await here.call("POST", "/v1/jobs", json=WORK)
        assert (refused.status, refused.json["code"]) == (503, "overloaded")
        other = asyncio.create_task(here.edge.call("POST", "/v1/jobs", key=OTHER.id, json=WORK))
        await gate.reached(2)
        gate.open()
        await first
        assert (await other).status == 202
