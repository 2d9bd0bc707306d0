"""Lists: of jobs, deliveries, events and types."""

from __future__ import annotations

import pytest

from dispatcher.core.model import (
    Attempt,
    AttemptError,
    Delivery,
    DeliveryState,
    Event,
    EventType,
)
from dispatcher.core.payload import snapshot
from dispatcher.ports.views import DeliveryRecord
from dispatcher.testing.clock import NOON
from tests.web.doubles import ADA, BOB
from tests.web.edge import PUBLIC_URL, Edge
from tests.web.edge_jobs import ECHO, NO_DELIVERY, NO_JOB, submitted, succeed

# --- GET /v1/jobs ------------------------------------------------------------------------------


async def test_a_list_is_read_page_by_page(edge: Edge) -> None:
    ids = [await submitted(edge) for _ in range(5)]
    seen: list[str] = []
    path = "/v1/jobs?limit=2&queue=default"
    while True:
        answer = await edge.call("GET", path)
        seen += [job["id"] for job in answer.json["items"]]
        cursor = answer.json["nextCursor"]
        if cursor is None:
            assert "Link" not in answer.headers
            break
        link = f"<{PUBLIC_URL}/v1/jobs?limit=2&queue=default&cursor={cursor}>"
        assert answer.headers["Link"] == f'{link}; rel="next"'
        path = answer.headers["Link"].partition(">")[0].removeprefix(f"<{PUBLIC_URL}")
    assert seen == ids[::-1]


async def test_a_list_carries_neither_inputs_nor_results(edge: Edge) -> None:
    job_id = await submitted(edge)
    succeed(edge, job_id, b'"secret result"')
    answer = await edge.call("GET", "/v1/jobs")
    (job,) = answer.json["items"]
    assert "input" not in job
    assert "result" not in job
    assert job["resultOmitted"] is True
    assert job["resultUrl"] == f"{PUBLIC_URL}/v1/jobs/{job_id}/result"


async def test_a_list_is_filtered(edge: Edge) -> None:
    async def found(query: str, key: str = "dsp_ada") -> set[str]:
        answer = await edge.call("GET", f"/v1/jobs?{query}", key=key)
        assert answer.status == 200, answer.body
        return {job["id"] for job in answer.json["items"]}

    first = await submitted(edge, {**ECHO, "correlationId": "a+b"})
    edge.clock.advance(1)
    second = await submitted(edge, {**ECHO, "queue": "q"})
    report = {"type": "report.generate", "input": {"pages": 1}}
    third = await submitted(edge, report)
    bobs = await submitted(edge, key="dsp_bob")
    assert await found("") == {first, second, third}
    assert await found("type=dispatcher.echo") == {first, second}
    assert await found("queue=q") == {second}
    assert await found("correlationId=a%2Bb") == {first}
    assert await found("createdAfter=2026-01-31T12:00:00Z") == {second, third}
    assert await found("createdBefore=2026-01-31T13:00:01%2B01:00") == {first}
    assert await found("status=queued&limit=100") == {first, second, third}
    assert await found("", "dsp_ops") == {first, second, third, bobs}
    assert await found(f"callerId={BOB.id}", "dsp_ops") == {bobs}
    assert await found(f"callerId={ADA.id}") == {first, second, third}
    assert await found(f"callerId={BOB.id}") == set()  # another's: nothing, and no 403


BAD_QUERIES = [
    ("limit=0", "limit"),
    ("limit=101", "limit"),
    ("limit=-1", "limit"),
    ("limit=1e1", "limit"),
    ("limit=", "limit"),
    ("limit=9999999999999999999999", "limit"),
    ("limit=1&limit=1", "limit"),
    ("status=done", "status"),
    ("status=partial", "status"),
    ("type=Echo", "type"),
    ("type=x%0A", "type"),
    ("queue=%00", "queue"),
    ("correlationId=a b", "correlationId"),
    ("correlationId=a%20b", "correlationId"),
    (f"correlationId={'x' * 257}", "correlationId"),
    ("createdAfter=yesterday", "createdAfter"),
    ("createdBefore=2026-01-31T12:00:00+01:00", "createdBefore"),  # `+` is a space in a query
    ("callerId=ada", "callerId"),
    ("cursor=", "cursor"),
    ("cursor=garbage", "cursor"),
    ("cursor=%C3%A9", "cursor"),
    ("cursor=" + "W1tb" * 500, "cursor"),
    ("cursor=eyJvZiI6ImV2ZW50cyIsImF0IjoxfQ", "cursor"),  # {"of":"events","at":1}
    ("cursor=eyJvZiI6ImpvYnMiLCJhdCI6LTF9", "cursor"),  # {"of":"jobs","at":-1}
    ("cursor=eyJvZiI6ImpvYnMiLCJhdCI6OTIyMzM3MjAzNjg1NDc3NTgwOH0", "cursor"),  # 2**63
    ("page=2", "page"),
    ("Limit=2", "Limit"),
    ("=", ""),
]


@pytest.mark.parametrize(("query", "parameter"), BAD_QUERIES)
async def test_a_bad_query_is_a_422_that_names_it(edge: Edge, query: str, parameter: str) -> None:
    answer = await edge.call("GET", f"/v1/jobs?{query.replace(' ', '%20')}")
    assert answer.status == 422, answer.body
    assert answer.json["code"] == "invalid-parameter"
    assert answer.json["parameter"] == parameter


