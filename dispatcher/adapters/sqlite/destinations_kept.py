"""Destinations as operators see them and steer them."""

from __future__ import annotations

import sqlite3

from dispatcher.adapters.sqlite.reading import LAST
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.adapters.stored import destination_record_of
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
    items = tuple(destination_record_of(row, now) for row in rows[:limit])
    return DestinationPage(items, rows[limit - 1][0] if len(rows) > limit else None)


def get_destination(
    read: sqlite3.Connection, destination_id: str, now: Instant
) -> DestinationRecord | None:
    """See `DestinationReader.get_destination`."""
    wanted = {"id": destination_id, "now": now, "most": MOST_WAITING_COUNTED}
    row = read.execute(_FOUND, wanted).fetchone()
    return None if row is None else destination_record_of(row, now)
