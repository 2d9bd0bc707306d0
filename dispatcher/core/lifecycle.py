"""Everything that affects the state of a job or a delivery stands in this file.

First the two transition tables; then the decisions, which turn an outcome into one of the
`changes`. No transition is made outside of it, and the diagram in `docs/explanation/states.md` is
drawn from the tables. What a job is after a change stands in `after`.
"""

from __future__ import annotations

from typing import Final, assert_never

from msgspec import Struct

from dispatcher.core.breaker import Sign
from dispatcher.core.changes import (
    AskCancel,
    AskCancelDelivery,
    EndDelivery,
    FinishJob,
    RecordAttempt,
    Redeliver,
    ReleaseJob,
)
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
from dispatcher.core.ordering import OnDead
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
            DeliveryState.CANCELED,  # asked to cancel, and the attempt under way failed
        }
    ),
    DeliveryState.DELIVERED: frozenset({DeliveryState.PENDING}),  # redelivered: a new round
    DeliveryState.DEAD: frozenset(
        {
            DeliveryState.PENDING,
            DeliveryState.CANCELED,  # it kept those behind it in their order waiting
        }
    ),
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
JOB_ENDS: Final = {state: to & FINAL_JOB_STATES for state, to in JOB_TRANSITIONS.items()}
"""How a job can end, by the state that it is in."""

PENDING_ENDS: Final = DELIVERY_TRANSITIONS[DeliveryState.PENDING] & FINAL_DELIVERY_STATES
"""How a delivery can end that waits."""

BEST_EFFORT_EVENTS: Final = frozenset(
    {EventType.JOB_STARTED, EventType.JOB_PROGRESS, EventType.JOB_OUTPUT}
)

UNKNOWN_ATTEMPTS: Final = 3
"""How often in a row an attempt of unknown outcome is made again without using up an entry."""

DELIVERY_LIFE_MS: Final = 30 * 86_400_000
"""A delivery not delivered this long after it was made, or redelivered, is dead."""

_SHOWN_AS: Final[dict[JobState, JobStatus]] = {
    state: JobStatus(state.value) for state in JobState if state is not JobState.WAITING
}


def shown_status(job: Job, now: Instant) -> JobStatus:
    """The status as callers see it: a waiting job shows why it waits until it is due."""
    shown = _SHOWN_AS.get(job.state)
    if shown is not None:
        return shown
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


# --- The decisions -----------------------------------------------------------------------------


