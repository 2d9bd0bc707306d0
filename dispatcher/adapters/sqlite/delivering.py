"""Changes of deliveries: each compares state and lease, then sets."""

from __future__ import annotations

from typing import NamedTuple

from dispatcher.adapters.sqlite import destinations
from dispatcher.adapters.sqlite.rows import attempt_row
from dispatcher.adapters.sqlite.sending import lease_next, lease_until
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.changes import EndDelivery, RecordAttempt, ReleaseDelivery
from dispatcher.core.lifecycle import DELIVERY_TRANSITIONS, FINAL_DELIVERY_STATES
from dispatcher.core.model import DeliveryState, Instant
from dispatcher.ports.records import Applied, ApplyResult, DeliveryTerms, Stale

_BY_ID = statement("delivery_by_id")
_RECORD = statement("delivery_record")
_RECORD_FIRST = statement("delivery_record_first")
_ATTEMPT_FIND = statement("attempt_find")
_ATTEMPT_ADD = statement("attempt_add")
_RELEASE = statement("delivery_release")
_END = statement("delivery_end")


def record_attempt(session: Session, change: RecordAttempt, terms: DeliveryTerms) -> ApplyResult:
    """Record what came of an attempt; see `RecordAttempt`."""
    row = session.one(_BY_ID, (change.delivery_id,))
    if row is None:
        return Stale()
    seq, lease, attempt_count, first_lease, first_number, place, ready_at = row
    attempt = change.attempt
    if lease != change.lease:
        if attempt is None:
            return Stale()
        same = (first_lease, first_number) == (change.lease, attempt.number)
        if not same and attempt_count > 1:
            same = session.one(_ATTEMPT_FIND, (seq, attempt.number, change.lease)) is not None
        return Applied() if same else Stale()
    finished_at = change.at if change.to in FINAL_DELIVERY_STATES else None
    stands = (change.to.value, change.due_at, finished_at)
    if attempt is not None and attempt_count == 0:
        row = (*stands, change.uses_entry, *attempt_row(attempt), seq, lease)
        session.execute(_RECORD_FIRST, row)
    else:
        row = (*stands, attempt is not None, change.uses_entry, seq, lease)
        session.execute(_RECORD, row)
        if attempt is not None:
            session.execute(_ATTEMPT_ADD, (seq, lease, *attempt_row(attempt)))
    due_at = change.due_at if change.to is DeliveryState.PENDING else None
    freed = _Freed(seq, place, ready_at, due_at)
    if change.hand_off:
        handed = _hand_on(session, freed, change, terms)
        if handed is not None:
            return handed
    return _came_free(session, freed)


def release_delivery(session: Session, change: ReleaseDelivery) -> ApplyResult:
    """Give a leased delivery back unsent; see `ReleaseDelivery`."""
    row = session.one(_BY_ID, (change.delivery_id,))
    if row is None or row[1] != change.lease:
        return Stale()
    seq, place, ready_at = row[0], row[5], row[6]
    session.execute(_RELEASE, {"seq": seq, "lease": change.lease, "due_at": change.due_at})
    return _came_free(session, _Freed(seq, place, ready_at, change.due_at))


def end_delivery(session: Session, change: EndDelivery) -> ApplyResult:
    """End a delivery that waits; see `EndDelivery`."""
    if change.to not in DELIVERY_TRANSITIONS[DeliveryState.PENDING] & FINAL_DELIVERY_STATES:
        raise ValueError(f"a pending delivery can't end as {change.to}")
    parameters = {"id": change.delivery_id, "to": change.to.value, "at": change.at}
    return Applied() if session.execute(_END, parameters).rowcount else Stale()


class _Freed(NamedTuple):
    """A slot that came free: of which delivery, at which destination, known to be ready when.

    `due_at` is when the delivery that had the slot is due again.
    """

    seq: int
    place: int
    ready_at: Instant | None
    due_at: Instant | None


def _came_free(session: Session, freed: _Freed) -> Applied:
    """Tell from when the slot is of use.

    Others count if they are due before the destination was to be ready: then it was full, and they
    wait for this slot.
    """
    due_at, known = freed.due_at, freed.ready_at
    waiting_at = destinations.heads(session, freed.place, besides=freed.seq).first_at
    if waiting_at is not None and (known is None or waiting_at < known):
        due_at = waiting_at if due_at is None else min(due_at, waiting_at)
    if due_at is None:
        return Applied()
    due_at = max(due_at, session.now)
    destinations.ready_by(session, freed.place, known, due_at)
    return Applied(delivery_ready_at=due_at)


def _hand_on(
    session: Session, freed: _Freed, change: RecordAttempt, terms: DeliveryTerms
) -> Applied | None:
    """Lease what is due in the slot that came free; None if nothing is, or none is free."""
    seq, place, known, due_at = freed
    heads = destinations.heads(session, place, besides=seq)
    if heads.first_at is None or heads.first_at > session.now:
        return None
    free = destinations.free_slots(session, place, terms.slots)
    if free == 0:
        return None
    handed = lease_next(session, place, heads, terms)
    if handed.delivery.id == change.delivery_id:
        due_at = None
    if free == 1:
        # It is full again: no other can be claimed sooner than was known before.
        destinations.ready_by(session, place, known, lease_until(session.now, terms))
    else:
        following = destinations.next_for(session, place, terms.slots)
        destinations.set_next(session, place, following)
        due_at = session.now if following.at == session.now else due_at
    return Applied(
        (handed,), delivery_ready_at=None if due_at is None else max(due_at, session.now)
    )
