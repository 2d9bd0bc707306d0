"""What callers may use, as they are told of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import pytest
import pytest_asyncio

from dispatcher.core.changes import LeasedJob
from dispatcher.core.limits import Limits
from dispatcher.core.model import ApiKey, Role
from dispatcher.core.outcome import JobOutcome, Succeeded
from dispatcher.engine.callers import digest_of
from dispatcher.ports.runner import RunReport
from dispatcher.web.auth import KEPT_SECONDS
from tests.databases import Database
from tests.engine.stage import ScriptedRunner
from tests.web.edge import Answer, Edge
from tests.web.edge_jobs import ECHO
from tests.web.test_whole_path import OTHER, URL, WORK, Service, service

QUOTA = "https://iana.org/assignments/http-problem-types#quota-exceeded"
OPERATOR = "dsp_the-operator"


async def hang(leased: LeasedJob, report: RunReport) -> JobOutcome:
    await asyncio.Event().wait()
    return Succeeded(b"null")


@asynccontextmanager
async def full(database: Database, limits: Limits | None = None) -> AsyncIterator[Service]:
    """A service whose only place for jobs is taken, and an operator's key to it."""
    runner = ScriptedRunner(hang, concurrency=1)
    async with service(database, runner, limits=limits) as here:
        key = ApiKey(id="key_1", caller_id=OTHER.id, role=Role.OPERATOR, created_at=0)
        await here.stage.store.add_key(key, digest_of(OPERATOR))
        await here.submit()
        yield here


@pytest_asyncio.fixture
async def here(database: Database) -> AsyncIterator[Service]:
    async with full(database) as running:
        yield running


async def change(here: Service, caller_id: str | None = None, **members: Any) -> Answer:
    path = f"/v1/callers/{caller_id or here.stage.caller.id}"
    answer = await here.edge.call("PATCH", path, key=OPERATOR, json=members)
    here.stage.advance(KEPT_SECONDS)
    return answer


def refused(answer: Answer, code: str, policy: str) -> None:
    assert answer.status == 429, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.json["code"], answer.json["type"]) == (code, QUOTA)
    assert answer.json["violated-policies"] == [policy]
    assert int(answer.headers["Retry-After"]) >= 1


# --- The rate ----------------------------------------------------------------------------------


async def test_answers_tell_how_a_caller_stands(database: Database) -> None:
    limits = Limits(submissions=3, submissions_window_seconds=30)
    async with Edge(limits=limits).running() as edge:
        told = []
        for _ in range(5):
            answer = await edge.submit(ECHO)
            assert answer.headers["RateLimit-Policy"] == '"submissions";q=3;w=30'
            told.append((answer.status, answer.headers["RateLimit"]))
        assert told == [
            (202, '"submissions";r=2;t=10'),
            (202, '"submissions";r=1;t=10'),
            (202, '"submissions";r=0;t=10'),
            (429, '"submissions";r=0;t=10'),
            (429, '"submissions";r=0;t=10'),
        ]
        refused(answer, "rate-limited", "submissions")
        assert answer.headers["Retry-After"] == "10"
        assert len(edge.taking.submissions) == 3
        edge.clock.advance(10)
        assert (await edge.submit(ECHO)).status == 202
        assert (await edge.submit(ECHO)).status == 429


async def test_what_is_refused_for_another_reason_counts_and_tells_too(database: Database) -> None:
    limits = Limits(submissions=4, submissions_window_seconds=4)
    async with Edge(limits=limits).running() as edge:
        answers = [
            await edge.submit({"type": "nope"}),
            await edge.submit(b"{"),
            await edge.submit(b"{}", headers={"Content-Type": "text/plain"}),
            await edge.submit(ECHO),
        ]
        assert [each.status for each in answers][:2] == [422, 400]
        assert [each.headers["RateLimit"] for each in answers] == [
            f'"submissions";r={left};t=1' for left in (3, 2, 1, 0)
        ]


async def test_a_body_beyond_the_rate_is_not_read(database: Database) -> None:
    async with Edge(limits=Limits(submissions=1)).running() as edge:
        await edge.submit(ECHO)
        answer = await edge.submit(b"x" * 10_000_000)
        assert answer.status == 429


async def test_only_submissions_are_counted_and_only_one_s_own(database: Database) -> None:
    async with Edge(limits=Limits(submissions=1)).running() as edge:
        await edge.submit(ECHO)
        for _ in range(3):
            answer = await edge.call("GET", "/v1/jobs")
            assert answer.status == 200
            assert "RateLimit" not in answer.headers
        assert (await edge.submit(ECHO, key="dsp_bob")).status == 202
        assert (await edge.submit(ECHO)).status == 429


