"""Everything that affects the state of a job or a delivery stands in this file.

First the two transition tables; then the changes that the store applies, each with a guard; then
the decisions, which turn an outcome into a change. No transition is made outside of it, and the
diagram in `docs/explanation/states.md` is drawn from the tables.

A change names the state and the lease that it was decided for. The store applies it only if both
still hold (compare-and-set), so that a late worker changes nothing.
"""

from __future__ import annotations

from typing import Final, TypeAlias, assert_never

from msgspec import Struct

from dispatcher.core.model import (
    Attempt,
    Delivery,
    DeliveryState,
    EventType,
    Instant,
    Job,
    JobError,
    JobState,
    JobStatus,
    Progress,
)
from dispatcher.core.outcome import (
    AttemptFailed,
    Canceled,
    Delivered,
    Failed,
    GivenBack,
    Gone,
    JobOutcome,
    Refusal,
    Retriable,
    Snoozed,
    Succeeded,
    Unknown,
    Verdict,
    WorkerLost,
)
from dispatcher.core.retry import JobBackoff, Schedule, delivery_due_at, job_due_at

# --- The tables --------------------------------------------------------------------------------

JOB_TRANSITIONS: Final[dict[JobState, frozenset[JobState]]] = {
    JobState.WAITING: frozenset({JobState.RUNNING, JobState.CANCELED, JobState.EXPIRED}),
    JobState.RUNNING: frozenset(
        {
            JobState.WAITING,  # retry, snooze, drain, a lease taken back
            JobState.RUNNING,  # a lease taken over by the claim, in one step
            JobState.SUCCEEDED,
            JobState.FAILED,
            JobState.CANCELED,
            JobState.EXPIRED,
        }
    ),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELED: frozenset(),
    JobState.EXPIRED: frozenset(),
}

DELIVERY_TRANSITIONS: Final[dict[DeliveryState, frozenset[DeliveryState]]] = {
    DeliveryState.PENDING: frozenset(
        {DeliveryState.SENDING, DeliveryState.DEAD, DeliveryState.CANCELED}
    ),
    DeliveryState.SENDING: frozenset(
        {
            DeliveryState.PENDING,  # a failed attempt, or drain
            DeliveryState.SENDING,  # a lease taken over by the claim, in one step
            DeliveryState.DELIVERED,
            DeliveryState.DEAD,
            DeliveryState.CANCELED,
        }
    ),
    DeliveryState.DELIVERED: frozenset({DeliveryState.PENDING}),  # redelivered: a new round
    DeliveryState.DEAD: frozenset({DeliveryState.PENDING}),
    DeliveryState.CANCELED: frozenset({DeliveryState.PENDING}),
}

FINAL_JOB_STATES: Final = frozenset(s for s, to in JOB_TRANSITIONS.items() if not to)
FINAL_DELIVERY_STATES: Final = frozenset(
    {DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.CANCELED}
)

TERMINAL_EVENT: Final[dict[JobState, EventType]] = {
    JobState.SUCCEEDED: EventType.JOB_SUCCEEDED,
    JobState.FAILED: EventType.JOB_FAILED,
    JobState.CANCELED: EventType.JOB_CANCELED,
    JobState.EXPIRED: EventType.JOB_EXPIRED,
}
TERMINAL_EVENTS: Final = frozenset(TERMINAL_EVENT.values())

UNKNOWN_ATTEMPTS: Final = 3
"""How often in a row an attempt of unknown outcome is made again without using up an entry."""

DELIVERY_LIFE_MS: Final = 30 * 86_400_000
"""A delivery not delivered this long after it was made is dead."""

RETRY_AFTER_CAP_MS: Final = 86_400_000
"""A receiver's Retry-After moves the next attempt this far ahead at most."""


def shown_status(job: Job, now: Instant) -> JobStatus:
    """The status as callers see it: a waiting job shows why it waits until it is due."""
    if job.state is not JobState.WAITING:
        return JobStatus(job.state.value)
    if job.due_at <= now:
        return JobStatus.QUEUED
    return JobStatus.RETRYING if job.retrying else JobStatus.SCHEDULED


def wants(job: Job, event: EventType) -> bool:
    """Whether the job's own callback asks for `event`; without a choice, the terminal ones."""
    if job.callback is None:
        return False
    if job.callback.events is None:
        return event in TERMINAL_EVENTS
    return event in job.callback.events


# --- The changes -------------------------------------------------------------------------------


