"""Changes of jobs: each compares state and lease, then sets. Ends are made a batch at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from dispatcher.adapters.postgres.lanes import Coming, input_sizes, lane_of, wait_no_more
from dispatcher.adapters.postgres.leases import drop_remote
from dispatcher.adapters.postgres.locking import Locked
from dispatcher.adapters.postgres.ordering_keys import Key, Next, advance, key_of
from dispatcher.adapters.postgres.owing import Told, add_events, drop_best_effort
from dispatcher.adapters.postgres.rows import (
    JOB_KEY_PLACE,
    JOB_LANE,
    JOB_LAST_LEASE,
    JOB_LEASE,
    JOB_SEQ,
    Row,
    as_json,
    columns,
    job_of,
)
from dispatcher.adapters.postgres.session import Kind, Session, Witness
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.after import after_finish, after_note, due_after_release
from dispatcher.core.changes import (
    AskCancel,
    FinishJob,
    NoteOutput,
    NoteProgress,
    NoteStarted,
    ReleaseJob,
)
from dispatcher.core.lifecycle import JOB_ENDS, TERMINAL_EVENT
from dispatcher.core.model import INLINE_RESULT_BYTES, EventType, Instant, Job, JobState
from dispatcher.core.ordering import KeyPlace
from dispatcher.core.payload import snapshot
from dispatcher.ports.records import Applied, ApplyResult, DeliveryTerms, Stale

_FINISH = statement("jobs_finish")
_RESULTS_ADD = statement("job_results_add")
_RELEASE = statement("jobs_release")
_ASK_CANCEL = statement("job_ask_cancel")
_NOTE = statement("job_note")
_EVENTS_FIND = statement("events_find")


async def finish_jobs(
    session: Session, changes: Sequence[FinishJob], locked: Locked, terms: DeliveryTerms
) -> list[ApplyResult]:
    """End jobs, each named once; see `FinishJob` and the port."""
    answers: dict[int, ApplyResult] = {}
    ends: list[_End] = []
    late: list[tuple[int, Row, FinishJob]] = []
    for n, change in enumerate(changes):
        if change.to not in JOB_ENDS[change.from_state]:
            raise ValueError(f"a job that is {change.from_state} can't end as {change.to}")
        known = locked.ended.get(change.job_id)
        row = locked.jobs.get(change.job_id)
        if known is not None:
            ends.append(_End(n, known.seq, None, known.job, change))
            continue
        if row is None:
            answers[n] = Stale()
            continue
        before = job_of(row)
        if before.state is not change.from_state or row[JOB_LEASE] != change.lease:
            late.append((n, row, change))
        else:
            ends.append(_End(n, row[JOB_SEQ], row, after_finish(before, change), change))
    if late:
        written = await _written(session, [change.event_id for _, _, change in late])
        for n, row, change in late:
            again = (change.event_id, row[JOB_SEQ]) in written
            answers[n] = Applied() if again else Stale()
    if ends:
        applied = await _end(session, ends, locked, terms)
        answers.update(zip([each.n for each in ends], applied, strict=True))
        locked.forget_jobs(each.change.job_id for each in ends)
    return [answers[n] for n in range(len(changes))]


class _End(NamedTuple):
    """A job that ends: its change's position, its number, its row, and how it stands then.

    Without a row its end is written already, when its caller had no endpoint: one that was added
    since may be known for another job's sake, but its destination is not locked for this.
    """

    n: int
    seq: int
    row: Row | None
    job: Job
    change: FinishJob


async def _end(
    session: Session, ends: Sequence[_End], locked: Locked, terms: DeliveryTerms
) -> list[Applied]:
    read = [(each, each.row) for each in ends if each.row is not None]
    following = await _write(session, read, locked) if read else {}
    session.witnesses.append(Witness(Kind.EVENT, ends[0].change.event_id))
    told = [
        Told(
            job_seq=each.seq,
            job=each.job,
            event_id=each.change.event_id,
            type=TERMINAL_EVENT[each.job.state],
            at=each.change.at,
            result=_inline(each.change.result),
            hand_off=each.change.hand_off,
            to_endpoints=each.row is not None,
        )
        for each in ends
    ]
    applied = await add_events(session, told, terms)
    if not following:
        return applied
    return [
        answer if each.row is None else _followed(session, each.row, following, answer)
        for each, answer in zip(ends, applied, strict=True)
    ]


async def _write(
    session: Session, ends: Sequence[tuple[_End, Row]], locked: Locked
) -> Mapping[Key, Next]:
    """Write ends of jobs that were read; who is the front of a key because of them."""
    rows = [
        (
            each.seq,
            each.job.state.value,
            each.job.finished_at,
            each.job.expires_at,
            as_json(each.job.progress),
            as_json(each.job.error),
            each.job.result_bytes,
        )
        for each, _ in ends
    ]
    await session.execute(_FINISH, *columns(rows, 7))
    await drop_remote(session, [row for _, row in ends])
    following = await advance(session, [row for _, row in ends])
    locked.forget_jobs(each.job_id for each in following.values())
    waited = {each.seq: row[JOB_LANE] for each, row in ends if each.change.lease is None}
    await wait_no_more(session, waited, (each.lane_seq for each in following.values()))
    results = [(each.seq, result) for each, _ in ends if (result := each.change.result) is not None]
    if results:
        await session.execute(_RESULTS_ADD, *columns(results, 2))
    noted = [(each.seq, each.change.at) for each, _ in ends if each.job.event_count > 1]
    if noted:
        await drop_best_effort(session, noted)
        locked.forget_deliveries(locked.deliveries)
    return following


def _followed(
    session: Session, row: Row, following: Mapping[Key, Next], answer: Applied
) -> Applied:
    """The answer, which tells if another is the front of the job's key because of its end."""
    if row[JOB_KEY_PLACE] != KeyPlace.FRONT or key_of(row) not in following:
        return answer
    return replace(answer, job_ready_at=session.now)


