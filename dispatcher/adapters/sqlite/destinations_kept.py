"""Destinations as operators see them and steer them."""

from __future__ import annotations

import sqlite3

from dispatcher.adapters.sqlite.destinations import breaker_of
from dispatcher.adapters.sqlite.reading import LAST
from dispatcher.adapters.sqlite.rows import Row
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.breaker import state_of
from dispatcher.core.changes import DestinationChange, PauseDestination
from dispatcher.core.model import Instant
from dispatcher.ports.records import Applied, ApplyResult, Stale
from dispatcher.ports.views import (
    MOST_WAITING_COUNTED,
    DestinationFilter,
    DestinationPage,
    DestinationRecord,
)

_PAUSE = statement("destination_pause")
_RESUME = statement("destination_resume")
_LIST = statement("list_destinations")
_FOUND = statement("destination_found")


def change_destination(session: Session, change: DestinationChange) -> ApplyResult:
    """Pause or resume; see each of them."""
    if isinstance(change, PauseDestination):
        wanted = {"id": change.destination_id, "at": change.at}
        return Applied() if session.execute(_PAUSE, wanted).rowcount else Stale()
    wanted = {"id": change.destination_id, "now": session.now}
    rows = session.execute(_RESUME, wanted).fetchall()
    return Applied(delivery_ready_at=rows[0][0]) if rows else Stale()


def list_destinations(
    read: sqlite3.Connection,
    wanted: DestinationFilter,
    now: Instant,
    *,
    limit: int,
    before: int | None,
) -> DestinationPage:
    """See `DestinationReader.list_destinations`."""
    rows = read.execute(
        _LIST,
        {
            "caller_id": wanted.caller_id,
            "before": LAST if before is None else before,
            "limit": limit + 1,
            "now": now,
            "most": MOST_WAITING_COUNTED,
        },
    ).fetchall()
    items = tuple(_record(row, now) for row in rows[:limit])
    return DestinationPage(items, rows[limit - 1][0] if len(rows) > limit else None)


def get_destination(
    read: sqlite3.Connection, destination_id: str, now: Instant
) -> DestinationRecord | None:
    """See `DestinationReader.get_destination`."""
    wanted = {"id": destination_id, "now": now, "most": MOST_WAITING_COUNTED}
    row = read.execute(_FOUND, wanted).fetchone()
    return None if row is None else _record(row, now)


def _record(row: Row, now: Instant) -> DestinationRecord:
    _, id_, caller_id, origin, endpoint_id, text, paused_at, held_at, *counts = row
    sending, waiting, due, oldest_at, urls_in_trouble = counts
    breaker = None if text is None else breaker_of(text)
    return DestinationRecord(
        id=id_,
        caller_id=caller_id,
        origin=origin,
        endpoint_id=endpoint_id or None,
        breaker=state_of(breaker),
        open_until=None if breaker is None else breaker.open_until,
        paused_at=paused_at,
        held_at=held_at,
        sending=sending,
        waiting=waiting,
        due=due,
        oldest_due_at=oldest_at if oldest_at is not None and oldest_at <= now else None,
        urls_in_trouble=urls_in_trouble,
    )
