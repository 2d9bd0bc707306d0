"""The bodies that come in, as types: what parses requests is what documents them.

Bounds that no setting changes stand here as constraints; the others are in `core/submission.py`.
A member that is null counts as absent (but `input`, which is any JSON, and in changes: there null
takes away what was set).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from dispatcher.core.limits import MOST_BODY_BYTES, MOST_BYTES_WAITING, MOST_WAITING
from dispatcher.core.model import CallbackMode, EventType, Role
from dispatcher.core.ordering import OnDead
from dispatcher.core.rate import LEAST_RATE, MOST_RATE
from dispatcher.core.ratelimit import MOST_REQUESTS, MOST_WINDOW_SECONDS
from dispatcher.ports.records import MOST_OVERLAP_SECONDS, OVERLAP_SECONDS


class JobEvent(StrEnum):
    """What a job's own callback can ask for; the rest goes to the feed and to endpoints alone."""

    STARTED = EventType.JOB_STARTED
    PROGRESS = EventType.JOB_PROGRESS
    OUTPUT = EventType.JOB_OUTPUT
    SUCCEEDED = EventType.JOB_SUCCEEDED
    FAILED = EventType.JOB_FAILED
    CANCELED = EventType.JOB_CANCELED
    EXPIRED = EventType.JOB_EXPIRED


# The end is said twice because `$` of Python's `re` also fits before a final line feed.
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,99}$(?!\n)"

Name: TypeAlias = Annotated[str, Meta(pattern=NAME_PATTERN)]
Priority: TypeAlias = Annotated[int, Meta(ge=0, le=9)]
Events: TypeAlias = Annotated[list[JobEvent], Meta(min_length=1)]


class EndpointEvent(StrEnum):
    """What an endpoint can subscribe to: all but pings, which go to the one that is pinged."""

    JOB_STARTED = EventType.JOB_STARTED
    JOB_PROGRESS = EventType.JOB_PROGRESS
    JOB_OUTPUT = EventType.JOB_OUTPUT
    JOB_SUCCEEDED = EventType.JOB_SUCCEEDED
    JOB_FAILED = EventType.JOB_FAILED
    JOB_CANCELED = EventType.JOB_CANCELED
    JOB_EXPIRED = EventType.JOB_EXPIRED
    DELIVERY_DEAD = EventType.DELIVERY_DEAD
    ENDPOINT_DISABLED = EventType.ENDPOINT_DISABLED


