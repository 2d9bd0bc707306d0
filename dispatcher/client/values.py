"""What the service shows, as values. Members that a later version adds are passed over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypedDict

import msgspec
from msgspec import Struct

from dispatcher.client.answers import Answer
from dispatcher.client.errors import Unreachable


class JobProgress(Struct, frozen=True):
    """How far a job has come, as its handler says."""

    current: float
    total: float | None = None
    message: str | None = None


class JobFailure(Struct, frozen=True):
    """Why the latest attempt that failed did so."""

    code: str
    detail: str = ""
    attempt: int = 0


class Job(Struct, frozen=True, kw_only=True, rename="camel"):
    """A job as it was when it was asked for. Times are in UTC.

    `done` says whether it has ended; then `status` is succeeded, failed, canceled or expired. A
    result beyond 64 KiB is left out (`result_omitted`): `Client.result` fetches any.
    """

    id: str
    type: str
    status: str
    done: bool
    caller_id: str = ""
    queue: str = ""
    priority: int = 5
    attempt_count: int = 0
    max_attempts: int = 0
    progress: JobProgress | None = None
    result: Any = None
    result_omitted: bool = False
    error: JobFailure | None = None
    created_at: datetime | None = None
    run_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    estimated_finish_at: datetime | None = None
    callback_url: str | None = None
    correlation_id: str | None = None
    metadata: dict[str, str] | None = None
    delivery: dict[str, Any] | None = None
    links: dict[str, str] = {}

    @property
    def succeeded(self) -> bool:
        """Whether it ended, and well."""
        return self.status == "succeeded"


class JobEvent(Struct, frozen=True, kw_only=True, rename="camel"):
    """An event of a job as it is heard while it happens.

    `data` is the job as it was then. `cursor` goes on behind this event in `Client.follow`. Live
    progress is not kept: it has no `id`, `sequence` and `cursor`.
    """

    type: str
    data: dict[str, Any]
    id: str | None = None
    timestamp: str | None = None
    sequence: int | None = None
    cursor: str | None = None


class Submission(TypedDict, total=False):
    """What a submission may say besides its type and input. Times with a zone, or RFC 3339 texts.

    `idempotency_key`: without it a new one is made, which holds for the tries of this call.
    `wait_seconds`: have the answer held until the job is done, so long at most (the service caps it
    at 50). `traceparent` and `tracestate` are W3C Trace Context. `caller_id` is for operators. All
    others are the members of `POST /v1/jobs`.
    """

    callback_url: str
    callback: Mapping[str, Any]
    queue: str
    priority: int
    run_at: datetime | str
    delay_seconds: float
    start_by: datetime | str
    deadline: datetime | str
    timeout_seconds: float
    max_attempts: int
    ordering_key: str
    correlation_id: str
    metadata: Mapping[str, str]
    retention_seconds: float
    idempotency_key: str
    wait_seconds: float
    traceparent: str
    tracestate: str
    caller_id: str


_NOT_IN_BODY: Final = frozenset(
    {"idempotency_key", "wait_seconds", "traceparent", "tracestate", "caller_id"}
)
_job: Final = msgspec.json.Decoder(Job)


def job_of(answer: Answer) -> Job:
    """The job that an answer shows; raises `Unreachable` if it shows none."""
    try:
        return _job.decode(answer.body)
    except msgspec.DecodeError:
        raise Unreachable(
            "the answer is no job: is that the dispatcher? Check DISPATCHER_URL"
        ) from None


def body_of(type_name: str, given: Any, options: Mapping[str, Any]) -> bytes:
    """The body of `POST /v1/jobs`. What is None is left out, so that defaults hold.

    Raises `ValueError` for a time without a zone, `TypeError` for what is no JSON.
    """
    body: dict[str, Any] = {"type": type_name, "input": given}
    for name, value in options.items():
        if name not in _NOT_IN_BODY and value is not None:
            body[_camel(name)] = _time(name, value) if isinstance(value, datetime) else value
    return msgspec.json.encode(body)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(each.title() for each in others)


def _time(name: str, at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError(f"{name} needs a zone: datetime.now(UTC), not datetime.now()")
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