async def test_without_a_rate_nothing_is_told(edge: Edge) -> None:
    answer = await edge.submit(ECHO)
    assert not {"RateLimit", "RateLimit-Policy"} & set(answer.headers)


async def test_an_operator_who_submits_for_a_caller_uses_that_caller_s_rate(here: Service) -> None:
    await change(here, limits={"rate": {"requests": 1, "windowSeconds": 60}})
    path = f"/v1/jobs?callerId={here.stage.caller.id}"
    answers = [await here.edge.call("POST", path, key=OPERATOR, json=WORK) for _ in range(2)]
    assert [each.status for each in answers] == [202, 429]
    assert (await here.call("POST", "/v1/jobs", json=WORK)).status == 429
    assert (await here.edge.submit(WORK, key=OPERATOR)).status == 202


# --- What waits --------------------------------------------------------------------------------


async def test_no_more_waits_than_may(here: Service) -> None:
    await change(here, limits={"jobsWaiting": 2})
    await here.submit()
    key = {"Idempotency-Key": "k"}
    job_id = await here.submit(headers=key)
    answer = await here.call("POST", "/v1/jobs", json=WORK)
    refused(answer, "quota-exceeded", "jobs-waiting")
    again = await here.call("POST", "/v1/jobs", json=WORK, headers=key)
    assert (again.status, again.json["id"]) == (202, job_id)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len((await here.call("GET", "/v1/jobs")).json["items"]) == 3
    await here.call("POST", f"/v1/jobs/{job_id}/cancel")
    await here.submit()


async def test_bytes_that_wait(here: Service) -> None:
    await change(here, limits={"bytesWaiting": 100})
    answer = await here.call("POST", "/v1/jobs", json={**WORK, "input": "x" * 99})
    refused(answer, "quota-exceeded", "bytes-waiting")
    await here.submit({**WORK, "input": "x" * 98})


async def test_a_full_queue_is_a_503(database: Database) -> None:
    async with full(database, Limits(queue_jobs=1)) as here:
        await here.submit()
        for key in (here.stage.caller.id, OTHER.id):
            answer = await here.edge.submit(WORK, key=key)
            assert (answer.status, answer.json["code"]) == (503, "queue-full")
            assert answer.headers["Retry-After"] == "5"
            assert answer.json["type"] == "about:blank"
        await here.submit({**WORK, "queue": "other"})


async def test_a_refusal_names_no_time_at_which_the_rate_would_refuse(here: Service) -> None:
    """draft-ietf-httpapi-ratelimit-headers-10: Retry-After is not earlier than `t`."""
    rate = {"requests": 2, "windowSeconds": 60}
    await change(here, limits={"rate": rate, "jobsWaiting": 1})
    await here.submit()
    answer = await here.call("POST", "/v1/jobs", json=WORK)
    refused(answer, "quota-exceeded", "jobs-waiting")
    assert answer.headers["RateLimit"] == '"submissions";r=0;t=30'
    assert answer.headers["Retry-After"] == "30"
    await change(here, limits={"rate": {**rate, "requests": 100}})
    answer = await here.call("POST", "/v1/jobs", json=WORK)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "5")


# --- Bodies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [500, 5_000])
async def test_a_caller_may_have_a_bound_of_its_own_smaller_or_larger(
    database: Database, size: int
) -> None:
    async with full(database, Limits(body_bytes=1_000)) as here:
        await change(here, limits={"bodyBytes": size})
        body = json.dumps(WORK).encode()
        headers = {"Content-Type": "application/json"}
        for length, status in ((size, 202), (size + 1, 413)):
            padded = body + b" " * (length - len(body))
            answer = await here.call("POST", "/v1/jobs", data=padded, headers=headers)
            assert answer.status == status
        assert (await here.edge.submit(body + b" " * 1_000, key=OTHER.id)).status == 413


