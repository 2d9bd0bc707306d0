"""The values that everything else speaks of: jobs, events, deliveries, attempts.

Instants are `int`, milliseconds since the Unix epoch (UTC); durations end in `_seconds`.
JSON that belongs to callers (inputs, results, outputs) is kept as the bytes that came.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeAlias

from msgspec import Struct

from dispatcher.core.ordering import OnDead
from dispatcher.core.quotas import CallerTerms
from dispatcher.core.retry import Schedule

Instant: TypeAlias = int
"""Milliseconds since the Unix epoch, UTC."""

API_VERSION: Final = "1"
"""Pinned on a job at submission and echoed in its callbacks."""

INLINE_RESULT_BYTES: Final = 65_536
"""Up to this size a result stands inline, in the job and in callbacks; and an input in the job."""


class JobState(StrEnum):
    """The stored states of a job. `waiting` is shown as queued, scheduled or retrying."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


class JobStatus(StrEnum):
    """The states of a job as callers see them."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


class DeliveryState(StrEnum):
    """The states of a delivery, stored and shown."""

    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    DEAD = "dead"
    CANCELED = "canceled"


class EventType(StrEnum):
    """The events that a callback can carry."""

    JOB_STARTED = "job.started"
    JOB_PROGRESS = "job.progress"
    JOB_OUTPUT = "job.output"
    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELED = "job.canceled"
    JOB_EXPIRED = "job.expired"
    DELIVERY_DEAD = "delivery.dead"
    ENDPOINT_DISABLED = "endpoint.disabled"
    PING = "ping"


class CallbackMode(StrEnum):
    """Whether callbacks carry the result (`full`) or leave it out (`thin`)."""

    FULL = "full"
    THIN = "thin"


class Role(StrEnum):
    """What an API key may do."""

    CALLER = "caller"
    WORKER = "worker"
    OPERATOR = "operator"


class Progress(Struct, frozen=True, omit_defaults=True):
    """How far a job has come, as its handler says: `{"current", "total", "message"}`."""

    current: int | float
    total: int | float | None = None
    message: str | None = None


class JobError(Struct, frozen=True):
    """Why the latest attempt failed: `{"code", "detail", "attempt"}`."""

    code: str
    detail: str
    attempt: int


class Callback(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where and how a job's events are pushed, as submitted.

    `headers` are the names alone; their values are sealed in `sealed_headers` (they may be
    credentials). `schedule` None means that of its caller when it was submitted, which is kept
    beside it in `caller_schedule`, or else the default. `events` None means the terminal ones.
    `ordered`: terminal ones are sent one at a time in order, and this is what a dead one does to
    the rest; None: each by itself.
    """

    url: str
    origin: str
    events: tuple[EventType, ...] | None = None
    mode: CallbackMode = CallbackMode.FULL
    schedule: Schedule | None = None
    headers: tuple[str, ...] = ()
    sealed_headers: bytes | None = None
    ordered: OnDead | None = None
    caller_schedule: Schedule | None = None

    @property
    def own_schedule(self) -> Schedule | None:
        """The schedule that was settled at submission; None: the default, as it is by then."""
        return self.caller_schedule if self.schedule is None else self.schedule


class Trace(Struct, frozen=True):
    """W3C Trace Context as it came with the submission."""

    traceparent: str
    tracestate: str | None = None


