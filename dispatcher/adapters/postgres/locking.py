"""What a batch of changes is about, locked in one order.

Keys of jobs, jobs, deliveries, endpoints, destinations, lanes: every transaction that changes jobs
or deliveries takes its locks in that order, and within a table in one order too, so that they wait
for each other but never in a circle. Only then is the clock read. Lanes are locked by the statement
that changes them, unless a batch has several such.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dispatcher.adapters.postgres import destinations, lanes, ordering_keys
from dispatcher.adapters.postgres.concerned import lock_endpoints
from dispatcher.adapters.postgres.known import EndedJob, Known, Recorded
from dispatcher.adapters.postgres.rows import JOB_LEASE, Row, job_of
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.changes import (
    AskCancel,
    AskCancelDelivery,
    Change,
    EndDelivery,
    FinishJob,
    NoteOutput,
    NoteProgress,
    NoteStarted,
    PauseDestination,
    RecordAttempt,
    Redeliver,
    ReleaseDelivery,
    ReleaseJob,
    ResumeDestination,
)
from dispatcher.core.model import JobState
from dispatcher.ports.records import DeliveryTerms

_JOBS = statement("jobs_lock")
_DELIVERIES = statement("deliveries_lock")
_WHERE = statement("destinations_where")
_DROPPED = statement("deliveries_lock_of_jobs")

JobChange = FinishJob | ReleaseJob | AskCancel | NoteProgress | NoteOutput | NoteStarted
Owing = FinishJob | NoteProgress | NoteOutput | NoteStarted
Steering = PauseDestination | ResumeDestination
DeliveryChange = RecordAttempt | ReleaseDelivery | EndDelivery | AskCancelDelivery | Redeliver


class Locked:
    """The rows that a batch names, as they are read under their locks.

    A row that was changed is read again before another change of it: see `refresh`. `resting` are
    the endpoints that attempts may disable, and whose destinations are locked for that. `ended` and
    `recorded` are what was changed already, without being read: see `known`.
    """

    def __init__(self) -> None:
        self.resting: set[str] = set()
        self.ended: Mapping[str, EndedJob] = {}
        self.recorded: Mapping[str, Recorded] = {}
        self.jobs: dict[str, Row] = {}
        self.deliveries: dict[str, Row] = {}
        self._stale_jobs: set[str] = set()
        self._stale_deliveries: set[str] = set()

    def held(self, job_id: str, lease: str) -> Row | None:
        """The row of a job that is running under this lease."""
        row = self.jobs.get(job_id)
        return row if row is not None and row[JOB_LEASE] == lease else None

    def forget_jobs(self, ids: Iterable[str]) -> None:
        """These were changed."""
        self._stale_jobs.update(ids)

    def forget_deliveries(self, ids: Iterable[str]) -> None:
        """These were changed."""
        self._stale_deliveries.update(ids)

    async def refresh(self, session: Session, changes: Sequence[Change]) -> None:
        """Read again what these are about and earlier ones of the batch have changed."""
        jobs = self._stale_jobs & {c.job_id for c in changes if isinstance(c, JobChange)}
        if jobs:
            self.jobs.update(await _by_id(session, _JOBS, jobs))
            self._stale_jobs -= jobs
        ids = {c.delivery_id for c in changes if isinstance(c, DeliveryChange)}
        deliveries = self._stale_deliveries & ids
        if deliveries:
            self.deliveries.update(await _by_id(session, _DELIVERIES, deliveries))
            self._stale_deliveries -= deliveries


async def lock_all(
    session: Session,
    changes: Sequence[Change],
    terms: DeliveryTerms,
    besides: Iterable[str] = (),
) -> Locked:
    """Lock what changes are about, and the jobs of these ids besides, then read the clock."""
    locked = Locked()
    known = Known(session, changes)
    besides = {*besides}
    alone = known.where() if known.count == len(changes) and not besides else set()
    settled = await (known.settle(session, alone) if alone else known.end(session))
    locked.ended = settled.ended
    if settled.all:
        locked.recorded = settled.recorded or {}
        return locked
    jobs = {change.job_id for change in changes if isinstance(change, JobChange)} | besides
    jobs -= locked.ended.keys()
    deliveries = {change.delivery_id for change in changes if isinstance(change, DeliveryChange)}
    if jobs:
        locked.jobs = await _by_id(session, _JOBS, jobs)
    ends = {change.job_id for change in changes if isinstance(change, FinishJob)}
    noted = [row[0] for id_, row in locked.jobs.items() if id_ in ends and row["event_count"] > 0]
    if noted:  # what they still owe of earlier events is dropped: all is locked in one order before
        await session.execute(_DROPPED, noted, list(deliveries))
    recorded = settled.recorded
    locked.recorded = await known.record(session) if recorded is None else recorded
    deliveries -= locked.recorded.keys()
    if deliveries:
        locked.deliveries = await _by_id(session, _DELIVERIES, deliveries)
    where = {destinations.where_of(row) for row in locked.deliveries.values()}
    where |= {each.sending.where for each in locked.recorded.values()}
    owing = {change.job_id for change in changes if isinstance(change, Owing)}
    jobs_owing = [job_of(row) for id_, row in locked.jobs.items() if id_ in owing]
    for job in (*jobs_owing, *(each.job for each in locked.ended.values())):
        if job.callback is not None:
            where.add((job.caller_id, job.callback.origin, ""))
    steered = [change.destination_id for change in changes if isinstance(change, Steering)]
    if steered:
        where |= {tuple(row) for row in await session.fetch(_WHERE, steered)}
    stand = (locked.jobs, locked.deliveries)
    locked.resting, owed = await lock_endpoints(session, changes, *stand, terms)
    await destinations.lock(session, where | owed)
    await _lock_lanes(session, changes, locked)
    await destinations.begin(session, where | owed)
    return locked


async def _lock_lanes(session: Session, changes: Sequence[Change], locked: Locked) -> None:
    """Lock the lanes of jobs that are put back together with those that ends are about."""
    ends = {change.job_id for change in changes if isinstance(change, FinishJob)}
    puts = {change.job_id for change in changes if isinstance(change, ReleaseJob)}
    if not ends or not puts:
        return
    ending = [row for id_, row in locked.jobs.items() if id_ in ends]
    back = [row for id_, row in locked.jobs.items() if id_ in puts]
    wanted = await ordering_keys.next_lanes(session, ending)
    wanted |= {lanes.lane_of(job_of(row)) for row in back}
    wanted |= {lanes.lane_of(job_of(row)) for row in ending if row["state"] == JobState.WAITING}
    await lanes.lock(session, wanted)


async def _by_id(session: Session, sql: str, ids: Iterable[str]) -> dict[str, Row]:
    rows = await session.fetch(sql, list(ids))
    return {row["id"]: row for row in rows}