def _inline(result: bytes | None) -> bytes | None:
    return None if result is None or len(result) > INLINE_RESULT_BYTES else result


async def _written(session: Session, event_ids: Iterable[str]) -> set[tuple[str, int]]:
    """Which events stand already, each with its job: then the change was sent before."""
    rows = await session.fetch(_EVENTS_FIND, list(event_ids))
    return {(row[0], row[1]) for row in rows}


async def release_jobs(
    session: Session, changes: Sequence[ReleaseJob], locked: Locked
) -> list[ApplyResult]:
    """Put running jobs back, each named once; see `ReleaseJob`."""
    held = [
        (n, change, locked.held(change.job_id, change.lease)) for n, change in enumerate(changes)
    ]
    back = [(n, change, row, job_of(row)) for n, change, row in held if row is not None]
    answers: list[ApplyResult] = [
        Applied() if _was_put_back(locked, change) else Stale() for change in changes
    ]
    if not back:
        return answers
    sizes = await input_sizes(session, [row[JOB_SEQ] for _, _, row, _ in back])
    coming = Coming()
    due: dict[int, Instant] = {}
    for n, change, row, job in back:
        due[n] = due_after_release(job, change, session.now)
        coming.add(lane_of(job), due[n], sizes.get(row[JOB_SEQ], 0))
        answers[n] = Applied(job_ready_at=max(due[n], session.now))
    await drop_remote(session, [row for _, _, row, _ in back])
    seqs = await coming.wait(session)
    rows = [
        (
            row[JOB_SEQ],
            seqs[lane_of(job)],
            due[n],
            change.retrying,
            int(change.refund),
            as_json(change.error),
            as_json(change.progress),
            int(change.crashed),
        )
        for n, change, row, job in back
    ]
    await session.execute(_RELEASE, *columns(rows, 8))
    locked.forget_jobs(change.job_id for _, change, _, _ in back)
    return answers


def _was_put_back(locked: Locked, change: ReleaseJob) -> bool:
    """Whether a remote worker says again what it said before: its lease stayed with the job."""
    row = locked.jobs.get(change.job_id)
    return row is not None and row[JOB_LAST_LEASE] == change.lease and not job_of(row).done


# --- one at a time -----------------------------------------------------------------------------


async def ask_cancel(session: Session, change: AskCancel, locked: Locked) -> ApplyResult:
    """Note that a running job is to be stopped; see `AskCancel`."""
    row = locked.jobs.get(change.job_id)
    if row is None or row["state"] != JobState.RUNNING:
        return Stale()
    if row["cancel_requested_at"] is None:
        await session.execute(_ASK_CANCEL, row[JOB_SEQ], change.at)
        locked.forget_jobs((change.job_id,))
    return Applied()


async def note(
    session: Session,
    change: NoteProgress | NoteOutput | NoteStarted,
    locked: Locked,
    terms: DeliveryTerms,
) -> ApplyResult:
    """Keep what a running job tells; see `NoteProgress`, `NoteOutput` and `NoteStarted`."""
    row = locked.held(change.job_id, change.lease)
    event_id = change.event_id
    if row is None:
        there = locked.jobs.get(change.job_id)
        if there is None or event_id is None:
            return Stale()
        written = await _written(session, [event_id])
        return Applied() if (event_id, there[JOB_SEQ]) in written else Stale()
    seq, before = row[JOB_SEQ], job_of(row)
    progress = None if isinstance(change, NoteStarted) else change.progress
    if event_id is None:
        await session.execute(_NOTE, seq, as_json(progress), 0)
        locked.forget_jobs((change.job_id,))
        return Applied()
    if (event_id, seq) in await _written(session, [event_id]):
        return Applied()
    job = after_note(before, progress)
    await session.execute(_NOTE, seq, as_json(progress), 1)
    locked.forget_jobs((change.job_id,))
    output = change.output if isinstance(change, NoteOutput) else None
    told = Told(
        job_seq=seq,
        job=job,
        event_id=event_id,
        type=_type_of(change),
        at=change.at,
        data=snapshot(job, output),
        sent=not isinstance(change, NoteOutput) or change.deliver,
    )
    (applied,) = await add_events(session, (told,), terms)
    session.witnesses.append(Witness(Kind.EVENT, event_id))
    return applied


def _type_of(change: NoteProgress | NoteOutput | NoteStarted) -> EventType:
    match change:
        case NoteProgress():
            return EventType.JOB_PROGRESS
        case NoteOutput():
            return EventType.JOB_OUTPUT
        case NoteStarted():
            return EventType.JOB_STARTED
