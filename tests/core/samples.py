"""Jobs, deliveries and events to try the core with; each test states what matters to it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from dispatcher.core.lifecycle import TERMINAL_EVENT
from dispatcher.core.model import (
    Callback,
    CallbackMode,
    Delivery,
    DeliveryState,
    Event,
    EventType,
    Job,
    JobError,
    JobState,
    Progress,
    Trace,
)
from dispatcher.core.outcome import (
    AttemptFailed,
    Canceled,
    Failed,
    GivenBack,
    JobOutcome,
    Snoozed,
    Succeeded,
    WorkerLost,
)
from dispatcher.core.retry import JobBackoff, Schedule

NOW = 1_769_851_800_000
"""2026-01-31T09:30:00.000Z."""

DAY = 86_400_000
LEASE = "lse_00000000000070008000000000000007"
EVENT = "evt_00000000000070008000000000000008"
URL = "https://receiver.example/hook"

_JOB = Job(
    id="job_00000000000070008000000000000001",
    caller_id="clr_00000000000070008000000000000002",
    type="report.generate",
    queue="default",
    priority=5,
    state=JobState.WAITING,
    attempt_count=0,
    max_attempts=3,
    timeout_seconds=600.0,
    retention_seconds=604_800.0,
    created_at=NOW - 10_000,
    due_at=NOW - 10_000,
)

_DELIVERY = Delivery(
    id="dlv_00000000000070008000000000000003",
    event_id=EVENT,
    event_type=EventType.JOB_SUCCEEDED,
    job_id=_JOB.id,
    caller_id=_JOB.caller_id,
    url=URL,
    origin="https://receiver.example",
    state=DeliveryState.SENDING,
    created_at=NOW - 20,
    due_at=NOW - 20,
)


def a_callback(**changes: Any) -> Callback:
    return replace(Callback(url=URL, origin="https://receiver.example"), **changes)


def a_waiting_job(**changes: Any) -> Job:
    return replace(_JOB, **changes)


def a_running_job(**changes: Any) -> Job:
    """By default at the first of three attempts, without a wish to cancel or a deadline."""
    running = {"state": JobState.RUNNING, "attempt_count": 1, "started_at": NOW - 5_000}
    return replace(_JOB, **{**running, **changes})


def an_ended_job(state: JobState = JobState.SUCCEEDED, **changes: Any) -> Job:
    ended = {"state": state, "finished_at": NOW, "expires_at": NOW + 7 * DAY, "version": 4}
    return a_running_job(**{**ended, **changes})


def a_delivery(**changes: Any) -> Delivery:
    return replace(_DELIVERY, **changes)


def the_last_event(job: Job, **changes: Any) -> Event:
    """The terminal event of an ended job."""
    event = Event(
        id=EVENT,
        job_id=job.id,
        caller_id=job.caller_id,
        type=TERMINAL_EVENT[job.state],
        sequence=7,
        at=NOW,
        links_base="https://jobs.example",
    )
    return replace(event, **changes)


# --- Anything that may come in -----------------------------------------------------------------

instants = st.integers(min_value=0, max_value=4_102_444_800_000)
jitters = st.floats(min_value=0, max_value=1, exclude_max=True)
any_seconds = st.floats(allow_nan=True, allow_infinity=True)
"""What a handler may say, defects included."""

outcomes: st.SearchStrategy[JobOutcome] = st.one_of(
    st.builds(Succeeded, st.just(b"null")),
    st.builds(Failed, st.text(), st.text()),
    st.builds(AttemptFailed, st.text(), st.text(), st.none() | any_seconds),
    st.builds(Canceled, st.text()),
    st.builds(Snoozed, any_seconds),
    st.just(GivenBack()),
    st.just(WorkerLost()),
)
backoffs = st.builds(
    JobBackoff,
    first_seconds=st.floats(0, 10),
    factor=st.floats(1, 1e6),
    max_seconds=st.floats(10, 604_800),
)
schedules = st.lists(st.floats(0, 604_800), min_size=1, max_size=50).map(
    lambda seconds: Schedule(tuple(seconds))
)
progresses = st.none() | st.builds(
    Progress,
    st.floats(-1e300, 1e300),
    st.none() | st.floats(-1e300, 1e300),
    st.none() | st.text(max_size=20),
)
errors = st.none() | st.builds(
    JobError, st.text(max_size=20), st.text(max_size=20), st.integers(1, 100)
)
callbacks = st.builds(
    a_callback,
    events=st.none() | st.lists(st.sampled_from(EventType), unique=True).map(tuple),
    mode=st.sampled_from(CallbackMode),
    schedule=st.none() | schedules,
    headers=st.just(()) | st.just(("authorization", "x-team")),
)
running_jobs = st.builds(
    a_running_job,
    attempt_count=st.integers(1, 100),
    max_attempts=st.integers(1, 100),
    started_at=instants,
    deadline=st.none() | instants,
    start_by=st.none() | instants,
    cancel_requested_at=st.none() | instants,
    progress=progresses,
    error=errors,
    callback=st.none() | callbacks,
    correlation_id=st.none() | st.text(max_size=20),
    metadata=st.none() | st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3),
    trace=st.none() | st.just(Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")),
    version=st.integers(1, 1000),
    event_count=st.integers(0, 1000),
)
waiting_jobs = st.builds(
    a_waiting_job,
    attempt_count=st.integers(0, 99),
    started_at=st.none() | instants,
    due_at=instants,
    deadline=st.none() | instants,
    start_by=st.none() | instants,
    retrying=st.booleans(),
    error=errors,
)
ended_jobs = st.builds(
    an_ended_job,
    state=st.sampled_from(sorted(TERMINAL_EVENT)),
    deadline=st.none() | instants,
    start_by=st.none() | instants,
    callback=st.none() | callbacks,
)
