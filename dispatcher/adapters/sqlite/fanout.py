"""From an event to the registered endpoints of its caller, in the commit that writes it."""

from __future__ import annotations

import sqlite3
from typing import Final

from msgspec.structs import replace

from dispatcher.adapters.sqlite.owing import Owed
from dispatcher.adapters.sqlite.quick import MOST_ENDPOINTS
from dispatcher.adapters.sqlite.rows import Row, endpoint_of
from dispatcher.adapters.sqlite.session import Session, TakesLong
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.endpoints import ASKED_EVENTS, Endpoint, is_owed
from dispatcher.core.lifecycle import BEST_EFFORT_EVENTS
from dispatcher.core.model import Event, EventType, Instant, Job
from dispatcher.ports.records import Applied, DeliveryTerms

_OF_CALLER = statement("endpoints_of_caller")

_NOBODY_ASKED: Final[frozenset[EventType]] = frozenset()


def there(row: Row) -> Endpoint:
    """An endpoint from a row that is one."""
    endpoint = endpoint_of(row)
    if endpoint is None:
        raise AssertionError("an endpoint has a number")
    return endpoint


def endpoints_of(session: Session, caller_id: str) -> tuple[Endpoint, ...]:
    """The endpoints of a caller, looked up once in a transaction.

    Nothing is kept beyond it: a look-up that finds none costs three microseconds, and whatever
    another process has committed is seen.
    """
    found = session.endpoints.get(caller_id)
    if found is None:
        rows = session.execute(_OF_CALLER, (caller_id,)).fetchall()
        found = session.endpoints[caller_id] = tuple([there(row) for row in rows])
    return found


def asked_of(session: Session, caller_id: str) -> frozenset[EventType]:
    """Of the events that are stored only if somebody asks, those that an endpoint subscribes to."""
    return _asked_by(endpoints_of(session, caller_id))


def read_asked(read: sqlite3.Connection, caller_id: str) -> frozenset[EventType]:
    """The same, for who only reads."""
    return _asked_by(tuple([there(row) for row in read.execute(_OF_CALLER, (caller_id,))]))


def _asked_by(endpoints: tuple[Endpoint, ...]) -> frozenset[EventType]:
    if not endpoints:
        return _NOBODY_ASKED
    return frozenset(
        kind for kind in ASKED_EVENTS if any(is_owed(endpoint, kind) for endpoint in endpoints)
    )


def owe_endpoints(
    session: Session,
    event: Event,
    event_seq: int,
    job_seq: int | None,
    terms: DeliveryTerms,
    job: Job | None = None,
) -> Instant | None:
    """Owe an event to the endpoints of its caller that get it; gives when a claim finds the first.

    What is best effort is due at once, as it is at a job's callback URL. With `job` it is the end
    of that job, which may have its place in an order.

    Raises:
        TakesLong: there are too many of them for the event loop's thread.
    """
    ready_at: Instant | None = None
    endpoints = endpoints_of(session, event.caller_id)
    if session.brief and len(endpoints) > MOST_ENDPOINTS:
        raise TakesLong(f"the caller has {len(endpoints)} endpoints")
    for endpoint in endpoints:
        if is_owed(endpoint, event.type):
            owed = Owed(session, job_seq, event_seq, job, event, endpoint)
            if event.type in BEST_EFFORT_EVENTS:
                applied = owed.add_at_once(terms)
            else:
                applied = owed.add(terms, hand_off=False, result=None)
            ready_at = earlier(ready_at, applied.delivery_ready_at)
    return ready_at


def earlier(one: Instant | None, other: Instant | None) -> Instant | None:
    """The earlier of two instants, of which either may be none."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def told(applied: Applied, ready_at: Instant | None) -> Applied:
    """The same answer, which also tells from when what was owed besides can be claimed."""
    if ready_at is None:
        return applied
    return replace(applied, delivery_ready_at=earlier(applied.delivery_ready_at, ready_at))
