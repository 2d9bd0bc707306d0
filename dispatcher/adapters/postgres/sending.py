"""Claiming deliveries: by ready destination, in turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Final, NamedTuple

from msgspec.structs import replace

from dispatcher.adapters.postgres import destinations, gates, lines
from dispatcher.adapters.postgres.batching import Batcher, Entry
from dispatcher.adapters.postgres.destinations import Destination, Where
from dispatcher.adapters.postgres.registered import by_id
from dispatcher.adapters.postgres.rows import (
    DELIVERY_LEASE,
    DELIVERY_WIDTH,
    EVENT_WIDTH,
    JOB_WIDTH,
    Row,
    delivery_of,
    event_of,
    job_of,
)
from dispatcher.adapters.postgres.session import Kind, Session, Witness
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.endpoints import Endpoint
from dispatcher.core.errors import StoreError
from dispatcher.core.gate import OWN_LINE, PLAIN, Gate
from dispatcher.core.model import INLINE_RESULT_BYTES, Delivery, Instant
from dispatcher.ports.portions import LOOK_DESTINATIONS
from dispatcher.ports.records import ClaimedDeliveries, DeliveryTerms, LeasedDelivery

_READY = statement("destinations_ready")
_READY_LOCKED = statement("destinations_ready_locked")
_LOCK_READY = statement("destinations_lock_ready")
_NEXT = statement("destinations_next")
_LEASE = statement("deliveries_lease")
_LEASE_KNOWN = statement("deliveries_lease_known")

_EVENT_AT: Final = DELIVERY_WIDTH
_JOB_AT: Final = _EVENT_AT + EVENT_WIDTH
_RESULT_AT: Final = _JOB_AT + JOB_WIDTH


class DeliveryClaim(NamedTuple):
    """What `claim_deliveries` is asked."""

    limit: int
    terms: DeliveryTerms
    room: Mapping[str, int]

    def less(self, taken: ClaimedDeliveries) -> DeliveryClaim:
        """What is left to ask when so much was taken."""
        room = dict(self.room)
        for each in taken.deliveries:
            if each.delivery.caller_id in room:
                room[each.delivery.caller_id] -= 1
        return self._replace(limit=self.limit - len(taken.deliveries), room=room)

    def full(self) -> list[str]:
        """The callers that have enough."""
        return [caller_id for caller_id, left in self.room.items() if left <= 0]


async def claim_deliveries(batcher: Batcher, claim: DeliveryClaim) -> ClaimedDeliveries:
    """Lease due deliveries; see the port.

    First of the destinations that nobody else has locked. If others might have more, a second
    transaction waits for them: it holds nothing that another could wait for.
    """
    claimed, left_out = await batcher.one(_each_free, claim)
    if not left_out:
        return claimed
    try:
        more = await batcher.one(_each_waiting, claim.less(claimed))
    except StoreError:
        if not claimed.deliveries:
            raise
        return claimed
    return ClaimedDeliveries(claimed.deliveries + more.deliveries, more.next_at)


async def _each_free(
    session: Session, entries: Sequence[Entry[DeliveryClaim]]
) -> list[tuple[ClaimedDeliveries, bool]]:
    return [await _claim_free(session, entry.item) for entry in entries]


async def _each_waiting(
    session: Session, entries: Sequence[Entry[DeliveryClaim]]
) -> list[ClaimedDeliveries]:
    return [await _claim_waiting(session, entry.item) for entry in entries]


async def _claim_free(session: Session, claim: DeliveryClaim) -> tuple[ClaimedDeliveries, bool]:
    """Lease due deliveries of the destinations that nobody else has locked.

    The second answer tells that some were left out that might have more.
    """
    await session.look_at_clock()
    limit, slots = claim.limit, claim.terms.slots
    claim = claim._replace(room=dict(claim.room))
    found: list[LeasedDelivery] = []
    looked: set[int] = set()
    while len(found) < limit and len(looked) < LOOK_DESTINATIONS:
        wanted = (session.now, slots, limit, list(looked), claim.full())
        ready = _wheres(await session.fetch(_READY, *wanted))
        if not ready:
            break
        known = await destinations.look(session, ready)
        looked |= {place.seq for place in known.values()}
        found += await _rounds(session, known, limit - len(found), claim)
    next_at, session.xid = await session.one(_NEXT, claim.full()) or (None, None)
    left_out = False
    if len(found) < limit and next_at is not None and next_at <= session.now:
        wanted = (session.now, slots, 1, list(looked), claim.full())
        left_out = bool(await session.fetch(_READY_LOCKED, *wanted))
    return ClaimedDeliveries(tuple(found), _not_before(next_at, session.now)), left_out


async def _claim_waiting(session: Session, claim: DeliveryClaim) -> ClaimedDeliveries:
    """The same, of those that others had locked: waits for them, in the order of all locks."""
    await session.look_at_clock()
    limit, slots = claim.limit, claim.terms.slots
    claim = claim._replace(room=dict(claim.room))
    rows = await session.fetch(_READY_LOCKED, session.now, slots, limit, [], claim.full())
    locked = await session.fetch(_LOCK_READY, [row[0] for row in rows], session.now, slots)
    await session.look_at_clock()  # the wait may have been long
    known = await destinations.look(session, _wheres(locked))
    found = await _rounds(session, known, limit, claim)
    next_at, session.xid = await session.one(_NEXT, claim.full()) or (None, None)
    return ClaimedDeliveries(tuple(found), _not_before(next_at, session.now))


def _wheres(rows: Sequence[Row]) -> list[Where]:
    return [(row[1], row[2], row[3]) for row in rows]


def _not_before(at: Instant | None, now: Instant) -> Instant | None:
    return None if at is None else max(at, now)


async def _rounds(
    session: Session, known: Mapping[Where, Destination], left: int, claim: DeliveryClaim
) -> list[LeasedDelivery]:
    """Take from each destination in turn, until so many are taken or nothing is left."""
    taken: list[LeasedDelivery] = []
    served: set[int] = set()
    terms = claim.terms
    groups = dict(known)
    while groups and left > len(taken):
        share = ceil((left - len(taken)) / len(groups))
        chosen, here = await _choose(session, groups, share, terms, taken)
        picked: dict[int, Where] = {}
        counts: Counter[Where] = Counter()
        for turn in range(share):
            for where, queue in chosen.items():
                room = left - len(taken) - len(picked)
                if turn < len(queue) and room > 0 and _may(claim.room, where[0]):
                    picked[queue[turn]] = where
                    counts[where] += 1
        gone = {known[where].seq: count for where, count in counts.items()}
        await gates.count_rates(session, here, gone, terms)
        leased = await lease(session, list(picked), terms)
        taken += [leased[seq] for seq in picked if seq in leased]
        served |= gone.keys()
        groups = {where: known[where] for where, queue in chosen.items() if len(queue) == share}
        if len(leased) < len(picked) or not picked:  # one left out is being changed just now
            break
    await _renew_ready(session, known, served, claim)
    return taken


def _may(room: Mapping[str, int], caller_id: str) -> bool:
    """Take one of what a caller may have more, if that is limited."""
    left = room.get(caller_id)
    if left is None:
        return True
    if left > 0 and isinstance(room, dict):
        room[caller_id] = left - 1
    return left > 0


async def _choose(
    session: Session,
    groups: Mapping[Where, Destination],
    share: int,
    terms: DeliveryTerms,
    taken: Sequence[LeasedDelivery],
) -> tuple[dict[Where, list[int]], dict[int, Gate]]:
    """Up to `share` deliveries of each destination to be sent now, and how these stand."""
    under_way = Counter(where_of(leased.delivery) for leased in taken)
    here = await _gates(session, groups, terms)
    for where, place in groups.items():
        if place.seq not in here:
            sending = place.sending + under_way[where]
            here[place.seq] = PLAIN._replace(sending=sending, first_until=place.first_until)
    wanted = {place.seq: share for place in groups.values()}
    chosen = await lines.choose(session, wanted, here, terms)
    return {where: chosen.get(place.seq, []) for where, place in groups.items()}, here


async def _gates(
    session: Session, known: Mapping[Where, Destination], terms: DeliveryTerms
) -> dict[int, Gate]:
    """How destinations stand of which more counts than slots."""
    rated = terms.rate_per_second is not None
    asked = [place.seq for place in known.values() if rated or not place.plain]
    return await gates.gates_of(session, asked) if asked else {}


def where_of(delivery: Delivery) -> Where:
    """Where a delivery goes."""
    return delivery.caller_id, delivery.origin, delivery.endpoint_id or ""


async def _renew_ready(
    session: Session, known: Mapping[Where, Destination], served: set[int], claim: DeliveryClaim
) -> None:
    """Write when the next of each destination can be claimed.

    One that was not served keeps its place, unless its caller has enough for now.
    """
    here = await _gates(session, known, claim.terms)
    await lines.renew_ready(session, here, claim.terms)
    after = await destinations.look(session, known)
    here = {place.seq: here.get(place.seq, PLAIN) for place in after.values()}
    following = await lines.renew(session, after, here, claim.terms)
    for where, place in after.items():
        at, full_slots = following[where]
        if place.seq in served or at != session.now or claim.room.get(where[0]) == 0:
            place.set(at, full_slots)
    await destinations.write(session, after.values())


async def lease(
    session: Session, picked: Sequence[int], terms: DeliveryTerms
) -> dict[int, LeasedDelivery]:
    """Lease deliveries of locked destinations, with all that their bytes are made of, by number.

    One that somebody changes at this moment is left out.
    """
    until = destinations.lease_until(session, terms)
    leased = await _lease_known(session, picked, until) if picked else {}
    others = [seq for seq in picked if seq not in leased]
    if others:
        leased |= await _lease_read(session, others, until)
    for each in list(leased.values())[:1]:
        session.witnesses.append(Witness(Kind.DELIVERY_LEASE, each.delivery.id, each.lease))
    return leased


async def _lease_known(
    session: Session, picked: Sequence[int], until: Instant
) -> dict[int, LeasedDelivery]:
    """Lease those that are as this process made them."""
    known = {
        seq: kept for seq in picked if (kept := session.remembered.take_waiting(seq)) is not None
    }
    if not known:
        return {}
    leases = {seq: session.ids.new("lse") for seq in known}
    ids = [each.delivery.id for each in known.values()]
    rows = await session.fetch(_LEASE_KNOWN, list(leases), ids, list(leases.values()), until)
    leased: dict[int, LeasedDelivery] = {}
    for seq, due_at in rows:
        kept = known[seq]
        delivery = replace(kept.delivery, due_at=due_at)
        leased[seq] = LeasedDelivery(delivery, leases[seq], kept.event, kept.job, kept.result)
        session.remembered.keep_sending(leased[seq], kept.place_seq, until)
    return leased


async def _lease_read(
    session: Session, picked: Sequence[int], until: Instant
) -> dict[int, LeasedDelivery]:
    """Lease the others, which are read for that."""
    leases = [session.ids.new("lse") for _ in picked]
    wanted = (picked, leases, until, session.now, INLINE_RESULT_BYTES)
    rows = await session.fetch(_LEASE, *wanted)
    endpoints = await by_id(session, [row["endpoint_id"] for row in rows])
    leased: dict[int, LeasedDelivery] = {}
    for row in rows:
        each = leased[row[0]] = _leased_of(row, endpoints)
        if row["chain"] is None and row["target_seq"] == OWN_LINE:
            session.remembered.keep_sending(each, row["destination_seq"], until)
    return leased


def _leased_of(row: Row, endpoints: Mapping[str, Endpoint]) -> LeasedDelivery:
    job = None if row[_JOB_AT] is None else job_of(row[_JOB_AT:])
    job_id = None if job is None else job.id
    event = event_of(row[_EVENT_AT:], job_id)
    delivery = delivery_of(row, event_id=event.id, event_type=event.type, job_id=job_id)
    endpoint = None if delivery.endpoint_id is None else endpoints.get(delivery.endpoint_id)
    return LeasedDelivery(delivery, row[DELIVERY_LEASE], event, job, row[_RESULT_AT], endpoint)
