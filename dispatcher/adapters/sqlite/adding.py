"""Adding jobs, with idempotency and hand-off."""

from __future__ import annotations

from dispatcher.adapters.sqlite.fanout import asked_of
from dispatcher.adapters.sqlite.lanes import add_lane, count_waiting, next_in_lane, set_ready
from dispatcher.adapters.sqlite.ordering_keys import place_of
from dispatcher.adapters.sqlite.pausing import is_paused, room_of_queue, room_of_type
from dispatcher.adapters.sqlite.rows import Row, is_plain, job_of, job_row, plain_job_row
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.after import after_hand_off
from dispatcher.core.changes import LeasedJob
from dispatcher.core.lifecycle import late_at
from dispatcher.core.model import Job, JobState
from dispatcher.core.ordering import KeyPlace
from dispatcher.core.quotas import Full, WaitRoom
from dispatcher.ports.records import (
    Added,
    AddResult,
    HandOff,
    Idempotency,
    KeyReused,
    KeySpent,
    NewJob,
    NoRoom,
    Replayed,
)

_JOB_ADD = statement("job_add")
_JOB_ADD_PLAIN = statement("job_add_plain")
_INPUT_ADD = statement("job_input_add")
_JOB_BY_SEQ = statement("job_by_seq")
_LANES_OF_QUEUE = statement("lanes_of_queue")
_WAITING_OF_CALLER = statement("waiting_of_caller")
_WAITING_IN_QUEUE = statement("waiting_in_queue")
_KEY_FIND = statement("idempotency_find")
_KEY_PUT = statement("idempotency_put")


def add_job(session: Session, new: NewJob) -> AddResult:
    """Add a job, unless its key was used before."""
    job, key = new.job, new.idempotency
    if key is not None:
        known = _known(session, job.caller_id, key)
        if known is not None:
            return known
    lanes = _lanes_of(session, job)
    place = place_of(session, job)
    hand_off = new.hand_off if place is not KeyPlace.BEHIND else None
    if hand_off is not None and _may_run_now(session, job, hand_off, lanes):
        job = after_hand_off(job, session.now)
        lane_seq = _lane(session, job, lanes, place)
        seq = _write(session, job, lane_seq, hand_off, place)
        leased = LeasedJob(job, hand_off.lease, new.input, asked_of(session, job.caller_id))
    else:
        full = None if new.room is None else _full(session, new, new.room)
        if full is not None:
            return NoRoom(full)
        lane_seq = _lane(session, job, lanes, place)
        count_waiting(session, lane_seq, 1, len(new.input))
        seq = _write(session, job, lane_seq, None, place)
        leased = None
    session.write(_INPUT_ADD, (seq, new.input))
    if leased is not None:
        session.remembered.leased_job(leased.lease, seq, job)
    if key is not None:
        session.execute(
            _KEY_PUT,
            {
                "caller_id": job.caller_id,
                "key": key.key,
                "digest": key.digest,
                "job_seq": seq,
                "expires_at": key.expires_at,
            },
        )
    return Added(job, leased)


def _write(
    session: Session, job: Job, lane_seq: int, hand_off: HandOff | None, place: KeyPlace
) -> int:
    """Write the job itself, waiting or leased by that hand-off; gives its number."""
    lease = holder_id = None
    if hand_off is not None:
        lease, holder_id = hand_off.lease, hand_off.holder_id
    if is_plain(job):
        added = session.write(_JOB_ADD_PLAIN, plain_job_row(job, lane_seq, lease, holder_id))
    else:
        added = session.write(_JOB_ADD, job_row(job, lane_seq, lease, holder_id, place))
    seq = added.lastrowid
    if seq is None:
        raise AssertionError("an insert has a row id")
    return seq


def _lanes_of(session: Session, job: Job) -> list[Row]:
    """The lanes of a job's queue, read once as long as nobody in the transaction writes to one."""
    whose = (job.caller_id, job.queue)
    lanes = session.lanes.get(whose)
    if lanes is None:
        lanes = session.execute(_LANES_OF_QUEUE, whose).fetchall()
        session.lanes[whose] = lanes
    return lanes


def _full(session: Session, new: NewJob, room: WaitRoom) -> Full | None:
    """Whether what waits leaves no room for this job too, and why; see `NewJob`."""
    jobs, waiting_bytes = session.one(_WAITING_OF_CALLER, (new.job.caller_id,))
    in_queue = 0
    if room.queue_jobs is not None:
        (in_queue,) = session.one(_WAITING_IN_QUEUE, (new.job.queue,))
    return room.full(jobs=jobs + 1, bytes_=waiting_bytes + len(new.input), queue_jobs=in_queue + 1)


def _known(session: Session, caller_id: str, key: Idempotency) -> AddResult | None:
    """What a key that was used before answers; None: it is new."""
    first = session.one(_KEY_FIND, {"caller_id": caller_id, "key": key.key, "now": session.now})
    if first is None:
        return None
    digest, seq = first
    if digest != key.digest:
        return KeyReused()
    row = session.one(_JOB_BY_SEQ, (seq,))
    return KeySpent() if row is None else Replayed(job_of(row))


def _may_run_now(session: Session, job: Job, hand_off: HandOff, lanes: list[Row]) -> bool:
    """Whether the claim would choose this job now: see `NewJob`."""
    now = session.now
    if job.due_at > now or not session.holder_lives(hand_off.holder_id):
        return False
    late = late_at(job)
    if late is not None and late <= now:
        return False
    for place, (seq, type_, ready_at, paused_at) in enumerate(lanes):
        if paused_at is not None:
            return False
        if ready_at is not None and ready_at <= now:
            # A lower bound may be too low, when what waited was ended: look, and mend it.
            exactly = next_in_lane(session, seq)
            if exactly == now:
                return False
            set_ready(session, seq, exactly)
            lanes[place] = (seq, type_, exactly, paused_at)
    if not lanes and is_paused(session, job.queue):  # lanes say so themselves
        return False
    most = hand_off.concurrency
    return 0 not in (room_of_queue(session, job.queue, most), room_of_type(session, job.type, most))


def _lane(session: Session, job: Job, lanes: list[Row], place: KeyPlace) -> int:
    """The number of the job's lane, made if it is not there; if it waits there, ready by then."""
    waits = job.state is JobState.WAITING and place is not KeyPlace.BEHIND
    ready_at = job.due_at if waits else None
    for seq, type_, known_ready_at, _ in lanes:
        if type_ == job.type:
            if ready_at is not None and (known_ready_at is None or known_ready_at > ready_at):
                set_ready(session, seq, ready_at)
            number: int = seq
            return number
    return add_lane(session, job.caller_id, job.queue, job.type, ready_at)
