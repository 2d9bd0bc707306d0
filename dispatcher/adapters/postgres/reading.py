"""Questions about jobs, deliveries and events. Pages look at a bounded number of rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

from dispatcher.adapters.postgres.rows import (
    JOB_SEQ,
    Row,
    attempt_of,
    delivery_in,
    event_of,
    first_attempt_of,
    job_of,
)
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.lifecycle import FINAL_DELIVERY_STATES, FINAL_JOB_STATES, TERMINAL_EVENTS
from dispatcher.core.model import (
    INLINE_RESULT_BYTES,
    DeliveryState,
    Event,
    Job,
    JobState,
    JobStatus,
)
from dispatcher.ports.portions import LOOK_ROWS
from dispatcher.ports.records import HeldJob
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
_SUMMARIES = statement("delivery_summaries")
_ATTEMPTS = statement("attempts_of_deliveries")
_EVENTS = statement("events_of_job")
_HELD = statement("jobs_held")
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


async def find_job(session: Session, job_id: str, caller_id: str | None) -> Row | None:
    """The row of a job, if that caller may see it."""
    row = await session.one(_JOB_BY_ID, job_id)
    return None if row is None or caller_id not in (None, row["caller_id"]) else row


async def get_job(
    session: Session, job_id: str, caller_id: str | None, *, with_input: bool
) -> JobRecord | None:
    """A job with what is shown of it."""
    row = await find_job(session, job_id, caller_id)
    if row is None:
        return None
    seq, job = row[JOB_SEQ], job_of(row)
    body = await session.one(_INPUT, seq, INLINE_RESULT_BYTES) if with_input else None
    return JobRecord(
        job,
        (await _summaries(session, ((seq, job),))).get(seq),
        None if body is None else body[0],
        await _inline_result(session, seq, job),
    )


async def get_result(
    session: Session, job_id: str, caller_id: str | None
) -> tuple[Job, bytes | None] | None:
    """A job with its result, at any size."""
    row = await find_job(session, job_id, caller_id)
    if row is None:
        return None
    body = await session.one(_RESULT, row[JOB_SEQ])
    return job_of(row), None if body is None else body[0]


async def get_input(
    session: Session, job_id: str, caller_id: str | None
) -> tuple[Job, bytes] | None:
    """A job with its input, at any size."""
    row = await find_job(session, job_id, caller_id)
    body = None if row is None else await session.one(_INPUT, row[JOB_SEQ], LAST)
    return None if row is None or body is None else (job_of(row), body[0])


async def list_events(
    session: Session, job_id: str, caller_id: str | None, *, limit: int, after: int
) -> tuple[Job, tuple[tuple[Event, bytes | None], ...]] | None:
    """A job and its events; the last comes with the result if that may stand inline."""
    row = await find_job(session, job_id, caller_id)
    if row is None:
        return None
    seq, job = row[JOB_SEQ], job_of(row)
    events = []
    for each in await session.fetch(_EVENTS, seq, after, limit):
        event = event_of(each, job.id)
        last = event.type in TERMINAL_EVENTS
        events.append((event, await _inline_result(session, seq, job) if last else None))
    return job, tuple(events)


async def held_jobs(session: Session, holder_id: str) -> list[HeldJob]:
    """The running jobs of a holder."""
    return [HeldJob(*row) for row in await session.fetch(_HELD, holder_id)]


async def _inline_result(session: Session, seq: int, job: Job) -> bytes | None:
    if job.result_bytes is None or job.result_bytes > INLINE_RESULT_BYTES:
        return None
    row = await session.one(_RESULT, seq)
    return None if row is None else row[0]


async def _summaries(
    session: Session, jobs: Iterable[tuple[int, Job]]
) -> dict[int, DeliverySummary]:
    """How the last deliveries of jobs stand, by the jobs' numbers."""
    wanted = [seq for seq, job in jobs if job.callback is not None and job.event_count > 0]
    found: dict[int, DeliverySummary] = {}
    for row in await session.fetch(_SUMMARIES, wanted) if wanted else ():
        job_seq, stored, attempt_count, status_code, due_at = row
        state = DeliveryState(stored)
        found[job_seq] = DeliverySummary(
            state=state,
            attempt_count=attempt_count,
            last_status_code=status_code,
            next_attempt_at=due_at if state is DeliveryState.PENDING else None,
        )
    return found


# --- Pages -------------------------------------------------------------------------------------


