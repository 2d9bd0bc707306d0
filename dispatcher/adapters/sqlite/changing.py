"""Changes of jobs: each compares state and lease, then sets."""

from __future__ import annotations

from msgspec.structs import replace

from dispatcher.adapters.sqlite.fanout import owe_endpoints, told
from dispatcher.adapters.sqlite.lanes import wait_in_lane, wait_no_more
from dispatcher.adapters.sqlite.ordering_keys import renew_front
from dispatcher.adapters.sqlite.owing import Owed, add_event
from dispatcher.adapters.sqlite.rows import (
    JOB_HOLDER,
    JOB_KEY_PLACE,
    JOB_LANE,
    JOB_LAST_LEASE,
    JOB_LEASE,
    JOB_SEQ,
    Row,
    as_json,
    job_of,
)
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.after import after_finish, after_note, due_after_release
from dispatcher.core.changes import (
    AskCancel,
    FinishJob,
    NoteOutput,
    NoteProgress,
    NoteStarted,
    ReleaseJob,
)
from dispatcher.core.lifecycle import JOB_ENDS, wants
from dispatcher.core.model import INLINE_RESULT_BYTES, EventType, Instant, Job, JobState
from dispatcher.core.ordering import KeyPlace
from dispatcher.core.payload import snapshot
from dispatcher.ports.records import Applied, ApplyResult, DeliveryTerms, Stale

_JOB_BY_ID = statement("job_by_id")
_JOB_STATE = statement("job_state")
_FINISH = statement("job_finish")
_FINISH_PLAIN = statement("job_finish_plain")
_RELEASE = statement("job_release")
_ASK_CANCEL = statement("job_ask_cancel")
_NOTE = statement("job_note")
_RESULT_ADD = statement("job_result_add")
_EVENT_OF_JOB = statement("event_of_job")
_DROP = statement("deliveries_drop")
_DROP_LEASE = statement("lease_drop")
_LAST_LEASE = statement("job_last_lease")
_MOVE = statement("key_place")


def finish_job(session: Session, change: FinishJob, terms: DeliveryTerms) -> ApplyResult:
    """End a job; see `FinishJob` and the port."""
    if change.to not in JOB_ENDS[change.from_state]:
        raise ValueError(f"a job that is {change.from_state} can't end as {change.to}")
    known = session.remembered.job(change.lease)
    if known is not None and _is_meant(known.job, change):
        job = after_finish(known.job, change)
        if _set_ended(session, known.seq, known.job, job, change):
            return _after_end(session, known.seq, known.job, job, change, terms)
    row = session.one(_JOB_BY_ID, (change.job_id,))
    if row is None:
        return Stale()
    seq, before = row[JOB_SEQ], job_of(row)
    if before.state is not change.from_state or row[JOB_LEASE] != change.lease:
        return _again(session, seq, change.event_id)
    if before.state is JobState.WAITING:
        wait_no_more(session, seq, row[JOB_LANE])
    job = after_finish(before, change)
    _set_ended(session, seq, before, job, change)
    _drop_remote_lease(session, row)
    follows_at = _next_of_key(session, row, job)
    applied = _after_end(session, seq, before, job, change, terms)
    return applied if follows_at is None else replace(applied, job_ready_at=follows_at)


def _is_meant(known: Job, change: FinishJob) -> bool:
    """Whether the job that is remembered by a change's lease is the one that it names."""
    return known.id == change.job_id and known.state is change.from_state


def _set_ended(session: Session, seq: int, before: Job, job: Job, change: FinishJob) -> bool:
    """Write that a job has ended, if it stands as `before`, under the change's lease."""
    ends = (job.state._value_, job.finished_at, job.expires_at)
    stands = (job.result_bytes, seq, change.from_state._value_, change.lease, before.version)
    plain = job.progress is None and job.error is None and before.error is None
    if plain:  # progress stays once it is there, so it was not
        return session.write(_FINISH_PLAIN, (*ends, *stands)).rowcount == 1
    said = (as_json(job.progress), as_json(job.error))
    return session.write(_FINISH, (*ends, *said, *stands)).rowcount == 1


def _after_end(
    session: Session, seq: int, before: Job, job: Job, change: FinishJob, terms: DeliveryTerms
) -> Applied:
    """Store what ended with a job: its result, its last event, and what that owes."""
    result = change.result
    if result is not None:
        session.write(_RESULT_ADD, (seq, result))
    if before.event_count > 0:
        session.execute(_DROP, {"job_seq": seq, "at": change.at})
    event, event_seq = add_event(session, seq, job, change.event_id, change.at, None)
    also_at = owe_endpoints(session, event, event_seq, seq, terms, job)
    if not wants(job, event.type):
        return told(Applied(), also_at)
    if result is not None and len(result) > INLINE_RESULT_BYTES:
        result = None
    owed = Owed(session, seq, event_seq, job, event)
    return told(owed.add(terms, hand_off=change.hand_off, result=result), also_at)


def _next_of_key(session: Session, row: Row, job: Job) -> Instant | None:
    """After the end of a job: now, if another of its key is the front because of it."""
    if job.ordering_key is None:
        return None
    session.execute(_MOVE, {"seq": row[JOB_SEQ], "place": KeyPlace.ENDED})
    if row[JOB_KEY_PLACE] != KeyPlace.FRONT:
        return None
    follows = renew_front(session, job.caller_id, job.ordering_key)
    return None if follows is None else session.now


