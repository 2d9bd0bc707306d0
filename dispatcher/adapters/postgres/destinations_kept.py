"""Destinations as operators see them and steer them."""

from __future__ import annotations

from dispatcher.adapters.postgres.gates import breaker_of
from dispatcher.adapters.postgres.reading import LAST
from dispatcher.adapters.postgres.rows import Row
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
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
    items = tuple(_record(row, now) for row in rows[:limit])
    return DestinationPage(items, rows[limit - 1][0] if len(rows) > limit else None)


async def get_destination(session: Session, destination_id: str) -> DestinationRecord | None:
    """See `DestinationReader.get_destination`."""
    now = await session.look_at_clock()
    row = await session.one(_FOUND, now, MOST_WAITING_COUNTED, destination_id)
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
