"""Submitting, reading and canceling: what goes out, and what is tried again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from dispatcher.client import (
    BadRequest,
    Client,
    ClientError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    JobNotDone,
    JobUnsuccessful,
    KeyReused,
    LimitExceeded,
    NotFound,
    Patience,
    Refused,
    ServiceFault,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from dispatcher.core.errors import FieldError, SettingsError
from dispatcher.core.limits import Limits
from dispatcher.web.headers import parse_idempotency_key
from tests.client.played import Reply, job, played


async def test_a_job_is_submitted_with_a_key_of_its_own() -> None:
    async with played(Reply(202, job(correlationId="order-7"))) as (service, client):
        found = await client.submit("t", {"n": 1}, correlation_id="order-7")
        await client.submit("t", {"n": 1})
    assert (found.id, found.status, found.done, found.correlation_id) == (
        "job_1",
        "queued",
        False,
        "order-7",
    )
    first, second = service.seen
    assert (first.method, first.target) == ("POST", "/v1/jobs")
    assert first.headers["authorization"] == "Bearer dsp_key"
    assert first.headers["content-type"] == "application/json"
    assert first.headers["user-agent"] == "dispatcher-client"
    assert json.loads(first.body) == {"type": "t", "input": {"n": 1}, "correlationId": "order-7"}
    assert len(first.headers["idempotency-key"]) == 38
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


async def test_every_option_becomes_its_member_or_header() -> None:
    at = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    async with played(Reply(202, job())) as (service, client):
        await client.submit(
            "t",
            None,
            callback_url="https://r.example/in",
            callback={"mode": "thin"},
            queue="slow",
            priority=9,
            run_at=at,
            start_by=at.astimezone(timezone(timedelta(hours=2))),
            deadline="2026-02-02T00:00:00Z",
            timeout_seconds=60,
            max_attempts=2,
            ordering_key="customer-1",
            metadata={"a": "1"},
            retention_seconds=3600,
            idempotency_key="k1",
            wait_seconds=20,
            traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            tracestate="congo=t61rcWkgMzE",
            caller_id="clr_1",
        )
    (seen,) = service.seen
    assert seen.target == "/v1/jobs?callerId=clr_1"
    assert json.loads(seen.body) == {
        "type": "t",
        "input": None,
        "callbackUrl": "https://r.example/in",
        "callback": {"mode": "thin"},
        "queue": "slow",
        "priority": 9,
        "runAt": "2026-01-31T09:30:00.000Z",
        "startBy": "2026-01-31T09:30:00.000Z",
        "deadline": "2026-02-02T00:00:00Z",
        "timeoutSeconds": 60,
        "maxAttempts": 2,
        "orderingKey": "customer-1",
        "metadata": {"a": "1"},
        "retentionSeconds": 3600,
    }
    assert seen.headers["idempotency-key"] == '"k1"'
    assert seen.headers["prefer"] == "respond-async, wait=20"
    assert seen.headers["traceparent"].startswith("00-4bf9")
    assert seen.headers["tracestate"] == "congo=t61rcWkgMzE"


@pytest.mark.parametrize(
    ("key", "sent"), [("", '""'), ('bill-"7"', r'"bill-\"7\""'), ("a\\b", r'"a\\b"')]
)
async def test_a_key_is_sent_as_it_was_given(key: str, sent: str) -> None:
    """For an empty one each call had a random key: what was to be one job was one a call."""
    async with played(Reply(202, job())) as (service, client):
        await client.submit("t", 1, idempotency_key=key)
    (seen,) = service.seen
    assert seen.headers["idempotency-key"] == sent
    if key:
        assert parse_idempotency_key([sent], Limits()) == key


async def test_a_time_without_a_zone_is_refused_before_anything_is_sent() -> None:
    async with played(Reply(202, job())) as (service, client):
        with pytest.raises(ValueError, match="run_at needs a zone"):
            await client.submit("t", 1, run_at=datetime(2026, 1, 31))  # noqa: DTZ001  # the point
    assert service.seen == []


# --- Trying again ------------------------------------------------------------------------------


async def test_what_gets_no_answer_is_sent_again_with_the_same_key() -> None:
    replies = [Reply(0), Reply(503, {"code": "stopping"}), Reply(429), Reply(202, job())]
    async with played(*replies) as (service, client):
        assert (await client.submit("t", 1)).id == "job_1"
    assert len({each.headers["idempotency-key"] for each in service.seen}) == 1
    assert len({each.body for each in service.seen}) == 1
    assert service.pauses == [0.5, 1.0, 2.0]


async def test_retry_after_is_kept() -> None:
    replies = [Reply(429, headers={"Retry-After": "7"}), Reply(202, job())]
    async with played(*replies) as (service, client):
        await client.submit("t", 1)
    assert service.pauses == [7.0]


async def test_a_retry_after_beyond_patience_is_told_at_once() -> None:
    async with played(Reply(429, headers={"Retry-After": "3600"})) as (service, client):
        with pytest.raises(LimitExceeded) as caught:
            await client.submit("t", 1)
    assert caught.value.retry_after_seconds == pytest.approx(3600, abs=1)
    assert len(service.seen) == 1


async def test_a_submission_without_an_answer_is_given_up_after_its_tries() -> None:
    async with played(Reply(0), patience=Patience(tries=3)) as (service, client):
        with pytest.raises(Unreachable, match="no answer came"):
            await client.submit("t", 1)
    assert len(service.seen) == 3
    assert service.pauses == [0.5, 1.0]


async def test_a_service_that_is_not_there_is_told_as_unreachable() -> None:
    async with (
        Client("http://127.0.0.1:9", patience=Patience(tries=1)) as client,
    ):
        with pytest.raises(Unreachable, match="nothing listens at"):
            await client.get("job_1")


@pytest.mark.parametrize("unit", [0.0, 0.5, 0.999])
def test_chance_only_shortens_a_pause_and_only_lengthens_a_wish(unit: float) -> None:
    patience = Patience(first_seconds=1.0, longest_seconds=10.0)
    for failed, full in ((1, 1.0), (2, 2.0), (4, 8.0)):
        pause = patience.pause(failed, None, unit)
        assert pause is not None
        assert full / 2 <= pause <= full
    wished = patience.pause(1, 5.0, unit)
    assert wished is not None
    assert 5.0 <= wished <= 5.5
    assert patience.pause(1, 10.5, unit) is None
    assert patience.pause(2, 0.0, unit) == patience.pause(2, None, unit)
    assert patience.pause(5, None, unit) is None


# --- What is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "malformed-json", BadRequest),
        (401, "unauthenticated", Unauthorized),
        (403, "forbidden", Forbidden),
        (404, "job-not-found", NotFound),
        (405, "method-not-allowed", BadRequest),
        (409, "delivery-pending", Conflict),
        (409, "job-not-done", JobNotDone),
        (409, "job-failed", JobUnsuccessful),
        (409, "job-expired", JobUnsuccessful),
        (410, "result-gone", Gone),
        (413, "body-too-large", TooLarge),
        (422, "invalid-fields", Invalid),
        (422, "idempotency-key-reused", KeyReused),
        (429, "quota-exceeded", LimitExceeded),
        (500, "internal-error", ServiceFault),
        (501, "", ServiceFault),
        (502, "", Unavailable),
        (503, "store-unavailable", Unavailable),
        (302, "", BadRequest),
    ],
)
async def test_each_refusal_has_its_class(status: int, code: str, kind: type[Refused]) -> None:
    problem = {"code": code, "detail": "No.", "error": {"code": "no-data"}}
    reply = Reply(status, problem, {"Request-Id": "req_1"})
    async with played(reply, patience=Patience(tries=1)) as (_, client):
        with pytest.raises(ClientError) as caught:
            await client.result("job_1")
    error = caught.value
    assert type(error) is kind
    assert isinstance(error, Refused)
    assert (error.status, error.code, error.detail) == (status, code, "No.")
    assert error.request_id == "req_1"
    assert error.again is (status in {429, 502, 503, 504})
    if isinstance(error, JobUnsuccessful):
        assert error.error == {"code": "no-data"}


async def test_all_faults_of_a_body_are_told() -> None:
    faults = [
        {"pointer": "/input/pages", "code": "out-of-range", "detail": "at least 1"},
        {"pointer": "", "code": "unknown-field", "detail": "what is this?"},
    ]
    async with played(Reply(422, {"code": "invalid-fields", "errors": faults})) as (_, client):
        with pytest.raises(Invalid) as caught:
            await client.submit("t", 1)
    assert caught.value.errors == (
        FieldError("/input/pages", "out-of-range", "at least 1"),
        FieldError("", "unknown-field", "what is this?"),
    )
    assert str(caught.value) == (
        "422 invalid-fields: /input/pages: at least 1; body: what is this?"
    )


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"id": 1}', b""])
async def test_what_is_no_job_is_not_taken_for_one(body: bytes) -> None:
    async with played(Reply(200, body)) as (_, client):
        with pytest.raises(Unreachable, match="no job"):
            await client.get("job_1")


async def test_an_answer_that_is_no_problem_is_told_all_the_same() -> None:
    async with played(Reply(404, b"<html>")) as (_, client):
        with pytest.raises(NotFound, match="404: Not Found"):
            await client.get("job_1")


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("localhost:8080", None),
        ("http://u:p@host", None),
        ("http://h?", None),
        ("http://h#jobs", None),
        ("http://h", "a\n"),
    ],
)
def test_what_can_be_no_service_is_told_at_once(url: str, key: str | None) -> None:
    with pytest.raises(SettingsError):
        Client(url, key)


# --- Reading -----------------------------------------------------------------------------------


async def test_a_job_is_named_by_its_id_or_itself() -> None:
    async with played(Reply(200, job("running", progress={"current": 1}))) as (service, client):
        found = await client.get("job_1")
        await client.get(found)
        await client.cancel(found)
        await client.get("../callers?x")
    assert found.progress is not None
    assert found.progress.current == 1
    assert [(each.method, each.target) for each in service.seen] == [
        ("GET", "/v1/jobs/job_1"),
        ("GET", "/v1/jobs/job_1"),
        ("POST", "/v1/jobs/job_1/cancel"),
        ("GET", "/v1/jobs/..%2Fcallers%3Fx"),
    ]


class Report(msgspec.Struct):
    pages: int


async def test_a_result_is_what_the_caller_wants_it_to_be() -> None:
    async with played(Reply(200, {"pages": 3})) as (_, client):
        anything: Any = await client.result("job_1")
        report = await client.result("job_1", Report)
        with pytest.raises(msgspec.ValidationError):
            await client.result("job_1", list[int])
    assert anything == {"pages": 3}
    assert report == Report(3)


@pytest.mark.parametrize("body", [b"<html>", b"\xff", b""])
async def test_what_is_no_result_is_not_taken_for_one(body: bytes) -> None:
    async with played(Reply(200, body)) as (_, client):
        with pytest.raises(Unreachable, match="no result"):
            await client.result("job_1")


async def test_where_it_is_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with played(Reply(200, job())) as (service, _):
        monkeypatch.setenv("DISPATCHER_URL", service.url)
        monkeypatch.setenv("DISPATCHER_API_KEY", "dsp_env")
        async with Client() as client:
            await client.get("job_1")
    assert service.seen[0].headers["authorization"] == "Bearer dsp_env"
