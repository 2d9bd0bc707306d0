"""How much waits and how much is under way, counted by index and no further than asked."""

from __future__ import annotations

from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.model import Instant
from dispatcher.ports.views import Backlog, BreakerCount, DeliveryBacklog, QueueBacklog

_WAITING = statement("backlog_waiting")
_OLDEST = statement("backlog_oldest")
_RUNNING = statement("backlog_running")
_DELIVERIES = statement("backlog_deliveries")
_OLDEST_DELIVERY = statement("backlog_oldest_delivery")
_BREAKERS = statement("backlog_breakers")
_SENDING = statement("backlog_sending")


async def backlog(session: Session, most: int) -> Backlog:
    """See `BacklogReader.backlog`."""
    now = await session.look_at_clock()
    waiting = {row[0]: (row[1], row[2]) for row in await session.fetch(_WAITING, now, most)}
    running = {row[0]: row[1] for row in await session.fetch(_RUNNING, most)}
    oldest = {row[0]: row[1] for row in await session.fetch(_OLDEST, most)}
    queues = []
    for name in sorted(waiting.keys() | running.keys()):
        due, later = waiting.get(name, (0, 0))
        queues.append(
            QueueBacklog(
                queue=name,
                waiting=due,
                scheduled=later,
                running=running.get(name, 0),
                oldest_due_at=_if_due(oldest.get(name), now),
            )
        )
    due, later = await session.one(_DELIVERIES, now, most) or (0, 0)
    (first,) = await session.one(_OLDEST_DELIVERY, most) or (None,)
    (sending,) = await session.one(_SENDING, most) or (0,)
    deliveries = DeliveryBacklog(
        due=due, scheduled=later, sending=sending, oldest_due_at=_if_due(first, now)
    )
    states = {row[0]: row[1] for row in await session.fetch(_BREAKERS, most)}
    breakers = BreakerCount(
        closed=states.get("closed", 0),
        open=states.get("open", 0),
        half_open=states.get("half-open", 0),
    )
    return Backlog(at=now, queues=tuple(queues), deliveries=deliveries, breakers=breakers)


def _if_due(at: Instant | None, now: Instant) -> Instant | None:
    return at if at is not None and at <= now else None
