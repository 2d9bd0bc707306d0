"""`apply`: a batch of changes of many calls, those alike together, those of one call in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, assert_never

from dispatcher.adapters.postgres.audit import add_audit
from dispatcher.adapters.postgres.batching import Entry
from dispatcher.adapters.postgres.changing import ask_cancel, finish_jobs, note, release_jobs
from dispatcher.adapters.postgres.delivering import change_delivery
from dispatcher.adapters.postgres.destinations_kept import change_destination
from dispatcher.adapters.postgres.locking import DeliveryChange, Locked, Steering, lock_all
from dispatcher.adapters.postgres.recording import record_attempts
from dispatcher.adapters.postgres.redelivering import redeliver
from dispatcher.adapters.postgres.session import Session
from dispatcher.core.changes import (
    AskCancel,
    AskCancelDelivery,
    Audited,
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
from dispatcher.ports.records import Applied, ApplyResult, DeliveryTerms

_Numbered: TypeAlias = tuple[int, Change]

_TOGETHER = (FinishJob, ReleaseJob, RecordAttempt, Redeliver)
"""Of these a batch is a few statements, whatever its size."""


def carried(changes: Sequence[Change | Audited]) -> int:
    """How many bytes changes carry: what may be large are results and outputs."""
    size = 0
    for change in changes:
        if isinstance(change, FinishJob):
            size += len(change.result or b"")
        elif isinstance(change, NoteOutput):
            size += len(change.output)
    return size


async def apply(
    session: Session, entries: Sequence[Entry[Change | Audited]], terms: DeliveryTerms
) -> list[ApplyResult]:
    """Apply changes; see the port."""
    changes = [_change_of(entry.item) for entry in entries]
    return await apply_locked(session, entries, await lock_all(session, changes, terms), terms)


async def apply_locked(
    session: Session,
    entries: Sequence[Entry[Change | Audited]],
    locked: Locked,
    terms: DeliveryTerms,
) -> list[ApplyResult]:
    """The same, once what the changes are about is locked."""
    changes = [_change_of(entry.item) for entry in entries]
    answers: dict[int, ApplyResult] = {}
    recorded: list[_Numbered] = []
    calls: dict[int, list[_Numbered]] = {}
    for n, (entry, change) in enumerate(zip(entries, changes, strict=True)):
        if isinstance(change, RecordAttempt) and change.delivery_id in locked.recorded:
            recorded.append((n, change))
        else:
            calls.setdefault(entry.call, []).append((n, change))
    queues = [several[::-1] for several in calls.values()]
    # What is recorded already comes first. Its slots are free: those that wait for them, retries
    # too, have their turn before what the batch adds.
    if recorded:
        queues.insert(0, recorded[::-1])
    while queues:
        stage = _next_stage(queues)
        alike = [change for _, change in stage]
        await locked.refresh(session, alike)
        results = await _apply_alike(session, alike, locked, terms)
        answers.update(zip([n for n, _ in stage], results, strict=True))
        queues = [queue for queue in queues if queue]
    for n, entry in enumerate(entries):
        if isinstance(entry.item, Audited) and isinstance(answers[n], Applied):
            await add_audit(session, entry.item.entry)
    return [answers[n] for n in range(len(entries))]


def _change_of(item: Change | Audited) -> Change:
    return item.change if isinstance(item, Audited) else item


def _next_stage(queues: Sequence[list[_Numbered]]) -> list[_Numbered]:
    """Take the next changes that are alike, from every call, each job or delivery named once.

    The queues are reversed: what comes next is last.
    """
    kind = type(queues[0][-1][1])
    if kind not in _TOGETHER:
        return [queues[0].pop()]
    stage: list[_Numbered] = []
    named: set[str] = set()
    for queue in queues:
        while queue and type(queue[-1][1]) is kind:
            name = _name(queue[-1][1])
            if name in named:
                break
            named.add(name)
            stage.append(queue.pop())
    return stage


def _name(change: Change) -> str:
    if isinstance(change, Steering):
        return change.destination_id
    return change.delivery_id if isinstance(change, DeliveryChange) else change.job_id


async def _apply_alike(
    session: Session, changes: Sequence[Change], locked: Locked, terms: DeliveryTerms
) -> list[ApplyResult]:
    first = changes[0]
    match first:
        case FinishJob():
            ends = [change for change in changes if isinstance(change, FinishJob)]
            return await finish_jobs(session, ends, locked, terms)
        case RecordAttempt():
            records = [change for change in changes if isinstance(change, RecordAttempt)]
            return await record_attempts(session, records, locked, terms)
        case ReleaseJob():
            back = [change for change in changes if isinstance(change, ReleaseJob)]
            return await release_jobs(session, back, locked)
        case Redeliver():
            again = [change for change in changes if isinstance(change, Redeliver)]
            return await redeliver(session, again, locked, terms)
        case AskCancel():
            return [await ask_cancel(session, first, locked)]
        case NoteProgress() | NoteOutput() | NoteStarted():
            return [await note(session, first, locked, terms)]
        case ReleaseDelivery() | EndDelivery() | AskCancelDelivery():
            return [await change_delivery(session, first, locked, terms)]
        case PauseDestination() | ResumeDestination():
            return [await change_destination(session, first)]
        case _:
            assert_never(first)