class FinishJob(Struct, frozen=True, kw_only=True):
    """End a job, write its terminal event, and owe the deliveries: one commit.

    Guard: `from_state` and `lease` (None for a waiting job). `event_id` is given, so that the same
    change sent twice is known again. `hand_off` asks the store to lease the callback's delivery at
    once to whoever sends this change, if the claim would choose it now.
    """

    job_id: str
    from_state: JobState
    lease: str | None
    to: JobState
    at: Instant
    event_id: str
    result: bytes | None = None
    error: JobError | None = None
    progress: Progress | None = None
    hand_off: bool = False


class ReleaseJob(Struct, frozen=True, kw_only=True):
    """Put a running job back: to be tried again, snoozed, or given back at drain.

    `refund` gives the attempt back. Guard: running, and `lease`.
    """

    job_id: str
    lease: str
    due_at: Instant
    retrying: bool
    refund: bool
    error: JobError | None = None
    progress: Progress | None = None


class AskCancel(Struct, frozen=True):
    """Note that a running job is to be stopped. Guard: running; a second one changes nothing."""

    job_id: str
    at: Instant


class NoteProgress(Struct, frozen=True, kw_only=True):
    """A running job tells how far it is. Guard: running, and `lease`.

    With `event_id` it is stored as an event too, and delivered if the callback asked for it.
    """

    job_id: str
    lease: str
    at: Instant
    progress: Progress
    event_id: str | None = None


class NoteOutput(Struct, frozen=True, kw_only=True):
    """A running job gives an intermediate result, always stored. Guard: running, and `lease`."""

    job_id: str
    lease: str
    at: Instant
    event_id: str
    output: bytes
    progress: Progress | None = None


class NoteStarted(Struct, frozen=True, kw_only=True):
    """An attempt has begun; sent only where somebody asked for `job.started`. Guard: as above."""

    job_id: str
    lease: str
    at: Instant
    event_id: str


class RecordAttempt(Struct, frozen=True, kw_only=True):
    """Record what came of an attempt to deliver. Guard: sending, and `lease`.

    `to` is delivered, dead, or pending with the next `due_at`. `uses_entry` tells whether an entry
    of the schedule is used up.
    """

    delivery_id: str
    lease: str
    attempt: Attempt | None
    to: DeliveryState
    due_at: Instant
    uses_entry: bool
    at: Instant


class ReleaseDelivery(Struct, frozen=True):
    """Give a leased delivery back unsent, at drain. Guard: sending, and `lease`."""

    delivery_id: str
    lease: str
    due_at: Instant


class EndDelivery(Struct, frozen=True):
    """End a delivery that waits: canceled, or dead of age. Guard: pending."""

    delivery_id: str
    to: DeliveryState
    at: Instant


JobChange: TypeAlias = FinishJob | ReleaseJob | AskCancel | NoteProgress | NoteOutput | NoteStarted
DeliveryChange: TypeAlias = RecordAttempt | ReleaseDelivery | EndDelivery
Change: TypeAlias = JobChange | DeliveryChange


# --- The decisions -----------------------------------------------------------------------------


class LeasedJob(Struct, frozen=True):
    """A running job together with the lease under which it may be changed."""

    job: Job
    lease: str
    input: bytes


def decide_job(  # noqa: PLR0913  # the facts of a decision
    job: Job,
    lease: str | None,
    outcome: JobOutcome,
    backoff: JobBackoff,
    *,
    now: Instant,
    jitter: float,
    event_id: str,
    progress: Progress | None = None,
) -> FinishJob | ReleaseJob:
    """What becomes of a running job after `outcome`.

    A job asked to cancel is not tried again; one whose next try would begin past its deadline
    expires at once rather than wait for it.
    """

    def finish(
        to: JobState, *, result: bytes | None = None, error: JobError | None = None
    ) -> FinishJob:
        return FinishJob(
            job_id=job.id,
            from_state=JobState.RUNNING,
            lease=lease,
            to=to,
            at=now,
            event_id=event_id,
            result=result,
            error=error,
            progress=progress,
        )

    def release(due_at: Instant, *, retrying: bool, error: JobError | None) -> FinishJob | ReleaseJob:
        if job.cancel_requested_at is not None:
            return finish(JobState.CANCELED, error=_error(job, "canceled", "canceled by request"))
        if job.deadline is not None and due_at >= job.deadline:
            return finish(JobState.EXPIRED, error=error or _error(job, "deadline", _DEADLINE_TEXT))
        return ReleaseJob(
            job_id=job.id,
            lease=lease or "",
            due_at=due_at,
            retrying=retrying,
            refund=not retrying,
            error=error,
            progress=progress,
        )

    def try_again(code: str, detail: str, after: float | None) -> FinishJob | ReleaseJob:
        error = _error(job, code, detail)
        if job.attempt_count >= job.max_attempts:
            return finish(JobState.FAILED, error=error)
        due_at = job_due_at(backoff, job.attempt_count, now, jitter, after)
        return release(due_at, retrying=True, error=error)

    match outcome:
        case Succeeded(result=result):
            return finish(JobState.SUCCEEDED, result=result)
        case Failed(code=code, detail=detail):
            return finish(JobState.FAILED, error=_error(job, code, detail))
        case Canceled(why=why):
            return finish(JobState.CANCELED, error=_error(job, "canceled", why))
        case AttemptFailed(code=code, detail=detail, after_seconds=after):
            return try_again(code, detail, after)
        case WorkerLost():
            return try_again("worker-lost", _LOST_TEXT, 0.0)
        case Snoozed(seconds=seconds):
            return release(now + round(seconds * 1000), retrying=False, error=job.error)
        case GivenBack():
            return release(now, retrying=False, error=job.error)
        case _:
            assert_never(outcome)


