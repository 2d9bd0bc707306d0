"""Changes of jobs and deliveries that stand as this process left them: one guarded statement each.

They come before anything is read: what does not fit their guards is read under its lock instead.
Rows are locked as they are changed: first jobs, then deliveries, each kind in the order of ids; but
where the ends of a batch drop deliveries, all of these are locked before, in one order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from dispatcher.adapters.postgres.remembered import Sending
from dispatcher.adapters.postgres.rows import Row, as_json, attempt_row, columns
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.changes import Change, FinishJob, RecordAttempt
from dispatcher.core.lifecycle import FINAL_DELIVERY_STATES, JOB_TRANSITIONS, TERMINAL_EVENT
from dispatcher.core.model import DeliveryState, Job, JobState

_END = statement("jobs_end")
_TRIED = statement("deliveries_tried")

_ENDS: Final = JOB_TRANSITIONS[JobState.RUNNING] & TERMINAL_EVENT.keys()


class Ended(NamedTuple):
    """A job that was ended: its number, and the job as it stands now."""

    seq: int
    job: Job


class Recorded(NamedTuple):
    """A delivery whose first attempt was recorded: its number, and how it was being sent."""

    seq: int
    sending: Sending


def ended(job: Job, change: FinishJob) -> Job:
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


async def end_known(session: Session, changes: Sequence[Change]) -> dict[str, Ended]:
    """End the jobs that are known to be as they were leased; those that were ended, by id."""
    named = Counter(change.job_id for change in changes if hasattr(change, "job_id"))
    jobs: dict[str, Job] = {}
    rows: list[Row] = []
    for change in changes:
        if not isinstance(change, FinishJob) or named[change.job_id] > 1 or change.to not in _ENDS:
            continue
        before = session.remembered.take_job(change.job_id, change.lease)
        if before is None or change.from_state is not JobState.RUNNING:
            continue
        job = jobs[change.job_id] = ended(before, change)
        rows.append(
            (
                change.job_id,
                change.lease,
                before.version,
                job.state.value,
                job.finished_at,
                job.expires_at,
                as_json(job.progress),
                as_json(job.error),
                job.result_bytes,
                change.result,
            )
        )
    if not rows:
        return {}
    found = await session.fetch(_END, *columns(sorted(rows, key=_id), 10))
    return {row[0]: Ended(row[1], jobs[row[0]]) for row in found}


async def record_known(session: Session, changes: Sequence[Change]) -> dict[str, Recorded]:
    """Record first attempts at deliveries that are known to be as they were leased, by id.

    Not those that leave a delivery dead: more follows from these.
    """
    named = Counter(change.delivery_id for change in changes if hasattr(change, "delivery_id"))
    known: dict[str, Sending] = {}
    rows: list[Row] = []
    for change in changes:
        if not isinstance(change, RecordAttempt) or named[change.delivery_id] > 1:
            continue
        attempt, to = change.attempt, change.to
        if attempt is None or to is DeliveryState.DEAD:
            continue
        sending = session.remembered.take_sending(change.delivery_id, change.lease)
        if sending is None:
            continue
        known[change.delivery_id] = sending
        finished_at = change.at if to in FINAL_DELIVERY_STATES else None
        stands = (to.value, change.due_at, finished_at, int(change.uses_entry))
        guard = (change.delivery_id, change.lease, sending.until)
        rows.append((*guard, *stands, *attempt_row(attempt)))
    if not rows:
        return {}
    found = await session.fetch(_TRIED, *columns(sorted(rows, key=_id), 13))
    return {row[0]: Recorded(row[1], known[row[0]]) for row in found}


def _id(row: Row) -> str:
    id_: str = row[0]
    return id_
