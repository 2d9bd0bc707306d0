"""Lanes: where jobs of one caller, queue and type wait."""

from __future__ import annotations

from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.model import Instant

_FIND = statement("lane_find")
_ADD = statement("lane_add")
_SET = statement("lane_set")
_NEXT = statement("lane_next")


def wait_in_lane(session: Session, caller_id: str, queue: str, type_: str, due_at: Instant) -> int:
    """The number of the lane of a job that waits, made if it is not there; it is ready by then."""
    row = session.one(_FIND, (caller_id, queue, type_))
    if row is None:
        return add_lane(session, caller_id, queue, type_, due_at)
    seq: int = row[0]
    if row[1] is None or row[1] > due_at:
        session.execute(_SET, (due_at, seq))
    return seq


def add_lane(
    session: Session, caller_id: str, queue: str, type_: str, ready_at: Instant | None
) -> int:
    """Make a lane, paused if its queue is; gives its number."""
    lane = {"caller_id": caller_id, "queue": queue, "type": type_, "ready_at": ready_at}
    ((seq,),) = session.execute(_ADD, lane).fetchall()
    number: int = seq
    return number


def set_ready(session: Session, seq: int, ready_at: Instant | None) -> None:
    """Say when the next of a lane can be claimed."""
    session.execute(_SET, (ready_at, seq))


def next_in_lane(session: Session, seq: int) -> Instant | None:
    """When the next of a lane can be claimed: now if it is due; None: none waits, or all are late.

    Whoever is served has "now" written, which puts it behind those that have waited since before.
    """
    (due_at,) = session.one(_NEXT, {"lane_seq": seq, "now": session.now})
    return None if due_at is None else max(due_at, session.now)
