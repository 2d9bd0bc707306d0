"""What a job is once a change has been applied to it, for whoever applies it.

`lifecycle` decides a change; the store writes it, and tells of the job as it is then without
reading it back. What its statements write is the same.
"""

from __future__ import annotations

from msgspec.structs import replace

from dispatcher.core.changes import FinishJob, ReleaseJob
from dispatcher.core.model import Instant, Job, JobState, Progress


def after_hand_off(job: Job, now: Instant) -> Job:
    """A new job that is leased as it is added."""
    return replace(job, state=JobState.RUNNING, attempt_count=1, started_at=now)


def after_finish(job: Job, change: FinishJob) -> Job:
    """The job as it stands after its end."""
    return replace(
        job,
        state=change.to,
        finished_at=change.at,
        expires_at=change.at + round(job.retention_seconds * 1000),
        retrying=False,
        progress=job.progress if change.progress is None else change.progress,
        error=change.error,
        result_bytes=None if change.result is None else len(change.result),
        version=job.version + 1,
        event_count=job.event_count + 1,
    )


def after_note(job: Job, progress: Progress | None) -> Job:
    """A running job of which an event was stored; `progress` is what was told with it, if any."""
    return replace(
        job,
        progress=job.progress if progress is None else progress,
        version=job.version + 1,
        event_count=job.event_count + 1,
    )


def due_after_release(job: Job, change: ReleaseJob, now: Instant) -> Instant:
    """When a job that is put back is due: at once, if it was asked to cancel meanwhile."""
    if job.cancel_requested_at is None:
        return change.due_at
    return min(change.due_at, now)
