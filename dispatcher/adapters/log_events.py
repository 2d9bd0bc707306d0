"""What each fact is as an event of the log: its level, its name and its members."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, assert_never

from dispatcher.core.breaker import BreakerState
from dispatcher.core.facts import (
    BreakerChanged,
    DeliveryAttemptEnded,
    DeliverySwept,
    Fact,
    JobAccepted,
    JobAttemptEnded,
    JobEnded,
    LeaseLost,
    LoopFailed,
    LoopIdle,
    StoreFailed,
    StoreRecovered,
)
from dispatcher.core.model import Delivery, DeliveryState, Job, JobState
from dispatcher.core.payload import rfc3339


def level_of(fact: Fact) -> int:
    """The level that a fact is logged at."""
    match fact:
        case DeliveryAttemptEnded(to=to) | DeliverySwept(to=to):
            return logging.WARNING if to is DeliveryState.DEAD else logging.INFO
        case JobAttemptEnded(to=to):
            return logging.WARNING if to is JobState.FAILED else logging.INFO
        case BreakerChanged(state=state):
            return logging.WARNING if state is BreakerState.OPEN else logging.INFO
        case JobAccepted() | JobEnded() | LoopIdle():
            return logging.DEBUG
        case StoreRecovered():
            return logging.INFO
        case LeaseLost():
            return logging.WARNING
        case StoreFailed() | LoopFailed():
            return logging.ERROR
        case _:
            assert_never(fact)


def describe(fact: Fact) -> tuple[str, Mapping[str, Any]]:  # noqa: C901  # one case a fact
    """The event's name and its members."""
    match fact:
        case JobAccepted(job=job):
            return "job.accepted", {
                **_ids(job),
                "handedOff": fact.handed_off,
                "replayed": fact.replayed,
            }
        case JobAttemptEnded():
            return "job.attempt", _of_job_attempt(fact)
        case JobEnded(job=job, to=to):
            return "job.ended", {**_ids(job), "to": to.value, "attempts": job.attempt_count}
        case DeliveryAttemptEnded():
            return "delivery.attempt", _of_delivery(fact)
        case DeliverySwept(delivery=delivery, to=to):
            return "delivery.swept", {**_ids_of_delivery(delivery), "to": to.value}
        case BreakerChanged():
            return "breaker.changed", _of_breaker(fact)
        case LeaseLost(holder_id=holder_id, jobs=jobs):
            return "lease.lost", {"holderId": holder_id, "jobs": jobs}
        case StoreFailed(during=during, detail=detail):
            return "store.failed", {"during": during, "detail": detail}
        case StoreRecovered(during=during):
            return "store.recovered", {"during": during}
        case LoopFailed(loop=loop, detail=detail, trace_back=trace_back):
            return "loop.failed", {"loop": loop, "detail": detail, "traceback": trace_back}
        case LoopIdle(loop=loop):
            return "loop.idle", {"loop": loop}
        case _:
            assert_never(fact)


def _ids(job: Job) -> dict[str, Any]:
    found: dict[str, Any] = {
        "jobId": job.id,
        "jobType": job.type,
        "callerId": job.caller_id,
        "queue": job.queue,
    }
    if job.correlation_id is not None:
        found["correlationId"] = job.correlation_id
    if job.replay_of is not None:
        found["replayOf"] = job.replay_of
    if job.trace is not None:
        found["traceparent"] = job.trace.traceparent
    return found


def _of_job_attempt(fact: JobAttemptEnded) -> dict[str, Any]:
    return {
        **_ids(fact.job),
        "attempt": fact.attempt,
        "outcome": fact.outcome,
        "to": fact.to.value,
        "waitedMs": fact.waited_ms,
        "durationMs": fact.duration_ms,
        **_without_none(
            stale=fact.stale or None,
            errorCode=fact.error_code,
            errorDetail=fact.error_detail,
            traceback=fact.trace_back,
        ),
    }


def _of_delivery(fact: DeliveryAttemptEnded) -> dict[str, Any]:
    return {
        "deliveryId": fact.delivery_id,
        "eventId": fact.event_id,
        "eventType": fact.event_type,
        "jobId": fact.job_id,
        "callerId": fact.caller_id,
        "url": fact.url.partition("?")[0],  # queries carry tokens
        "attempt": fact.attempt,
        "to": fact.to.value,
        "waitedMs": fact.waited_ms,
        "durationMs": fact.duration_ms,
        **_without_none(
            statusCode=fact.status_code,
            errorCode=fact.error_code,
            errorDetail=fact.error_detail,
            nextAttemptAt=rfc3339(fact.next_at) if fact.to is DeliveryState.PENDING else None,
            correlationId=fact.correlation_id,
            stale=fact.stale or None,
        ),
    }


def _of_breaker(fact: BreakerChanged) -> dict[str, Any]:
    return {
        "destinationId": fact.destination_id,
        "callerId": fact.caller_id,
        "origin": fact.origin,
        "from": fact.before.value,
        "to": fact.state.value,
        **_without_none(
            endpointId=fact.endpoint_id,
            url=None if fact.url is None else fact.url.partition("?")[0],  # queries carry tokens
            openUntil=None if fact.open_until is None else rfc3339(fact.open_until),
        ),
    }


def _ids_of_delivery(delivery: Delivery) -> dict[str, Any]:
    return {
        "deliveryId": delivery.id,
        "eventId": delivery.event_id,
        "eventType": delivery.event_type,
        "jobId": delivery.job_id,
        "callerId": delivery.caller_id,
        "url": delivery.url.partition("?")[0],  # queries carry tokens
        "attempts": delivery.attempt_count,
    }


def _without_none(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}
