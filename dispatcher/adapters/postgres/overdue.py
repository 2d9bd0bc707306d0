"""What the sweep finds, and what pruning erases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from dispatcher.adapters.postgres.batching import Entry
from dispatcher.adapters.postgres.chains import advance, blocked_by
from dispatcher.adapters.postgres.erasing import Eraser
from dispatcher.adapters.postgres.holders import HOLDER_KEPT_MS
from dispatcher.adapters.postgres.registered import by_id
from dispatcher.adapters.postgres.rows import (
    DELIVERY_LEASE,
    DELIVERY_WIDTH,
    JOB_LEASE,
    Row,
    delivery_in,
    delivery_of,
    job_of,
)
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.endpoints import Endpoint
from dispatcher.core.lifecycle import DELIVERY_LIFE_MS
from dispatcher.core.model import Delivery, Job
from dispatcher.ports.records import Overdue

_LOST_JOBS = statement("sweep_lost_jobs")
_LATE_JOBS = statement("sweep_late_jobs")
_LOST_DELIVERIES = statement("sweep_lost_deliveries")
_OLD_DELIVERIES = statement("sweep_old_deliveries")

_CANDIDATES = statement("prune_candidates")
_TAKE = statement("prune_take")
_LOCK = statement("prune_lock")
_FORGET_KEYS = statement("prune_idempotency")
_FORGET_HOLDERS = statement("holders_forget")
_FORGET_LANES = statement("prune_lanes")
_FORGET_AUDIT = statement("prune_audit")
_FORGET_TARGETS = statement("prune_targets")
_FORGET_DESTINATIONS = statement("prune_destinations")

LOOK_FACTOR: Final = 4
"""A pruning looks at so many times as many jobs as it may erase: some have to stay."""

BREAKER_KEPT_MS: Final = 86_400_000
"""The breaker of a receiver to which nothing is sent any more is forgotten after a day,"""

CLOSED_KEPT_MS: Final = 600_000
"""that of a URL which is closed sooner: its failures were few."""

_START: Final = (-1, -1)


async def sweep(session: Session, limit: int) -> Overdue:
    """Find what is overdue; see the port."""
    now = await session.look_at_clock()
    lost_jobs = await session.fetch(_LOST_JOBS, now, limit)
    late_jobs = await session.fetch(_LATE_JOBS, now, limit)
    lost = await session.fetch(_LOST_DELIVERIES, now, limit)
    endpoints = await by_id(session, [row["endpoint_id"] for row in lost])
    old = await session.fetch(_OLD_DELIVERIES, now - DELIVERY_LIFE_MS, limit)
    return Overdue(
        lost_jobs=tuple((job_of(row), row[JOB_LEASE]) for row in lost_jobs),
        late_jobs=tuple((job_of(row), row[JOB_LEASE]) for row in late_jobs),
        lost_deliveries=tuple(_lost(row, endpoints) for row in lost),
        old_deliveries=tuple(delivery_in(row) for row in old),
    )


def _lost(
    row: Row, endpoints: Mapping[str, Endpoint]
) -> tuple[Delivery, str, Job | None, Endpoint | None]:
    event_id, event_type = row[DELIVERY_WIDTH : DELIVERY_WIDTH + 2]
    columns = row[DELIVERY_WIDTH + 2 :]
    job = None if columns[0] is None else job_of(columns)
    job_id = None if job is None else job.id
    delivery = delivery_of(row, event_id=event_id, event_type=event_type, job_id=job_id)
    endpoint = None if delivery.endpoint_id is None else endpoints.get(delivery.endpoint_id)
    return delivery, row[DELIVERY_LEASE], job, endpoint


class Pruning:
    """Erases what is past its time, a little at a call.

    Jobs past their time are looked at in the order in which they came to it, and what comes to it
    later stands behind. So it goes on from where it was; only when it has come to the end it looks
    again, in turn, at some of those that had to stay (for an open or a dead delivery, for as long
    as 30 days) or that another process had taken. That it forgets both places with the process is
    no harm. Several may prune at once: each takes what no other has taken.
    """

    def __init__(self, dead_kept_seconds: float, audit_kept_seconds: float, eraser: Eraser) -> None:
        """How long a dead delivery keeps its job, and how long an entry of the audit log stays."""
        self._eraser = eraser
        self._dead_kept_ms = round(dead_kept_seconds * 1000)
        self._audit_kept_ms = round(audit_kept_seconds * 1000)
        self._after = _START
        self._again = _START

    async def prune(self, session: Session, entries: Sequence[Entry[int]]) -> list[int]:
        """Erase up to so many jobs, and as many of each other thing; see the port."""
        return [await self._prune(session, entry.item) for entry in entries]

    async def _prune(self, session: Session, limit: int) -> int:
        await session.began()
        going, more = await self._take(session, limit)
        erased = await self._erase(session, going) if going else 0
        await self._forget(session, limit)
        return limit if more else erased

    async def _take(self, session: Session, limit: int) -> tuple[list[int], bool]:
        """Lock up to `limit` jobs that may go; and whether there is more to look at at once."""
        look, until = limit * LOOK_FACTOR, self._after
        found = await self._candidates(session, until, look)
        taken, self._after = await _taken(session, found, limit, until)
        if len(found) == look or len(taken) == limit:
            return taken, True
        stayed = await self._candidates(session, self._again, look)
        behind = [row for row in stayed if _place(row) <= until]
        again, self._again = await _taken(session, behind, limit - len(taken), self._again)
        if len(behind) < look and len(taken) + len(again) < limit:
            self._again = _START
        return taken + again, len(taken) + len(again) == limit

    async def _candidates(
        self, session: Session, after: tuple[int, int], look: int
    ) -> Sequence[Row]:
        now = session.now
        rows: Sequence[Row] = await session.fetch(
            _CANDIDATES, now, now - self._dead_kept_ms, *after, look
        )
        return rows

    async def _erase(self, session: Session, going: Sequence[int]) -> int:
        await session.execute(_LOCK, going)  # under these locks no delivery begins a new round
        blocked = await blocked_by(session, going)
        erased = await self._eraser.erase(session, going, session.now - self._dead_kept_ms)
        for chain in blocked:  # what dead deliveries kept waiting may go
            await advance(session, chain)
        return erased

    async def _forget(self, session: Session, limit: int) -> None:
        now = session.now
        await session.execute(_FORGET_KEYS, now, limit)
        await self._eraser.forget(session, limit * LOOK_FACTOR)
        await session.execute(_FORGET_HOLDERS, now, HOLDER_KEPT_MS)
        await session.execute(_FORGET_LANES, limit)
        closed_since, open_since = now - CLOSED_KEPT_MS, now - BREAKER_KEPT_MS
        await session.execute(_FORGET_TARGETS, closed_since, open_since, limit)
        await session.execute(_FORGET_DESTINATIONS, now, open_since, limit)
        await session.execute(_FORGET_AUDIT, now - self._audit_kept_ms, limit)


def _place(row: Row) -> tuple[int, int]:
    return row[0], row[1]


async def _taken(
    session: Session, found: Sequence[Row], limit: int, place: tuple[int, int]
) -> tuple[list[int], tuple[int, int]]:
    """Lock up to `limit` that may go and nobody has locked; and behind which place to go on."""
    free = [row[1] for row in found if not row[2]]
    rows = await session.fetch(_TAKE, free, limit) if free and limit else ()
    taken = [row[0] for row in rows]
    if len(taken) == limit:
        last = taken[-1] if taken else None
        return taken, next((_place(row) for row in found if row[1] == last), place)
    return taken, _place(found[-1]) if found else place