class CallbackBody(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """`callback` of a submission: how events are pushed to `callbackUrl`."""

    events: Annotated[
        Events | None,
        Meta(description="The events to send; without it those that end the job."),
    ] = None
    mode: Annotated[
        CallbackMode | None,
        Meta(description="`full` (the default) carries the result, `thin` leaves it out."),
    ] = None
    headers: Annotated[
        dict[str, str] | None,
        Meta(description="Headers to send along; kept like secrets and shown as `***`."),
    ] = None
    schedule: Annotated[
        list[float] | None,
        Meta(
            description="The seconds before each attempt, the first included.",
            examples=[[0, 5, 300]],
        ),
    ] = None
    ordered: Annotated[
        bool | None,
        Meta(
            description="Whether the callbacks that end jobs of one `orderingKey` (or this job "
            "alone) are sent to the URL one at a time, in order."
        ),
    ] = None
    on_dead: Annotated[
        OnDead | None,
        Meta(
            description="With `ordered`: when one is dead, `skip` (the default) goes on with the "
            "next, `block` waits until it was redelivered or canceled."
        ),
    ] = None


class SubmissionBody(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of `POST /v1/jobs`."""

    type: Annotated[Name, Meta(description="The kind of job.", examples=["dispatcher.echo"])]
    input: Annotated[
        Raw, Meta(description="What the job is given: any JSON that fits the type's schema.")
    ]
    callback_url: Annotated[
        str | None,
        Meta(
            description="Where the job's events are POSTed.",
            examples=["https://example.com/callbacks"],
        ),
    ] = None
    callback: Annotated[
        CallbackBody | None, Meta(description="How they are; needs `callbackUrl`.")
    ] = None
    queue: Annotated[Name | None, Meta(description="The queue; without it the type's.")] = None
    priority: Annotated[
        Priority | None, Meta(description="0 to 9, higher first; 5 without it.")
    ] = None
    run_at: Annotated[
        str | None,
        Meta(
            description="When to run, an RFC 3339 time; one in the past means now.",
            examples=["2026-01-31T09:30:00Z"],
        ),
    ] = None
    delay_seconds: Annotated[
        float | None, Meta(description="The same as seconds from now; not both.")
    ] = None
    start_by: Annotated[
        str | None, Meta(description="An RFC 3339 time: not begun by then, the job expires.")
    ] = None
    deadline: Annotated[
        str | None, Meta(description="An RFC 3339 time: not done by then, the job expires.")
    ] = None
    timeout_seconds: Annotated[
        float | None, Meta(description="The bound of one attempt; without it the type's.")
    ] = None
    max_attempts: Annotated[
        int | None, Meta(description="How often the job is tried; without it the type's.")
    ] = None
    ordering_key: Annotated[
        str | None,
        Meta(
            description="Jobs of the caller with the same key run one after another.",
            examples=["order-4711"],
        ),
    ] = None
    correlation_id: Annotated[
        str | None, Meta(description="The caller's own word for it, echoed everywhere.")
    ] = None
    metadata: Annotated[
        dict[str, str] | None, Meta(description="Texts of the caller's own, echoed.")
    ] = None
    retention_seconds: Annotated[
        float | None, Meta(description="How long the job is kept after its end.")
    ] = None


class CallerBody(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of `POST /v1/callers`."""

    name: Annotated[Name, Meta(description="Of the caller, taken once.", examples=["shop"])]
    role: Annotated[
        Role | None, Meta(description="What its first key may do; `caller` without it.")
    ] = None


class KeyBody(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of `POST /v1/callers/{id}/keys`."""

    role: Annotated[Role, Meta(description="What the key may do.")]
    expires_at: Annotated[
        str | None,
        Meta(
            description="An RFC 3339 time from which the key is refused; without it never.",
            examples=["2027-01-31T09:30:00Z"],
        ),
    ] = None


class RateBody(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A rate: so many requests in so many seconds."""

    requests: Annotated[int, Meta(ge=1, le=MOST_REQUESTS, examples=[600])]
    window_seconds: Annotated[int, Meta(ge=1, le=MOST_WINDOW_SECONDS, examples=[60])]


Count: TypeAlias = Annotated[int, Meta(ge=1, le=MOST_WAITING)]


class LimitsBody(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """`limits` of a caller. A member that is left out stays as it is; null gives it the default."""

    rate: Annotated[
        RateBody | UnsetType | None, Meta(description="How often it may submit; 429 beyond.")
    ] = UNSET
    jobs_waiting: Annotated[
        Count | UnsetType | None, Meta(description="How many of its jobs may wait; 429 beyond.")
    ] = UNSET
    bytes_waiting: Annotated[
        Annotated[int, Meta(ge=1, le=MOST_BYTES_WAITING)] | UnsetType | None,
        Meta(description="How large their inputs may be together; 429 beyond."),
    ] = UNSET
    body_bytes: Annotated[
        Annotated[int, Meta(ge=1, le=MOST_BODY_BYTES)] | UnsetType | None,
        Meta(description="How large the body of a submission may be; 413 beyond."),
    ] = UNSET


class CallerChangeBody(
    Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """The body of `PATCH /v1/callers/{id}`: what is to be changed (RFC 7396, for JSON)."""

    limits: Annotated[
        LimitsBody | UnsetType | None, Meta(description="null gives it all the defaults.")
    ] = UNSET
    schedule: Annotated[
        list[float] | UnsetType | None,
        Meta(
            description="The seconds before each attempt of its callbacks, the first included, for "
            "jobs submitted from then on that name none; null gives it the default.",
            examples=[[0, 5, 300]],
        ),
    ] = UNSET


EndpointEvents: TypeAlias = Annotated[list[EndpointEvent], Meta(min_length=1)]
PerSecond: TypeAlias = Annotated[float, Meta(ge=LEAST_RATE, le=MOST_RATE)]


class EndpointChangeBody(
    Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """The body of `PATCH /v1/endpoints/{id}`: what is to be changed (RFC 7396, for JSON).

    What is left out stays as it is; null gives it the default.
    """

    url: Annotated[
        str | UnsetType,
        Meta(
            description="Where events are POSTed from then on.",
            examples=["https://example.com/events"],
        ),
    ] = UNSET
    events: Annotated[
        EndpointEvents | UnsetType | None,
        Meta(description="The events to send; without it those that end a job."),
    ] = UNSET
    headers: Annotated[
        dict[str, str] | UnsetType | None,
        Meta(description="Headers to send along; kept like secrets and shown as `***`."),
    ] = UNSET
    schedule: Annotated[
        list[float] | UnsetType | None,
        Meta(
            description="The seconds before each attempt, the first included.",
            examples=[[0, 5, 300]],
        ),
    ] = UNSET
    ordered: Annotated[
        bool | UnsetType | None,
        Meta(description="Whether a job's, or an orderingKey's, are sent one at a time in order."),
    ] = UNSET
    rate_limit: Annotated[
        PerSecond | UnsetType | None, Meta(description="How many are sent a second at most.")
    ] = UNSET


class EndpointBody(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of `POST /v1/endpoints`; see `EndpointChangeBody`."""

    url: str
    events: EndpointEvents | None = None
    headers: dict[str, str] | None = None
    schedule: list[float] | None = None
    ordered: bool | None = None
    rate_limit: PerSecond | None = None


class RotationBody(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of `POST /v1/callers/{id}/rotate-secret`; it may be left out."""

    overlap_seconds: Annotated[
        Annotated[float, Meta(ge=0, le=MOST_OVERLAP_SECONDS)] | None,
        Meta(
            description="How long the secrets there are go on signing beside the new one; "
            f"{OVERLAP_SECONDS} (a day) without it, 7 days at most."
        ),
    ] = None


class LeasesBody(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of `POST /v1/leases`."""

    types: Annotated[
        Annotated[list[Name], Meta(min_length=1, max_length=100)],
        Meta(description="The types to be done; their runner is `remote`."),
    ]
    limit: Annotated[
        Annotated[int, Meta(ge=1, le=100)] | None,
        Meta(description="How many jobs at most; 1 without it."),
    ] = None
    lease_seconds: Annotated[
        Annotated[float, Meta(ge=1, le=3_600)] | None,
        Meta(description="How long a lease lasts without a heartbeat; 60 without it."),
    ] = None


class ProgressBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`progress` of a heartbeat."""

    current: float
    total: float | None = None
    message: Annotated[str, Meta(max_length=1_000)] | None = None


class HeartbeatBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a lease's heartbeat; it may be left out."""

    progress: Annotated[
        ProgressBody | None, Meta(description="How far the job is, as shown in it.")
    ] = None
    output: Annotated[
        Raw, Meta(description="An intermediate result, any JSON: event `job.output`.")
    ] = field(default_factory=Raw)  # made anew, since a schema can't show a Raw as its default


class CompleteBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that ends a lease with a result."""

    result: Annotated[Raw, Meta(description="The result, any JSON; null without it.")] = field(
        default_factory=lambda: Raw(b"null")
    )


class FailureBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`error` of a failure."""

    code: Annotated[Name, Meta(description="A stable word.", examples=["no-speech"])]
    detail: Annotated[str, Meta(max_length=4_096, description="A sentence for the caller.")] = ""


class FailBody(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body that ends a lease with a failure."""

    error: FailureBody
    retriable: Annotated[
        bool, Meta(description="Whether to try again, within the job's attempts.")
    ] = False
    retry_after_seconds: Annotated[
        Annotated[float, Meta(ge=0, le=604_800)] | None,
        Meta(description="When, if it is; without it by the type's own waits."),
    ] = None


class SnoozeBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that puts a job back for later, its attempt given back."""

    seconds: Annotated[float, Meta(gt=0, le=31_536_000)]


class NoBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a call that takes none: nothing at all, or an empty object."""
