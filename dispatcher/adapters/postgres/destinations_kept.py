"""Destinations as operators see them and steer them."""

from __future__ import annotations

from dispatcher.adapters.postgres.reading import LAST
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.adapters.stored import destination_record_of
from dispatcher.core.changes import DestinationChange, PauseDestination
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


async def change_destination(session: Session, change: DestinationChange) -> ApplyResult:
    """Pause or resume; see each of them."""
    if isinstance(change, PauseDestination):
        paused = await session.one(_PAUSE, change.destination_id, change.at)
        return Stale() if paused is None else Applied()
    row = await session.one(_RESUME, change.destination_id, session.now)
    return Stale() if row is None else Applied(delivery_ready_at=row[0])


async def list_destinations(
    session: Session, wanted: DestinationFilter, *, limit: int, before: int | None
) -> DestinationPage:
    """See `DestinationReader.list_destinations`."""
    now = await session.look_at_clock()
    before = LAST if before is None else before
    bounds = (now, MOST_WAITING_COUNTED, before, limit + 1)
    rows = await session.fetch(_LIST, *bounds, wanted.caller_id)
    items = tuple(destination_record_of(row, now) for row in rows[:limit])
    return DestinationPage(items, rows[limit - 1][0] if len(rows) > limit else None)


async def get_destination(session: Session, destination_id: str) -> DestinationRecord | None:
    """See `DestinationReader.get_destination`."""
    now = await session.look_at_clock()
    row = await session.one(_FOUND, now, MOST_WAITING_COUNTED, destination_id)
    return None if row is None else destination_record_of(row, now)
