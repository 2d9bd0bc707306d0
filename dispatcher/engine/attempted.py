"""What is kept, and told, of an attempt at a delivery that was made."""

from __future__ import annotations

from typing import assert_never

from dispatcher.core.changes import RecordAttempt
from dispatcher.core.facts import DeliveryAttemptEnded
from dispatcher.core.model import Attempt, AttemptError, Delivery, DeliveryState, Instant, Trace
from dispatcher.core.outcome import Answered, NotAllowed, NotSent, Tried, Verdict
from dispatcher.engine.commit import stands_as
from dispatcher.ports.records import ApplyResult, LeasedDelivery, Stale


def attempt_of(delivery: Delivery, sent: Tried, verdict: Verdict, started_at: Instant) -> Attempt:
    """The attempt that is written down."""
    error: AttemptError | None = getattr(verdict, "error", None)
    number = delivery.attempt_count + 1
    took = 0
    status_code: int | None = None
    body: bytes | None = None
    match sent:
        case Answered():
            took, status_code, body = sent.duration_ms, sent.status_code, sent.body
        case NotSent():
            took, status_code = sent.duration_ms, sent.status_code
        case NotAllowed():
            pass
        case _:
            assert_never(sent)
    return Attempt(
        number=number,
        at=started_at,
        duration_ms=took,
        status_code=status_code,
        error=error,
        body=body,
    )


def ended(
    leased: LeasedDelivery,
    change: RecordAttempt,
    attempt: Attempt,
    result: ApplyResult,
    trace: Trace | None,
) -> DeliveryAttemptEnded:
    """What is told of an attempt, once the store has said what became of it."""
    delivery = leased.delivery
    to = stands_as(change.to, result)
    return DeliveryAttemptEnded(
        delivery_id=delivery.id,
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        job_id=delivery.job_id,
        caller_id=delivery.caller_id,
        url=delivery.url,
        attempt=attempt.number,
        to=to,
        duration_ms=attempt.duration_ms,
        waited_ms=max(attempt.at - delivery.due_at, 0),
        status_code=attempt.status_code,
        error_code=None if attempt.error is None else attempt.error.code,
        error_detail=None if attempt.error is None else attempt.error.detail,
        next_at=change.due_at if to is DeliveryState.PENDING else None,
        correlation_id=None if leased.job is None else leased.job.correlation_id,
        stale=isinstance(result, Stale),
        trace=trace,
        endpoint_id=delivery.endpoint_id,
    )
