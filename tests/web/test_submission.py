"""What a submission may say, each bound at its edge and past it."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.core.limits import Limits
from dispatcher.core.model import CallbackMode, EventType
from dispatcher.core.payload import rfc3339
from dispatcher.core.submission import RESERVED_HEADERS
from dispatcher.testing.clock import NOON
from tests.web.doubles import ADA
from tests.web.edge import Edge

ECHO = {"type": "dispatcher.echo", "input": {"hello": "world"}}
URL = "https://receiver.example/callbacks"
DAY = 86_400


def with_url(**callback: Any) -> dict[str, Any]:
    return {**ECHO, "callbackUrl": URL, "callback": callback}


async def test_what_is_left_out_gets_its_default(edge: Edge) -> None:
    assert (await edge.submit(ECHO)).status == 202
    (submission,) = edge.taking.submissions
    assert submission.type == "dispatcher.echo"
    assert submission.input == b'{"hello": "world"}'  # as it came
    assert submission.queue == "default"
    assert submission.priority == 5
    assert submission.timeout_seconds == 600
    assert submission.max_attempts == 3
    assert submission.retention_seconds == 7 * DAY
    assert submission.run_at is None
    assert submission.callback is None
    assert submission.trace is None


async def test_a_type_has_defaults_of_its_own(edge: Edge) -> None:
    assert (await edge.submit({"type": "report.generate", "input": {"pages": 3}})).status == 202
    (submission,) = edge.taking.submissions
    assert (submission.queue, submission.timeout_seconds, submission.max_attempts) == (
        "reports",
        60,
        2,
    )


async def test_everything_that_can_be_said_arrives(edge: Edge) -> None:
    answer = await edge.submit(
        {
            **ECHO,
            "callbackUrl": URL,
            "callback": {
                "events": ["job.succeeded", "job.progress", "job.succeeded"],
                "mode": "thin",
                "headers": {"Authorization": "Bearer of bad news", "X-Empty": ""},
                "schedule": [0, 5, 0.5],
            },
            "queue": "fast",
            "priority": 9,
            "runAt": "2026-01-31T13:00:00.5Z",
            "startBy": "2026-01-31T15:00:00+01:00",
            "deadline": "2026-02-01T00:00:00Z",
            "timeoutSeconds": 1.5,
            "maxAttempts": 7,
            "orderingKey": "customer-1",
            "correlationId": "order-4711",
            "metadata": {"ключ": "значение\n"},
            "retentionSeconds": 60,
        }
    )
    assert answer.status == 202, answer.body
    (submission,) = edge.taking.submissions
    assert submission.run_at == NOON + 3_600_500
    assert submission.start_by == NOON + 2 * 3_600_000
    assert submission.deadline == NOON + 12 * 3_600_000
    assert submission.timeout_seconds == 1.5
    assert submission.max_attempts == 7
    assert submission.retention_seconds == 60
    callback = submission.callback
    assert callback is not None
    assert callback.url == URL
    assert callback.origin == "https://receiver.example"
    assert list(callback.events or ()) == [EventType.JOB_SUCCEEDED, EventType.JOB_PROGRESS]
    assert callback.mode is CallbackMode.THIN
    assert callback.schedule is not None
    assert list(callback.schedule.seconds) == [0, 5, 0.5]
    assert callback.headers == ("Authorization", "X-Empty")
    assert callback.sealed_headers == (
        f'{ADA.id}|{{"Authorization":"Bearer of bad news","X-Empty":""}}'.encode()
    )
    shown = answer.json
    assert "bad news" not in answer.body.decode()
    assert shown["callback"]["headers"] == {"Authorization": "***", "X-Empty": "***"}
    assert shown["runAt"] == "2026-01-31T13:00:00.500Z"
    assert (submission.ordering_key, shown["orderingKey"]) == ("customer-1", "customer-1")
    assert shown["correlationId"] == "order-4711"
    assert shown["metadata"] == {"ключ": "значение\n"}


async def test_null_is_the_same_as_nothing(edge: Edge) -> None:
    nothing = dict.fromkeys(
        ["callbackUrl", "callback", "queue", "priority", "runAt", "startBy", "metadata"]
    )
    assert (await edge.submit({**ECHO, **nothing})).status == 202
    assert edge.taking.submissions[0].priority == 5


async def test_null_is_an_input(edge: Edge) -> None:
    assert (await edge.submit({"type": "dispatcher.echo", "input": None})).status == 202
    assert edge.taking.submissions[0].input == b"null"


async def test_a_delay_counts_from_now(edge: Edge) -> None:
    answer = await edge.submit({**ECHO, "delaySeconds": 90.25})
    assert answer.json["status"] == "scheduled"
    assert answer.json["runAt"] == rfc3339(NOON + 90_250)
    assert answer.headers["Retry-After"] == "91"


async def test_a_time_in_the_past_means_now(edge: Edge) -> None:
    answer = await edge.submit({**ECHO, "runAt": "1970-01-01T00:00:00Z"})
    assert (answer.status, answer.json["status"]) == (202, "queued")


FITTING: list[dict[str, Any]] = [
    {"type": "report.generate", "input": {"pages": 1}, "timeoutSeconds": 120, "maxAttempts": 5},
    {**ECHO, "queue": "q" * 100},
    {**ECHO, "queue": "0._-"},
    {**ECHO, "priority": 0},
    {**ECHO, "delaySeconds": 365 * DAY},
    {**ECHO, "runAt": "2027-01-31T12:00:00Z"},
    {**ECHO, "timeoutSeconds": 7 * DAY},
    {**ECHO, "timeoutSeconds": 0.001},
    {**ECHO, "maxAttempts": 1},
    {**ECHO, "maxAttempts": 100},
    {**ECHO, "correlationId": "!" * 256},
    {**ECHO, "metadata": {f"k{n}": "v" * 512 for n in range(50)}},
    {**ECHO, "metadata": {"k" * 512: ""}},
    {**ECHO, "startBy": "2020-01-01T00:00:00Z"},  # it expires at once, as the caller asked
    {**ECHO, "startBy": "2026-02-01T00:00:00Z", "deadline": "2026-02-01T00:00:00Z"},
    {**ECHO, "callbackUrl": "https://receiver.example/" + "x" * (2048 - 25)},
    {**ECHO, "callbackUrl": "http://receiver:9000/allowed"},
    with_url(),
    with_url(schedule=[0]),
    with_url(schedule=[7 * DAY] * 50),
    with_url(headers={f"X-{n}": "v" * 256 for n in range(20)}),
    with_url(headers={"X" * 256: "v", "x-!#$%&'*+.^_`|~": " a b "}),
]


@pytest.mark.parametrize("body", FITTING, ids=str)
async def test_at_its_bound_a_submission_fits(edge: Edge, body: dict[str, Any]) -> None:
    answer = await edge.submit(body)
    assert answer.status == 202, answer.body


PAST_ITS_BOUND: list[tuple[dict[str, Any], str, str]] = [
    ({"input": 1}, "/type", "missing"),
    ({"type": "dispatcher.echo"}, "/input", "missing"),
    ({**ECHO, "type": "no.such"}, "/type", "unknown-type"),
    ({**ECHO, "type": "Echo"}, "/type", "bad-format"),
    ({**ECHO, "type": "echo\n"}, "/type", "bad-format"),
    ({**ECHO, "type": 7}, "/type", "wrong-type"),
    ({**ECHO, "": 1}, "/", "unknown-field"),
    ({**ECHO, "queue": "q" * 101}, "/queue", "bad-format"),
    ({**ECHO, "queue": ""}, "/queue", "bad-format"),
    ({**ECHO, "queue": "-q"}, "/queue", "bad-format"),
    ({**ECHO, "priority": -1}, "/priority", "out-of-range"),
    ({**ECHO, "priority": 10}, "/priority", "out-of-range"),
    ({**ECHO, "priority": 10**30}, "/priority", "out-of-range"),
    ({**ECHO, "priority": 5.5}, "/priority", "wrong-type"),
    ({**ECHO, "priority": "5"}, "/priority", "wrong-type"),
    ({**ECHO, "priority": True}, "/priority", "wrong-type"),
    ({**ECHO, "delaySeconds": 0}, "/delaySeconds", "out-of-range"),
    ({**ECHO, "delaySeconds": -1}, "/delaySeconds", "out-of-range"),
    ({**ECHO, "delaySeconds": 365 * DAY + 1}, "/delaySeconds", "out-of-range"),
    ({**ECHO, "delaySeconds": 1e300}, "/delaySeconds", "out-of-range"),
    (
        {**ECHO, "delaySeconds": 1, "runAt": "2026-02-01T00:00:00Z"},
        "/delaySeconds",
        "conflict",
    ),
    ({**ECHO, "runAt": "2027-01-31T12:00:01Z"}, "/runAt", "out-of-range"),
    ({**ECHO, "runAt": "tomorrow"}, "/runAt", "bad-time"),
    ({**ECHO, "runAt": 1769860800}, "/runAt", "wrong-type"),
    (
        {**ECHO, "runAt": "2026-02-02T00:00:00Z", "startBy": "2026-02-01T00:00:00Z"},
        "/startBy",
        "too-early",
    ),
    (
        {**ECHO, "runAt": "2026-02-02T00:00:00Z", "deadline": "2026-02-02T00:00:00Z"},
        "/deadline",
        "too-early",
    ),
    (
        {**ECHO, "startBy": "2026-02-02T00:00:00Z", "deadline": "2026-02-01T00:00:00Z"},
        "/startBy",
        "too-late",
    ),
    ({**ECHO, "deadline": "2026-02-30T00:00:00Z"}, "/deadline", "bad-time"),
    ({**ECHO, "timeoutSeconds": 0}, "/timeoutSeconds", "out-of-range"),
    ({**ECHO, "timeoutSeconds": 7 * DAY + 1}, "/timeoutSeconds", "out-of-range"),
    ({**ECHO, "maxAttempts": 0}, "/maxAttempts", "out-of-range"),
    ({**ECHO, "maxAttempts": 101}, "/maxAttempts", "out-of-range"),
    ({**ECHO, "maxAttempts": 10**40}, "/maxAttempts", "out-of-range"),
    (
        {"type": "report.generate", "input": {"pages": 1}, "timeoutSeconds": 121},
        "/timeoutSeconds",
        "out-of-range",
    ),
    (
        {"type": "report.generate", "input": {"pages": 1}, "maxAttempts": 6},
        "/maxAttempts",
        "out-of-range",
    ),
    ({**ECHO, "retentionSeconds": 0}, "/retentionSeconds", "out-of-range"),
    ({**ECHO, "retentionSeconds": 366 * DAY}, "/retentionSeconds", "out-of-range"),
    ({**ECHO, "correlationId": ""}, "/correlationId", "bad-text"),
    ({**ECHO, "orderingKey": "x" * 257}, "/orderingKey", "bad-text"),
    ({**ECHO, "correlationId": "a b"}, "/correlationId", "bad-text"),
    ({**ECHO, "correlationId": "é"}, "/correlationId", "bad-text"),
    ({**ECHO, "correlationId": "a\r\nb"}, "/correlationId", "bad-text"),
    ({**ECHO, "correlationId": "x" * 257}, "/correlationId", "bad-text"),
    ({**ECHO, "metadata": {f"k{n}": "" for n in range(51)}}, "/metadata", "too-many"),
    ({**ECHO, "metadata": {"a/b": "v" * 513}}, "/metadata/a~1b", "too-long"),
    ({**ECHO, "metadata": {"a": 1}}, "/metadata/a", "wrong-type"),
    ({**ECHO, "metadata": []}, "/metadata", "wrong-type"),
    ({**ECHO, "metadata": {"a": "\0"}}, "/metadata/a", "nul-character"),
    ({**ECHO, "input": {"a": ["\0"]}}, "/input/a/0", "nul-character"),
    ({**ECHO, "callbackUrl": "ftp://x.example/"}, "/callbackUrl", "callback-url-refused"),
    ({**ECHO, "callbackUrl": "https://10.0.0.1/"}, "/callbackUrl", "callback-url-refused"),
    ({**ECHO, "callbackUrl": "http://127.0.0.1/"}, "/callbackUrl", "callback-url-refused"),
    ({**ECHO, "callbackUrl": "https://x.example/\r\n"}, "/callbackUrl", "callback-url-refused"),
    ({**ECHO, "callbackUrl": "https://u:p@x.example/"}, "/callbackUrl", "callback-url-refused"),
    ({**ECHO, "callbackUrl": ""}, "/callbackUrl", "callback-url-refused"),
    ({**ECHO, "callbackUrl": "https://receiver.example/" + "x" * 2024}, "/callbackUrl", "too-long"),
    ({**ECHO, "callback": {}}, "/callback", "no-callback-url"),
    ({**ECHO, "callbackUrl": URL, "callback": []}, "/callback", "wrong-type"),
    (with_url(onDead="skip"), "/callback/onDead", "conflict"),
    (with_url(onDead="block", ordered=False), "/callback/onDead", "conflict"),
    (with_url(onDead="stop", ordered=True), "/callback/onDead", "unknown-value"),
    (with_url(ordered=1), "/callback/ordered", "wrong-type"),
    (with_url(events=[]), "/callback/events", "bad-length"),
    (with_url(events=["job.done"]), "/callback/events/0", "unknown-value"),
    (with_url(events=["job.failed", 3]), "/callback/events/1", "wrong-type"),
    (with_url(mode="fat"), "/callback/mode", "unknown-value"),
    (with_url(schedule=[]), "/callback/schedule", "bad-length"),
    (with_url(schedule=[0] * 51), "/callback/schedule", "bad-length"),
    (with_url(schedule=[0, -0.1]), "/callback/schedule/1", "out-of-range"),
    (with_url(schedule=[7 * DAY + 1]), "/callback/schedule/0", "out-of-range"),
    (with_url(schedule=[None]), "/callback/schedule/0", "wrong-type"),
    (with_url(schedule=5), "/callback/schedule", "wrong-type"),
    (with_url(headers={f"X-{n}": "" for n in range(21)}), "/callback/headers", "too-many"),
    (with_url(headers={"": "v"}), "/callback/headers/", "bad-header-name"),
    (with_url(headers={"a b": "v"}), "/callback/headers/a b", "bad-header-name"),
    (with_url(headers={"a\nb": "v"}), "/callback/headers/a\nb", "bad-header-name"),
    (with_url(headers={"X" * 257: "v"}), f"/callback/headers/{'X' * 257}", "bad-header-name"),
    (with_url(headers={"X-A": "v\r\nX-B: w"}), "/callback/headers/X-A", "bad-header-value"),
    (with_url(headers={"X-A": "é"}), "/callback/headers/X-A", "bad-header-value"),
    (with_url(headers={"X-A": "v" * 257}), "/callback/headers/X-A", "bad-header-value"),
    (with_url(headers={"X-A": 1}), "/callback/headers/X-A", "wrong-type"),
    (with_url(headers={"x-a": "1", "X-A": "2"}), "/callback/headers/X-A", "repeated-header"),
]


@pytest.mark.parametrize(("body", "pointer", "code"), PAST_ITS_BOUND, ids=str)
async def test_past_its_bound_it_is_refused_with_a_pointer(
    edge: Edge, body: dict[str, Any], pointer: str, code: str
) -> None:
    answer = await edge.submit(body)
    assert answer.status == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    faults = [(fault["pointer"], fault["code"]) for fault in answer.json["errors"]]
    assert faults == [(pointer, code)]
    assert not edge.taking.submissions


@pytest.mark.parametrize(
    "name",
    [
        *sorted(RESERVED_HEADERS),
        "Webhook-Id",
        "callback-attempt",
        "CONTENT-TYPE",
        "content-length",
        "Proxy-Authorization",
        "User-Agent",
        "Webhook_Id",  # CGI and WSGI read it as webhook-id
    ],
)
async def test_headers_that_the_dispatcher_speaks_with_are_refused(edge: Edge, name: str) -> None:
    answer = await edge.submit(with_url(headers={name: "x"}))
    assert answer.json["errors"][0]["code"] == "reserved-header"
    assert answer.pointers == [f"/callback/headers/{name}"]


async def test_all_faults_are_told_at_once(edge: Edge) -> None:
    answer = await edge.submit(
        {
            "type": "nope",
            "extra": 1,
            "priority": 10,
            "queue": "Q",
            "runAt": "x",
            "delaySeconds": -1,
            "maxAttempts": 0,
            "correlationId": "",
            "metadata": {"a": 1, "b": "ok", "c": None, "d": "x" * 513},
            "callbackUrl": "http://10.0.0.1/",
            "callback": {
                "events": ["x", "y"],
                "headers": {"Host": "h", "X-A": 1},
                "schedule": [1, "2", -1],
            },
        }
    )
    assert answer.status == 422
    assert set(answer.pointers) == {
        "/input",
        "/extra",
        "/priority",
        "/queue",
        "/runAt",
        "/type",
        "/delaySeconds",
        "/maxAttempts",
        "/correlationId",
        "/metadata/a",
        "/metadata/c",
        "/metadata/d",
        "/callbackUrl",
        "/callback/events/0",
        "/callback/events/1",
        "/callback/headers/Host",
        "/callback/headers/X-A",
        "/callback/schedule/1",
        "/callback/schedule/2",
    }
    assert all(fault["code"] and fault["detail"] for fault in answer.json["errors"])
    assert "things are wrong" in answer.json["detail"]


async def test_a_malformed_name_is_told_its_form(edge: Edge) -> None:
    (fault,) = (await edge.submit({**ECHO, "queue": "Q"})).json["errors"]
    assert fault["detail"] == "Expected a string matching regex '^[a-z0-9][a-z0-9._-]{0,99}$'."


async def test_an_unknown_type_is_told_what_there_is(edge: Edge) -> None:
    (fault,) = (await edge.submit({"type": "nope", "input": 1})).json["errors"]
    assert "dispatcher.echo, report.generate" in fault["detail"]


async def test_a_refused_url_is_told_the_setting_that_would_allow_it(edge: Edge) -> None:
    (fault,) = (await edge.submit({**ECHO, "callbackUrl": "http://receiver:9001/"})).json["errors"]
    assert "--allow-callbacks http://receiver:9001" in fault["detail"]


async def test_an_input_is_held_against_the_schema_of_its_type(edge: Edge) -> None:
    answer = await edge.submit(
        {"type": "report.generate", "input": {"a/b": ["abc", "abcd", 1], "extra": 1}}
    )
    faults = {(fault["pointer"], fault["code"]) for fault in answer.json["errors"]}
    assert faults == {
        ("/input/a~1b/1", "schema-max-length"),
        ("/input/a~1b/2", "schema-type"),
        ("/input/extra", "schema-additional-properties"),
        ("/input/pages", "schema-required"),
    }
    assert not edge.taking.submissions


async def test_faults_without_end_are_cut(edge: Edge) -> None:
    body = {"type": "report.generate", "input": {"pages": 1, "a/b": ["long" * 200] * 1_000}}
    answer = await edge.submit(body)
    assert answer.status == 422
    assert len(answer.json["errors"]) == 100
    assert len(answer.body) < 100_000
    assert "100 things or more" in answer.json["detail"]
    many = await edge.submit({**ECHO, "metadata": dict.fromkeys(map(str, range(1_000)), 1)})
    assert len(many.json["errors"]) == 100


async def test_bounds_are_settings() -> None:
    limits = Limits(max_attempts=5, metadata_entries=1, url_characters=30, body_bytes=400)
    async with Edge(limits=limits).running() as edge:
        answer = await edge.submit(
            {
                **ECHO,
                "maxAttempts": 6,
                "metadata": {"a": "", "b": ""},
                "callbackUrl": URL,
            }
        )
        assert set(answer.pointers) == {"/maxAttempts", "/metadata", "/callbackUrl"}
        assert (await edge.submit({**ECHO, "input": "x" * 400})).status == 413
