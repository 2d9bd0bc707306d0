"""What is forgotten little by little: endpoints that were deleted, and events of no job."""

from __future__ import annotations

from typing import Final, TypeAlias

from dispatcher.adapters.sqlite import destinations
from dispatcher.adapters.sqlite.endpoints import places_of
from dispatcher.adapters.sqlite.erasing import Eraser
from dispatcher.adapters.sqlite.passing import Passing, Work
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.model import Instant
from dispatcher.ports.portions import END_AT_ONCE

_DELETE = statement("endpoint_delete")
_DELETED = statement("endpoints_deleted")
_ERASE = statement("endpoint_erase")
_END_SENDING = statement("deliveries_end_sending")
_END_SOME = statement("deliveries_end_some")
_END_BLOCKED = statement("deliveries_end_blocked")
_OPEN = statement("deliveries_open")
_ERASE_PLACE = statement("destination_erase")
_HELD = statement("destinations_held")
_PUT_BACK = statement("deliveries_put_back")
_ALONE = statement("prune_alone_candidates")

Cursor: TypeAlias = tuple[int, int]
"""How far pruning has looked: an instant and a number, behind which it goes on."""

START: Final[Cursor] = (-1, -1)


def delete_endpoint(session: Session, asked: tuple[str, Instant]) -> bool:
    """Delete the endpoint (its id, when); False if it is gone already."""
    endpoint_id, at = asked
    if not session.execute(_DELETE, {"id": endpoint_id, "at": at}).rowcount:
        return False
    session.endpoints.clear()
    for seq in places_of(session, endpoint_id):
        destinations.hold(session, seq)
    _clear(session, endpoint_id, END_AT_ONCE)
    return True


def clear_deleted(session: Session, limit: int) -> int:
    """Go on with endpoints that were deleted; gives how many deliveries have ended."""
    ended = 0
    for (endpoint_id,) in session.execute(_DELETED, (limit,)).fetchall():
        ended += _clear(session, endpoint_id, limit - ended)
        if ended >= limit:
            break
    return ended


def _clear(session: Session, endpoint_id: str, limit: int) -> int:
    """End what is open of an endpoint, so many at most; erase it when nothing is."""
    ended = 0
    left = 0
    for seq in places_of(session, endpoint_id):
        row = {"destination_seq": seq, "at": session.now}
        session.execute(_END_SENDING, row)
        for end in (_END_SOME, _END_BLOCKED):
            ended += session.execute(end, {**row, "limit": limit - ended}).rowcount
        (still,) = session.one(_OPEN, row)
        if still:
            left += 1
        else:
            session.execute(_ERASE_PLACE, (seq,))
    if left == 0:
        session.execute(_ERASE, (endpoint_id,))
    return ended


def put_back_held(session: Session, limit: int) -> int:
    """Have deliveries of disabled endpoints wait again whose sender has died; gives how many."""
    bound = {"now": session.now, "limit": limit}
    put_back = 0
    for (seq,) in session.execute(_HELD, bound).fetchall():
        row = {"destination_seq": seq, "now": session.now}
        put_back += session.execute(_PUT_BACK, row).rowcount
    return put_back


class PruningAlone:
    """Erases events of no job past their time, a little at a call; see `pruning.Pruning`."""

    def __init__(self, kept_ms: int, eraser: Eraser, passing: Passing) -> None:
        self._kept_ms = kept_ms
        self._eraser = eraser
        self._passing = passing

    def prune(self, session: Session, limit: int, look: int, after: Cursor) -> Cursor:
        """Erase up to `limit`, looking at `look` behind a cursor; gives the one to go on from."""
        bound = {
            "dead_since": session.now - self._kept_ms,
            "at": after[0],
            "seq": after[1],
            "limit": look,
        }
        found = session.execute(_ALONE, bound).fetchall()
        going: list[int] = []
        after = START
        for at, seq, stays in found:
            if len(going) == limit:
                break
            after = (at, seq)
            if not stays:
                going.append(seq)

        def erase(seq: int) -> Work:
            return Work(f"row {seq} of `event`", lambda: self._eraser.erase_alone(session, seq))

        self._passing.each(session, [erase(seq) for seq in going])
        return after if len(going) == limit or len(found) == look else START
