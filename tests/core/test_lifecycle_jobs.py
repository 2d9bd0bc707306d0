"""What becomes of a job: after each outcome, when it is canceled, when its time has passed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.changes import AskCancel, FinishJob, ReleaseJob
from dispatcher.core.lifecycle import (
    FINAL_JOB_STATES,
    JOB_TRANSITIONS,
    decide_cancel,
    decide_job,
    decide_overdue,
    late_at,
)
from dispatcher.core.model import (
    Instant,
    Job,
    JobError,
    JobState,
    Progress,
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
from dispatcher.core.retry import LAST_INSTANT, MAX_AFTER_SECONDS, JobBackoff
from tests.core.samples import (
    DAY,
    EVENT,
    LEASE,
    NOW,
    a_running_job,
    a_waiting_job,
    an_ended_job,
    backoffs,
    ended_jobs,
    instants,
    jitters,
    outcomes,
    running_jobs,
    waiting_jobs,
)

BACKOFF = JobBackoff(first_seconds=1, factor=4, max_seconds=3_600)

SUCCEEDED = Succeeded(b'{"page": 1}')
FAILED = Failed("no-data", "there is none")
ATTEMPT_FAILED = AttemptFailed("handler-error", "ValueError")
RETRY = AttemptFailed("retry", "", 30.0)
CANCELED = Canceled("not needed")
SNOOZED = Snoozed(60)
GIVEN_BACK = GivenBack()
LOST = WorkerLost()

ENDS = (SUCCEEDED, FAILED, CANCELED)
AGAIN = (ATTEMPT_FAILED, RETRY, SNOOZED, GIVEN_BACK, LOST)


def decided(
    job: Job, outcome: JobOutcome, *, jitter: float = 0.0, progress: Progress | None = None
) -> FinishJob | ReleaseJob:
    return decide_job(
        job,
        LEASE,
        outcome,
        BACKOFF,
        now=NOW,
        jitter=jitter,
        event_id=EVENT,
        progress=progress,
    )


def finish(
    to: JobState, *, error: JobError | None = None, result: bytes | None = None
) -> FinishJob:
    return FinishJob(
        job_id=a_running_job().id,
        from_state=JobState.RUNNING,
        lease=LEASE,
        to=to,
        at=NOW,
        event_id=EVENT,
        result=result,
        error=error,
    )


def release(
    due_at: Instant, *, retrying: bool, refund: bool, error: JobError | None = None
) -> ReleaseJob:
    return ReleaseJob(
        job_id=a_running_job().id,
        lease=LEASE,
        due_at=due_at,
        retrying=retrying,
        refund=refund,
        error=error,
    )


# --- Each outcome, with attempts left ----------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "change"),
    [
        (SUCCEEDED, finish(JobState.SUCCEEDED, result=b'{"page": 1}')),
        (FAILED, finish(JobState.FAILED, error=JobError("no-data", "there is none", 1))),
        (CANCELED, finish(JobState.CANCELED, error=JobError("canceled", "not needed", 1))),
        (SNOOZED, release(NOW + 60_000, retrying=False, refund=True)),
        (GIVEN_BACK, release(NOW, retrying=False, refund=True)),
        (
            ATTEMPT_FAILED,
            release(
                NOW + 1_000,
                retrying=True,
                refund=False,
                error=JobError("handler-error", "ValueError", 1),
            ),
        ),
        (
            RETRY,
            release(NOW + 30_000, retrying=True, refund=False, error=JobError("retry", "", 1)),
        ),
    ],
)
def test_each_outcome_with_attempts_left(
    outcome: JobOutcome, change: FinishJob | ReleaseJob
) -> None:
    assert decided(a_running_job(), outcome) == change


def test_a_lost_worker_is_followed_by_another_at_once() -> None:
    change = decided(a_running_job(), LOST, jitter=0.9)
    assert isinstance(change, ReleaseJob)
    assert change.due_at == NOW
    assert (change.retrying, change.refund) == (True, False)
    assert change.error is not None
    assert (change.error.code, change.error.attempt) == ("worker-lost", 1)


def test_waits_between_attempts_grow_and_jitter_adds() -> None:
    def waited(attempt: int, jitter: float) -> int:
        job = a_running_job(attempt_count=attempt, max_attempts=9)
        change = decided(job, ATTEMPT_FAILED, jitter=jitter)
        assert isinstance(change, ReleaseJob)
        return change.due_at - NOW

    assert [waited(attempt, 0.0) for attempt in (1, 2, 3)] == [1_000, 4_000, 16_000]
    assert waited(2, 0.5) == 4_200


def test_a_snooze_and_a_drain_keep_the_error_of_the_attempt_before() -> None:
    before = JobError("timeout", "too long", 1)
    for outcome in (SNOOZED, GIVEN_BACK):
        change = decided(a_running_job(attempt_count=2, error=before), outcome)
        assert isinstance(change, ReleaseJob)
        assert change.error == before


@pytest.mark.parametrize("seconds", [math.inf, -math.inf, math.nan, 1e300, -5.0])
def test_a_senseless_snooze_is_bounded(seconds: float) -> None:
    change = decided(a_running_job(), Snoozed(seconds))
    assert isinstance(change, ReleaseJob)
    assert NOW <= change.due_at <= NOW + MAX_AFTER_SECONDS * 1000
    assert change.refund


def test_the_progress_goes_with_whatever_is_decided() -> None:
    progress = Progress(3, 10, "rendering")
    for outcome in (*ENDS, *AGAIN):
        assert decided(a_running_job(), outcome, progress=progress).progress == progress


# --- Attempts used up --------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [ATTEMPT_FAILED, RETRY, LOST])
def test_the_last_attempt_that_fails_fails_the_job(outcome: JobOutcome) -> None:
    change = decided(a_running_job(attempt_count=3), outcome)
    assert isinstance(change, FinishJob)
    assert change.to is JobState.FAILED
    assert change.error is not None
    code = {"AttemptFailed": "handler-error"}.get(type(outcome).__name__, "worker-lost")
    assert change.error.code == ("retry" if outcome is RETRY else code)
    assert change.error.attempt == 3


@pytest.mark.parametrize("outcome", [SNOOZED, GIVEN_BACK])
def test_what_gives_the_attempt_back_is_no_last_attempt(outcome: JobOutcome) -> None:
    change = decided(a_running_job(attempt_count=3), outcome)
    assert isinstance(change, ReleaseJob)
    assert change.refund


@pytest.mark.parametrize("outcome", [SUCCEEDED, CANCELED, FAILED])
def test_an_end_is_an_end_at_any_attempt(outcome: JobOutcome) -> None:
    first, last = a_running_job(), a_running_job(attempt_count=3)
    to = {decided(job, outcome).to for job in (first, last)}  # type: ignore[union-attr]  # ends
    assert len(to) == 1


# --- Asked to cancel, and deadlines ------------------------------------------------------------


@pytest.mark.parametrize("outcome", [SNOOZED, GIVEN_BACK, ATTEMPT_FAILED, RETRY, LOST])
def test_a_job_that_is_to_be_canceled_is_not_tried_again(outcome: JobOutcome) -> None:
    change = decided(a_running_job(cancel_requested_at=NOW - 1), outcome)
    assert isinstance(change, FinishJob)
    assert change.to is JobState.CANCELED
    assert change.error is not None
    assert change.error.code == "canceled"


@pytest.mark.parametrize(
    ("outcome", "to"), [(SUCCEEDED, JobState.SUCCEEDED), (FAILED, JobState.FAILED)]
)
def test_what_came_out_before_the_cancel_took_hold_stands(
    outcome: JobOutcome, to: JobState
) -> None:
    change = decided(a_running_job(cancel_requested_at=NOW - 1), outcome)
    assert isinstance(change, FinishJob)
    assert change.to is to


@pytest.mark.parametrize("outcome", [SNOOZED, ATTEMPT_FAILED, RETRY])
@pytest.mark.parametrize("before", [None, JobError("timeout", "too long", 1)])
def test_a_try_that_would_begin_past_the_deadline_expires_now(
    outcome: JobOutcome, before: JobError | None
) -> None:
    wait = {SNOOZED: 60_000, ATTEMPT_FAILED: 1_000, RETRY: 30_000}[outcome]
    at_it = decided(a_running_job(deadline=NOW + wait, error=before), outcome)
    assert isinstance(at_it, FinishJob)
    assert at_it.to is JobState.EXPIRED
    assert at_it.error is not None
    # API.md, "States": of an expired job `error.code` says which of the two passed.
    assert at_it.error.code == "deadline"
    before_it = decided(a_running_job(deadline=NOW + wait + 1, error=before), outcome)
    assert isinstance(before_it, ReleaseJob)


def test_success_after_the_deadline_is_success() -> None:
    change = decided(a_running_job(deadline=NOW - 1), SUCCEEDED)
    assert isinstance(change, FinishJob)
    assert change.to is JobState.SUCCEEDED


def test_a_last_attempt_that_fails_past_the_deadline_has_failed() -> None:
    change = decided(a_running_job(attempt_count=3, deadline=NOW - 1), ATTEMPT_FAILED)
    assert isinstance(change, FinishJob)
    assert change.to is JobState.FAILED


# --- Requests to cancel, and the sweep ---------------------------------------------------------


def test_canceling_ends_a_waiting_job() -> None:
    job = a_waiting_job(attempt_count=1, retrying=True, due_at=NOW + DAY)
    change = decide_cancel(job, now=NOW, event_id=EVENT)
    assert change == FinishJob(
        job_id=job.id,
        from_state=JobState.WAITING,
        lease=None,
        to=JobState.CANCELED,
        at=NOW,
        event_id=EVENT,
        error=JobError("canceled", "canceled by request", 1),
    )


def test_canceling_asks_a_running_job() -> None:
    job = a_running_job()
    assert decide_cancel(job, now=NOW, event_id=EVENT) == AskCancel(job.id, NOW)


@pytest.mark.parametrize("state", sorted(FINAL_JOB_STATES))
def test_canceling_leaves_a_job_that_is_done_as_it_is(state: JobState) -> None:
    assert decide_cancel(an_ended_job(state), now=NOW, event_id=EVENT) is None


@pytest.mark.parametrize(
    ("job", "lease", "code"),
    [
        (a_waiting_job(deadline=NOW), None, "deadline"),
        (a_waiting_job(start_by=NOW), None, "start-by"),
        (a_waiting_job(start_by=NOW, deadline=NOW), None, "deadline"),
        (a_running_job(deadline=NOW), LEASE, "deadline"),
        (a_waiting_job(deadline=NOW + 1), None, None),
        (a_waiting_job(start_by=NOW + 1), None, None),
        (a_waiting_job(start_by=NOW, started_at=NOW - 9, retrying=True), None, None),
        (a_running_job(start_by=NOW - 1), LEASE, None),
        (a_waiting_job(), None, None),
        (an_ended_job(deadline=NOW - 1, start_by=NOW - 1), None, None),
    ],
)
def test_what_is_overdue_expires(job: Job, lease: str | None, code: str | None) -> None:
    change = decide_overdue(job, lease, now=NOW, event_id=EVENT)
    if code is None:
        assert change is None
        return
    assert change is not None
    assert change.error is not None
    assert (change.to, change.error.code) == (JobState.EXPIRED, code)
    assert (change.from_state, change.lease) == (job.state, lease)


# --- Whatever comes in -------------------------------------------------------------------------


@given(running_jobs | waiting_jobs)
def test_a_job_is_overdue_from_the_instant_by_which_stores_find_it(job: Job) -> None:
    late = late_at(job)
    if late is None:
        assert decide_overdue(job, None, now=LAST_INSTANT, event_id=EVENT) is None
    else:
        assert decide_overdue(job, None, now=late, event_id=EVENT) is not None
        assert decide_overdue(job, None, now=late - 1, event_id=EVENT) is None


@given(running_jobs, outcomes, backoffs, instants, jitters)
def test_what_is_decided_of_a_job_is_a_transition_with_its_guard(
    job: Job, outcome: JobOutcome, backoff: JobBackoff, now: Instant, jitter: float
) -> None:
    change = decide_job(job, LEASE, outcome, backoff, now=now, jitter=jitter, event_id=EVENT)
    assert (change.job_id, change.lease) == (job.id, LEASE)
    if isinstance(change, FinishJob):
        assert change.from_state is JobState.RUNNING
        assert change.to in JOB_TRANSITIONS[JobState.RUNNING]
        assert change.to in FINAL_JOB_STATES
        assert (change.result is not None) == (change.to is JobState.SUCCEEDED)
        assert (change.error is None) == (change.to is JobState.SUCCEEDED)
    else:
        assert JobState.WAITING in JOB_TRANSITIONS[JobState.RUNNING]
        assert now <= change.due_at <= now + MAX_AFTER_SECONDS * 1000 * 1.1
        assert change.retrying is not change.refund
        assert change.retrying is False or job.attempt_count < job.max_attempts
        assert job.cancel_requested_at is None
        assert job.deadline is None or change.due_at < job.deadline


@given(running_jobs | waiting_jobs | ended_jobs, st.none() | st.just(LEASE), instants)
def test_what_others_decide_of_a_job_is_a_transition(
    job: Job, lease: str | None, now: Instant
) -> None:
    for change in (
        decide_cancel(job, now=now, event_id=EVENT),
        decide_overdue(job, lease, now=now, event_id=EVENT),
    ):
        if isinstance(change, FinishJob):
            assert change.from_state is job.state
            assert change.to in JOB_TRANSITIONS[job.state]
            assert change.error is not None
        elif isinstance(change, AskCancel):
            assert job.state is JobState.RUNNING
        assert change is None or not job.done