_DEADLINE_TEXT: Final = "The deadline passed before the job was done."
_START_BY_TEXT: Final = "The job was not started by its startBy."
_LOST_TEXT: Final = "The worker stopped, or lost touch with the store, before the job was done."


def _error(job: Job, code: str, detail: str) -> JobError:
    return JobError(code, detail, job.attempt_count)


def decide_cancel(job: Job, *, now: Instant, event_id: str) -> FinishJob | AskCancel | None:
    """What a request to cancel does: end a waiting job, ask a running one; None when it is done."""
    if job.done:
        return None
    if job.state is JobState.RUNNING:
        return AskCancel(job.id, now)
    return _end_waiting(job, JobState.CANCELED, "canceled", "canceled by request", now, event_id)


def decide_overdue(
    job: Job, lease: str | None, *, now: Instant, event_id: str
) -> FinishJob | None:
    """End a job whose `deadline` or `startBy` has passed; None when neither has.

    `startBy` binds until the first attempt begins.
    """
    if job.done:
        return None
    if job.deadline is not None and job.deadline <= now:
        change = _end_waiting(job, JobState.EXPIRED, "deadline", _DEADLINE_TEXT, now, event_id)
    elif job.start_by is not None and job.start_by <= now and job.started_at is None:
        change = _end_waiting(job, JobState.EXPIRED, "start-by", _START_BY_TEXT, now, event_id)
    else:
        return None
    if job.state is JobState.RUNNING:
        return FinishJob(
            job_id=job.id,
            from_state=JobState.RUNNING,
            lease=lease,
            to=change.to,
            at=now,
            event_id=event_id,
            error=change.error,
        )
    return change


def _end_waiting(
    job: Job, to: JobState, code: str, detail: str, now: Instant, event_id: str
) -> FinishJob:
    return FinishJob(
        job_id=job.id,
        from_state=JobState.WAITING,
        lease=None,
        to=to,
        at=now,
        event_id=event_id,
        error=_error(job, code, detail),
    )


def decide_delivery(
    delivery: Delivery,
    lease: str,
    verdict: Verdict,
    schedule: Schedule,
    *,
    attempt: Attempt | None,
    now: Instant,
    jitter: float,
) -> RecordAttempt:
    """What becomes of a delivery after an attempt; `attempt` is None if nobody knows of it."""

    def change(to: DeliveryState, due_at: Instant = now, *, uses_entry: bool = True) -> RecordAttempt:
        return RecordAttempt(
            delivery_id=delivery.id,
            lease=lease,
            attempt=attempt,
            to=to,
            due_at=due_at,
            uses_entry=uses_entry,
            at=now,
        )

    match verdict:
        case Delivered():
            return change(DeliveryState.DELIVERED)
        case Gone() | Refusal():
            return change(DeliveryState.DEAD)
        case Unknown() | Retriable():
            retry_after = verdict.retry_after if isinstance(verdict, Retriable) else None
            if retry_after is not None:
                retry_after = min(retry_after, now + RETRY_AFTER_CAP_MS)
            due_at = delivery_due_at(
                schedule, delivery.entries_used + 1, now, jitter, retry_after=retry_after
            )
            if due_at is None or due_at >= delivery.created_at + DELIVERY_LIFE_MS:
                return change(DeliveryState.DEAD)
            return change(DeliveryState.PENDING, due_at)
        case _:
            assert_never(verdict)