def _drop_remote_lease(session: Session, row: Row) -> None:
    """End the lease of a remote worker, if it was one's: its token stays with the job alone."""
    lease = row[JOB_LEASE]
    if lease is not None and row[JOB_HOLDER] == lease:
        session.execute(_DROP_LEASE, (lease,))
        session.execute(_LAST_LEASE, {"seq": row[JOB_SEQ], "lease": lease})


def _again(session: Session, seq: int, event_id: str) -> ApplyResult:
    """What a change is answered whose guard does not hold: it may be one that was applied."""
    return Stale() if session.one(_EVENT_OF_JOB, (event_id, seq)) is None else Applied()


def release_job(session: Session, change: ReleaseJob) -> ApplyResult:
    """Put a running job back; see `ReleaseJob`."""
    row = session.one(_JOB_BY_ID, (change.job_id,))
    if row is None or row[JOB_LEASE] != change.lease:
        again = row is not None and row[JOB_LAST_LEASE] == change.lease and not job_of(row).done
        return Applied() if again else Stale()
    job = job_of(row)
    due_at = due_after_release(job, change, session.now)
    seq = row[JOB_SEQ]
    lane_seq = wait_in_lane(session, seq, job.caller_id, job.queue, job.type, due_at)
    session.execute(
        _RELEASE,
        {
            "seq": seq,
            "lease": change.lease,
            "lane_seq": lane_seq,
            "due_at": due_at,
            "retrying": change.retrying,
            "refund": change.refund,
            "error": as_json(change.error),
            "progress": as_json(change.progress),
            "crashed": change.crashed,
        },
    )
    _drop_remote_lease(session, row)
    return Applied(job_ready_at=max(due_at, session.now))


def ask_cancel(session: Session, change: AskCancel) -> ApplyResult:
    """Note that a running job is to be stopped; see `AskCancel`."""
    changed = session.execute(_ASK_CANCEL, {"id": change.job_id, "at": change.at}).rowcount
    if changed:
        return Applied()
    row = session.one(_JOB_STATE, (change.job_id,))
    return Applied() if row is not None and row[0] == JobState.RUNNING else Stale()


def note_progress(session: Session, change: NoteProgress, terms: DeliveryTerms) -> ApplyResult:
    """Keep how far a running job is; see `NoteProgress`."""
    row = _held(session, change.job_id, change.lease)
    if row is None:
        if change.event_id is None:
            return Stale()
        return _note_again(session, change.job_id, change.event_id)
    if change.event_id is not None:
        return _note(session, row, change, terms, EventType.JOB_PROGRESS)
    parameters = {"seq": row[JOB_SEQ], "lease": change.lease, "events": 0}
    session.execute(_NOTE, {**parameters, "progress": as_json(change.progress)})
    return Applied()


def note_output(session: Session, change: NoteOutput, terms: DeliveryTerms) -> ApplyResult:
    """Keep an intermediate result; see `NoteOutput`."""
    row = _held(session, change.job_id, change.lease)
    if row is None:
        return _note_again(session, change.job_id, change.event_id)
    return _note(session, row, change, terms, EventType.JOB_OUTPUT)


def note_started(session: Session, change: NoteStarted, terms: DeliveryTerms) -> ApplyResult:
    """Keep that an attempt has begun; see `NoteStarted`."""
    row = _held(session, change.job_id, change.lease)
    if row is None:
        return _note_again(session, change.job_id, change.event_id)
    return _note(session, row, change, terms, EventType.JOB_STARTED)


def _held(session: Session, job_id: str, lease: str) -> Row | None:
    """The row of a job that is running under this lease."""
    row: Row | None = session.one(_JOB_BY_ID, (job_id,))
    return row if row is not None and row[JOB_LEASE] == lease else None


def _note_again(session: Session, job_id: str, event_id: str) -> ApplyResult:
    row = session.one(_JOB_BY_ID, (job_id,))
    return Stale() if row is None else _again(session, row[JOB_SEQ], event_id)


def _note(
    session: Session,
    row: Row,
    change: NoteProgress | NoteOutput | NoteStarted,
    terms: DeliveryTerms,
    type_: EventType,
) -> ApplyResult:
    """Store an event of a running job, and owe it to whoever asked for it."""
    seq, before = row[JOB_SEQ], job_of(row)
    event_id = change.event_id or ""
    if session.one(_EVENT_OF_JOB, (event_id, seq)) is not None:
        return Applied()
    progress = None if isinstance(change, NoteStarted) else change.progress
    job = after_note(before, progress)
    parameters = {"seq": seq, "lease": change.lease, "events": 1, "progress": as_json(progress)}
    session.execute(_NOTE, parameters)
    data = snapshot(job, change.output if isinstance(change, NoteOutput) else None)
    event, event_seq = add_event(session, seq, job, event_id, change.at, (type_, data))
    sent = not isinstance(change, NoteOutput) or change.deliver
    if not sent:
        return Applied()
    also_at = owe_endpoints(session, event, event_seq, seq, terms)
    if not wants(job, type_):
        return told(Applied(), also_at)
    return told(Owed(session, seq, event_seq, job, event).add_at_once(terms), also_at)
