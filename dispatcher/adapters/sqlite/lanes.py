"""Lanes: where jobs of one caller, queue and type wait."""

from __future__ import annotations

from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.model import Instant

_FIND = statement("lane_find")
_ADD = statement("lane_add")
_SET = statement("lane_set")
_COUNT = statement("lane_count")
_INPUT_BYTES = statement("input_bytes")
_NEXT = statement("lane_next")


def wait_in_lane(
    session: Session, job_seq: int, caller_id: str, queue: str, type_: str, due_at: Instant
) -> int:
    """The lane of a job that comes to wait again, made if it is not there; it is ready by then."""
    row = session.one(_FIND, (caller_id, queue, type_))
    if row is None:
        seq = add_lane(session, caller_id, queue, type_, due_at)
    else:
        seq = row[0]
        if row[1] is None or row[1] > due_at:
            set_ready(session, seq, due_at)
    count_waiting(session, seq, 1, _input_bytes(session, job_seq))
    return seq


def wait_no_more(session: Session, job_seq: int, lane_seq: int) -> None:
    """A job that waited in a lane does so no more, and was not claimed."""
    count_waiting(session, lane_seq, -1, -_input_bytes(session, job_seq))


def count_waiting(session: Session, seq: int, jobs: int, input_bytes: int) -> None:
    """So many jobs more wait in a lane (less, if below 0), and so many bytes of their inputs."""
    session.execute(_COUNT, (jobs, input_bytes, seq))


def _input_bytes(session: Session, job_seq: int) -> int:
    row = session.one(_INPUT_BYTES, (job_seq,))
    return 0 if row is None else row[0]


def add_lane(
    session: Session, caller_id: str, queue: str, type_: str, ready_at: Instant | None
) -> int:
    """Make a lane, paused if its queue is; gives its number."""
    lane = {"caller_id": caller_id, "queue": queue, "type": type_, "ready_at": ready_at}
    ((seq,),) = session.execute(_ADD, lane).fetchall()
    session.lanes.clear()
    number: int = seq
    return number


def set_ready(session: Session, seq: int, ready_at: Instant | None) -> None:
    """Say when the next of a lane can be claimed."""
    session.execute(_SET, (ready_at, seq))
    session.lanes.clear()


def next_in_lane(session: Session, seq: int) -> Instant | None:
    """When the next of a lane can be claimed: now if it is due; None: none waits, or all are late.

    Whoever is served has "now" written, which puts it behind those that have waited since before.
    """
    (due_at,) = session.one(_NEXT, {"lane_seq": seq, "now": session.now})
    return None if due_at is None else max(due_at, session.now)
