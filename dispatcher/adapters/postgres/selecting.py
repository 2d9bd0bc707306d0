"""Selections of bulk operations: pages in the order received, each of a bounded cost.

A page looks at `SELECT_ROWS` rows at most, and the database filters them. What ended in a way that
is rare is found by indexes of its own; else a caller's rows are looked at one after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from dispatcher.adapters.postgres.reading import LAST, RARE_DELIVERY_ENDS, RARE_ENDS
from dispatcher.adapters.postgres.rows import JOB_SEQ, Row, delivery_in, job_of
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.bulk import BUILT_IN_PREFIX
from dispatcher.core.lifecycle import FINAL_JOB_STATES, shown_status
from dispatcher.core.model import Job
from dispatcher.ports.bulk import BulkState, SelectedDeliveries, SelectedJobs
from dispatcher.ports.portions import INPUT_BYTES, SELECT_ROWS
from dispatcher.ports.views import DeliveryFilter, JobFilter

_FIND: Final = statement("bulk_find")
_SEQ_OF: Final = statement("job_seq_of")
_INPUTS: Final = statement("inputs_until")
_DELIVERIES: Final = statement("select_deliveries")
_DELIVERIES_LOOK: Final = statement("select_deliveries_look")
_RARE_DELIVERIES: Final = statement("select_deliveries_in_rare_end")
_RARE_DELIVERIES_LOOK: Final = statement("select_deliveries_in_rare_end_look")
_JOBS: Final = statement("select_jobs")
_JOBS_LOOK: Final = statement("select_jobs_look")
_RARE_JOBS: Final = statement("select_jobs_in_rare_end")
_RARE_JOBS_LOOK: Final = statement("select_jobs_in_rare_end_look")


async def bulk_state(session: Session, job_id: str) -> BulkState:
    """How far a bulk operation has come."""
    row = await session.one(_FIND, job_id)
    if row is None:
        return BulkState()
    after, matched, changed, skipped, total, ended = row
    return BulkState(
        after=after,
        matched=matched,
        changed=changed,
        skipped=skipped,
        total=total,
        ended=ended,
    )


class _Page(NamedTuple):
    """Rows that begin with their number; where the next page begins, and whether there is one."""

    rows: Sequence[Row]
    after: int
    ended: bool


async def _page(
    session: Session,
    look: tuple[str, Sequence[Any]],
    select: tuple[str, Sequence[Any]],
    after: int,
    limit: int,
) -> _Page:
    """Look how far a page goes, then select within that; each is given what it needs besides."""
    (row,) = await session.fetch(look[0], after, SELECT_ROWS, *look[1])
    until, looked = row
    if not looked:
        return _Page([], after, ended=True)
    rows = await session.fetch(select[0], after, until, limit, *select[1])
    if len(rows) == limit:
        return _Page(rows, rows[-1][0], ended=False)
    return _Page(rows, until, ended=looked < SELECT_ROWS)


async def select_deliveries(
    session: Session, wanted: DeliveryFilter, *, after: int, limit: int
) -> SelectedDeliveries:
    """Deliveries that have ended so, oldest first."""
    if wanted.state is None or wanted.caller_id is None:
        raise ValueError("a selection of deliveries names a caller and a state")
    rare = wanted.state in RARE_DELIVERY_ENDS
    whose = (wanted.caller_id, wanted.state.value) if rare else (wanted.caller_id,)
    filters = (
        wanted.caller_id,
        wanted.state.value,
        wanted.url,
        wanted.created_after,
        wanted.created_before,
        None if wanted.event_type is None else wanted.event_type.value,
    )
    page = await _page(
        session,
        (_RARE_DELIVERIES_LOOK if rare else _DELIVERIES_LOOK, whose),
        (_RARE_DELIVERIES if rare else _DELIVERIES, filters),
        after,
        limit,
    )
    return SelectedDeliveries(tuple(map(delivery_in, page.rows)), page.after, page.ended)


async def select_jobs(
    session: Session,
    wanted: JobFilter,
    *,
    before_job: str,
    after: int,
    limit: int,
    with_input: bool,
) -> SelectedJobs:
    """Jobs of such a status, oldest first."""
    if wanted.caller_id is None:
        raise ValueError("a selection of jobs names a caller")
    now = await session.look_at_clock()
    status = wanted.status
    ended_as = None if status is None or status.value not in FINAL_JOB_STATES else status.value
    rare = status in RARE_ENDS
    found = await session.one(_SEQ_OF, before_job)
    before = LAST if found is None else found[0]
    filters = (
        wanted.caller_id,
        ended_as,
        wanted.type,
        wanted.queue,
        wanted.created_after,
        wanted.created_before,
        BUILT_IN_PREFIX,
    )
    page = await _page(
        session,
        (_RARE_JOBS_LOOK if rare else _JOBS_LOOK, (before, ended_as if rare else wanted.caller_id)),
        (_RARE_JOBS if rare else _JOBS, filters),
        after,
        limit,
    )
    jobs = [(row[JOB_SEQ], job_of(row)) for row in page.rows]
    fitting = [(seq, job) for seq, job in jobs if status in (None, shown_status(job, now))]
    if with_input:
        return await _with_inputs(session, fitting, page)
    items = tuple((job, None) for _, job in fitting)
    return SelectedJobs(items, page.after, page.ended)


async def _with_inputs(
    session: Session, jobs: Sequence[tuple[int, Job]], page: _Page
) -> SelectedJobs:
    """The jobs of a page with their inputs; it ends early once those are large together."""
    rows = await session.fetch(_INPUTS, [seq for seq, _ in jobs], INPUT_BYTES) if jobs else ()
    bodies: dict[int, bytes] = {row[0]: row[1] for row in rows}
    items = tuple((job, bodies[seq]) for seq, job in jobs if seq in bodies)
    if len(items) < len(jobs):
        return SelectedJobs(items, max(bodies), ended=False)
    return SelectedJobs(items, page.after, page.ended)
