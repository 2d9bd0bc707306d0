"""Questions about jobs, deliveries and events. Pages look at a bounded number of rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from dispatcher.adapters.sqlite.rows import (
    DELIVERY_CALLER,
    JOB_SEQ,
    Row,
    attempt_of,
    delivery_in,
    event_of,
    first_attempt_of,
    job_of,
)
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.lifecycle import FINAL_DELIVERY_STATES, FINAL_JOB_STATES, TERMINAL_EVENTS
from dispatcher.core.model import (
    INLINE_RESULT_BYTES,
    DeliveryState,
    Event,
    Instant,
    Job,
    JobState,
    JobStatus,
)
from dispatcher.ports.portions import LOOK_ROWS
from dispatcher.ports.views import (
    DeliveryFilter,
    DeliveryPage,
    DeliveryRecord,
    DeliverySummary,
    JobFilter,
    JobPage,
    JobRecord,
)

_JOB_BY_ID = statement("job_by_id")
_INPUT = statement("input_of_job")
_RESULT = statement("result_of_job")
_SUMMARY = statement("delivery_summary")
_LAST_STATUS = statement("last_status_code")
_ATTEMPTS = statement("attempts_of_delivery")
_EVENTS = statement("events_of_job")
_LIST = statement("list_jobs")
_LIST_OF_CALLER = statement("list_jobs_of_caller")
_LIST_CORRELATED = statement("list_jobs_correlated")
_LIST_RARE = statement("list_jobs_in_rare_end")
_LIST_DELIVERIES = statement("list_deliveries")
_LIST_DELIVERIES_OF_JOB = statement("list_deliveries_of_job")
_LIST_DELIVERIES_OF_CALLER = statement("list_deliveries_of_caller")
_LIST_DELIVERIES_RARE = statement("list_deliveries_in_rare_end")
_LIST_DELIVERIES_RARE_OF_CALLER = statement("list_deliveries_in_rare_end_of_caller")
_DELIVERY_FOUND = statement("delivery_found")

LAST: Final = 2**63 - 1
RARE_ENDS: Final = {JobStatus(end.value) for end in FINAL_JOB_STATES - {JobState.SUCCEEDED}}
RARE_DELIVERY_ENDS: Final = FINAL_DELIVERY_STATES - {DeliveryState.DELIVERED}

Item = TypeVar("Item")


def find_job(read: sqlite3.Connection, job_id: str, caller_id: str | None) -> Row | None:
    """The row of a job, if that caller may see it."""
    row: Row | None = read.execute(_JOB_BY_ID, (job_id,)).fetchone()
    return None if row is None or caller_id not in (None, row[2]) else row


def get_job(
    read: sqlite3.Connection, job_id: str, caller_id: str | None, *, with_input: bool
) -> JobRecord | None:
    """A job with what is shown of it."""
    row = find_job(read, job_id, caller_id)
    if row is None:
        return None
    seq, job = row[JOB_SEQ], job_of(row)
    return JobRecord(
        job,
        _summary(read, seq, job),
        _body(read, _INPUT, (seq, INLINE_RESULT_BYTES)) if with_input else None,
        inline_result(read, seq, job),
    )


def get_result(
    read: sqlite3.Connection, job_id: str, caller_id: str | None
) -> tuple[Job, bytes | None] | None:
    """A job with its result, at any size."""
    row = find_job(read, job_id, caller_id)
    return None if row is None else (job_of(row), _body(read, _RESULT, (row[JOB_SEQ],)))


def get_input(
    read: sqlite3.Connection, job_id: str, caller_id: str | None
) -> tuple[Job, bytes] | None:
    """A job with its input, at any size."""
    row = find_job(read, job_id, caller_id)
    body = None if row is None else _body(read, _INPUT, (row[JOB_SEQ], LAST))
    return None if row is None or body is None else (job_of(row), body)


def list_events(
    read: sqlite3.Connection, job_id: str, caller_id: str | None, *, limit: int, after: int
) -> tuple[Job, tuple[tuple[Event, bytes | None], ...]] | None:
    """A job and its events; the last comes with the result if that may stand inline."""
    row = find_job(read, job_id, caller_id)
    if row is None:
        return None
    seq, job = row[JOB_SEQ], job_of(row)
    rows = read.execute(_EVENTS, {"job_seq": seq, "after": after, "limit": limit}).fetchall()
    events = []
    for each in rows:
        event = event_of(each, job.id)
        last = event.type in TERMINAL_EVENTS
        events.append((event, inline_result(read, seq, job) if last else None))
    return job, tuple(events)


def _body(read: sqlite3.Connection, sql: str, parameters: Row) -> bytes | None:
    row = read.execute(sql, parameters).fetchone()
    return None if row is None else row[0]


def inline_result(read: sqlite3.Connection, seq: int, job: Job) -> bytes | None:
    """The result of a job, if it may stand inline."""
    if job.result_bytes is None or job.result_bytes > INLINE_RESULT_BYTES:
        return None
    return _body(read, _RESULT, (seq,))


def _summary(read: sqlite3.Connection, seq: int, job: Job) -> DeliverySummary | None:
    if job.callback is None or job.event_count == 0:
        return None
    row = read.execute(_SUMMARY, (seq,)).fetchone()
    if row is None:
        return None
    delivery_seq, stored, attempt_count, status_code, due_at = row
    last = read.execute(_LAST_STATUS, (delivery_seq,)).fetchone() if attempt_count > 1 else None
    state = DeliveryState(stored)
    return DeliverySummary(
        state=state,
        attempt_count=attempt_count,
        last_status_code=status_code if last is None else last[0],
        next_attempt_at=due_at if state is DeliveryState.PENDING else None,
    )


# --- Pages -------------------------------------------------------------------------------------


def list_jobs(
    read: sqlite3.Connection, wanted: JobFilter, now: Instant, *, limit: int, before: int | None
) -> JobPage:
    """Jobs, newest first."""
    sql = _LIST
    if wanted.correlation_id is not None:
        sql = _LIST_CORRELATED
    elif wanted.status in RARE_ENDS:
        sql = _LIST_RARE
    elif wanted.caller_id is not None:
        sql = _LIST_OF_CALLER
    parameters = {
        "before": LAST if before is None else before,
        "look": LOOK_ROWS,
        "correlation_id": wanted.correlation_id,
        "state": None if wanted.status is None else wanted.status.value,
        "caller_id": wanted.caller_id,
    }
    rows = read.execute(sql, parameters)

    def fitting(row: Row) -> Job | None:
        job = job_of(row)
        return job if wanted.admits(job, now) else None

    found, following = page_of(rows, fitting, limit)
    items = [JobRecord(job, _summary(read, seq, job)) for seq, job in found]
    return JobPage(tuple(items), following)


def list_deliveries(
    read: sqlite3.Connection, wanted: DeliveryFilter, *, limit: int, before: int | None
) -> DeliveryPage:
    """Deliveries, newest first, with their attempts."""
    parameters = {
        "before": LAST if before is None else before,
        "look": LOOK_ROWS,
        "job_id": wanted.job_id,
        "caller_id": wanted.caller_id,
        "state": None if wanted.state is None else wanted.state.value,
    }
    rows = read.execute(_deliveries_sql(wanted), parameters)

    def fitting(row: Row) -> Row | None:
        return row if wanted.admits(delivery_in(row)) else None

    found, following = page_of(rows, fitting, limit)
    return DeliveryPage(tuple(_delivery_record(read, row) for _, row in found), following)


def _deliveries_sql(wanted: DeliveryFilter) -> str:
    """The statement that looks at the fewest rows for a filter."""
    if wanted.job_id is not None:
        return _LIST_DELIVERIES_OF_JOB
    rare, anyones = wanted.state in RARE_DELIVERY_ENDS, wanted.caller_id is None
    if rare:
        return _LIST_DELIVERIES_RARE if anyones else _LIST_DELIVERIES_RARE_OF_CALLER
    return _LIST_DELIVERIES if anyones else _LIST_DELIVERIES_OF_CALLER


def get_delivery(
    read: sqlite3.Connection, delivery_id: str, caller_id: str | None
) -> DeliveryRecord | None:
    """A delivery with its attempts, if that caller may see it."""
    row = read.execute(_DELIVERY_FOUND, (delivery_id,)).fetchone()
    if row is None or caller_id not in (None, row[DELIVERY_CALLER]):
        return None
    return _delivery_record(read, row)


def _delivery_record(read: sqlite3.Connection, row: Row) -> DeliveryRecord:
    delivery = delivery_in(row)
    first = first_attempt_of(row)
    attempts = [] if first is None else [first]
    if delivery.attempt_count > 1:
        attempts += [attempt_of(each) for each in read.execute(_ATTEMPTS, (row[0],))]
    return DeliveryRecord(delivery, tuple(attempts))


def page_of(
    rows: Iterator[Row], fitting: Callable[[Row], Item | None], limit: int
) -> tuple[list[tuple[int, Item]], int | None]:
    """Up to `limit` of the rows that fit, with their numbers; and from where the list goes on.

    The rows begin with their number, newest first, and are `LOOK_ROWS` at most.
    """
    found: list[tuple[int, Item]] = []
    looked = 0
    seq = 0
    for row in rows:
        if len(found) == limit:
            return found, seq
        seq = row[0]
        looked += 1
        item = fitting(row)
        if item is not None:
            found.append((seq, item))
    return found, seq if looked == LOOK_ROWS else None
