"""Rows to values and back. Rows are read by position, in the order of the schema's columns.

`SELECT job.*` gives the columns of `job` in that order; a test holds it against the names here.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

from dispatcher.core.endpoints import DisabledReason, Endpoint
from dispatcher.core.lifecycle import late_at
from dispatcher.core.model import (
    Attempt,
    AttemptError,
    Callback,
    Caller,
    Delivery,
    DeliveryState,
    Event,
    EventType,
    Job,
    JobError,
    JobState,
    Progress,
    Trace,
)
from dispatcher.core.ordering import OnDead
from dispatcher.core.quotas import CallerTerms
from dispatcher.core.retry import Schedule

Row: TypeAlias = tuple[Any, ...]

JOB_COLUMNS: Final = (
    *("seq", "id", "caller_id", "type", "queue", "lane_seq", "priority", "state", "lease"),
    *("holder_id", "attempt_count", "max_attempts", "timeout_seconds", "retention_seconds"),
    *("created_at", "due_at", "late_at", "run_at", "start_by", "deadline", "started_at"),
    *("finished_at", "expires_at", "cancel_requested_at", "retrying", "progress", "error"),
    *("result_bytes", "callback", "correlation_id", "metadata", "replay_of", "trace"),
    *("api_version", "version", "event_count", "ordering_key", "key_place", "crash_count"),
    "last_lease",
)
JOB_WIDTH: Final = len(JOB_COLUMNS)
JOB_SEQ: Final = 0
JOB_LANE: Final = JOB_COLUMNS.index("lane_seq")
JOB_LEASE: Final = JOB_COLUMNS.index("lease")
JOB_HOLDER: Final = JOB_COLUMNS.index("holder_id")
JOB_KEY_PLACE: Final = JOB_COLUMNS.index("key_place")
JOB_LAST_LEASE: Final = JOB_COLUMNS.index("last_lease")

EVENT_COLUMNS: Final = (
    *("seq", "id", "caller_id", "job_seq", "type", "sequence", "at", "links_base", "data"),
)
EVENT_WIDTH: Final = len(EVENT_COLUMNS)

DELIVERY_COLUMNS: Final = (
    *("seq", "id", "destination_seq", "job_seq", "event_seq", "endpoint_id", "url", "origin"),
    *("state", "lease", "lease_until", "created_at", "due_at", "finished_at", "attempt_count"),
    *("entries_used", "unknown_count", "first_lease", "first_number", "first_at"),
    *("first_duration_ms", "first_status_code", "first_error", "first_body"),
    *("caller_id", "round", "redelivered_at", "cancel_requested_at"),
    *("target_seq", "chain", "on_dead", "blocked", "retried"),
)
DELIVERY_WIDTH: Final = len(DELIVERY_COLUMNS)
DELIVERY_LEASE: Final = DELIVERY_COLUMNS.index("lease")
DELIVERY_CALLER: Final = DELIVERY_COLUMNS.index("caller_id")
_FIRST: Final = DELIVERY_COLUMNS.index("first_number")
_FIRST_END: Final = DELIVERY_COLUMNS.index("first_body") + 1

ENDPOINT_COLUMNS: Final = (
    *("seq", "id", "caller_id", "url", "origin", "events", "headers", "sealed_headers", "schedule"),
    *("ordered", "rate_limit", "created_at", "failing_since", "disabled_at", "disabled_reason"),
    *("version", "deleted_at"),
)

_JOB_STATES: Final = {state.value: state for state in JobState}
_DELIVERY_STATES: Final = {state.value: state for state in DeliveryState}
_EVENT_TYPES: Final = {kind.value: kind for kind in EventType}

_encode: Final = msgspec.json.encode
_callback: Final = msgspec.json.Decoder(Callback).decode
_terms: Final = msgspec.json.Decoder(CallerTerms).decode
_progress: Final = msgspec.json.Decoder(Progress).decode
_job_error: Final = msgspec.json.Decoder(JobError).decode
_metadata: Final = msgspec.json.Decoder(dict[str, str]).decode
_trace: Final = msgspec.json.Decoder(Trace).decode
_attempt_error: Final = msgspec.json.Decoder(AttemptError).decode
_events: Final = msgspec.json.Decoder(tuple[EventType, ...]).decode
_names: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_waits: Final = msgspec.json.Decoder(tuple[float, ...]).decode


def as_json(value: object) -> str | None:
    """The JSON of a value for a TEXT column; None stays NULL."""
    return None if value is None else _encode(value).decode()


# --- Callers -----------------------------------------------------------------------------------


def caller_of(row: Row) -> Caller:
    """A caller from `id, name, created_at, terms`."""
    id_, name, created_at, terms = row
    return Caller(id_, name, created_at, CallerTerms() if terms is None else _terms(terms))


def terms_row(terms: CallerTerms) -> str | None:
    """The column `terms`; NULL: nothing is set."""
    return None if terms == CallerTerms() else as_json(terms)


# --- Jobs --------------------------------------------------------------------------------------


def job_row(
    job: Job, lane_seq: int, lease: str | None, holder_id: str | None, key_place: int = 0
) -> Row:
    """The columns of a new job, but for `seq`, which the database gives, and the last two."""
    return (
        job.id,
        job.caller_id,
        job.type,
        job.queue,
        lane_seq,
        job.priority,
        job.state._value_,
        lease,
        holder_id,
        job.attempt_count,
        job.max_attempts,
        job.timeout_seconds,
        job.retention_seconds,
        job.created_at,
        job.due_at,
        late_at(job),
        job.run_at,
        job.start_by,
        job.deadline,
        job.started_at,
        job.finished_at,
        job.expires_at,
        job.cancel_requested_at,
        job.retrying,
        as_json(job.progress),
        as_json(job.error),
        job.result_bytes,
        as_json(job.callback),
        job.correlation_id,
        as_json(job.metadata),
        job.replay_of,
        as_json(job.trace),
        job.api_version,
        job.version,
        job.event_count,
        job.ordering_key,
        key_place,
    )


def is_plain(job: Job) -> bool:
    """Whether a new job has nothing in any of the columns that `plain_job_row` leaves out."""
    return (
        job.correlation_id is None
        and job.metadata is None
        and job.trace is None
        and job.ordering_key is None
        and job.start_by is None
        and job.deadline is None
        and job.replay_of is None
        and job.progress is None
        and job.error is None
        and job.result_bytes is None
        and job.cancel_requested_at is None
        and job.finished_at is None
        and job.expires_at is None
    )


def plain_job_row(job: Job, lane_seq: int, lease: str | None, holder_id: str | None) -> Row:
    """The columns of a new job that `is_plain`, as `job_add_plain` names them."""
    return (
        job.id,
        job.caller_id,
        job.type,
        job.queue,
        lane_seq,
        job.priority,
        job.state._value_,
        lease,
        holder_id,
        job.attempt_count,
        job.max_attempts,
        job.timeout_seconds,
        job.retention_seconds,
        job.created_at,
        job.due_at,
        job.run_at,
        job.started_at,
        job.retrying,
        as_json(job.callback),
        job.api_version,
        job.version,
        job.event_count,
    )


def job_of(row: Row) -> Job:
    """A job from the columns of `job.*`, at the positions of `JOB_COLUMNS`."""
    return Job(
        id=row[1],
        caller_id=row[2],
        type=row[3],
        queue=row[4],
        priority=row[6],
        state=_JOB_STATES[row[7]],
        attempt_count=row[10],
        max_attempts=row[11],
        timeout_seconds=row[12],
        retention_seconds=row[13],
        created_at=row[14],
        due_at=row[15],
        run_at=row[17],
        start_by=row[18],
        deadline=row[19],
        started_at=row[20],
        finished_at=row[21],
        expires_at=row[22],
        cancel_requested_at=row[23],
        retrying=row[24] == 1,
        progress=None if row[25] is None else _progress(row[25]),
        error=None if row[26] is None else _job_error(row[26]),
        result_bytes=row[27],
        callback=None if row[28] is None else _callback(row[28]),
        correlation_id=row[29],
        metadata=None if row[30] is None else _metadata(row[30]),
        replay_of=row[31],
        trace=None if row[32] is None else _trace(row[32]),
        api_version=row[33],
        version=row[34],
        event_count=row[35],
        ordering_key=row[36],
        crash_count=row[38],
    )


# --- Events, endpoints and deliveries -------------------------------------------------------------


def event_of(row: Row, job_id: str | None) -> Event:
    """An event from the columns of `event.*`; `job_id` is the job that it belongs to."""
    _, id_, caller_id, _, type_, sequence, at, links_base, data = row[:EVENT_WIDTH]
    return Event(
        id=id_,
        job_id=job_id,
        caller_id=caller_id,
        type=_EVENT_TYPES[type_],
        sequence=sequence,
        at=at,
        links_base=links_base,
        data=data,
    )


def endpoint_row(endpoint: Endpoint) -> dict[str, Any]:
    """What is written of an endpoint, by the names of its columns."""
    schedule = endpoint.schedule
    return {
        "id": endpoint.id,
        "caller_id": endpoint.caller_id,
        "url": endpoint.url,
        "origin": endpoint.origin,
        "events": as_json(endpoint.events),
        "headers": as_json(endpoint.headers),
        "sealed_headers": endpoint.sealed_headers,
        "schedule": None if schedule is None else as_json(schedule.seconds),
        "ordered": endpoint.ordered,
        "rate_limit": endpoint.rate_limit,
        "created_at": endpoint.created_at,
        "version": endpoint.version,
    }


def endpoint_of(row: Row) -> Endpoint | None:
    """An endpoint from `endpoint.*` and its caller's `terms`; None from an outer join's NULLs."""
    if row[0] is None:
        return None
    terms = row[len(ENDPOINT_COLUMNS)]
    return Endpoint(
        id=row[1],
        caller_id=row[2],
        url=row[3],
        origin=row[4],
        events=_events(row[5]),
        headers=_names(row[6]),
        sealed_headers=row[7],
        schedule=None if row[8] is None else Schedule(_waits(row[8])),
        ordered=row[9] == 1,
        rate_limit=row[10],
        created_at=row[11],
        failing_since=row[12],
        disabled_at=row[13],
        disabled_reason=None if row[14] is None else DisabledReason(row[14]),
        version=row[15],
        caller_schedule=None if terms is None else _terms(terms).schedule,
    )


def delivery_of(row: Row, *, event_id: str, event_type: str, job_id: str | None) -> Delivery:
    """A delivery from the columns of `delivery.*` (`DELIVERY_COLUMNS`), and of its event."""
    return Delivery(
        id=row[1],
        event_id=event_id,
        event_type=_EVENT_TYPES[event_type],
        job_id=job_id,
        caller_id=row[DELIVERY_CALLER],
        url=row[6],
        origin=row[7],
        state=_DELIVERY_STATES[row[8]],
        created_at=row[11],
        due_at=row[12],
        attempt_count=row[14],
        entries_used=row[15],
        unknown_count=row[16],
        finished_at=row[13],
        endpoint_id=row[5],
        round=row[25],
        redelivered_at=row[26],
        cancel_requested_at=row[27],
        ordered=None if row[30] is None else OnDead(row[30]),
        blocked=row[31] == 1,
    )


def delivery_in(row: Row) -> Delivery:
    """A delivery from `delivery.*, event.id, event.type, job.id`."""
    event_id, event_type, job_id = row[DELIVERY_WIDTH:]
    return delivery_of(row, event_id=event_id, event_type=event_type, job_id=job_id)


def first_attempt_of(row: Row) -> Attempt | None:
    """The first attempt from the columns of `delivery.*`; None if none was recorded."""
    columns = row[_FIRST:_FIRST_END]
    return None if columns[0] is None else attempt_of(columns)


def attempt_row(attempt: Attempt) -> Row:
    """The columns of an attempt."""
    return (
        attempt.number,
        attempt.at,
        attempt.duration_ms,
        attempt.status_code,
        as_json(attempt.error),
        attempt.body,
    )


def attempt_of(row: Row) -> Attempt:
    """An attempt from `number, at, duration_ms, status_code, error, body`."""
    number, at, duration_ms, status_code, error, body = row
    return Attempt(
        number=number,
        at=at,
        duration_ms=duration_ms,
        status_code=status_code,
        error=None if error is None else _attempt_error(error),
        body=body,
    )
