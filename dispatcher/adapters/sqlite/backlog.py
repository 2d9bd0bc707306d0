"""How much waits and how much is under way, counted by index and no further than asked."""

from __future__ import annotations

import sqlite3

from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.model import Instant
from dispatcher.ports.views import Backlog, BreakerCount, DeliveryBacklog, QueueBacklog

_WAITING = statement("backlog_waiting")
_OLDEST = statement("backlog_oldest")
_RUNNING = statement("backlog_running")
_DELIVERIES = statement("backlog_deliveries")
_OLDEST_DELIVERY = statement("backlog_oldest_delivery")
_BREAKERS = statement("backlog_breakers")
_SENDING = statement("backlog_sending")


def backlog(read: sqlite3.Connection, now: Instant, most: int) -> Backlog:
    """See `BacklogReader.backlog`."""
    bounds = {"now": now, "most": most}
    waiting = {queue: (due, later) for queue, due, later in read.execute(_WAITING, bounds)}
    running = dict(read.execute(_RUNNING, {"most": most}))
    oldest = dict(read.execute(_OLDEST, {"most": most}))
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
    (due, later) = read.execute(_DELIVERIES, bounds).fetchone()
    (first,) = read.execute(_OLDEST_DELIVERY, {"most": most}).fetchone()
    (sending,) = read.execute(_SENDING, {"most": most}).fetchone()
    deliveries = DeliveryBacklog(
        due=due, scheduled=later, sending=sending, oldest_due_at=_if_due(first, now)
    )
    states = dict(read.execute(_BREAKERS, {"most": most}))
    breakers = BreakerCount(
        closed=states.get("closed", 0),
        open=states.get("open", 0),
        half_open=states.get("half-open", 0),
    )
    return Backlog(at=now, queues=tuple(queues), deliveries=deliveries, breakers=breakers)


def _if_due(at: Instant | None, now: Instant) -> Instant | None:
    return at if at is not None and at <= now else None
