"""Steps of bulk operations: each is one transaction, with all that it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from dispatcher.adapters.postgres import ordering_keys
from dispatcher.adapters.postgres.adding import add_jobs
from dispatcher.adapters.postgres.applying import apply_locked
from dispatcher.adapters.postgres.batching import Entry
from dispatcher.adapters.postgres.locking import Locked, lock_all
from dispatcher.adapters.postgres.rows import JOB_SEQ
from dispatcher.adapters.postgres.selecting import bulk_state
from dispatcher.adapters.postgres.session import Kind, Session, Witness
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.changes import Audited, Change
from dispatcher.ports.bulk import BulkStep, BulkStepped, after_step
from dispatcher.ports.records import AddResult, ApplyResult, DeliveryTerms, NewJob, NoRoom, Stale

_PUT: Final = statement("bulk_put")
_SAVEPOINT: Final = statement("savepoint")
_KEEP: Final = statement("savepoint_keep")
_UNDO: Final = statement("savepoint_undo")

_Stepped: TypeAlias = BulkStepped | Stale | NoRoom


async def advance_bulk(
    session: Session, entries: Sequence[Entry[BulkStep]], terms: DeliveryTerms
) -> list[_Stepped]:
    """Take steps, each unless it was taken or its job is no longer held so; see `BulkStep`."""
    steps = [entry.item for entry in entries]
    changes = [each for step in steps for each in step.items if not isinstance(each, NewJob)]
    # Jobs are added at the end, and their keys come first in the order of all locks.
    news = [each.job for step in steps for each in step.items if isinstance(each, NewJob)]
    held = await ordering_keys.hold(session, news)
    locked = await lock_all(session, changes, terms, [step.job_id for step in steps])
    results = [await _advance(session, step, locked, terms) for step in steps]
    await ordering_keys.forget(session, held)
    return results


async def _advance(
    session: Session, step: BulkStep, locked: Locked, terms: DeliveryTerms
) -> _Stepped:
    row = locked.held(step.job_id, step.lease)
    if row is None:
        return Stale()
    was = await bulk_state(session, step.job_id)
    if was.after != step.since:
        return BulkStepped(was) if was.after == step.after else Stale()
    results = await _all_or_none(session, step, locked, terms)
    if isinstance(results, NoRoom):
        return results
    state = after_step(was, step, results)
    await session.execute(
        _PUT,
        row[JOB_SEQ],
        state.after,
        state.matched,
        state.changed,
        state.skipped,
        state.total,
        state.ended,
    )
    session.witnesses.append(Witness(Kind.BULK, step.job_id, str(state.after)))
    return BulkStepped(state, tuple(results))


async def _all_or_none(
    session: Session, step: BulkStep, locked: Locked, terms: DeliveryTerms
) -> list[ApplyResult | AddResult] | NoRoom:
    """Do what a step says; if there is no room for a job of it, nothing of it is done.

    Changes are made before jobs are added: they are about other things, whatever their order.
    """
    numbered = list(enumerate(step.items))
    news = [(n, Entry(0, each)) for n, each in numbered if isinstance(each, NewJob)]
    rest: list[tuple[int, Entry[Change | Audited]]] = [
        (n, Entry(0, each)) for n, each in numbered if not isinstance(each, NewJob)
    ]
    results: dict[int, ApplyResult | AddResult] = {}
    await session.execute(_SAVEPOINT)
    known = len(session.witnesses)
    if rest:
        applied = await apply_locked(session, [entry for _, entry in rest], locked, terms)
        results.update(zip([n for n, _ in rest], applied, strict=True))
    if news:
        added = await add_jobs(session, [entry for _, entry in news])
        results.update(zip([n for n, _ in news], added, strict=True))
        full = next((each for each in added if isinstance(each, NoRoom)), None)
        if full is not None:
            await session.execute(_UNDO)
            del session.witnesses[known:]
            locked.forget_jobs(locked.jobs)
            locked.forget_deliveries(locked.deliveries)
            return full
    await session.execute(_KEEP)
    return [results[n] for n, _ in numbered]
