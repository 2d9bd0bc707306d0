"""What facts are as log events: each its level, its name and its members."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, assert_never

import msgspec

from dispatcher.core.audit import AuditEntry
from dispatcher.core.breaker import BreakerState
from dispatcher.core.endpoints import DisabledReason, Endpoint
from dispatcher.core.facts import (
    ActionAudited,
    BreakerChanged,
    CancelAsked,
    ClockDiffers,
    DeliveriesReady,
    DeliveryAttemptEnded,
    DeliveryCancelAsked,
    DeliverySwept,
    EndpointSwitched,
    Fact,
    JobAccepted,
    JobAttemptEnded,
    JobEnded,
    JobErased,
    JobMoved,
    JobsReady,
    LeaseLost,
    LoopFailed,
    LoopIdle,
    PauseChanged,
    Redelivered,
    RunsAlone,
    SecretsChanged,
    SendingHeldUp,
    StoreFailed,
    StoreRecovered,
    StreamDropped,
    SubmissionRefused,
)
from dispatcher.core.model import Delivery, DeliveryState, Job, JobState
from dispatcher.core.payload import rfc3339
from dispatcher.core.trace import trace_id

OF_REQUESTS: Final = (
    JobAccepted,
    SubmissionRefused,
    CancelAsked,
    Redelivered,
    DeliveryCancelAsked,
)
"""Facts that tell what a request did; their events name it (`ActionAudited` does by itself)."""


def level_of(fact: Fact) -> int:
    """The level that a fact is logged at."""
    match fact:
        case DeliveryAttemptEnded(to=to) | DeliverySwept(to=to):
            return logging.WARNING if to is DeliveryState.DEAD else logging.INFO
        case JobAttemptEnded(to=to):
            return logging.WARNING if to is JobState.FAILED else logging.INFO
        case (JobAccepted() | JobEnded() | JobMoved() | SubmissionRefused() | LoopIdle()) | (
            JobsReady() | DeliveriesReady() | SecretsChanged()
        ):
            return logging.DEBUG
        case EndpointSwitched(endpoint=endpoint):
            asked = endpoint.disabled_reason in (None, DisabledReason.MANUAL)
            return logging.INFO if asked else logging.WARNING
        case CancelAsked() | Redelivered() | DeliveryCancelAsked() | ActionAudited():
            return logging.INFO
        case JobErased() | StoreRecovered() | PauseChanged() | StreamDropped():
            return logging.INFO
        case BreakerChanged(state=state):
            return logging.WARNING if state is BreakerState.OPEN else logging.INFO
        case LeaseLost() | RunsAlone() | ClockDiffers():
            return logging.WARNING
        case StoreFailed() | LoopFailed() | SendingHeldUp():
            return logging.ERROR
        case _:
            assert_never(fact)


def describe(fact: Fact) -> tuple[str, Mapping[str, Any]]:  # noqa: C901, PLR0912  # one case a fact
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
        case JobErased(job_id=job_id, caller_id=caller_id):
            return "job.erased", {"jobId": job_id, "callerId": caller_id}
        case DeliveryAttemptEnded():
            return "delivery.attempt", _of_delivery(fact)
        case DeliverySwept(delivery=delivery, to=to):
            return "delivery.swept", {**_ids_of_delivery(delivery, fact.job), "to": to.value}
        case SubmissionRefused(caller_id=caller_id, limit=limit):
            return "submission.refused", {"callerId": caller_id, "limit": limit}
        case CancelAsked(job=job):
            return "job.canceling", _ids(job)
        case Redelivered(delivery=delivery):
            return "delivery.redelivered", _ids_of_delivery(delivery, fact.job)
        case DeliveryCancelAsked(delivery=delivery, to=to):
            return "delivery.canceling", {**_ids_of_delivery(delivery, fact.job), "to": to.value}
        case ActionAudited(entry=entry):
            return "audit", _of_entry(entry)
        case JobMoved(job_id=job_id, caller_id=caller_id):
            return "job.moved", {"jobId": job_id, "callerId": caller_id}
        case StreamDropped(caller_id=caller_id, path=path, open_ms=open_ms):
            return "stream.dropped", {"callerId": caller_id, "path": path, "openMs": open_ms}
        case EndpointSwitched(endpoint=endpoint):
            return "endpoint.switched", _of_endpoint(endpoint)
        case BreakerChanged():
            return "breaker.changed", _of_breaker(fact)
        case LeaseLost(holder_id=holder_id, jobs=jobs):
            return "lease.lost", {"holderId": holder_id, "jobs": jobs}
        case RunsAlone(job=job):
            return "job.alone", {**_ids(job), "crashes": job.crash_count}
        case PauseChanged(queue=queue, paused=paused):
            return "queue.paused" if paused else "queue.resumed", {"queue": queue}
        case StoreFailed(during=during, detail=detail):
            return "store.failed", {"during": during, "detail": detail}
        case StoreRecovered(during=during):
            return "store.recovered", {"during": during}
        case LoopFailed(loop=loop, detail=detail, trace_back=trace_back):
            return "loop.failed", {"loop": loop, "detail": detail, "traceback": trace_back}
        case SendingHeldUp(detail=detail):
            return "sending.held-up", {"detail": detail}
        case ClockDiffers(ahead_seconds=ahead):
            return "clock.differs", {"aheadSeconds": round(ahead, 3)}
        case JobsReady() | DeliveriesReady() | SecretsChanged():
            return _for_others(fact)
        case LoopIdle(loop=loop):
            return "loop.idle", {"loop": loop}
        case _:
            assert_never(fact)


def _for_others(fact: JobsReady | DeliveriesReady | SecretsChanged) -> tuple[str, dict[str, Any]]:
    match fact:
        case JobsReady(at=at, job_type=job_type):
            return "jobs.ready", {"at": rfc3339(at), "type": job_type}
        case DeliveriesReady(at=at):
            return "deliveries.ready", {"at": rfc3339(at)}
        case SecretsChanged(endpoint_id=endpoint_id):
            return "secrets.changed", {"endpointId": endpoint_id}


def _ids(job: Job) -> dict[str, Any]:
    found: dict[str, Any] = {
        "jobId": job.id,
        "jobType": job.type,
        "callerId": job.caller_id,
        "queue": job.queue,
    }
    if job.replay_of is not None:
        found["replayOf"] = job.replay_of
    return found | _of_caller(job)


def _of_caller(job: Job | None) -> dict[str, Any]:
    """What a caller will search for, if its job has it."""
    if job is None:
        return {}
    return _without_none(
        correlationId=job.correlation_id,
        traceId=None if job.trace is None else trace_id(job.trace),
    )


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
            endpointId=fact.endpoint_id,
            statusCode=fact.status_code,
            errorCode=fact.error_code,
            errorDetail=fact.error_detail,
            nextAttemptAt=rfc3339(fact.next_at) if fact.to is DeliveryState.PENDING else None,
            correlationId=fact.correlation_id,
            traceId=None if fact.trace is None else trace_id(fact.trace),
            stale=fact.stale or None,
        ),
    }


def _of_endpoint(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "endpointId": endpoint.id,
        "callerId": endpoint.caller_id,
        "url": endpoint.url.partition("?")[0],  # queries carry tokens
        "status": "enabled" if endpoint.enabled else "disabled",
        **_without_none(
            reason=endpoint.disabled_reason, failingSince=rfc3339(endpoint.failing_since)
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


def _ids_of_delivery(delivery: Delivery, job: Job | None) -> dict[str, Any]:
    return {
        "deliveryId": delivery.id,
        "eventId": delivery.event_id,
        "eventType": delivery.event_type,
        "jobId": delivery.job_id,
        "callerId": delivery.caller_id,
        "url": delivery.url.partition("?")[0],  # queries carry tokens
        "attempts": delivery.attempt_count,
        **_of_caller(job),
    }


def _of_entry(entry: AuditEntry) -> dict[str, Any]:
    actor = entry.actor
    return {
        "auditId": entry.id,
        "action": entry.action,
        "target": entry.target,
        "via": actor.via.value,
        **_without_none(
            callerId=entry.caller_id,
            actorId=actor.caller_id,
            keyId=actor.key_id,
            address=actor.address,
            requestId=actor.request_id,
        ),
        "detail": msgspec.json.decode(entry.detail),
    }


def _without_none(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}
