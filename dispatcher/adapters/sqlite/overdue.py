"""What the sweep finds, and what pruning erases."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from dispatcher.adapters.sqlite.clearing import PruningAlone, clear_deleted, put_back_held
from dispatcher.adapters.sqlite.erasing import Eraser
from dispatcher.adapters.sqlite.rows import (
    DELIVERY_LEASE,
    DELIVERY_WIDTH,
    JOB_LEASE,
    JOB_WIDTH,
    Row,
    delivery_in,
    delivery_of,
    endpoint_of,
    job_of,
)
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.endpoints import Endpoint
from dispatcher.core.lifecycle import DELIVERY_LIFE_MS
from dispatcher.core.model import Delivery, Instant, Job
from dispatcher.ports.records import Overdue

_LOST_JOBS = statement("sweep_lost_jobs")
_LATE_JOBS = statement("sweep_late_jobs")
_LOST_DELIVERIES = statement("sweep_lost_deliveries")
_OLD_DELIVERIES = statement("sweep_old_deliveries")

_CANDIDATES = statement("prune_candidates")
_FORGET_KEYS = statement("prune_idempotency")
_FORGET_HOLDERS = statement("holders_forget")
_FORGET_LANES = statement("prune_lanes")
_FORGET_TARGETS = statement("prune_targets")
_FORGET_AUDIT = statement("prune_audit")
_FORGET_DESTINATIONS = statement("prune_destinations")

LOOK_FACTOR: Final = 4
"""A pruning looks at so many times as many jobs as it may erase: some have to stay."""

BREAKER_KEPT_MS: Final = 86_400_000
"""The breaker of a receiver to which nothing is sent any more is forgotten after a day,"""

CLOSED_KEPT_MS: Final = 600_000
"""that of a URL which is closed sooner: its failures were few."""

VACUUM_PAGES: Final = 256
"""So many free pages are given back to the file system at a time,"""

SPARE_PAGES: Final = 16_384
"""but this many (64 MiB), or a quarter of the file, are kept for what comes next."""

_START: Final = (-1, -1)


def sweep(read: sqlite3.Connection, now: Instant, limit: int) -> Overdue:
    """Find what is overdue; see the port."""
    due = {"now": now, "limit": limit}
    old = {"before": now - DELIVERY_LIFE_MS, "limit": limit}
    return Overdue(
        lost_jobs=tuple((job_of(row), row[JOB_LEASE]) for row in read.execute(_LOST_JOBS, due)),
        late_jobs=tuple((job_of(row), row[JOB_LEASE]) for row in read.execute(_LATE_JOBS, due)),
        lost_deliveries=tuple(_lost(row) for row in read.execute(_LOST_DELIVERIES, due)),
        old_deliveries=tuple(delivery_in(row) for row in read.execute(_OLD_DELIVERIES, old)),
    )


def _lost(row: Row) -> tuple[Delivery, str, Job | None, Endpoint | None]:
    event_id, event_type = row[DELIVERY_WIDTH : DELIVERY_WIDTH + 2]
    columns = row[DELIVERY_WIDTH + 2 :]
    job = None if columns[0] is None else job_of(columns)
    job_id = None if job is None else job.id
    delivery = delivery_of(row, event_id=event_id, event_type=event_type, job_id=job_id)
    endpoint = endpoint_of(columns[JOB_WIDTH:])
    return delivery, row[DELIVERY_LEASE], job, endpoint


class Pruning:
    """Erases what is past its time, a little at a call.

    Jobs past their time are looked at in the order in which they came to it, and what comes to it
    later stands behind. So it goes on from where it was; only when it has come to the end it looks
    again, in turn, at some of those that had to stay (for an open or a dead delivery, for as long
    as 30 days). That it forgets both places with the process is no harm.
    """

    def __init__(self, dead_kept_seconds: float, audit_kept_seconds: float, eraser: Eraser) -> None:
        """How long a dead delivery keeps its job, and how long an entry of the audit log stays."""
        self._eraser = eraser
        self._dead_kept_ms = round(dead_kept_seconds * 1000)
        self._audit_kept_ms = round(audit_kept_seconds * 1000)
        self._after = _START
        self._again = _START
        self._alone = PruningAlone(self._dead_kept_ms, eraser)

    def prune(self, session: Session, limit: int) -> int:
        """Erase up to `limit` jobs, and as many of each other thing; see the port."""
        look = limit * LOOK_FACTOR
        erased, more = self._erase(session, limit)
        bound = {"now": session.now, "limit": limit}
        session.execute(_FORGET_KEYS, bound)
        self._eraser.forget(session, look)
        session.execute(_FORGET_HOLDERS, (session.now,))
        session.forget_holders()
        session.execute(_FORGET_LANES, {"limit": limit})
        session.lanes.clear()
        _forget_receivers(session, limit)
        past = session.now - self._audit_kept_ms
        session.execute(_FORGET_AUDIT, {"before": past, "limit": limit})
        self._alone.prune(session, limit, look)
        put_back_held(session, limit)
        ended = clear_deleted(session, limit)
        _give_back(session)
        return limit if more else max(erased, ended)

    def _erase(self, session: Session, limit: int) -> tuple[int, bool]:
        """Erase up to `limit` jobs; and whether there is more to look at at once."""
        look, until = limit * LOOK_FACTOR, self._after
        found = self._candidates(session, until, look)
        erased, self._after = self._erase_of(session, found, limit, until)
        if len(found) == look or erased == limit:
            return erased, True
        stayed = self._candidates(session, self._again, look)
        behind = [row for row in stayed if row[:2] <= until]
        again, self._again = self._erase_of(session, behind, limit - erased, self._again)
        if len(behind) < look and erased + again < limit:
            self._again = _START
        return erased + again, erased + again == limit

    def _candidates(self, session: Session, after: tuple[int, int], look: int) -> list[Row]:
        bound = {
            "now": session.now,
            "dead_since": session.now - self._dead_kept_ms,
            "expires_at": after[0],
            "seq": after[1],
            "limit": look,
        }
        return session.execute(_CANDIDATES, bound).fetchall()

    def _erase_of(
        self, session: Session, found: Sequence[Row], limit: int, after: tuple[int, int]
    ) -> tuple[int, tuple[int, int]]:
        """Erase up to `limit` of these; and the place behind which to go on."""
        erased = 0
        for expires_at, seq, stays in found:
            if erased == limit:
                break
            after = (expires_at, seq)
            if not stays:
                self._eraser.erase(session, seq)
                erased += 1
        return erased, after


def _forget_receivers(session: Session, limit: int) -> None:
    bound = {
        "now": session.now,
        "closed_since": session.now - CLOSED_KEPT_MS,
        "open_since": session.now - BREAKER_KEPT_MS,
        "limit": limit,
    }
    session.execute(_FORGET_TARGETS, bound)
    session.execute(_FORGET_DESTINATIONS, bound)


def _give_back(session: Session) -> None:
    """Give free pages back to the file system, when there are many more than come in handy."""
    (free,) = session.one("PRAGMA freelist_count")
    (pages,) = session.one("PRAGMA page_count")
    if free > max(SPARE_PAGES, pages // 4):
        for _ in range(min(VACUUM_PAGES, free)):
            # A page a step: its rows have no columns, and `sqlite3` steps over the first alone.
            session.execute("PRAGMA incremental_vacuum(1)")