class Job(Struct, frozen=True, kw_only=True):
    """A job as it stands. Its input and result are kept apart from it.

    `due_at` is the instant from which a waiting job may be claimed; `retrying` tells that it waits
    because an attempt failed. `run_at` is what the submission asked for. `version` grows with each
    change; `event_count` is the `sequence` of its latest event. `result_bytes` is the size of the
    result, None without one. `expires_at` is when it may be pruned, known once it is done.
    Jobs of one caller with the same `ordering_key` run one after another. `crash_count` counts the
    attempts whose worker was lost with its lease.
    """

    id: str
    caller_id: str
    type: str
    queue: str
    priority: int
    state: JobState
    attempt_count: int
    max_attempts: int
    timeout_seconds: float
    retention_seconds: float
    created_at: Instant
    due_at: Instant
    run_at: Instant | None = None
    start_by: Instant | None = None
    deadline: Instant | None = None
    started_at: Instant | None = None
    finished_at: Instant | None = None
    expires_at: Instant | None = None
    cancel_requested_at: Instant | None = None
    retrying: bool = False
    progress: Progress | None = None
    error: JobError | None = None
    result_bytes: int | None = None
    callback: Callback | None = None
    correlation_id: str | None = None
    metadata: dict[str, str] | None = None
    replay_of: str | None = None
    trace: Trace | None = None
    ordering_key: str | None = None
    crash_count: int = 0
    api_version: str = API_VERSION
    version: int = 1
    event_count: int = 0

    @property
    def done(self) -> bool:
        """Whether the job has ended; then it never changes state again."""
        return self.finished_at is not None


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened, told to whoever asked for it.

    What happens to a job is its course, in which `sequence` counts. `delivery.dead` belongs to the
    delivery's job but not to its course; `endpoint.disabled` and `ping` belong to no job.
    `links_base` is the public URL in force when it was committed, so that each attempt sends the
    same bytes. `data` is JSON: None for a terminal event (all it says stands in the job, which
    changes no more); for others of a job's course the job's changing members as they were, and the
    output (see `payload.snapshot`); for the rest all that the event says.
    """

    id: str
    job_id: str | None
    caller_id: str
    type: EventType
    sequence: int | None
    at: Instant
    links_base: str
    data: bytes | None = None


class AttemptError(Struct, frozen=True):
    """Why an attempt to deliver failed: `{"code", "detail"}`."""

    code: str
    detail: str


class Attempt(Struct, frozen=True, kw_only=True):
    """One recorded attempt to deliver. `body` is the start of the answer, 4 KiB at most."""

    number: int
    at: Instant
    duration_ms: int
    status_code: int | None = None
    error: AttemptError | None = None
    body: bytes | None = None


class Delivery(Struct, frozen=True, kw_only=True):
    """One event's way to one URL.

    `attempt_count` counts recorded attempts, `entries_used` those that used up an entry of the
    schedule, `unknown_count` the attempts in a row whose outcome nobody recorded. Redelivery begins
    a new `round`: the two latter begin anew, attempts count on. `redelivered_at` is when the
    present round began (None: the first). `cancel_requested_at` is set when it was to be canceled
    while it was being sent: what is under way may still land, but it is not tried again.
    `ordered` says what it does, once dead, to those behind it (None: it stands in no order);
    `blocked`, that it waits behind another.
    """

    id: str
    event_id: str
    event_type: EventType
    job_id: str | None
    caller_id: str
    url: str
    origin: str
    state: DeliveryState
    created_at: Instant
    due_at: Instant
    attempt_count: int = 0
    entries_used: int = 0
    unknown_count: int = 0
    finished_at: Instant | None = None
    endpoint_id: str | None = None
    round: int = 1
    redelivered_at: Instant | None = None
    cancel_requested_at: Instant | None = None
    ordered: OnDead | None = None
    blocked: bool = False

    @property
    def round_began_at(self) -> Instant:
        """When the present round began: its making, or the latest redelivery."""
        return self.created_at if self.redelivered_at is None else self.redelivered_at


class Submission(Struct, frozen=True, kw_only=True):
    """What a caller asks for, parsed and checked: every default is filled in.

    `input` is the JSON as it came. `new_trace`: the caller is in a trace that could not be
    understood, so that another begins with the job (W3C Trace Context, 4.3: restart).
    """

    type: str
    input: bytes
    queue: str
    priority: int
    run_at: Instant | None = None
    start_by: Instant | None = None
    deadline: Instant | None = None
    timeout_seconds: float
    max_attempts: int
    retention_seconds: float
    callback: Callback | None = None
    correlation_id: str | None = None
    metadata: dict[str, str] | None = None
    trace: Trace | None = None
    new_trace: bool = False
    replay_of: str | None = None
    ordering_key: str | None = None


class Caller(Struct, frozen=True):
    """A program that submits jobs, and what is set for it."""

    id: str
    name: str
    created_at: Instant
    terms: CallerTerms = CallerTerms()


class ApiKey(Struct, frozen=True, kw_only=True):
    """An API key as stored: never the key, only what tells who it is."""

    id: str
    caller_id: str
    role: Role
    created_at: Instant
    expires_at: Instant | None = None
    revoked_at: Instant | None = None


class ServiceKey(Struct, frozen=True, kw_only=True):
    """One of the service's own keys, by which receivers know who sent a callback (`v1a`).

    `id` is its thumbprint (RFC 7638), `public` the 32 bytes of the public key. It signs until
    `retired_at`, None: until it is rotated.
    """

    id: str
    public: bytes
    created_at: Instant
    retired_at: Instant | None = None


class JobType(Struct, frozen=True, kw_only=True):
    """A kind of job as it was declared. `schema` and `result_schema` are JSON Schema, as JSON."""

    name: str
    runner: str
    description: str = ""
    queue: str = "default"
    timeout_seconds: float = 600.0
    max_timeout_seconds: float | None = None
    max_attempts: int = 3
    most_attempts: int | None = None
    concurrency: int | None = None
    schema: bytes | None = None
    result_schema: bytes | None = None