async def test_a_larger_body_is_asked_for_from_who_may_send_it(database: Database) -> None:
    async with full(database, Limits(body_bytes=1_000)) as here:
        await change(here, limits={"bodyBytes": 5_000})
        body = json.dumps(WORK).encode().ljust(4_000)
        for key, status in (
            (here.stage.caller.id, HTTPStatus.CONTINUE),
            (OTHER.id, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),  # whose phrase is Python's version's
            ("dsp_nobody", HTTPStatus.UNAUTHORIZED),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", here.edge.port)
            head = (
                "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n"
                "Expect: 100-continue\r\n\r\n"
            )
            writer.write(head.encode())
            first = f"HTTP/1.1 {status.value} {status.phrase}"
            assert (await asyncio.wait_for(reader.readline(), 5)).decode().rstrip() == first
            writer.close()
            await writer.wait_closed()


# --- Setting them ------------------------------------------------------------------------------

NOTHING = {"rate": None, "jobsWaiting": None, "bytesWaiting": None, "bodyBytes": None}


async def test_what_is_left_out_stays_and_null_takes_it_away(here: Service) -> None:
    rate = {"requests": 5, "windowSeconds": 10}
    answer = await change(here, limits={"rate": rate, "jobsWaiting": 7}, schedule=[0, 2.5])
    assert answer.status == 200
    assert answer.json["limits"] == {**NOTHING, "rate": rate, "jobsWaiting": 7}
    assert answer.json["schedule"] == [0, 2.5]
    assert answer.json["name"] == "ann"
    same = await here.edge.call("GET", f"/v1/callers/{here.stage.caller.id}", key=OPERATOR)
    assert same.json == answer.json

    answer = await change(here, limits={"jobsWaiting": None, "bodyBytes": 9})
    assert answer.json["limits"] == {**NOTHING, "rate": rate, "bodyBytes": 9}
    assert answer.json["schedule"] == [0, 2.5]
    assert (await change(here, limits=None)).json["limits"] == NOTHING
    assert (await change(here, schedule=None)).json["schedule"] is None
    assert (await change(here)).json["limits"] == NOTHING


async def test_two_changes_at_once_lose_neither(here: Service) -> None:
    await asyncio.gather(
        change(here, limits={"jobsWaiting": 1}),
        change(here, limits={"bytesWaiting": 2}),
        change(here, schedule=[3]),
    )
    found = await here.edge.call("GET", f"/v1/callers/{here.stage.caller.id}", key=OPERATOR)
    assert found.json["limits"] == {**NOTHING, "jobsWaiting": 1, "bytesWaiting": 2}
    assert found.json["schedule"] == [3]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"limits": {"rate": {"requests": 0, "windowSeconds": 1}}}, ["/limits/rate/requests"]),
        ({"limits": {"rate": {"requests": 1}}}, ["/limits/rate/windowSeconds"]),
        ({"limits": {"rate": 5}}, ["/limits/rate"]),
        (
            {"limits": {"jobsWaiting": 0, "bytesWaiting": "1", "bodyBytes": 2**31, "more": 1}},
            ["/limits/bodyBytes", "/limits/bytesWaiting", "/limits/jobsWaiting", "/limits/more"],
        ),
        ({"schedule": []}, ["/schedule"]),
        ({"schedule": [0, -1]}, ["/schedule/1"]),
        ({"schedule": [0, "1"]}, ["/schedule/1"]),
        ({"name": "other"}, ["/name"]),
        ([], [""]),
    ],
)
async def test_what_can_not_be_set(here: Service, body: object, pointers: list[str]) -> None:
    path = f"/v1/callers/{here.stage.caller.id}"
    before = (await here.edge.call("GET", path, key=OPERATOR)).json
    answer = await here.edge.call("PATCH", path, key=OPERATOR, json=body)
    assert answer.status == 422
    assert sorted(answer.pointers) == pointers
    assert (await here.edge.call("GET", path, key=OPERATOR)).json == before


@pytest.mark.parametrize("method", ["GET", "PATCH"])
@pytest.mark.parametrize("caller", ["clr_" + "9" * 32, "ann", "clr_1"])
async def test_a_caller_that_is_not_there(here: Service, method: str, caller: str) -> None:
    answer = await here.edge.call(method, f"/v1/callers/{caller}", key=OPERATOR, json={})
    assert (answer.status, answer.json["code"]) == (404, "caller-not-found")


async def test_a_caller_s_schedule_is_shown_with_no_job(here: Service) -> None:
    """What is echoed of a callback is what was submitted."""
    await change(here, schedule=[1, 2, 3])
    job_id = await here.submit({**WORK, "callbackUrl": URL, "callback": {"mode": "thin"}})
    job = (await here.call("GET", f"/v1/jobs/{job_id}")).json
    assert job["callback"] == {"mode": "thin"}
