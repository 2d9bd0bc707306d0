"""The order of jobs with the same key of one caller: one of them at most can be claimed.

Of the open jobs of a key one is the *front*: the one that has begun, or else the first received of
those that have become due. The others stand behind it, in no index that claims look at, or are
scheduled and join when they become due. Whoever finds a scheduled one due lets it, and with it
all that are due by then, join; so joining costs one update a job and no clock has to be watched.
"""

from __future__ import annotations

from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.model import Job
from dispatcher.core.ordering import KeyPlace
from dispatcher.ports.portions import JOIN_JOBS

_JOIN = statement("key_join")
_FRONT = statement("key_front")
_FIRST_BEHIND = statement("key_first_behind")
_MOVE = statement("key_place")
_LANE_READY = statement("lane_of_job_ready")


def place_of(session: Session, job: Job) -> KeyPlace:
    """Where a job that is about to be added will stand."""
    if job.ordering_key is None:
        return KeyPlace.NO_KEY
    if job.due_at > session.now:
        return KeyPlace.SCHEDULED
    front = renew_front(session, job.caller_id, job.ordering_key)
    return KeyPlace.FRONT if front is None else KeyPlace.BEHIND


def renew_front(session: Session, caller_id: str, key: str) -> int | None:
    """Let the front of a key be who it should be now; its number, None if nothing has joined.

    To be called when the front has ended, and before one is leased: a scheduled job that was
    received earlier may have become due since. One that has begun stays the front.
    """
    of_key = {"caller_id": caller_id, "key": key, "now": session.now}
    session.execute(_JOIN, {**of_key, "limit": JOIN_JOBS})
    row = session.one(_FRONT, of_key)
    if row is not None and row[1]:
        begun: int = row[0]
        return begun
    behind = session.one(_FIRST_BEHIND, of_key)
    if behind is None:
        return None if row is None else int(row[0])
    first: int = behind[0]
    if row is not None:
        if row[0] < first:
            return int(row[0])
        session.execute(_MOVE, {"seq": row[0], "place": KeyPlace.BEHIND})
    session.execute(_MOVE, {"seq": first, "place": KeyPlace.FRONT})
    session.execute(_LANE_READY, {"seq": first, "now": session.now})
    session.lanes.clear()
    return first
