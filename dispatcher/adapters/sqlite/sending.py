"""Claiming deliveries: by ready destination, in turn."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Final, NamedTuple

import msgspec

from dispatcher.adapters.sqlite import destinations, lines
from dispatcher.adapters.sqlite.rows import (
    DELIVERY_COLUMNS,
    DELIVERY_LEASE,
    DELIVERY_WIDTH,
    EVENT_WIDTH,
    JOB_WIDTH,
    Row,
    delivery_of,
    endpoint_of,
    event_of,
    job_of,
)
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.model import INLINE_RESULT_BYTES
from dispatcher.core.turns import is_retrys
from dispatcher.ports.portions import LOOK_DESTINATIONS
from dispatcher.ports.records import ClaimedDeliveries, DeliveryTerms, LeasedDelivery

_READY = statement("destinations_ready")
_FULL = statement("destinations_full")
_NEXT = statement("destinations_next")
_LEASE = statement("delivery_lease")
_LEASED = statement("deliveries_leased")
_HAND_ON = statement("delivery_hand_on")

_DESTINATION: Final = DELIVERY_COLUMNS.index("destination_seq")
_EVENT_AT: Final = DELIVERY_WIDTH
_JOB_AT: Final = _EVENT_AT + EVENT_WIDTH
_RESULT_AT: Final = _JOB_AT + JOB_WIDTH
_ENDPOINT_AT: Final = _RESULT_AT + 1

_encode: Final = msgspec.json.encode


class DeliveryClaim(NamedTuple):
    """What `claim_deliveries` is asked."""

    limit: int
    terms: DeliveryTerms
    room: Mapping[str, int]


def claim_deliveries(session: Session, claim: DeliveryClaim) -> ClaimedDeliveries:
    """Lease due deliveries; see the port."""
    terms, limit = claim.terms, claim.limit
    room = dict(claim.room)
    found: list[LeasedDelivery] = []
    looked = 0
    while len(found) < limit and looked < LOOK_DESTINATIONS:
        ready = _ready(session, claim, room)
        if not ready:
            break
        found += _rounds(session, ready, limit - len(found), terms, room)
        looked += len(ready)
    row = session.one(_NEXT, {"full": _full(room)})
    return ClaimedDeliveries(tuple(found), None if row is None else max(row[0], session.now))


def _rounds(
    session: Session,
    ready: dict[int, str],
    left: int,
    terms: DeliveryTerms,
    room: dict[str, int],
) -> list[LeasedDelivery]:
    """Take from each destination in turn, until so many are taken or nothing is left."""
    taken: list[LeasedDelivery] = []
    served: set[int] = set()
    groups = list(ready)
    while groups and len(taken) < left:
        share = ceil((left - len(taken)) / len(groups))
        chosen = {seq: lines.choose(session, seq, share, terms) for seq in groups}
        picked: list[int] = []
        counts: dict[int, int] = {}
        for turn in range(share):
            for seq, (_, queue) in chosen.items():
                if turn < len(queue) and len(taken) + len(picked) < left and _may(room, ready[seq]):
                    picked.append(queue[turn])
                    counts[seq] = counts.get(seq, 0) + 1
        for seq, count in counts.items():
            destinations.count_rate(session, seq, chosen[seq].here, terms, count)
        taken += lease(session, picked, terms)
        served.update(counts)
        more = [seq for seq, (_, queue) in chosen.items() if len(queue) == share]
        groups = more if picked else []
    for seq, caller_id in ready.items():
        following = lines.next_for(session, seq, terms)
        # One that was not served keeps its place, unless its caller has enough for now.
        if seq in served or following.at != session.now or room.get(caller_id) == 0:
            destinations.set_next(session, seq, following)
    return taken


def _may(room: dict[str, int], caller_id: str) -> bool:
    """Take one of what a caller may have more, if that is limited."""
    left = room.get(caller_id)
    if left is None:
        return True
    if left <= 0:
        return False
    room[caller_id] = left - 1
    return True


def _full(room: Mapping[str, int]) -> str | None:
    """The callers that have enough, as a JSON array; None: nobody has."""
    full = [caller_id for caller_id, left in room.items() if left <= 0]
    return _encode(full).decode() if full else None


def _ready(session: Session, claim: DeliveryClaim, room: Mapping[str, int]) -> dict[int, str]:
    """The destinations to look at, the longest unserved first, each with its caller."""
    wanted = {"limit": claim.limit, "full": _full(room)}
    rows = session.execute(_READY, {"now": session.now, **wanted}).fetchall()
    rows += session.execute(_FULL, {"slots": claim.terms.slots, **wanted}).fetchall()
    return dict(rows)


def lease(session: Session, picked: list[int], terms: DeliveryTerms) -> list[LeasedDelivery]:
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
    leased: dict[int, LeasedDelivery] = {}
    for row in rows:
        leased[row[0]] = found = _leased_of(row)
        session.remembered.leased_delivery(found.lease, row[0], row[_DESTINATION], found.delivery)
    return [leased[seq] for seq in seqs]


def lease_next(session: Session, seq: int, terms: DeliveryTerms) -> LeasedDelivery | None:
    """Lease the delivery whose turn it is at a destination; None if none may be sent now."""
    chosen = lines.choose(session, seq, 1, terms)
    if not chosen.deliveries:
        return None
    destinations.count_rate(session, seq, chosen.here, terms, 1)
    (leased,) = lease(session, chosen.deliveries, terms)
    return leased


def take_free_slot(session: Session, place: int, terms: DeliveryTerms) -> LeasedDelivery | None:
    """Lease what is due of a plain destination that is not ready by itself; None if nothing is.

    Such a destination has no lease that ended, so there is nothing else to look at.
    """
    now = session.now
    lease = session.ids.new("lse")
    retried = is_retrys(session.turns.take(place, 1))
    rows = session.execute(
        _HAND_ON,
        {
            "place": place,
            "retried": retried,
            "lease": lease,
            "until": lease_until(now, terms),
            "now": now,
            "slots": terms.slots,
        },
    ).fetchall()
    if not rows:
        return None
    seq, delivery_id, *stands = rows[0]
    leased = session.waiting.take(delivery_id, lease, stands)
    if leased is None:
        (leased,) = _leased(session, [seq])
    session.remembered.leased_delivery(lease, seq, place, leased.delivery)
    return leased


def lease_until(now: int, terms: DeliveryTerms) -> int:
    """When a lease of a delivery taken now ends."""
    return now + round(terms.lease_seconds * 1000)


def _leased_of(row: Row) -> LeasedDelivery:
    job = None if row[_JOB_AT] is None else job_of(row[_JOB_AT:])
    job_id = None if job is None else job.id
    event = event_of(row[_EVENT_AT:], job_id)
    delivery = delivery_of(row, event_id=event.id, event_type=event.type, job_id=job_id)
    endpoint = endpoint_of(row[_ENDPOINT_AT:])
    return LeasedDelivery(delivery, row[DELIVERY_LEASE], event, job, row[_RESULT_AT], endpoint)