def decide_job(
    job: Job,
    lease: str,
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
    next_step = _next_step(job, outcome, backoff, now, jitter)
    if isinstance(next_step, _Again):
        if job.cancel_requested_at is not None:
            next_step = _End(JobState.CANCELED, _error(job, "canceled", _CANCELED_TEXT))
        elif job.deadline is not None and next_step.due_at >= job.deadline:
            next_step = _End(JobState.EXPIRED, _error(job, "deadline", _no_time_for(next_step)))
    if isinstance(next_step, _End):
        return FinishJob(
            job_id=job.id,
            from_state=JobState.RUNNING,
            lease=lease,
            to=next_step.to,
            at=now,
            event_id=event_id,
            result=next_step.result,
            error=next_step.error,
            progress=progress,
        )
    return ReleaseJob(
        job_id=job.id,
        lease=lease,
        due_at=next_step.due_at,
        retrying=next_step.retrying,
        refund=not next_step.retrying,
        error=next_step.error,
        progress=progress,
    )


class _End(Struct, frozen=True):
    to: JobState
    error: JobError | None = None
    result: bytes | None = None


class _Again(Struct, frozen=True):
    """To be run once more; `retrying` counts the attempt, else it is given back."""

    due_at: Instant
    retrying: bool
    error: JobError | None


def _next_step(
    job: Job, outcome: JobOutcome, backoff: JobBackoff, now: Instant, jitter: float
) -> _End | _Again:
    match outcome:
        case Succeeded(result=result):
            return _End(JobState.SUCCEEDED, result=result)
        case Failed(code=code, detail=detail):
            return _End(JobState.FAILED, _error(job, code, detail))
        case Canceled(why=why):
            return _End(JobState.CANCELED, _error(job, "canceled", why))
        case Snoozed(seconds=seconds):
            due_at = job_due_at(backoff, job.attempt_count, now, jitter, seconds)
            return _Again(due_at, retrying=False, error=job.error)
        case GivenBack():
            return _Again(now, retrying=False, error=job.error)
        case AttemptFailed(code=code, detail=detail, after_seconds=after_seconds):
            error = _error(job, code, detail)
        case WorkerLost():
            error = _error(job, "worker-lost", _LOST_TEXT)
            after_seconds = 0.0
        case _:
            assert_never(outcome)
    if job.attempt_count >= job.max_attempts:
        return _End(JobState.FAILED, error)
    due_at = job_due_at(backoff, job.attempt_count, now, jitter, after_seconds)
    return _Again(due_at, retrying=True, error=error)


def _no_time_for(again: _Again) -> str:
    if again.error is None:
        return "The next attempt would begin past the deadline."
    return f"The next attempt would begin past the deadline; the last ended as {again.error.code}."


_DEADLINE_TEXT: Final = "The deadline passed before the job was done."
_CANCELED_TEXT: Final = "canceled by request"
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
    return FinishJob(
        job_id=job.id,
        from_state=JobState.WAITING,
        lease=None,
        to=JobState.CANCELED,
        at=now,
        event_id=event_id,
        error=_error(job, "canceled", _CANCELED_TEXT),
    )


def unrun(job: Job, lease: str, due_at: Instant) -> ReleaseJob:
    """Gives back a job that nobody began under that lease, and with it the attempt."""
    return ReleaseJob(job_id=job.id, lease=lease, due_at=due_at, retrying=False, refund=True)


def late_at(job: Job) -> Instant | None:
    """From when a job that has not ended is too late: its deadline, or its unmet `start_by`."""
    if job.start_by is None or job.started_at is not None:
        return job.deadline
    return job.start_by if job.deadline is None else min(job.start_by, job.deadline)


def decide_overdue(job: Job, lease: str | None, *, now: Instant, event_id: str) -> FinishJob | None:
    """End a job whose `deadline` or `startBy` has passed; None when neither has.

    `startBy` binds until the first attempt begins.
    """
    if job.done:
        return None
    if job.deadline is not None and job.deadline <= now:
        error = _error(job, "deadline", _DEADLINE_TEXT)
    elif job.start_by is not None and job.start_by <= now and job.started_at is None:
        error = _error(job, "start-by", _START_BY_TEXT)
    else:
        return None
    return FinishJob(
        job_id=job.id,
        from_state=job.state,
        lease=lease,
        to=JobState.EXPIRED,
        at=now,
        event_id=event_id,
        error=error,
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
    hand_off: bool = False,
    sign: Sign = Sign.NOTHING,
) -> RecordAttempt:
    """What becomes of a delivery after an attempt; `attempt` is None if nobody knows of it.

    `hand_off`: who sent it has room to go on with the next for the same destination. `sign`: what
    the attempt tells of the receiver.
    """

    def change(
        to: DeliveryState, due_at: Instant = now, *, uses_entry: bool = True
    ) -> RecordAttempt:
        return RecordAttempt(
            delivery_id=delivery.id,
            lease=lease,
            attempt=attempt,
            to=to,
            due_at=due_at,
            uses_entry=uses_entry,
            at=now,
            hand_off=hand_off,
            gone=isinstance(verdict, Gone),
            sign=sign,
            jitter=jitter,
        )

    match verdict:
        case Delivered():
            return change(DeliveryState.DELIVERED)
        case Gone() | Refusal():
            return change(DeliveryState.DEAD)
        case Unknown() | Retriable():
            retry_after = verdict.retry_after if isinstance(verdict, Retriable) else None
            due_at = delivery_due_at(
                schedule, delivery.entries_used + 1, now, jitter, retry_after=retry_after
            )
            if due_at is None or due_at >= delivery.round_began_at + DELIVERY_LIFE_MS:
                return change(DeliveryState.DEAD)
            return change(DeliveryState.PENDING, due_at)
        case _:
            assert_never(verdict)


def settled(to: DeliveryState, *, cancel_requested: bool) -> DeliveryState:
    """Where an attempt leads that was decided to lead to `to`.

    A delivery that was asked to cancel meanwhile is not tried again. Whoever sends it may not have
    heard of that, so the store asks this in the commit itself.
    """
    return DeliveryState.CANCELED if cancel_requested and to is DeliveryState.PENDING else to


def decide_redeliver(delivery: Delivery, *, now: Instant) -> Redeliver | None:
    """A new round for a delivery that has ended, however; None while one is under way."""
    if delivery.state not in FINAL_DELIVERY_STATES:
        return None
    return Redeliver(delivery_id=delivery.id, round=delivery.round + 1, at=now)


def decide_cancel_delivery(
    delivery: Delivery, *, now: Instant
) -> EndDelivery | AskCancelDelivery | None:
    """What a request to cancel does: end one that waits, note it for one that is being sent.

    One that is dead and keeps others waiting for it (`OnDead.BLOCK`) lets them go. None when it has
    ended otherwise, or was asked before.
    """
    if delivery.state is DeliveryState.DEAD and delivery.ordered is OnDead.BLOCK:
        return EndDelivery(delivery.id, DeliveryState.CANCELED, now, delivery.round)
    if delivery.state in FINAL_DELIVERY_STATES or delivery.cancel_requested_at is not None:
        return None
    if delivery.state is DeliveryState.SENDING:
        return AskCancelDelivery(delivery.id, now)
    return EndDelivery(delivery.id, DeliveryState.CANCELED, now, delivery.round)
