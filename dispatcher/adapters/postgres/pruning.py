"""What pruning erases: jobs past their time, and what nobody needs any more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias

import asyncpg

from dispatcher.adapters.postgres.batching import Entry
from dispatcher.adapters.postgres.chains import advance, blocked_by
from dispatcher.adapters.postgres.erasing import Eraser
from dispatcher.adapters.postgres.holders import HOLDER_KEPT_MS
from dispatcher.adapters.postgres.passing import Passing
from dispatcher.adapters.postgres.rows import Row
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.breaker import BREAKER_KEPT_MS, CLOSED_KEPT_MS
from dispatcher.core.model import Instant
from dispatcher.ports.portions import LOOK_FACTOR

_CANDIDATES = statement("prune_candidates")
_TAKE = statement("prune_take")
_LOCK = statement("prune_lock")
_FORGET_KEYS = statement("prune_idempotency")
_FORGET_HOLDERS = statement("holders_forget")
_FORGET_LANES = statement("prune_lanes")
_FORGET_AUDIT = statement("prune_audit")
_FORGET_TARGETS = statement("prune_targets")
_LOCK_DESTINATIONS = statement("prune_destinations_lock")
_FORGET_DESTINATIONS = statement("prune_destinations")
_STATUS = statement("xact_status")
_SAVEPOINT = statement("savepoint")
_KEEP = statement("savepoint_keep")
_UNDO = statement("savepoint_undo")

_Cursor: TypeAlias = tuple[int, int]
_Step: TypeAlias = tuple[str, Callable[[], Awaitable[object]]]
_START: Final[_Cursor] = (-1, -1)


class _Cursors(NamedTuple):
    """How far pruning has looked: at jobs, and at those that had to stay."""

    after: _Cursor = _START
    again: _Cursor = _START


class Pruning:
    """Erases what is past its time, a little at a call.

    Jobs past their time are looked at in the order in which they came to it, and what comes to it
    later stands behind. So it goes on from where it was; only when it has come to the end it looks
    again, in turn, at some of those that had to stay (for an open or a dead delivery, for as long
    as 30 days), that another process had taken, or that the database refused to erase. That it
    forgets both cursors with the process is no harm. Several may prune at once: each takes what no
    other has taken.
    """

    def __init__(self, dead_kept_seconds: float, audit_kept_seconds: float, eraser: Eraser) -> None:
        """How long a dead delivery keeps its job, and how long an entry of the audit log stays."""
        self._eraser = eraser
        self._dead_kept_ms = round(dead_kept_seconds * 1000)
        self._audit_kept_ms = round(audit_kept_seconds * 1000)
        self._passing = Passing()
        self._cursors = _Cursors()
        # Where the last transaction, of that number, came to. What is rolled back was not looked
        # at, so it is believed only when the server says that it was committed.
        self._came_to: tuple[int | None, _Cursors] | None = None

    async def prune(self, session: Session, entries: Sequence[Entry[int]]) -> list[int]:
        """Erase up to so many jobs, and as many of each other thing; see the port."""
        await session.began()
        await self._go_on(session)
        cursors = self._cursors
        answers = []
        for entry in entries:
            erased, cursors = await self._prune(session, entry.item, cursors)
            if erased < entry.item:
                self._passing.ended()
            answers.append(erased)
        self._came_to = (session.xid, cursors)
        return answers

    async def _go_on(self, session: Session) -> None:
        """Go on from where the transaction before came to, if that stands."""
        came_to, self._came_to = self._came_to, None
        if came_to is None:
            return
        await session.execute(_SAVEPOINT)
        try:
            row = await session.one(_STATUS, came_to[0])
        except asyncpg.InvalidParameterValueError:  # a server that never saw that number
            await session.execute(_UNDO)
        else:
            await session.execute(_KEEP)
            if row is not None and row[0] == "committed":
                self._cursors = came_to[1]

    async def _prune(self, session: Session, limit: int, cursors: _Cursors) -> tuple[int, _Cursors]:
        going, more, cursors = await self._take(session, limit, cursors)
        erased = await self._erase(session, going) if going else 0
        await self._forget(session, limit)
        return limit if more else erased, cursors

    async def _take(
        self, session: Session, limit: int, cursors: _Cursors
    ) -> tuple[list[int], bool, _Cursors]:
        """Lock up to `limit` jobs that may go; whether there is more to look at; the cursors."""
        look, until = limit * LOOK_FACTOR, cursors.after
        found = await self._candidates(session, until, look)
        taken, after = await _taken(session, found, limit, until)
        cursors = cursors._replace(after=after)
        if len(found) == look or len(taken) == limit:
            return taken, True, cursors
        stayed = await self._candidates(session, cursors.again, look)
        behind = [row for row in stayed if _cursor(row) <= until]
        others, again = await _taken(session, behind, limit - len(taken), cursors.again)
        full = len(taken) + len(others) == limit
        if len(behind) < look and not full:
            again = _START
        return taken + others, full, cursors._replace(again=again)

    async def _candidates(self, session: Session, after: _Cursor, look: int) -> Sequence[Row]:
        now = session.now
        rows: Sequence[Row] = await session.fetch(
            _CANDIDATES, now, now - self._dead_kept_ms, *after, look
        )
        return rows

    async def _erase(self, session: Session, going: Sequence[int]) -> int:
        await session.execute(_LOCK, going)  # under these locks no delivery begins a new round
        await blocked_by(session, going)  # locks their destinations, all in one order
        erase = partial(self._erase_some, session)
        return await self._passing.each(session, going, erase, "row {} of `job`".format)

    async def _erase_some(self, session: Session, going: Sequence[int]) -> int:
        blocked = await blocked_by(session, going)
        erased = await self._eraser.erase(session, going, session.now - self._dead_kept_ms)
        await advance(session, blocked)  # what dead deliveries kept waiting may go
        return erased

    async def _forget(self, session: Session, limit: int) -> None:
        now = session.now
        closed_since, open_since = now - CLOSED_KEPT_MS, now - BREAKER_KEPT_MS
        past, look = now - self._audit_kept_ms, limit * LOOK_FACTOR
        execute = session.execute
        steps: tuple[_Step, ...] = (
            ("an idempotency key", partial(execute, _FORGET_KEYS, now, limit)),
            ("what was erased", partial(self._eraser.forget, session, look)),
            ("a holder", partial(execute, _FORGET_HOLDERS, now, HOLDER_KEPT_MS)),
            ("a lane", partial(execute, _FORGET_LANES, limit)),
            ("a URL", partial(execute, _FORGET_TARGETS, closed_since, open_since, limit)),
            ("a destination", partial(_forget_destinations, session, open_since, limit)),
            ("an entry of the audit log", partial(execute, _FORGET_AUDIT, past, limit)),
        )
        await self._passing.each(session, steps, _each_step, itemgetter(0))


async def _forget_destinations(session: Session, open_since: Instant, limit: int) -> None:
    """Forget destinations for which nothing is open.

    Two statements: what was committed before a destination could be locked is seen by the second.
    """
    rows = await session.fetch(_LOCK_DESTINATIONS, session.now, open_since, limit)
    if rows:
        await session.execute(_FORGET_DESTINATIONS, [row[0] for row in rows])


async def _each_step(steps: Sequence[_Step]) -> int:
    for _, forget in steps:
        await forget()
    return len(steps)


def _cursor(row: Row) -> _Cursor:
    return row[0], row[1]


async def _taken(
    session: Session, found: Sequence[Row], limit: int, after: _Cursor
) -> tuple[list[int], _Cursor]:
    """Lock up to `limit` that may go and nobody has locked; and behind which to go on."""
    free = [row[1] for row in found if not row[2]]
    rows = await session.fetch(_TAKE, free, limit) if free and limit else ()
    taken = [row[0] for row in rows]
    if len(taken) == limit:
        last = taken[-1] if taken else None
        return taken, next((_cursor(row) for row in found if row[1] == last), after)
    return taken, _cursor(found[-1]) if found else after
