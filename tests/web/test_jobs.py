"""Submitting, reading, canceling, and what callers see of a job."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from msgspec.structs import replace

from dispatcher.core.changes import LeasedJob
from dispatcher.core.model import (
    DeliveryState,
    JobError,
    JobState,
    Progress,
    Trace,
)
from dispatcher.ports.records import Added
from dispatcher.ports.views import DeliverySummary
from dispatcher.testing.clock import NOON
from tests.web.doubles import ADA, BOB, OPS
from tests.web.edge import PUBLIC_URL, Edge
from tests.web.edge_jobs import ECHO, NO_JOB, change, submitted, succeed

# --- POST /v1/jobs -----------------------------------------------------------------------------


async def test_a_submission_is_answered_with_the_job(edge: Edge) -> None:
    answer = await edge.submit(ECHO)
    job = answer.json
    assert answer.status == 202
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["ETag"].startswith('"')
    assert answer.headers["Request-Id"].startswith("req_")
    assert "Idempotency-Replayed" not in answer.headers
    assert (job["status"], job["done"], job["callerId"]) == ("queued", False, ADA.id)
    assert job["links"]["self"] == f"{PUBLIC_URL}/v1/jobs/{job['id']}"
    assert "input" not in job
    assert job["delivery"] is None
    assert job["expiresAt"] is None
    assert job["estimatedFinishAt"] is None


async def test_a_job_that_runs_at_once_is_shown_running(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = edge.taking.submit

    async def hand_off(*args: Any) -> Added:
        added = await submit(*args)
        assert isinstance(added, Added)
        running = replace(added.job, state=JobState.RUNNING, attempt_count=1)
        return Added(added.job, LeasedJob(running, "lse_1", b"{}"))

    monkeypatch.setattr(edge.taking, "submit", hand_off)
    job = (await edge.submit(ECHO)).json
    assert (job["status"], job["attemptCount"]) == ("running", 1)


async def test_the_trace_is_kept_with_the_job(edge: Edge) -> None:
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    await edge.submit(ECHO, headers={"Traceparent": parent, "tracestate": "x=1"})
    await edge.submit(ECHO, headers={"Traceparent": parent + "!", "tracestate": "x=1"})
    await edge.submit(ECHO, headers={"tracestate": "x=1"})
    traces = [submission.trace for submission in edge.taking.submissions]
    assert traces == [Trace(parent, "x=1"), None, None]


async def test_a_key_used_again_gives_the_first_job_as_it_is_now(edge: Edge) -> None:
    key = {"Idempotency-Key": '"k-1"'}
    first = await edge.submit(b'{"type":"dispatcher.echo","input":1}', headers=key)
    job_id = first.json["id"]
    noted = edge.taking.idempotency
    assert noted is not None
    assert noted.key == "k-1"
    assert noted.digest == hashlib.sha256(b'{"type":"dispatcher.echo","input":1}').digest()
    assert noted.expires_at == NOON + 86_400_000

    succeed(edge, job_id, b'"done"')
    bare = {"Idempotency-Key": "k-1"}
    again = await edge.submit(b'{"type":"dispatcher.echo","input":1}', headers=bare)
    assert again.status == 202
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == f"/v1/jobs/{job_id}"
    assert "Retry-After" not in again.headers
    assert (again.json["status"], again.json["result"]) == ("succeeded", "done")
    assert len(edge.memory.jobs) == 1

    other = await edge.submit(b'{"type":"dispatcher.echo","input":2}', headers=key)
    assert (other.status, other.json["code"]) == (422, "idempotency-key-reused")
    bobs = await edge.submit(b'{"type":"dispatcher.echo","input":2}', headers=key, key="dsp_bob")
    assert bobs.status == 202
    assert len(edge.memory.jobs) == 2


async def test_a_key_whose_job_was_erased_makes_no_second_one(edge: Edge) -> None:
    key = {"Idempotency-Key": "k-1"}
    job_id = (await edge.submit(ECHO, headers=key)).json["id"]
    succeed(edge, job_id, b"1")
    assert (await edge.call("DELETE", f"/v1/jobs/{job_id}")).status == 204
    again = await edge.submit(ECHO, headers=key)
    assert (again.status, again.json["code"]) == (410, "job-gone")
    assert "Take a new key" in again.json["detail"]
    other = await edge.submit({**ECHO, "priority": 7}, headers=key)
    assert other.json["code"] == "idempotency-key-reused"
    assert edge.memory.jobs == {}


async def test_an_operator_submits_for_a_caller_that_it_names(edge: Edge) -> None:
    async def submit(path: str, key: str) -> tuple[int, str]:
        answer = await edge.call("POST", path, json=ECHO, key=key)
        return answer.status, answer.json.get("callerId") or answer.json["code"]

    path = f"/v1/jobs?callerId={BOB.id}"
    assert await submit(path, "dsp_ops") == (202, BOB.id)
    assert await submit(path, "dsp_bob") == (202, BOB.id)
    assert await submit("/v1/jobs", "dsp_ops") == (202, OPS.id)
    assert await submit(path, "dsp_ada") == (404, "caller-not-found")
    assert await submit(f"/v1/jobs?callerId=clr_{'9' * 32}", "dsp_ops") == (404, "caller-not-found")
    assert await submit("/v1/jobs?callerId=bob", "dsp_ops") == (422, "invalid-parameter")
    assert len(edge.memory.jobs) == 3


# --- GET /v1/jobs/{id} -------------------------------------------------------------------------


async def test_a_job_is_read_with_its_input(edge: Edge) -> None:
    job_id = await submitted(edge)
    answer = await edge.call("GET", f"/v1/jobs/{job_id}")
    assert answer.status == 200
    assert "Location" not in answer.headers
    assert answer.headers["Retry-After"] == "1"
    assert answer.json["input"] == {"hello": "world"}
    assert b'"input":{"hello": "world"}' in answer.body  # as it came


async def test_a_job_that_is_done_need_not_be_asked_for_again(edge: Edge) -> None:
    job_id = await submitted(edge)
    succeed(edge, job_id, b'{"n": 1}')
    answer = await edge.call("GET", f"/v1/jobs/{job_id}")
    assert "Retry-After" not in answer.headers
    assert answer.json["result"] == {"n": 1}
    assert answer.json["resultOmitted"] is False
    assert answer.json["expiresAt"] == "2026-01-31T12:00:01.000Z"


async def test_the_etag_spares_what_is_known(edge: Edge) -> None:
    job_id = await submitted(edge)
    path = f"/v1/jobs/{job_id}"
    tag = (await edge.call("GET", path)).headers["ETag"]
    same = await edge.call("GET", path, headers={"If-None-Match": f'"x", W/{tag}'})
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", tag)
    assert same.headers["Retry-After"] == "1"
    assert same.headers["Request-Id"]
    # A list may come in several fields (RFC 9110, 5.2).
    lines = [("If-None-Match", '"x"'), ("If-None-Match", tag)]
    assert (await edge.call("GET", path, headers=lines)).status == 304
    change(edge, job_id, progress=Progress(1, 10))
    other = await edge.call("GET", path, headers={"If-None-Match": tag})
    assert other.status == 200
    assert other.json["progress"] == {"current": 1, "total": 10}


async def test_the_etag_covers_all_that_is_shown(edge: Edge) -> None:
    job_id = await submitted(edge, {**ECHO, "delaySeconds": 5})
    tags: list[str] = []

    async def look() -> None:
        tags.append((await edge.call("GET", f"/v1/jobs/{job_id}")).headers["ETag"])

    await look()
    edge.clock.advance(5)  # scheduled becomes queued, by time alone
    await look()
    change(edge, job_id, state=JobState.RUNNING)
    await look()
    change(edge, job_id, progress=Progress(1))
    await look()
    succeed(edge, job_id, b"1")
    await look()
    for summary in (
        DeliverySummary(DeliveryState.PENDING, 0, None, NOON),
        DeliverySummary(DeliveryState.SENDING, 0, None, None),
        DeliverySummary(DeliveryState.PENDING, 1, 500, NOON + 5_000),
        DeliverySummary(DeliveryState.PENDING, 1, 500, NOON + 6_000),
        DeliverySummary(DeliveryState.DELIVERED, 2, 200, None),
    ):
        edge.memory.jobs[job_id] = replace(edge.memory.jobs[job_id], delivery=summary)
        await look()
    assert len(set(tags)) == len(tags)
    await look()
    assert tags[-1] == tags[-2]


async def test_a_delivery_is_summed_up(edge: Edge) -> None:
    job_id = await submitted(edge)
    summary = DeliverySummary(DeliveryState.PENDING, 2, 500, NOON + 5_000)
    edge.memory.jobs[job_id] = replace(edge.memory.jobs[job_id], delivery=summary)
    assert (await edge.call("GET", f"/v1/jobs/{job_id}")).json["delivery"] == {
        "status": "pending",
        "attemptCount": 2,
        "lastStatusCode": 500,
        "nextAttemptAt": "2026-01-31T12:00:05.000Z",
    }


@pytest.mark.parametrize(
    ("due_in_seconds", "hint"), [(0, "1"), (0.2, "1"), (7.2, "8"), (86_400, "300")]
)
async def test_retry_after_waits_for_what_is_due(
    edge: Edge, due_in_seconds: float, hint: str
) -> None:
    job_id = await submitted(edge)
    change(edge, job_id, due_at=NOON + round(due_in_seconds * 1000), retrying=True)
    assert (await edge.call("GET", f"/v1/jobs/{job_id}")).headers["Retry-After"] == hint


@pytest.mark.parametrize("path", ["", "/result", "/events", "/deliveries"])
@pytest.mark.parametrize("job_id", [NO_JOB, "job_1", NO_JOB.upper(), "%00", "..%2F..", "%C3%A9"])
async def test_what_is_not_there_is_a_404(edge: Edge, job_id: str, path: str) -> None:
    answer = await edge.call("GET", f"/v1/jobs/{job_id}{path}")
    assert (answer.status, answer.json["code"]) == (404, "job-not-found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/result"),
        ("GET", "/events"),
        ("GET", "/deliveries"),
        ("POST", "/cancel"),
    ],
)
async def test_another_callers_job_is_a_404(edge: Edge, method: str, path: str) -> None:
    job_id = await submitted(edge)
    answer = await edge.call(method, f"/v1/jobs/{job_id}{path}", key="dsp_bob")
    assert (answer.status, answer.json["code"]) == (404, "job-not-found")
    operators = await edge.call(method, f"/v1/jobs/{job_id}{path}", key="dsp_ops")
    assert operators.status in {200, 202, 409}


# --- GET /v1/jobs/{id}/result ------------------------------------------------------------------


async def test_a_result_comes_byte_for_byte(edge: Edge) -> None:
    job_id = await submitted(edge)
    result = b'{"a" : 1.0,\n "b":"\\u00e9"}' + b" " * 100_000
    succeed(edge, job_id, result)
    answer = await edge.call("GET", f"/v1/jobs/{job_id}/result")
    assert (answer.status, answer.body) == (200, result)
    assert answer.headers["Content-Type"] == "application/json"


async def test_a_result_that_is_not_there_yet_is_a_409(edge: Edge) -> None:
    job_id = await submitted(edge, {**ECHO, "delaySeconds": 30})
    answer = await edge.call("GET", f"/v1/jobs/{job_id}/result")
    assert (answer.status, answer.json["code"]) == (409, "job-not-done")
    assert answer.headers["Retry-After"] == "30"


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELED, JobState.EXPIRED])
async def test_a_job_without_result_says_why(edge: Edge, state: JobState) -> None:
    job_id = await submitted(edge)
    error = JobError("no-data", "there is nothing", 3)
    change(edge, job_id, state=state, finished_at=NOON, error=error)
    answer = await edge.call("GET", f"/v1/jobs/{job_id}/result")
    assert (answer.status, answer.json["code"]) == (409, f"job-{state}")
    assert answer.json["error"] == {"code": "no-data", "detail": "there is nothing", "attempt": 3}
    assert "Retry-After" not in answer.headers


async def test_a_result_that_is_gone_is_a_410(edge: Edge) -> None:
    job_id = await submitted(edge)
    change(edge, job_id, state=JobState.SUCCEEDED, finished_at=NOON, result_bytes=9)
    answer = await edge.call("GET", f"/v1/jobs/{job_id}/result")
    assert (answer.status, answer.json["code"]) == (410, "result-gone")


# --- POST /v1/jobs/{id}/cancel -----------------------------------------------------------------


@pytest.mark.parametrize("body", [None, b"", b" ", b"{}"])
async def test_cancel_answers_with_the_job(edge: Edge, body: bytes | None) -> None:
    job_id = await submitted(edge)
    path = f"/v1/jobs/{job_id}/cancel"
    headers = {"Content-Type": "application/json"}
    change(edge, job_id, state=JobState.RUNNING, cancel_requested_at=NOON)
    stopping = await edge.call("POST", path, data=body, headers=headers)
    assert (stopping.status, stopping.json["status"]) == (202, "running")
    assert stopping.headers["Retry-After"] == "1"
    change(edge, job_id, state=JobState.CANCELED, finished_at=NOON)
    ended = await edge.call("POST", path, data=body, headers=headers)
    assert (ended.status, ended.json["status"]) == (200, "canceled")
    assert "Location" not in ended.headers


async def test_cancel_takes_no_body(edge: Edge) -> None:
    job_id = await submitted(edge)
    path = f"/v1/jobs/{job_id}/cancel"
    answer = await edge.call("POST", path, json={"reason": "x"})
    assert (answer.status, answer.pointers) == (422, ["/reason"])
    assert (await edge.call("POST", path, json=[])).status == 422
    headers = {"Content-Type": "application/json"}
    assert (await edge.call("POST", path, data=b"{", headers=headers)).status == 400
    assert (await edge.call("POST", path, data=b"{}")).status == 415
