"""Jobs and events as they are shown: the types behind the answers of `/v1/jobs` and callbacks.

They are made as dicts in `core/payload.py` and `web/shown.py`, for speed; tests compare.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, structs

from dispatcher.core.model import CallbackMode, DeliveryState, EventType, JobStatus
from dispatcher.core.ordering import OnDead
from dispatcher.web.openapi.shapes import (
    CALLER_ID,
    EVENT_ID,
    JOB_ID,
    TIME,
    CallbackUrl,
    CallerId,
    Count,
    EventId,
    JobId,
    NextCursor,
    Time,
    Url,
)

_BASE: Final = f"https://jobs.example/v1/jobs/{JOB_ID}"


class Progress(Struct, frozen=True, kw_only=True, rename="camel"):
    """How far a job has come, as its handler says."""

    current: float
    total: float | UnsetType = UNSET
    message: str | UnsetType = UNSET


class JobError(Struct, frozen=True, kw_only=True, rename="camel"):
    """Why the latest attempt failed."""

    code: Annotated[str, Meta(description="A stable word, the handler's own or the service's.")]
    detail: str
    attempt: Count


class CallbackShown(Struct, frozen=True, kw_only=True, rename="camel"):
    """`callback` as submitted; what it leaves out is left out, and what says the default."""

    events: list[EventType] | UnsetType = UNSET
    mode: CallbackMode | UnsetType = UNSET
    schedule: list[float] | UnsetType = UNSET
    headers: (
        Annotated[dict[str, str], Meta(description="Values are shown as `***`.")] | UnsetType
    ) = UNSET
    ordered: bool | UnsetType = UNSET
    on_dead: OnDead | UnsetType = UNSET


class DeliverySummary(Struct, frozen=True, kw_only=True, rename="camel"):
    """How the callback of a job's last event fares."""

    status: DeliveryState
    attempt_count: Count
    last_status_code: int | None
    next_attempt_at: Time | None


class Links(Struct, frozen=True, kw_only=True, rename="camel"):
    """Absolute URLs of what belongs to a job."""

    self: Url
    result: Url
    events: Url
    deliveries: Url
    cancel: Url


class JobData(Struct, frozen=True, kw_only=True, rename="camel"):
    """A job as an event tells of it: as it was at the event's commit."""

    id: JobId
    caller_id: CallerId
    type: str
    status: JobStatus
    done: Annotated[bool, Meta(description="Whether it has ended; then it never changes again.")]
    queue: str
    priority: Annotated[int, Meta(ge=0, le=9)]
    attempt_count: Annotated[Count, Meta(description="Attempts begun, a running one included.")]
    max_attempts: Count
    timeout_seconds: float
    retention_seconds: float
    progress: Progress | None
    error: JobError | None
    created_at: Time
    run_at: Time | None
    start_by: Time | None
    deadline: Time | None
    started_at: Time | None
    finished_at: Time | None
    cancel_requested_at: Time | None
    callback_url: CallbackUrl | None
    callback: CallbackShown | None
    ordering_key: str | None
    correlation_id: str | None
    metadata: dict[str, str] | None
    replay_of: JobId | None
    api_version: str
    links: Links
    result_url: Url | UnsetType = UNSET
    result_omitted: (
        Annotated[
            bool, Meta(description="True: the result is too large to stand here; see `resultUrl`.")
        ]
        | UnsetType
    ) = UNSET
    result: Annotated[Any, Meta(description="Of a job that succeeded: any JSON.")] = UNSET
    output: Annotated[Any, Meta(description="Of `job.output` alone: any JSON.")] = UNSET


class Job(JobData, frozen=True, kw_only=True, rename="camel"):
    """A job.

    Members without a value are null. `result`, `resultOmitted` and `resultUrl` are there for a job
    that succeeded, `input` in `GET /v1/jobs/{id}` alone, both up to 64 KiB.
    """

    expires_at: Annotated[Time | None, Meta(description="When it may be erased; known at its end.")]
    estimated_finish_at: Time | None
    delivery: DeliverySummary | None
    input: Annotated[Any, Meta(description="As submitted: any JSON.")] = UNSET


