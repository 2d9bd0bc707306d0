"""Queues that operators pause and resume, and how much of each may run at once."""

from __future__ import annotations

import sqlite3

from dispatcher.adapters.sqlite.audit import add_audit
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.adapters.stored import ALL_QUEUES
from dispatcher.ports.asked import Pause
from dispatcher.ports.records import Concurrency
from dispatcher.ports.views import Pauses

_PAUSE = statement("queue_pause")
_RESUME = statement("queue_resume")
_FOLLOW = statement("lanes_follow_pauses")
_PAUSED = statement("queues_paused")
_QUEUE_PAUSED = statement("queue_paused")
_RUNNING_OF_QUEUE = statement("running_of_queue")
_RUNNING_OF_TYPE = statement("running_of_type")


def pause(session: Session, asked: Pause) -> None:
    """Pause or resume a queue, or all."""
    queue = asked.queue or ALL_QUEUES
    if asked.at is None:
        session.execute(_RESUME, (queue,))
    else:
        session.execute(_PAUSE, {"queue": queue, "at": asked.at})
    session.execute(_FOLLOW)
    session.lanes.clear()
    add_audit(session, asked.entry)


def pauses(read: sqlite3.Connection) -> Pauses:
    """What is paused."""
    found = dict(read.execute(_PAUSED))
    all_at = found.pop(ALL_QUEUES, None)
    return Pauses(all_at, found)


def is_paused(session: Session, queue: str) -> bool:
    """Whether a queue is paused, by itself or with all."""
    (paused_at,) = session.one(_QUEUE_PAUSED, (queue,))
    return paused_at is not None


def room_of_queue(session: Session, queue: str, concurrency: Concurrency) -> int | None:
    """How many more jobs of a queue may run; None: it is not bounded."""
    most = concurrency.queues.get(queue)
    if most is None:
        return None
    (running,) = session.one(_RUNNING_OF_QUEUE, (queue,))
    return max(most - int(running), 0)


def room_of_type(session: Session, type_: str, concurrency: Concurrency) -> int | None:
    """How many more jobs of a type may run; None: it is not bounded."""
    most = concurrency.types.get(type_)
    if most is None:
        return None
    (running,) = session.one(_RUNNING_OF_TYPE, (type_,))
    return max(most - int(running), 0)
