"""Replaying a job: what it was submitted as, to be submitted once more."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dispatcher.core.model import Instant, Job, Submission


def submission_of(job: Job, body: bytes, *, now: Instant) -> Submission:
    """What `job` was submitted as, with its input, as a submission made now.

    Everything is as it was but for times, and the schedule of its caller, which is settled anew. A
    `run_at` that has passed means now, as in any submission. `start_by` and `deadline` keep their
    distance from the submission: a job that was to be done within an hour is so again.
    """
    same: dict[str, Any] = {
        name: getattr(job, name)
        for name in Submission.__struct_fields__
        if name in Job.__struct_fields__
    }
    later = max(now - job.created_at, 0)
    callback = job.callback
    same |= {
        "callback": None if callback is None else replace(callback, caller_schedule=None),
        "input": body,
        "replay_of": job.id,
        "run_at": job.run_at if job.run_at is not None and job.run_at > now else None,
        "start_by": None if job.start_by is None else job.start_by + later,
        "deadline": None if job.deadline is None else job.deadline + later,
    }
    return Submission(**same)
