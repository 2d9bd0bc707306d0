"""What a job is once a change has been applied to it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from dispatcher.core.after import after_finish, after_hand_off, after_note, due_after_release
from dispatcher.core.changes import FinishJob
from dispatcher.core.lifecycle import JOB_ENDS, TERMINAL_EVENT, unrun
from dispatcher.core.model import Job, JobError, JobState, Progress
from tests.core.samples import (
    DAY,
    EVENT,
    LEASE,
    NOW,
    a_running_job,
    a_waiting_job,
    progresses,
    running_jobs,
)


def changed(before: Job, after: Job) -> dict[str, object]:
    was = asdict(before)
    return {name: value for name, value in asdict(after).items() if value != was[name]}


def an_end(to: JobState, **members: Any) -> FinishJob:
    change = FinishJob(
        job_id=a_running_job().id,
        from_state=JobState.RUNNING,
        lease=LEASE,
        to=to,
        at=NOW,
        event_id=EVENT,
    )
    return replace(change, **members)


def test_a_job_ends_where_the_table_says_so() -> None:
    assert JOB_ENDS[JobState.RUNNING] == TERMINAL_EVENT.keys()
    assert JOB_ENDS[JobState.WAITING] == {JobState.CANCELED, JobState.EXPIRED}
    assert not any(JOB_ENDS[state] for state in TERMINAL_EVENT)


def test_what_is_handed_off_is_in_its_first_attempt() -> None:
    job = a_waiting_job()
    assert changed(job, after_hand_off(job, NOW)) == {
        "state": JobState.RUNNING,
        "attempt_count": 1,
        "started_at": NOW,
    }


def test_an_end_takes_its_error_along_and_says_until_when_the_job_is_kept() -> None:
    told = Progress(3.0)
    job = a_running_job(retrying=True, progress=told, error=JobError("old", "", 1), event_count=2)
    assert changed(job, after_finish(job, an_end(JobState.SUCCEEDED, result=b"[1]"))) == {
        "state": JobState.SUCCEEDED,
        "finished_at": NOW,
        "expires_at": NOW + 7 * DAY,
        "retrying": False,
        "error": None,
        "result_bytes": 3,
        "version": job.version + 1,
        "event_count": 3,
    }
    error, last = JobError("bad", "It is.", 1), Progress(9.0)
    failed = after_finish(job, an_end(JobState.FAILED, error=error, progress=last))
    assert (failed.error, failed.progress, failed.result_bytes) == (error, last, None)


@given(running_jobs, progresses)
def test_a_note_counts_and_leaves_progress_as_it_was_if_it_tells_none(
    job: Job, progress: Progress | None
) -> None:
    noted = after_note(job, progress)
    assert noted.progress == (job.progress if progress is None else progress)
    assert (noted.version, noted.event_count) == (job.version + 1, job.event_count + 1)
    assert changed(job, noted).keys() <= {"progress", "version", "event_count"}


@given(running_jobs, st.integers(NOW - DAY, NOW + DAY))
def test_one_that_was_asked_to_cancel_waits_for_nothing(job: Job, due_at: int) -> None:
    back = unrun(job, LEASE, due_at)
    asked = job.cancel_requested_at is not None
    assert due_after_release(job, back, NOW) == (min(due_at, NOW) if asked else due_at)
