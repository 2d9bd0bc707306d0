"""The JSON of a job and the bytes of a callback."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dispatcher.core.lifecycle import FINAL_JOB_STATES, TERMINAL_EVENTS
from dispatcher.core.model import (
    API_VERSION,
    INLINE_RESULT_BYTES,
    CallbackMode,
    Event,
    EventType,
    Instant,
    Job,
    JobError,
    JobState,
    Progress,
)
from dispatcher.core.ordering import OnDead
from dispatcher.core.payload import (
    callback_body,
    callback_json,
    encode,
    event_json,
    inline,
    is_terminal,
    job_at_event,
    job_json,
    rfc3339,
    snapshot,
    tells_of_death,
)
from dispatcher.core.retry import LAST_INSTANT, Schedule
from tests.core.samples import (
    EVENT,
    NOW,
    URL,
    a_callback,
    a_running_job,
    a_waiting_job,
    an_ended_job,
    callbacks,
    instants,
    running_jobs,
    the_last_event,
)

BASE = "https://jobs.example"

SPELLINGS = (
    b"null",
    b"1e400",
    b"-0.0",
    b"123456789012345678901234567890",
    b'{"a":  1.0, "a":2}',
    b"[ 1 ,\n\t2 ]",
    b'"\\u00e9\\/"',
    '"é🧵"'.encode(),
)
"""JSON that another writer would spell, or read, differently."""


def a_result(job: Job, result: bytes) -> Job:
    return replace(job, result_bytes=len(result))


def shown(job: Job, now: Instant = NOW, result: bytes | None = None) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(encode(job_json(job, BASE, now, result)))
    return decoded


def an_event(job: Job, kind: EventType, output: bytes | None = None) -> Event:
    return Event(
        id=EVENT,
        job_id=job.id,
        caller_id=job.caller_id,
        type=kind,
        sequence=job.event_count,
        at=NOW,
        links_base=BASE,
        data=snapshot(job, output),
    )


# --- Times -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (NOW + 123, "2026-01-31T09:30:00.123Z"),
        (951_827_696_789, "2000-02-29T12:34:56.789Z"),
        (LAST_INSTANT, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_rfc_3339_with_milliseconds(at: int | None, text: str | None) -> None:
    assert rfc3339(at) == text


@given(st.integers(0, LAST_INSTANT))
def test_times_read_back_as_what_they_were(at: int) -> None:
    text = rfc3339(at)
    assert text is not None
    assert len(text) == len("2026-01-31T09:30:00.123Z")
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo == UTC
    assert (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) == at


# --- Jobs --------------------------------------------------------------------------------------


def test_a_job_shows_every_member_even_without_a_value() -> None:
    assert shown(a_waiting_job()) == {
        "id": "job_00000000000070008000000000000001",
        "callerId": "clr_00000000000070008000000000000002",
        "type": "report.generate",
        "status": "queued",
        "done": False,
        "queue": "default",
        "priority": 5,
        "attemptCount": 0,
        "maxAttempts": 3,
        "timeoutSeconds": 600.0,
        "retentionSeconds": 604_800.0,
        "progress": None,
        "error": None,
        "createdAt": "2026-01-31T09:29:50.000Z",
        "runAt": None,
        "startBy": None,
        "deadline": None,
        "startedAt": None,
        "finishedAt": None,
        "cancelRequestedAt": None,
        "callbackUrl": None,
        "callback": None,
        "orderingKey": None,
        "correlationId": None,
        "metadata": None,
        "replayOf": None,
        "apiVersion": "1",
        "links": {
            "self": f"{BASE}/v1/jobs/job_00000000000070008000000000000001",
            "result": f"{BASE}/v1/jobs/job_00000000000070008000000000000001/result",
            "events": f"{BASE}/v1/jobs/job_00000000000070008000000000000001/events",
            "deliveries": f"{BASE}/v1/jobs/job_00000000000070008000000000000001/deliveries",
            "cancel": f"{BASE}/v1/jobs/job_00000000000070008000000000000001/cancel",
        },
    }


def test_a_job_shows_what_was_asked_and_what_came_of_it() -> None:
    job = an_ended_job(
        JobState.CANCELED,
        run_at=NOW + 1,
        start_by=NOW + 2,
        deadline=NOW + 3,
        cancel_requested_at=NOW + 4,
        started_at=NOW + 5,
        finished_at=NOW + 6,
        callback=a_callback(mode=CallbackMode.THIN),
        api_version="0",
        replay_of="job_1",
        ordering_key="k-1",
        correlation_id="c-1",
        metadata={"a": "b"},
        progress=Progress(1, 2, "half"),
    )
    members = shown(job)
    times = ("runAt", "startBy", "deadline", "cancelRequestedAt", "startedAt", "finishedAt")
    assert [members[name] for name in times] == [
        f"2026-01-31T09:30:00.00{count}Z" for count in range(1, 7)
    ]
    assert (members["callbackUrl"], members["callback"]) == (URL, {"mode": "thin"})
    assert (members["apiVersion"], members["replayOf"]) == ("0", "job_1")
    assert (members["orderingKey"], members["correlationId"]) == ("k-1", "c-1")
    assert members["metadata"] == {"a": "b"}
    assert members["progress"] == {"current": 1, "total": 2, "message": "half"}


@pytest.mark.parametrize("written", [600, 600.0])
def test_whole_seconds_are_written_without_a_fraction(written: float) -> None:
    """Whichever the store gave back: each attempt is to send the same bytes."""
    job = a_waiting_job(timeout_seconds=written, retention_seconds=0.25)
    body = encode(job_json(job, BASE, NOW, None))
    assert b'"timeoutSeconds":600,' in body
    assert b'"retentionSeconds":0.25,' in body


def test_a_result_stands_inline_as_the_bytes_it_is() -> None:
    for result in SPELLINGS:
        job = a_result(an_ended_job(), result)
        assert b'"result":' + result in encode(job_json(job, BASE, NOW, inline(job, result)))


@pytest.mark.parametrize("state", sorted(FINAL_JOB_STATES - {JobState.SUCCEEDED}))
def test_only_success_speaks_of_a_result(state: JobState) -> None:
    job = an_ended_job(state, error=JobError("no-data", "there is none", 1))
    assert not {"result", "resultUrl", "resultOmitted"} & set(shown(job))
    assert shown(job)["error"] == {"code": "no-data", "detail": "there is none", "attempt": 1}


@pytest.mark.parametrize(("size", "stands"), [(0, True), (-1, True), (1, False)])
def test_up_to_64_kib_a_result_stands_inline(size: int, *, stands: bool) -> None:
    result = b'"' + b"x" * (65_536 + size - 2) + b'"'
    job = a_result(an_ended_job(), result)
    assert INLINE_RESULT_BYTES == 65_536
    assert (inline(job, result) == result) is stands
    members = shown(job, result=inline(job, result))
    assert members["resultOmitted"] is not stands
    assert ("result" in members) is stands
    assert members["resultUrl"] == members["links"]["result"]


def test_header_values_are_never_shown() -> None:
    callback = a_callback(
        headers=("authorization", "x-team"), sealed_headers=b"sealed s3cret", schedule=None
    )
    assert callback_json(callback) == {"headers": {"authorization": "***", "x-team": "***"}}
    job = an_ended_job(callback=callback)
    for body in (
        encode(job_json(job, BASE, NOW, None)),
        callback_body(the_last_event(job), job, URL, None),
    ):
        assert b"***" in body
        assert b"s3cret" not in body
        assert b"sealed" not in body


def test_a_callback_is_echoed_as_submitted() -> None:
    assert callback_json(None) is None
    assert callback_json(a_callback()) is None
    full = a_callback(
        events=(EventType.JOB_OUTPUT, EventType.JOB_FAILED),
        mode=CallbackMode.THIN,
        schedule=Schedule((0.0, 0.5)),
        ordered=OnDead.BLOCK,
    )
    assert json.loads(encode(callback_json(full))) == {
        "events": ["job.output", "job.failed"],
        "mode": "thin",
        "schedule": [0.0, 0.5],
        "ordered": True,
        "onDead": "block",
    }


# --- Callbacks ---------------------------------------------------------------------------------


def test_a_callback_is_the_event_around_the_job() -> None:
    job = a_result(an_ended_job(callback=a_callback()), b"{}")
    body = json.loads(callback_body(the_last_event(job), job, URL, b"{}"))
    data = body.pop("data")
    assert body == {
        "id": EVENT,
        "type": "job.succeeded",
        "timestamp": "2026-01-31T09:30:00.000Z",
        "apiVersion": "1",
        "sequence": 7,
        "callerId": job.caller_id,
        "callbackUrl": URL,
    }
    assert data == shown(job, result=b"{}")
    assert (data["result"], data["status"], data["done"]) == ({}, "succeeded", True)
    # They change after the commit, so they must not be in it (API.md, "Callbacks").
    assert not {"delivery", "expiresAt", "estimatedFinishAt"} & set(data)


def test_an_event_has_the_version_that_its_job_was_submitted_to() -> None:
    job = an_ended_job(api_version="0")
    told = json.loads(callback_body(the_last_event(job), job, URL, None))
    assert (told["apiVersion"], told["data"]["apiVersion"]) == ("0", "0")


def test_an_event_beside_a_job_s_course_tells_what_it_keeps() -> None:
    job = an_ended_job()
    event = the_last_event(job, type=EventType.DELIVERY_DEAD, sequence=None, data=b'{"id":1}')
    told = json.loads(callback_body(event, job, URL, None))
    assert (told["data"], told["sequence"]) == ({"id": 1}, None)
    ping = replace(event, type=EventType.PING, job_id=None)
    told = json.loads(callback_body(ping, None, URL, None))
    assert (told["data"], told["sequence"], told["apiVersion"]) == ({"id": 1}, None, API_VERSION)


def test_thin_leaves_the_result_out_and_says_so() -> None:
    job = a_result(an_ended_job(callback=a_callback(mode=CallbackMode.THIN)), b'{"secret":1}')
    body = callback_body(the_last_event(job), job, URL, b'{"secret":1}')
    assert b"secret" not in body
    data = json.loads(body)["data"]
    assert data["resultOmitted"] is True
    assert "result" not in data
    assert data["callback"] == {"mode": "thin"}


def test_results_pass_through_a_callback_untouched() -> None:
    for result in SPELLINGS:
        job = a_result(an_ended_job(callback=a_callback()), result)
        assert b'"result":' + result in callback_body(the_last_event(job), job, URL, result)


def test_where_an_event_is_read_it_names_no_url() -> None:
    job = an_ended_job()
    assert event_json(the_last_event(job), job, None, result=None)["callbackUrl"] is None


def test_the_last_event_is_told_from_the_others() -> None:
    event = the_last_event(an_ended_job())
    for kind in EventType:
        assert is_terminal(replace(event, type=kind)) is (kind in TERMINAL_EVENTS)


@given(running_jobs, st.sampled_from(sorted(FINAL_JOB_STATES)), st.none() | callbacks, instants)
def test_every_attempt_sends_the_same_bytes(
    running: Job, state: JobState, callback: Any, later: Instant
) -> None:
    job = replace(running, state=state, finished_at=NOW, callback=callback)
    result = b'{"a": 1.0}' if state is JobState.SUCCEEDED else None
    job = replace(job, result_bytes=None if result is None else len(result))
    event = the_last_event(job)
    first = callback_body(event, job, URL, result)
    # As at the next attempt: all is read anew, and retention may have moved the job's expiry.
    event = msgspec.json.decode(msgspec.json.encode(event), type=Event)
    job = msgspec.json.decode(msgspec.json.encode(job), type=Job)
    assert callback_body(event, replace(job, expires_at=later), URL, result) == first
    assert json.loads(first)["data"]["status"] == state.value


# --- Events of a job that goes on --------------------------------------------------------------


@given(running_jobs, st.sampled_from(sorted(FINAL_JOB_STATES)), instants)
def test_an_event_shows_the_job_as_it_was(then: Job, state: JobState, later: Instant) -> None:
    event = an_event(then, EventType.JOB_PROGRESS)
    now = replace(
        then,
        state=state,
        version=then.version + 3,
        attempt_count=then.attempt_count + 1,
        started_at=later,
        cancel_requested_at=later,
        finished_at=later,
        expires_at=later,
        progress=Progress(99),
        error=JobError("later", "later", 9),
        result_bytes=4,
        event_count=then.event_count + 2,
        retrying=True,
    )
    was, output = job_at_event(event, now)
    assert output is None
    assert replace(was, event_count=then.event_count) == then
    assert callback_body(event, now, URL, b"null") == callback_body(event, then, URL, None)


def test_an_output_is_kept_as_the_bytes_it_is() -> None:
    for output in SPELLINGS:
        job = a_running_job(progress=Progress(1, 2))
        event = an_event(job, EventType.JOB_OUTPUT, output)
        was, told = job_at_event(event, an_ended_job())
        assert told is not None
        assert bytes(told) == output
        assert was == job
        assert callback_body(event, an_ended_job(), URL, None).endswith(
            b',"output":' + output + b"}}"
        )


def test_an_event_without_output_has_no_such_member() -> None:
    event = an_event(a_running_job(), EventType.JOB_STARTED)
    assert "output" not in event_json(event, an_ended_job(), URL, result=None)["data"]


def test_a_terminal_event_shows_the_job_as_it_stands() -> None:
    job = an_ended_job()
    assert job_at_event(the_last_event(job), job) == (job, None)


def test_the_death_of_what_tells_of_a_job_is_told_and_of_nothing_else() -> None:
    untold = {event for event in EventType if not tells_of_death(event)}
    assert untold == {EventType.DELIVERY_DEAD, EventType.ENDPOINT_DISABLED, EventType.PING}