async def list_jobs(
    session: Session, wanted: JobFilter, *, limit: int, before: int | None
) -> JobPage:
    """Jobs, newest first."""
    now = await session.look_at_clock()
    sql, given = _LIST, []
    if wanted.correlation_id is not None:
        sql, given = _LIST_CORRELATED, [wanted.correlation_id, wanted.caller_id]
    elif wanted.status is not None and wanted.status in RARE_ENDS:
        sql, given = _LIST_RARE, [wanted.status.value]
    elif wanted.caller_id is not None:
        sql, given = _LIST_OF_CALLER, [wanted.caller_id]

    async def rows(before: int, look: int) -> Sequence[Row]:
        return await session.fetch(sql, before, look, *given)

    def fitting(row: Row) -> Job | None:
        job = job_of(row)
        return job if wanted.admits(job, now) else None

    found, following = await page_of(rows, fitting, limit, before)
    summaries = await _summaries(session, found)
    items = [JobRecord(job, summaries.get(seq)) for seq, job in found]
    return JobPage(tuple(items), following)


async def list_deliveries(
    session: Session, wanted: DeliveryFilter, *, limit: int, before: int | None
) -> DeliveryPage:
    """Deliveries, newest first, with their attempts."""
    sql, given = _deliveries_sql(wanted)

    async def rows(before: int, look: int) -> Sequence[Row]:
        return await session.fetch(sql, before, look, *given)

    def fitting(row: Row) -> Row | None:
        return row if wanted.admits(delivery_in(row)) else None

    found, following = await page_of(rows, fitting, limit, before)
    return DeliveryPage(tuple(await _records(session, [row for _, row in found])), following)


def _deliveries_sql(wanted: DeliveryFilter) -> tuple[str, list[str | None]]:
    """The statement that looks at the fewest rows for a filter, and what it is given."""
    if wanted.job_id is not None:
        return _LIST_DELIVERIES_OF_JOB, [wanted.job_id, wanted.caller_id]
    if wanted.state is not None and wanted.state in RARE_DELIVERY_ENDS:
        if wanted.caller_id is None:
            return _LIST_DELIVERIES_RARE, [wanted.state.value]
        return _LIST_DELIVERIES_RARE_OF_CALLER, [wanted.state.value, wanted.caller_id]
    if wanted.caller_id is None:
        return _LIST_DELIVERIES, []
    return _LIST_DELIVERIES_OF_CALLER, [wanted.caller_id]


async def get_delivery(
    session: Session, delivery_id: str, caller_id: str | None
) -> DeliveryRecord | None:
    """A delivery with its attempts, if that caller may see it."""
    row = await session.one(_DELIVERY_FOUND, delivery_id)
    if row is None or caller_id not in (None, delivery_in(row).caller_id):
        return None
    (record,) = await _records(session, (row,))
    return record


async def _records(session: Session, rows: Sequence[Row]) -> list[DeliveryRecord]:
    deliveries = [(row, delivery_in(row)) for row in rows]
    several = [row[0] for row, delivery in deliveries if delivery.attempt_count > 1]
    later: dict[int, list[Row]] = {}
    for each in await session.fetch(_ATTEMPTS, several) if several else ():
        later.setdefault(each[0], []).append(each[1:])
    records = []
    for row, delivery in deliveries:
        first = first_attempt_of(row)
        attempts = [] if first is None else [first]
        attempts += [attempt_of(each) for each in later.get(row[0], ())]
        records.append(DeliveryRecord(delivery, tuple(attempts)))
    return records


async def page_of(
    rows: Callable[[int, int], Awaitable[Sequence[Row]]],
    fitting: Callable[[Row], Item | None],
    limit: int,
    before: int | None,
) -> tuple[list[tuple[int, Item]], int | None]:
    """Up to `limit` of the rows that fit, with their numbers; and from where the list goes on.

    `rows` gives so many rows before a number, newest first, each beginning with its own; they are
    asked for in a few portions, `LOOK_ROWS` together at most.
    """
    found: list[tuple[int, Item]] = []
    seq = LAST if before is None else before
    looked = 0
    while looked < LOOK_ROWS:
        look = min(limit + 1 if looked == 0 else LOOK_ROWS, LOOK_ROWS - looked)
        portion = await rows(seq, look)
        for row in portion:
            if len(found) == limit:
                return found, seq
            seq = row[0]
            looked += 1
            item = fitting(row)
            if item is not None:
                found.append((seq, item))
        if len(portion) < look:
            return found, None
    return found, seq
