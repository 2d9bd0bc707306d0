"""What follows from how a delivery fares: its endpoint's stretch of failures, and `delivery.dead`.

All of it stands in the commit that records the outcome. A delivery to a job's own callback URL that
is not dead costs nothing here.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from dispatcher.adapters.sqlite.endpoints import disable
from dispatcher.adapters.sqlite.fanout import earlier, owe_endpoints, there, told
from dispatcher.adapters.sqlite.owing import write_event
from dispatcher.adapters.sqlite.rows import (
    DELIVERY_COLUMNS,
    Row,
    attempt_of,
    delivery_in,
    first_attempt_of,
)
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.changes import RecordAttempt
from dispatcher.core.endpoints import Endpoint, why_disabled
from dispatcher.core.model import Attempt, DeliveryState, Event, EventType, Instant
from dispatcher.core.payload import dead_data, tells_of_death
from dispatcher.ports.records import Applied, DeliveryTerms

_WORKS = statement("endpoint_works")
_FAILED = statement("endpoint_failed")
_FAILS = statement("endpoint_fails")
_FOUND = statement("delivery_found")
_LAST_ATTEMPT = statement("last_attempt")

_JOB_SEQ: Final = DELIVERY_COLUMNS.index("job_seq")


class Aftermath(Struct, frozen=True):
    """What else a change did: from when what it owed can be claimed, which endpoint it disabled."""

    ready_at: Instant | None = None
    disabled: Endpoint | None = None

    def told(self, applied: Applied) -> Applied:
        """The answer that tells of it too."""
        if self.disabled is not None:
            applied = replace(applied, disabled=self.disabled)
        return told(applied, self.ready_at)


NOTHING: Final = Aftermath()


def after_attempt(
    session: Session,
    change: RecordAttempt,
    to: DeliveryState,
    endpoint_id: str | None,
    terms: DeliveryTerms,
) -> Aftermath:
    """After an attempt that led to `to`; the delivery's row says so already."""
    found = NOTHING
    if endpoint_id is not None and change.attempt is not None:
        found = _stretch(session, change, to, endpoint_id, terms)
    if to is DeliveryState.DEAD:
        dead_at = after_death(session, change.delivery_id, change.at, terms)
        return Aftermath(earlier(found.ready_at, dead_at), found.disabled)
    return found


def _stretch(
    session: Session,
    change: RecordAttempt,
    to: DeliveryState,
    endpoint_id: str,
    terms: DeliveryTerms,
) -> Aftermath:
    """Keep the endpoint's stretch of nothing but failures, and disable it if it is to be."""
    if to is DeliveryState.DELIVERED:
        works = {"id": endpoint_id, "delivery_id": change.delivery_id}
        if session.execute(_WORKS, works).rowcount:
            session.endpoints.clear()
        return NOTHING
    row = session.one(_FAILED, (change.delivery_id,))
    if row is None:
        return NOTHING
    endpoint = there(row)
    if endpoint.failing_since is None:
        session.execute(_FAILS, {"id": endpoint_id, "now": session.now})
        session.endpoints.clear()
        endpoint = replace(endpoint, failing_since=session.now)
    reason = why_disabled(endpoint, session.now, terms.failing_seconds, gone=change.gone)
    if reason is None:
        return NOTHING
    switched = disable(session, endpoint_id, reason, change.at, terms)
    if switched is None or not switched.changed:
        return NOTHING
    return Aftermath(switched.ready_at, switched.endpoint)


def after_death(
    session: Session, delivery_id: str, at: Instant, terms: DeliveryTerms
) -> Instant | None:
    """Tell that a delivery is dead, if what it carried is an event of a job's course."""
    row = session.one(_FOUND, (delivery_id,))
    delivery = delivery_in(row)
    if not tells_of_death(delivery.event_type):
        return None
    event = Event(
        id=session.ids.new("evt"),
        job_id=delivery.job_id,
        caller_id=delivery.caller_id,
        type=EventType.DELIVERY_DEAD,
        sequence=None,
        at=at,
        links_base=session.links_base,
        data=dead_data(delivery, _last_attempt(session, row)),
    )
    event_seq = write_event(session, event, row[_JOB_SEQ])
    return owe_endpoints(session, event, event_seq, row[_JOB_SEQ], terms)


def _last_attempt(session: Session, row: Row) -> Attempt | None:
    later = session.one(_LAST_ATTEMPT, (row[0],))
    return first_attempt_of(row) if later is None else attempt_of(later)
