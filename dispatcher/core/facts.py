"""What happened, for those who look on: metrics, logs, waiters, tests. One fact an attempt.

Facts carry every id that someone will search for, and never a secret, an input or a result.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from dispatcher.core.audit import AuditEntry
from dispatcher.core.breaker import BreakerState
from dispatcher.core.endpoints import Endpoint
from dispatcher.core.model import Delivery, DeliveryState, Instant, Job, JobState, Trace


class JobAccepted(Struct, frozen=True):
    """A job was committed; the 202 follows. `replayed`: its idempotency key was known."""

    job: Job
    handed_off: bool
    replayed: bool = False


class JobAttemptEnded(Struct, frozen=True, kw_only=True):
    """An attempt came out, and its change was applied (or refused as stale).

    `waited_ms`: from when the job was due until the attempt began.
    """

    job: Job
    attempt: int
    outcome: str
    to: JobState
    duration_ms: int
    waited_ms: int = 0
    stale: bool = False
    error_code: str | None = None
    error_detail: str | None = None
    trace_back: str | None = None


class JobEnded(Struct, frozen=True):
    """A job reached a final state, however: run, canceled, expired, given up."""

    job: Job
    to: JobState


class JobMoved(Struct, frozen=True):
    """What is shown of a job has changed, and no other fact tells it.

    It was claimed, or told progress or an intermediate result.
    `live` is the job with its latest progress, if no event is stored of it.
    """

    job_id: str
    caller_id: str
    live: Job | None = None


class JobErased(Struct, frozen=True):
    """A job was erased at a caller's word; `caller_id` None: at an operator's."""

    job_id: str
    caller_id: str | None


class DeliveryAttemptEnded(Struct, frozen=True, kw_only=True):
    """An attempt to deliver came out, and its change was applied (or refused as stale).

    `waited_ms`: from when the delivery was due until the attempt began. `trace` is what was sent.
    """

    delivery_id: str
    event_id: str
    event_type: str
    job_id: str | None
    caller_id: str
    url: str
    attempt: int
    to: DeliveryState
    duration_ms: int
    status_code: int | None = None
    error_code: str | None = None
    error_detail: str | None = None
    next_at: int | None = None
    correlation_id: str | None = None
    waited_ms: int = 0
    stale: bool = False
    trace: Trace | None = None
    endpoint_id: str | None = None


class DeliverySwept(Struct, frozen=True):
    """A delivery was settled without an attempt: too old, or its outcome never recorded.

    Or it was asked to be canceled while this process had it, and was given back unsent. `job` is
    the delivery's, if it was read.
    """

    delivery: Delivery
    to: DeliveryState
    job: Job | None = None


class StreamDropped(Struct, frozen=True):
    """A stream of events was ended by the service: its reader did not take what was sent."""

    caller_id: str
    path: str
    open_ms: int


class EndpointSwitched(Struct, frozen=True):
    """A registered endpoint was enabled, or disabled for its `disabled_reason`."""

    endpoint: Endpoint


class BreakerChanged(Struct, frozen=True, kw_only=True):
    """A breaker is in another state, or has opened again; `url` None: the whole destination's.

    While it is open, until `open_until`, nothing is sent.
    """

    destination_id: str
    caller_id: str
    origin: str
    endpoint_id: str | None
    url: str | None
    before: BreakerState
    state: BreakerState
    open_until: int | None = None


class SubmissionRefused(Struct, frozen=True):
    """A limit kept a job out: `limit` is `rate`, or a word of `quotas.Full`."""

    caller_id: str
    limit: str


class CancelAsked(Struct, frozen=True):
    """Somebody asked for a job that runs to be stopped (one that waited has ended: `JobEnded`)."""

    job: Job


class Redelivered(Struct, frozen=True):
    """Somebody began a new round for a delivery; it is shown as it stood before."""

    delivery: Delivery
    job: Job | None = None


class DeliveryCancelAsked(Struct, frozen=True):
    """Somebody asked for a delivery to be canceled; it is shown as it stood before.

    `to` is where that led: canceled, or still sending, and then the attempt is its last.
    """

    delivery: Delivery
    to: DeliveryState
    job: Job | None = None


class JobsReady(Struct, frozen=True):
    """Jobs may be claimed, now or `at` (None: now); of one type, or (None) of any.

    Told besides waking the loops here, for those of other processes.
    """

    at: Instant | None = None
    job_type: str | None = None


class DeliveriesReady(Struct, frozen=True):
    """Deliveries may be claimed, now or `at` (None: now): as `JobsReady`."""

    at: Instant | None = None


class SecretsChanged(Struct, frozen=True):
    """The signing secrets of a registered endpoint have changed."""

    endpoint_id: str


class ActionAudited(Struct, frozen=True):
    """Something that an operator did stands in the audit log."""

    entry: AuditEntry


class ClockDiffers(Struct, frozen=True):
    """This machine's clock is ahead of the store's by so many seconds (negative: behind).

    The store's is gone by. Told when that begins, and 0.0 when it is over.
    """

    ahead_seconds: float


class LeaseLost(Struct, frozen=True):
    """This process could not renew its lease in time and stops what it holds."""

    holder_id: str
    jobs: int


class RunsAlone(Struct, frozen=True):
    """A job that was running at several crashes begins, with no other handler beside it here."""

    job: Job


class PauseChanged(Struct, frozen=True):
    """An operator paused a queue (None: all), or resumed it."""

    queue: str | None
    paused: bool


class StoreFailed(Struct, frozen=True):
    """The store could not do its work; `during` says what was tried. It is tried again."""

    during: str
    detail: str


class StoreRecovered(Struct, frozen=True):
    """The store works again."""

    during: str


class LoopFailed(Struct, frozen=True):
    """A background loop met a defect of ours; it was started again."""

    loop: str
    detail: str
    trace_back: str


class SendingHeldUp(Struct, frozen=True):
    """Callbacks can't be sent for want of something of this machine's: open files, memory.

    They wait, and no attempt is counted. Told once a minute while it lasts.
    """

    detail: str


class LoopIdle(Struct, frozen=True):
    """A loop found nothing to do now: a signal for tests."""

    loop: str


Fact: TypeAlias = (
    JobAccepted
    | JobAttemptEnded
    | JobEnded
    | JobMoved
    | JobErased
    | DeliveryAttemptEnded
    | DeliverySwept
    | StreamDropped
    | EndpointSwitched
    | BreakerChanged
    | SubmissionRefused
    | CancelAsked
    | Redelivered
    | DeliveryCancelAsked
    | JobsReady
    | DeliveriesReady
    | SecretsChanged
    | ActionAudited
    | ClockDiffers
    | LeaseLost
    | RunsAlone
    | PauseChanged
    | StoreFailed
    | StoreRecovered
    | LoopFailed
    | SendingHeldUp
    | LoopIdle
)
