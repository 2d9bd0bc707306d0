"""Steps of bulk operations: each is done as a whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dispatcher.adapters.sqlite.adding import add_job
from dispatcher.adapters.sqlite.rows import JOB_LEASE, JOB_SEQ
from dispatcher.adapters.sqlite.selecting import bulk_state
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.changes import Change
from dispatcher.ports.bulk import BulkStep, BulkStepped, after_step
from dispatcher.ports.records import AddResult, ApplyResult, NewJob, NoRoom, Stale

_JOB_BY_ID: Final = statement("job_by_id")
_PUT: Final = statement("bulk_put")


def advance_bulk(
    session: Session, step: BulkStep, apply: Callable[[Session, Change], ApplyResult]
) -> BulkStepped | Stale | NoRoom:
    """Take a step, unless it was taken or the job is no longer held so; see `BulkStep`."""
    row = session.one(_JOB_BY_ID, (step.job_id,))
    if row is None or row[JOB_LEASE] != step.lease:
        return Stale()
    was = bulk_state(session.connection, step.job_id)
    if was.after != step.since:
        return BulkStepped(was) if was.after == step.after else Stale()
    results: list[ApplyResult | AddResult] = []
    session.execute("SAVEPOINT step")
    for item in step.items:
        result = add_job(session, item) if isinstance(item, NewJob) else apply(session, item)
        if isinstance(result, NoRoom):
            session.execute("ROLLBACK TO step")
            session.execute("RELEASE step")
            return result
        results.append(result)
    session.execute("RELEASE step")
    state = after_step(was, step, results)
    session.execute(
        _PUT,
        {
            "job_seq": row[JOB_SEQ],
            "after": state.after,
            "matched": state.matched,
            "changed": state.changed,
            "skipped": state.skipped,
            "total": state.total,
            "ended": state.ended,
        },
    )
    return BulkStepped(state, tuple(results))
