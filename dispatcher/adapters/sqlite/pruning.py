"""What pruning erases: jobs past their time, and what nobody needs any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from dispatcher.adapters.sqlite.clearing import (
    START,
    Cursor,
    PruningAlone,
    clear_deleted,
    put_back_held,
)
from dispatcher.adapters.sqlite.erasing import Eraser
from dispatcher.adapters.sqlite.passing import Passing, Work
from dispatcher.adapters.sqlite.rows import Row
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.adapters.sqlite.writer import Writer
from dispatcher.core.breaker import BREAKER_KEPT_MS, CLOSED_KEPT_MS
from dispatcher.ports.portions import LOOK_FACTOR

_CANDIDATES = statement("prune_candidates")
_FORGET_KEYS = statement("prune_idempotency")
_FORGET_HOLDERS = statement("holders_forget")
_FORGET_LANES = statement("prune_lanes")
_FORGET_TARGETS = statement("prune_targets")
_FORGET_AUDIT = statement("prune_audit")
_FORGET_DESTINATIONS = statement("prune_destinations")

VACUUM_PAGES: Final = 256
"""So many free pages are given back to the file system at a time,"""

SPARE_PAGES: Final = 16_384
"""but this many (64 MiB), or a quarter of the file, are kept for what comes next."""


class _Cursors(NamedTuple):
    """How far pruning has looked: at jobs, at those that had to stay, at events of no job."""

    after: Cursor = START
    again: Cursor = START
    alone: Cursor = START


class Pruning:
    """Erases what is past its time, a little at a call.

    Jobs past their time are looked at in the order in which they came to it, and what comes to it
    later stands behind. So it goes on from where it was; only when it has come to the end it looks
    again, in turn, at some of those that had to stay (for an open or a dead delivery, for as long
    as 30 days) or that the database refused to erase. That it forgets its cursors with the process
    is no harm.
    """

    def __init__(self, dead_kept_seconds: float, audit_kept_seconds: float, eraser: Eraser) -> None:
        """How long a dead delivery keeps its job, and how long an entry of the audit log stays."""
        self._eraser = eraser
        self._dead_kept_ms = round(dead_kept_seconds * 1000)
        self._audit_kept_ms = round(audit_kept_seconds * 1000)
        self._cursors = _Cursors()
        self._passing = Passing()
        self._alone = PruningAlone(self._dead_kept_ms, eraser, self._passing)

    async def prune(self, writer: Writer, limit: int) -> int:
        """Erase up to `limit` jobs, and as many of each other thing; see the port."""
        # What is rolled back has not been looked at: the cursors move once that is committed.
        erased, self._cursors = await writer.one(self._prune, limit)
        if erased < limit:
            self._passing.ended()
        return erased

    def _prune(self, session: Session, limit: int) -> tuple[int, _Cursors]:
        look = limit * LOOK_FACTOR
        erased, more, cursors = self._erase(session, limit)
        bound = {"now": session.now, "limit": limit}
        past = session.now - self._audit_kept_ms
        old = {"before": past, "limit": limit}

        def forget(what: str, sql: str, bound: dict[str, int] | tuple[int]) -> Work:
            return Work(what, lambda: session.execute(sql, bound).rowcount)

        self._passing.each(
            session,
            (
                forget("an idempotency key", _FORGET_KEYS, bound),
                Work("what was erased", lambda: self._eraser.forget(session, look)),
                forget("a holder", _FORGET_HOLDERS, (session.now,)),
                forget("a lane", _FORGET_LANES, {"limit": limit}),
                Work("a receiver", lambda: _forget_receivers(session, limit)),
                forget("an entry of the audit log", _FORGET_AUDIT, old),
            ),
        )
        session.forget_holders()
        session.lanes.clear()
        alone = self._alone.prune(session, limit, look, cursors.alone)
        put_back = Work("what is held", lambda: put_back_held(session, limit))
        self._passing.each(session, (put_back,))
        deleted = Work("a deleted endpoint", lambda: clear_deleted(session, limit))
        ended = self._passing.each(session, (deleted,))
        _give_back(session)
        return limit if more else max(erased, ended), cursors._replace(alone=alone)

    def _erase(self, session: Session, limit: int) -> tuple[int, bool, _Cursors]:
        """Erase up to `limit` jobs; whether there is more to look at at once; and the cursors."""
        look, cursors = limit * LOOK_FACTOR, self._cursors
        until = cursors.after
        found = self._candidates(session, until, look)
        going, after = _going(found, limit, until)
        erased = self._erase_each(session, going)
        cursors = cursors._replace(after=after)
        if len(found) == look or len(going) == limit:
            return erased, True, cursors
        stayed = self._candidates(session, cursors.again, look)
        behind = [row for row in stayed if row[:2] <= until]
        taken, again = _going(behind, limit - len(going), cursors.again)
        erased += self._erase_each(session, taken)
        full = len(going) + len(taken) == limit
        if len(behind) < look and not full:
            again = START
        return erased, full, cursors._replace(again=again)

    def _candidates(self, session: Session, after: Cursor, look: int) -> list[Row]:
        bound = {
            "now": session.now,
            "dead_since": session.now - self._dead_kept_ms,
            "expires_at": after[0],
            "seq": after[1],
            "limit": look,
        }
        return session.execute(_CANDIDATES, bound).fetchall()

    def _erase_each(self, session: Session, seqs: Sequence[int]) -> int:
        def erase(seq: int) -> Work:
            return Work(f"row {seq} of `job`", lambda: self._eraser.erase(session, seq))

        return self._passing.each(session, [erase(seq) for seq in seqs])


def _going(found: Sequence[Row], limit: int, after: Cursor) -> tuple[list[int], Cursor]:
    """Up to `limit` of these that may go; and the cursor behind which to go on."""
    going: list[int] = []
    for expires_at, seq, stays in found:
        if len(going) == limit:
            break
        after = (expires_at, seq)
        if not stays:
            going.append(seq)
    return going, after


def _forget_receivers(session: Session, limit: int) -> int:
    bound = {
        "now": session.now,
        "closed_since": session.now - CLOSED_KEPT_MS,
        "open_since": session.now - BREAKER_KEPT_MS,
        "limit": limit,
    }
    forgotten = session.execute(_FORGET_TARGETS, bound).rowcount
    return forgotten + session.execute(_FORGET_DESTINATIONS, bound).rowcount


def _give_back(session: Session) -> None:
    """Give free pages back to the file system, when there are many more than come in handy."""
    (free,) = session.one("PRAGMA freelist_count")
    (pages,) = session.one("PRAGMA page_count")
    if free > max(SPARE_PAGES, pages // 4):
        for _ in range(min(VACUUM_PAGES, free)):
            # A page a step: its rows have no columns, and `sqlite3` steps over the first alone.
            session.execute("PRAGMA incremental_vacuum(1)")
