"""A fact of each kind, with what must never be shown of them: callers, ids, tokens in URLs."""

from __future__ import annotations

from dispatcher.core.audit import Actor, AuditAction, Via, entry
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
from dispatcher.core.model import Delivery, DeliveryState, EventType, Job, JobState, JobType

CSV = JobType(name="csv.profile", runner="python", queue="files")
MAIL = JobType(name="mail.send", runner="python")

JOB = Job(
    id="job_1",
    caller_id="clr_secret",
    type="csv.profile",
    queue="files",
    priority=5,
    state=JobState.RUNNING,
    attempt_count=1,
    max_attempts=3,
    timeout_seconds=600,
    retention_seconds=600,
    created_at=1,
    due_at=1,
)
ENDED = JobAttemptEnded(
    job=JOB, attempt=1, outcome="Succeeded", to=JobState.SUCCEEDED, duration_ms=120, waited_ms=7
)
SENT = DeliveryAttemptEnded(
    delivery_id="dlv_1",
    event_id="evt_1",
    event_type="job.succeeded",
    job_id="job_1",
    caller_id="clr_secret",
    url="https://receiver.example/in?token=hunter2",
    attempt=1,
    to=DeliveryState.DELIVERED,
    duration_ms=40,
    status_code=204,
    waited_ms=3,
)
DELIVERY = Delivery(
    id="dlv_1",
    event_id="evt_1",
    event_type=EventType.JOB_SUCCEEDED,
    job_id="job_1",
    caller_id="clr_secret",
    url="https://receiver.example/in?token=hunter2",
    origin="https://receiver.example",
    state=DeliveryState.PENDING,
    created_at=1,
    due_at=1,
)
SWEPT = DeliverySwept(DELIVERY, DeliveryState.DEAD)
AUDITED = ActionAudited(
    entry(
        Actor(via=Via.API, caller_id="clr_secret", key_id="key_1", address="10.0.0.7"),
        AuditAction.KEY_CREATE,
        "key_2",
        id="aud_1",
        at=1,
        caller_id="clr_secret",
        role="worker",
    )
)
ENDPOINT = Endpoint(
    id="ep_1",
    caller_id="clr_secret",
    url="https://receiver.example/all?token=hunter2",
    origin="https://receiver.example",
    events=(EventType.JOB_SUCCEEDED,),
    created_at=1,
    failing_since=2,
    disabled_at=3,
    disabled_reason=DisabledReason.FAILING,
)
FACTS: list[Fact] = [
    JobAccepted(JOB, handed_off=True),
    ENDED,
    JobEnded(JOB, JobState.SUCCEEDED),
    JobMoved("job_1", "clr_secret", live=JOB),
    JobErased("job_1", "clr_secret"),
    SENT,
    SWEPT,
    StreamDropped("clr_secret", "/v1/events", 60_000),
    EndpointSwitched(ENDPOINT),
    BreakerChanged(
        destination_id="dst_1",
        caller_id="clr_secret",
        origin="https://receiver.example",
        endpoint_id=None,
        url="https://receiver.example/in?token=hunter2",
        before=BreakerState.CLOSED,
        state=BreakerState.OPEN,
        open_until=30_000,
    ),
    SubmissionRefused("clr_secret", "rate"),
    CancelAsked(JOB),
    Redelivered(DELIVERY),
    DeliveryCancelAsked(DELIVERY, DeliveryState.CANCELED),
    AUDITED,
    LeaseLost("hld_1", 3),
    RunsAlone(JOB),
    PauseChanged("files", paused=True),
    PauseChanged(None, paused=False),
    StoreFailed("jobs", "disk full"),
    StoreRecovered("jobs"),
    LoopFailed("jobs", "KeyError", "Traceback …"),
    LoopIdle("jobs"),
    JobsReady(1, "csv.profile"),
    DeliveriesReady(None),
    SecretsChanged("ep_1"),
    ClockDiffers(3600.0),
    SendingHeldUp("Too many open files"),
]
