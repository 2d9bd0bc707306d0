"""Bodies that nobody thought of: derived from a good one, and broken in every way."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web.edge import Answer, Edge

GOOD: dict[str, Any] = {
    "type": "report.generate",
    "input": {"pages": 1, "a/b": ["abc"]},
    "callbackUrl": "https://receiver.example/callbacks?x=1",
    "callback": {
        "events": ["job.succeeded"],
        "mode": "thin",
        "headers": {"Authorization": "Bearer x"},
        "schedule": [0, 5],
    },
    "queue": "q",
    "priority": 3,
    "runAt": "2026-02-01T00:00:00Z",
    "startBy": "2026-02-02T00:00:00Z",
    "deadline": "2026-02-03T00:00:00Z",
    "timeoutSeconds": 10,
    "maxAttempts": 2,
    "correlationId": "c-1",
    "metadata": {"a": "b"},
    "retentionSeconds": 60,
}

ODD_TEXT = st.text(
    st.characters(max_codepoint=0x2100, exclude_categories=["Cs"])
    | st.sampled_from("\0\r\n\t\x7f\u2028/~\\\"'<>:@#%[]"),
    max_size=30,
) | st.sampled_from(
    [
        "",
        "x" * 300,
        "Echo",
        "a\n",
        "https://u:p@receiver.example/",
        "http://127.0.0.1/",
        "http://[::ffff:127.0.0.1]/",
        "https://receiver.example/\r\nX: y",
        "https://receiver.example:99999/",
        "javascript:alert(1)",
        "2026-02-30T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "0000-00-00T00:00:00Z",
        "job.done",
        "Host",
        "Webhook-Id",
        "clr_" + "a" * 32,
    ]
)
NUMBERS = st.sampled_from(
    [0, -1, 1, 9, 10, 101, 2**31, 2**53, 2**63, 2**64, 10**40, 0.5, -0.0, 1e308, 5e-324, 1e15]
) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | ODD_TEXT
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ODD_TEXT, inner, max_size=4),
    max_leaves=8,
)
DEPTHS = st.sampled_from([1, 62, 63, 64, 65, 300, 2_000])


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in it."""
    yield at
    if isinstance(value, dict):
        for name, member in value.items():
            yield from places(member, (*at, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*at, index))


PLACES = sorted(places(GOOD), key=str)


def _has(value: Any, step: Any) -> bool:
    if isinstance(value, dict):
        return step in value
    return isinstance(value, list) and isinstance(step, int) and step < len(value)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A good submission with a few members replaced, added, removed or made deep."""
    body: Any = copy.deepcopy(GOOD)
    for _ in range(draw(st.integers(1, 4))):
        *way, last = draw(st.sampled_from([place for place in PLACES if place]))
        at: Any = body
        for step in way:
            at = at[step] if _has(at, step) else None
        if not _has(at, last):  # gone by now
            continue
        match draw(st.sampled_from(["replace", "replace", "add", "remove", "deepen"])):
            case "replace":
                at[last] = draw(ANYTHING)
            case "add" if isinstance(at, dict):
                at[draw(ODD_TEXT)] = draw(ANYTHING)
            case "remove":
                del at[last]
            case "deepen":
                at[last] = "DEEP"
    text = json.dumps(body, ensure_ascii=draw(st.booleans()))
    depth = draw(DEPTHS)
    opening, closing = draw(st.sampled_from([("[", "]"), ('{"a":', "}")]))
    inner = "1" if opening != "[" else ""
    return text.replace('"DEEP"', opening * depth + inner + closing * depth).encode(
        "utf-8", "surrogatepass"
    )


@st.composite
def cut_or_garbled(draw: st.DrawFn) -> bytes:
    """A good submission as bytes, with some of them cut out, changed or put in."""
    body = bytearray(json.dumps(GOOD).encode())
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(start + 4, len(body))))
        body[start:end] = draw(st.binary(max_size=3) | st.sampled_from([b"\\u0000", b"[", b'"']))
    return bytes(body)


def check(edge: Edge, answer: Answer) -> None:
    """Taken, or refused with a problem that points at it; and only what was taken is written."""
    if answer.status == 202:
        (job_id,) = edge.memory.jobs
        assert answer.json["id"] == job_id
    else:
        assert answer.status in {400, 422}, answer.body
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json["code"] == (
            "malformed-json" if answer.status == 400 else "invalid-fields"
        )
        assert not edge.memory.jobs
        assert not edge.taking.submissions
    if answer.status == 422:
        assert answer.json["errors"]
        for fault in answer.json["errors"]:
            assert set(fault) == {"pointer", "code", "detail"}
            assert fault["pointer"] == "" or fault["pointer"].startswith("/")
            assert fault["code"]
            assert fault["detail"]
    edge.memory.jobs.clear()
    edge.taking.submissions.clear()


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


@pytest.fixture(scope="module")
def one_edge(runner: asyncio.Runner) -> Iterator[Edge]:
    """One edge for all examples: it must also survive them one after another."""
    edge = Edge()
    context = edge.running()
    runner.run(context.__aenter__())
    yield edge
    runner.run(context.__aexit__(None, None, None))


MANY = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def test_the_good_one_is_good(runner: asyncio.Runner, one_edge: Edge) -> None:
    answer = runner.run(one_edge.submit(GOOD))
    assert answer.status == 202, answer.body
    check(one_edge, answer)


@MANY
@given(body=broken())
def test_a_broken_submission_is_refused_with_pointers(
    runner: asyncio.Runner, one_edge: Edge, body: bytes
) -> None:
    check(one_edge, runner.run(one_edge.submit(body)))


@MANY
@given(body=cut_or_garbled())
def test_a_garbled_submission_is_refused(
    runner: asyncio.Runner, one_edge: Edge, body: bytes
) -> None:
    check(one_edge, runner.run(one_edge.submit(body)))


@MANY
@given(body=st.binary(max_size=200) | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_anything_at_all_is_answered(runner: asyncio.Runner, one_edge: Edge, body: bytes) -> None:
    check(one_edge, runner.run(one_edge.submit(body)))


HEADER_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60)


@MANY
@given(
    headers=st.dictionaries(
        st.sampled_from(
            [
                "Idempotency-Key",
                "traceparent",
                "tracestate",
                "If-None-Match",
                "Accept",
                "Content-Type",
                "Request-Id",
                "Authorization",
                "Prefer",
                "Expect",
                "Range",
                "Cookie",
            ]
        ),
        HEADER_TEXT,
    )
)
def test_bad_headers_never_break_it(
    runner: asyncio.Runner, one_edge: Edge, headers: dict[str, str]
) -> None:
    key = None if "Authorization" in headers else "dsp_ada"
    sent = {"Content-Type": "application/json"} | headers
    answer = runner.run(
        one_edge.call("POST", "/v1/jobs", data=json.dumps(GOOD).encode(), headers=sent, key=key)
    )
    assert answer.status in {202, 400, 401, 415, 417}, answer.body
    assert answer.headers["Request-Id"]
    if answer.status != 202:
        assert answer.json["status"] == answer.status
        assert not one_edge.memory.jobs
    one_edge.memory.jobs.clear()
    one_edge.taking.submissions.clear()
    one_edge.taking.forget_keys()
