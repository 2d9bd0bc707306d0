"""Claiming deliveries: by ready destination, in turn."""

from __future__ import annotations

from math import ceil
from typing import Final

import msgspec

from dispatcher.adapters.sqlite import destinations
from dispatcher.adapters.sqlite.rows import (
    DELIVERY_LEASE,
    DELIVERY_WIDTH,
    EVENT_WIDTH,
    JOB_WIDTH,
    Row,
    delivery_of,
    event_of,
    job_of,
)
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.model import INLINE_RESULT_BYTES
from dispatcher.ports.records import ClaimedDeliveries, DeliveryTerms, LeasedDelivery

_READY = statement("destinations_ready")
_FULL = statement("destinations_full")
_NEXT = statement("destinations_next")
_DUE = statement("deliveries_due")
_UNKNOWN = statement("deliveries_unknown")
_LEASE = statement("delivery_lease")
_LEASED = statement("deliveries_leased")
_HAND_ON = statement("delivery_hand_on")

_EVENT_AT: Final = DELIVERY_WIDTH
_JOB_AT: Final = _EVENT_AT + EVENT_WIDTH
_RESULT_AT: Final = _JOB_AT + JOB_WIDTH

LOOK_DESTINATIONS: Final = 1_000
"""A claim looks at no more destinations than this; the next one goes on. Most have something."""

_encode: Final = msgspec.json.encode


def claim_deliveries(session: Session, limit: int, terms: DeliveryTerms) -> ClaimedDeliveries:
    """Lease due deliveries; see the port."""
    found: list[LeasedDelivery] = []
    looked = 0
    while len(found) < limit and looked < LOOK_DESTINATIONS:
        ready = _ready(session, limit, terms)
        if not ready:
            break
        found += _rounds(session, ready, limit - len(found), terms)
        looked += len(ready)
    (next_at,) = session.one(_NEXT)
    return ClaimedDeliveries(tuple(found), None if next_at is None else max(next_at, session.now))


def _rounds(
    session: Session, ready: list[int], left: int, terms: DeliveryTerms
) -> list[LeasedDelivery]:
    """Take from each destination in turn, until so many are taken or nothing is left."""
    taken: list[LeasedDelivery] = []
    served: set[int] = set()
    groups = ready
    while groups and len(taken) < left:
        picked, groups = _round(session, groups, left - len(taken), terms, served)
        taken += _lease(session, picked, terms)
    for seq in ready:
        following = destinations.next_for(session, seq, terms.slots)
        if seq in served or following.at != session.now:  # unserved, it keeps its place
            destinations.set_next(session, seq, following)
    return taken


def _ready(session: Session, limit: int, terms: DeliveryTerms) -> list[int]:
    """The destinations to look at, the longest unserved first."""
    rows = session.execute(_READY, {"now": session.now, "limit": limit}).fetchall()
    full = session.execute(_FULL, {"slots": terms.slots, "limit": limit}).fetchall()
    return list(dict.fromkeys(seq for (seq,) in rows + full))


def _round(
    session: Session, groups: list[int], left: int, terms: DeliveryTerms, served: set[int]
) -> tuple[list[int], list[int]]:
    """Take from each destination in turn; gives what was picked and where more may be had."""
    share = ceil(left / len(groups))
    heads: dict[int, list[int]] = {}
    for seq in groups:
        free = min(share, destinations.free_slots(session, seq, terms.slots))
        if free > 0:
            heads[seq] = _heads(session, seq, free)
    picked: list[int] = []
    for turn in range(share):
        for seq, queue in heads.items():
            if turn < len(queue) and len(picked) < left:
                picked.append(queue[turn])
                served.add(seq)
    more = [seq for seq, queue in heads.items() if len(queue) == share]
    return picked, more if picked else []


def _heads(session: Session, seq: int, limit: int, *, unknown: bool = True) -> list[int]:
    """Up to `limit` deliveries of a destination to be sent now, the oldest due first.

    Without `unknown`, none whose lease has ended.
    """
    parameters = {"seq": seq, "now": session.now, "limit": limit}
    found: list[tuple[int, int]] = session.execute(_DUE, parameters).fetchall()
    if unknown:
        lost = session.execute(_UNKNOWN, parameters).fetchall()
        found = sorted(found + lost)[:limit] if lost else found
    return [number for _, number in found]


def _lease(session: Session, picked: list[int], terms: DeliveryTerms) -> list[LeasedDelivery]:
    if not picked:
        return []
    now, new = session.now, session.ids.new
    until = lease_until(now, terms)
    session.connection.executemany(
        _LEASE,
        [{"seq": seq, "lease": new("lse"), "until": until, "now": now} for seq in picked],
    )
    return _leased(session, picked)


def _leased(session: Session, seqs: list[int]) -> list[LeasedDelivery]:
    """Deliveries with all that their bytes are made of, in the order of their numbers here."""
    rows = session.execute(
        _LEASED, {"wanted": _encode(seqs).decode(), "inline_bytes": INLINE_RESULT_BYTES}
    )
    leased = {row[0]: _leased_of(row) for row in rows}
    return [leased[seq] for seq in seqs]


def lease_next(
    session: Session, seq: int, heads: destinations.Heads, terms: DeliveryTerms
) -> LeasedDelivery:
    """Lease the oldest due delivery of a destination; one must be due, and a slot be free."""
    unknown = heads.sending_until is not None and heads.sending_until <= session.now
    (leased,) = _lease(session, _heads(session, seq, 1, unknown=unknown), terms)
    return leased


def take_free_slot(session: Session, place: int, terms: DeliveryTerms) -> LeasedDelivery | None:
    """Lease the oldest due delivery of a destination that is not ready by itself; None if none is.

    Such a destination has no lease that ended, so there is nothing else to look at.
    """
    now = session.now
    lease = session.ids.new("lse")
    rows = session.execute(
        _HAND_ON,
        {
            "place": place,
            "lease": lease,
            "until": lease_until(now, terms),
            "now": now,
            "slots": terms.slots,
        },
    ).fetchall()
    if not rows:
        return None
    seq, delivery_id, *stands = rows[0]
    kept = session.waiting.take(delivery_id, lease, stands)
    if kept is not None:
        return kept
    (leased,) = _leased(session, [seq])
    return leased


def lease_until(now: int, terms: DeliveryTerms) -> int:
    """When a lease of a delivery taken now ends."""
    return now + round(terms.lease_seconds * 1000)


def _leased_of(row: Row) -> LeasedDelivery:
    job = None if row[_JOB_AT] is None else job_of(row[_JOB_AT:])
    job_id = None if job is None else job.id
    event = event_of(row[_EVENT_AT:], job_id)
    delivery = delivery_of(row, event_id=event.id, event_type=event.type, job_id=job_id)
    return LeasedDelivery(delivery, row[DELIVERY_LEASE], event, job, row[_RESULT_AT])