@pytest.mark.parametrize("query", ["a=%FF", "&".join(f"p{n}=" for n in range(40))])
async def test_a_query_that_cannot_be_read_is_a_422(edge: Edge, query: str) -> None:
    answer = await edge.call("GET", f"/v1/jobs?{query}")
    assert (answer.status, answer.json["code"]) == (422, "invalid-parameter")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/jobs"),
        ("GET", f"/v1/jobs/{NO_JOB}"),
        ("GET", f"/v1/jobs/{NO_JOB}/result"),
        ("GET", f"/v1/jobs/{NO_JOB}/events"),
        ("GET", f"/v1/jobs/{NO_JOB}/deliveries"),
        ("POST", f"/v1/jobs/{NO_JOB}/cancel"),
        ("GET", "/v1/deliveries"),
        ("GET", f"/v1/deliveries/{NO_DELIVERY}"),
        ("POST", f"/v1/deliveries/{NO_DELIVERY}/redeliver"),
        ("POST", f"/v1/deliveries/{NO_DELIVERY}/cancel"),
        ("GET", "/v1/types"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
    ],
)
async def test_an_unknown_parameter_is_a_422_everywhere(edge: Edge, method: str, path: str) -> None:
    answer = await edge.call(method, f"{path}?verbose", key="dsp_ops")
    assert (answer.status, answer.json["parameter"]) == (422, "verbose")


# --- Deliveries and events ---------------------------------------------------------------------


async def test_deliveries_come_with_their_attempts(edge: Edge) -> None:
    job_id = await submitted(edge)
    delivery = Delivery(
        id="dlv_" + "1" * 32,
        event_id="evt_" + "1" * 32,
        event_type=EventType.JOB_SUCCEEDED,
        job_id=job_id,
        caller_id=ADA.id,
        url="https://receiver.example/",
        origin="https://receiver.example",
        state=DeliveryState.PENDING,
        created_at=NOON,
        due_at=NOON + 5_000,
        attempt_count=2,
    )
    attempts = (
        Attempt(number=1, at=NOON, duration_ms=12, status_code=500, body=b"oh \xff"),
        Attempt(number=2, at=NOON, duration_ms=9, error=AttemptError("dns", "no such name")),
    )
    edge.memory.deliveries[job_id] = [DeliveryRecord(delivery, attempts)]
    answer = await edge.call("GET", f"/v1/jobs/{job_id}/deliveries")
    (shown,) = answer.json["items"]
    assert answer.json["nextCursor"] is None
    assert (shown["status"], shown["attemptCount"]) == ("pending", 2)
    assert shown["nextAttemptAt"] == "2026-01-31T12:00:05.000Z"
    assert shown["finishedAt"] is None
    assert shown["attempts"] == [
        {
            "number": 1,
            "at": "2026-01-31T12:00:00.000Z",
            "durationMs": 12,
            "statusCode": 500,
            "error": None,
            "responseBody": "oh \ufffd",
        },
        {
            "number": 2,
            "at": "2026-01-31T12:00:00.000Z",
            "durationMs": 9,
            "statusCode": None,
            "error": {"code": "dns", "detail": "no such name"},
            "responseBody": None,
        },
    ]


def note_events(edge: Edge, job_id: str, count: int) -> None:
    job = edge.memory.jobs[job_id].job
    rows: list[tuple[Event, bytes | None]] = []
    for sequence in range(1, count + 1):
        last = sequence == count
        event = Event(
            id=f"evt_{sequence:032x}",
            job_id=job_id,
            caller_id=ADA.id,
            type=EventType.JOB_SUCCEEDED if last else EventType.JOB_OUTPUT,
            sequence=sequence,
            at=NOON,
            links_base=PUBLIC_URL,
            data=None if last else snapshot(job, b'{"page": %d}' % sequence),
        )
        rows.append((event, b'"all"' if last else None))
    edge.memory.events[job_id] = rows


async def test_events_are_listed_as_callbacks_have_them(edge: Edge) -> None:
    job_id = await submitted(edge)
    succeed(edge, job_id, b'"all"')
    note_events(edge, job_id, 5)
    first = await edge.call("GET", f"/v1/jobs/{job_id}/events?limit=3")
    assert [event["sequence"] for event in first.json["items"]] == [1, 2, 3]
    output = first.json["items"][0]
    assert (output["type"], output["data"]["output"]) == ("job.output", {"page": 1})
    assert output["data"]["status"] == "running"
    rest = await edge.call(
        "GET", f"/v1/jobs/{job_id}/events?limit=3&cursor={first.json['nextCursor']}"
    )
    assert [event["sequence"] for event in rest.json["items"]] == [4, 5]
    assert rest.json["nextCursor"] is None
    assert rest.json["items"][1]["data"]["result"] == "all"


async def test_a_page_that_is_just_full_has_no_next(edge: Edge) -> None:
    job_id = await submitted(edge)
    note_events(edge, job_id, 3)
    assert (await edge.call("GET", f"/v1/jobs/{job_id}/events?limit=3")).json["nextCursor"] is None


# --- GET /v1/types -----------------------------------------------------------------------------


async def test_types_are_listed_with_their_schemas(edge: Edge) -> None:
    answer = await edge.call("GET", "/v1/types?limit=1", key="dsp_ops")
    (echo,) = answer.json["items"]
    assert (echo["name"], echo["schema"]) == ("dispatcher.echo", None)
    cursor = answer.json["nextCursor"]
    answer = await edge.call("GET", f"/v1/types?limit=1&cursor={cursor}", key="dsp_ops")
    (report,) = answer.json["items"]
    assert report["schema"]["required"] == ["pages"]
    assert answer.json["nextCursor"] is None
    assert (await edge.call("GET", "/v1/types?cursor=e30", key="dsp_ops")).status == 422
