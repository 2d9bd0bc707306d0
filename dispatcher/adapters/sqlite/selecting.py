"""Selections of bulk operations: pages in the order received, each of a bounded cost.

A page looks at `SELECT_ROWS` rows at most, and the database filters them. What ended in a way that
is rare is found by indexes of its own; else a caller's rows are looked at one after another.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final, NamedTuple

from dispatcher.adapters.sqlite.reading import RARE_DELIVERY_ENDS, RARE_ENDS
from dispatcher.adapters.sqlite.rows import JOB_SEQ, delivery_in, job_of
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.bulk import BUILT_IN_PREFIX
from dispatcher.core.lifecycle import FINAL_JOB_STATES, shown_status
from dispatcher.core.model import Instant, Job
from dispatcher.ports.bulk import BulkState, SelectedDeliveries, SelectedJobs
from dispatcher.ports.portions import INPUT_BYTES, SELECT_ROWS
from dispatcher.ports.views import DeliveryFilter, JobFilter

_FIND: Final = statement("bulk_find")
_SEQ_OF: Final = statement("job_seq_of")
_INPUT: Final = statement("input_of_job")
_DELIVERIES: Final = statement("select_deliveries")
_DELIVERIES_LOOK: Final = statement("select_deliveries_look")
_RARE_DELIVERIES: Final = statement("select_deliveries_in_rare_end")
_RARE_DELIVERIES_LOOK: Final = statement("select_deliveries_in_rare_end_look")
_JOBS: Final = statement("select_jobs")
_JOBS_LOOK: Final = statement("select_jobs_look")
_RARE_JOBS: Final = statement("select_jobs_in_rare_end")
_RARE_JOBS_LOOK: Final = statement("select_jobs_in_rare_end_look")

_ALL: Final = 2**62


def bulk_state(read: sqlite3.Connection, job_id: str) -> BulkState:
    """How far a bulk operation has come."""
    row = read.execute(_FIND, (job_id,)).fetchone()
    if row is None:
        return BulkState()
    after, matched, changed, skipped, total, ended = row
    return BulkState(
        after=after,
        matched=matched,
        changed=changed,
        skipped=skipped,
        total=total,
        ended=ended == 1,
    )


class _Page(NamedTuple):
    """Rows that begin with their number; where the next page begins, and whether there is one."""

    rows: list[tuple[Any, ...]]
    after: int
    ended: bool


def _page(read: sqlite3.Connection, look: str, sql: str, parameters: dict[str, Any]) -> _Page:
    until, looked = read.execute(look, parameters).fetchone()
    if not looked:
        return _Page([], parameters["after"], ended=True)
    rows = read.execute(sql, parameters | {"until": until}).fetchall()
    if len(rows) == parameters["limit"]:
        return _Page(rows, rows[-1][0], ended=False)
    return _Page(rows, until, ended=looked < parameters["look"])


def select_deliveries(
    read: sqlite3.Connection, wanted: DeliveryFilter, *, after: int, limit: int
) -> SelectedDeliveries:
    """Deliveries that have ended so, oldest first."""
    if wanted.state is None or wanted.caller_id is None:
        raise ValueError("a selection of deliveries names a caller and a state")
    rare = wanted.state in RARE_DELIVERY_ENDS
    page = _page(
        read,
        _RARE_DELIVERIES_LOOK if rare else _DELIVERIES_LOOK,
        _RARE_DELIVERIES if rare else _DELIVERIES,
        {
            "caller_id": wanted.caller_id,
            "state": wanted.state.value,
            "event_type": None if wanted.event_type is None else wanted.event_type.value,
            "url": wanted.url,
            "created_after": wanted.created_after,
            "created_before": wanted.created_before,
            "after": after,
            "limit": limit,
            "look": SELECT_ROWS,
        },
    )
    return SelectedDeliveries(tuple(map(delivery_in, page.rows)), page.after, page.ended)


def select_jobs(
    read: sqlite3.Connection,
    wanted: JobFilter,
    now: Instant,
    *,
    before_job: str,
    after: int,
    limit: int,
    with_input: bool,
) -> SelectedJobs:
    """Jobs of such a status, oldest first."""
    if wanted.caller_id is None:
        raise ValueError("a selection of jobs names a caller")
    status = wanted.status
    ended_as = None if status is None or status.value not in FINAL_JOB_STATES else status.value
    rare = status in RARE_ENDS
    before = read.execute(_SEQ_OF, (before_job,)).fetchone()
    page = _page(
        read,
        _RARE_JOBS_LOOK if rare else _JOBS_LOOK,
        _RARE_JOBS if rare else _JOBS,
        {
            "caller_id": wanted.caller_id,
            "state": ended_as,
            "type": wanted.type,
            "queue": wanted.queue,
            "created_after": wanted.created_after,
            "created_before": wanted.created_before,
            "built_in": BUILT_IN_PREFIX,
            "before": _ALL if before is None else before[0],
            "after": after,
            "limit": limit,
            "look": SELECT_ROWS,
        },
    )
    found: list[tuple[Job, bytes | None]] = []
    size = 0
    for row in page.rows:
        job = job_of(row)
        if status is not None and shown_status(job, now) is not status:
            continue
        body = _input(read, row[JOB_SEQ]) if with_input else None
        found.append((job, body))
        size += len(body or b"")
        if size >= INPUT_BYTES:
            return SelectedJobs(tuple(found), row[JOB_SEQ], ended=False)
    return SelectedJobs(tuple(found), page.after, page.ended)


def _input(read: sqlite3.Connection, seq: int) -> bytes | None:
    row = read.execute(_INPUT, (seq, _ALL)).fetchone()
    return None if row is None else row[0]