_OF_EVENT: Final = {
    "description": "The job as it was at the event's commit; of `delivery.dead` the delivery, of "
    "`endpoint.disabled` and `ping` the endpoint.",
    "anyOf": [
        {"$ref": f"#/components/schemas/{name}"}
        for name in ("JobData", "DeadDelivery", "EndpointData")
    ],
}


class Event(Struct, frozen=True, kw_only=True, rename="camel"):
    """An event: the body of a callback, and the same wherever it is read."""

    id: Annotated[EventId, Meta(description="The callback's `webhook-id`: deduplicate by it.")]
    type: EventType
    timestamp: Time
    api_version: str
    sequence: Annotated[int | None, Meta(description="Within its job; null: not of its course.")]
    caller_id: CallerId
    callback_url: Annotated[str | None, Meta(description="Where it is posted to; null in lists.")]
    data: Annotated[Any, Meta(extra_json_schema=_OF_EVENT)]


class JobList(Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of jobs."""

    items: list[Job]
    next_cursor: NextCursor


class EventList(Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of events."""

    items: list[Event]
    next_cursor: NextCursor


# --- Examples ----------------------------------------------------------------------------------

QUEUED: Final = Job(
    id=JOB_ID,
    caller_id=CALLER_ID,
    type="dispatcher.echo",
    status=JobStatus.QUEUED,
    done=False,
    queue="default",
    priority=5,
    attempt_count=0,
    max_attempts=3,
    timeout_seconds=600,
    retention_seconds=604_800,
    progress=None,
    error=None,
    created_at=TIME,
    run_at=None,
    start_by=None,
    deadline=None,
    started_at=None,
    finished_at=None,
    cancel_requested_at=None,
    callback_url="https://example.com/callbacks",
    callback=None,
    ordering_key=None,
    correlation_id="order-4711",
    metadata=None,
    replay_of=None,
    api_version="1",
    links=Links(
        self=_BASE,
        result=f"{_BASE}/result",
        events=f"{_BASE}/events",
        deliveries=f"{_BASE}/deliveries",
        cancel=f"{_BASE}/cancel",
    ),
    expires_at=None,
    estimated_finish_at=None,
    delivery=None,
)
SUCCEEDED: Final = structs.replace(
    QUEUED,
    status=JobStatus.SUCCEEDED,
    done=True,
    attempt_count=1,
    started_at="2026-01-31T09:30:00.125Z",
    finished_at="2026-01-31T09:30:00.131Z",
    expires_at="2026-02-07T09:30:00.131Z",
    result_url=f"{_BASE}/result",
    result_omitted=False,
    result={"hello": "world"},
    input={"hello": "world"},
    delivery=DeliverySummary(
        status=DeliveryState.DELIVERED,
        attempt_count=1,
        last_status_code=204,
        next_attempt_at=None,
    ),
)
CANCELED: Final = structs.replace(
    QUEUED,
    status=JobStatus.CANCELED,
    done=True,
    error=JobError(code="canceled", detail="The caller canceled it.", attempt=0),
    finished_at="2026-01-31T09:30:00.131Z",
    expires_at="2026-02-07T09:30:00.131Z",
    cancel_requested_at="2026-01-31T09:30:00.131Z",
)
_DATA: Final = {
    name: value
    for name, value in msgspec.to_builtins(SUCCEEDED).items()
    if name not in {"delivery", "expiresAt", "estimatedFinishAt", "input"}
}
ENDED: Final[dict[str, Any]] = {
    "id": EVENT_ID,
    "type": "job.succeeded",
    "timestamp": "2026-01-31T09:30:00.131Z",
    "apiVersion": "1",
    "sequence": 1,
    "callerId": CALLER_ID,
    "callbackUrl": "https://example.com/callbacks",
    "data": _DATA,
}
"""An event as its callback has it."""

LISTED: Final = structs.replace(SUCCEEDED, input=UNSET, result=UNSET, result_omitted=True)
LEASED: Final = JobData(
    **{
        name: getattr(QUEUED, name)
        for name in JobData.__struct_fields__
        if name not in {"status", "attempt_count", "started_at"}
    },
    status=JobStatus.RUNNING,
    attempt_count=1,
    started_at=TIME,
)
"""A job as its worker has it."""
