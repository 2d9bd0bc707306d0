"""Changes of jobs and deliveries that stand as this process left them: one guarded statement each.

They come before anything is read: what does not fit their guards is read under its lock instead.
Rows are locked as they are changed: first jobs, then deliveries, each kind in the order of ids; but
where the ends of a batch drop deliveries, all of these are locked before, in one order. A batch of
which all is known is settled in one round trip, its destinations included (docs/adr/0030).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from dispatcher.adapters.postgres import destinations
from dispatcher.adapters.postgres.destinations import Where
from dispatcher.adapters.postgres.remembered import Sending
from dispatcher.adapters.postgres.rows import Row, as_json, attempt_row, columns
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.after import after_finish
from dispatcher.core.changes import Change, FinishJob, RecordAttempt
from dispatcher.core.lifecycle import FINAL_DELIVERY_STATES, JOB_ENDS
from dispatcher.core.model import DeliveryState, Job, JobState

_END = statement("jobs_end")
_TRIED = statement("deliveries_tried")
_SETTLE = statement("settle")

_ENDED: Final = 1
_RECORDED: Final = 2
_STANDS: Final = 3
"""What a row of `settle.sql` tells of."""

_ENDS: Final = JOB_ENDS[JobState.RUNNING]


class EndedJob(NamedTuple):
    """A job that was ended: its number, and the job as it stands now."""

    seq: int
    job: Job


class Recorded(NamedTuple):
    """A delivery whose first attempt was recorded: its number, and how it was being sent."""

    seq: int
    sending: Sending


class Settled(NamedTuple):
    """What was changed of what was known. `all`: all of it, and its destinations are locked.

    `recorded` None: no attempt yet, since there are jobs to be locked before deliveries.
    """

    ended: dict[str, EndedJob]
    recorded: dict[str, Recorded] | None
    all: bool


class Known:
    """What of a batch stands as this process left it, so that it need not be read.

    What is remembered of it is taken: whoever makes this has to try. `count` is of changes.
    """

    __slots__ = ("_ends", "_jobs", "_sendings", "_tries")

    def __init__(self, session: Session, changes: Sequence[Change]) -> None:
        self._jobs, self._ends = _ends_of(session, changes)
        self._sendings, self._tries = _tries_of(session, changes)

    @property
    def count(self) -> int:
        """How many changes these are."""
        return len(self._ends) + len(self._tries)

    def where(self) -> set[Where]:
        """The destinations that they need."""
        owing = {
            (job.caller_id, job.callback.origin, "")
            for job in self._jobs.values()
            if job.callback is not None
        }
        return owing | {each.where for each in self._sendings.values()}

    async def settle(self, session: Session, where: set[Where]) -> Settled:
        """Make them all; lock the destinations and look at them, if nothing was left out."""
        found = sorted(where)
        ids = [session.ids.new("dst") for _ in found]
        wanted = (ids, *columns(found, 3), session.told)
        rows = await session.fetch(_SETTLE, self._ends, self._tries, *wanted)
        ended = self._ended([row[1:3] for row in rows if row[0] == _ENDED])
        if len(ended) < len(self._ends):
            return Settled(ended, None, all=False)
        recorded = self._recorded([row[1:3] for row in rows if row[0] == _RECORDED])
        stands = [row[3:] for row in rows if row[0] == _STANDS]
        if stands:
            session.now, session.xid = stands[0][:2]
            destinations.looked(session, stands)
        return Settled(ended, recorded, all=bool(stands))

    async def end(self, session: Session) -> Settled:
        """End the jobs alone."""
        rows = await session.fetch(_END, self._ends) if self._ends else ()
        return Settled(self._ended(rows), None, all=False)

    async def record(self, session: Session) -> dict[str, Recorded]:
        """Record the attempts; the deliveries whose rows were as they were leased, by id."""
        return self._recorded(await session.fetch(_TRIED, self._tries)) if self._tries else {}

    def _ended(self, rows: Sequence[Row]) -> dict[str, EndedJob]:
        return {row[0]: EndedJob(row[1], self._jobs[row[0]]) for row in rows}

    def _recorded(self, rows: Sequence[Row]) -> dict[str, Recorded]:
        return {row[0]: Recorded(row[1], self._sendings[row[0]]) for row in rows}


def _ends_of(session: Session, changes: Sequence[Change]) -> tuple[dict[str, Job], list[Row]]:
    """Ends of jobs that are known to be as they were leased: the jobs as they stand then, by id.

    With each goes a row of `job_ended`, in the order of ids.
    """
    named = Counter(change.job_id for change in changes if hasattr(change, "job_id"))
    jobs: dict[str, Job] = {}
    rows: list[Row] = []
    for change in changes:
        if not isinstance(change, FinishJob) or named[change.job_id] > 1 or change.to not in _ENDS:
            continue
        before = session.remembered.take_job(change.job_id, change.lease)
        if before is None or change.from_state is not JobState.RUNNING:
            continue
        job = jobs[change.job_id] = after_finish(before, change)
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
    return jobs, sorted(rows, key=_id)


def _tries_of(session: Session, changes: Sequence[Change]) -> tuple[dict[str, Sending], list[Row]]:
    """First attempts at deliveries that are known to be as they were leased, by id.

    Not those that leave a delivery dead: more follows from these. With each goes a row of
    `delivery_tried`, in the order of ids.
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
    return known, sorted(rows, key=_id)


def _id(row: Row) -> str:
    id_: str = row[0]
    return id_
