"""Claiming deliveries: by ready destination, in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Final, TypeAlias

from dispatcher.adapters.postgres import places
from dispatcher.adapters.postgres.batching import Batcher, Entry
from dispatcher.adapters.postgres.places import Place, Where
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
from dispatcher.core.errors import StoreError
from dispatcher.core.model import INLINE_RESULT_BYTES, Instant
from dispatcher.ports.records import ClaimedDeliveries, DeliveryTerms, LeasedDelivery

_READY = statement("destinations_ready")
_READY_LOCKED = statement("destinations_ready_locked")
_LOCK_READY = statement("destinations_lock_ready")
_NEXT = statement("destinations_next")
_HEADS = statement("deliveries_heads")
_LEASE = statement("deliveries_lease")

_EVENT_AT: Final = DELIVERY_WIDTH
_JOB_AT: Final = _EVENT_AT + EVENT_WIDTH
_RESULT_AT: Final = _JOB_AT + JOB_WIDTH

LOOK_DESTINATIONS: Final = 1_000
"""A claim looks at no more destinations than this; the next one goes on. Most have something."""


Asked: TypeAlias = tuple[int, DeliveryTerms]


async def claim_deliveries(batcher: Batcher, limit: int, terms: DeliveryTerms) -> ClaimedDeliveries:
    """Lease due deliveries; see the port.

    First of the destinations that nobody else has locked. If others might have more, a second
    transaction waits for them: it holds nothing that another could wait for.
    """
    claimed, left_out = await batcher.one(_each_free, (limit, terms))
    if not left_out:
        return claimed
    try:
        more = await batcher.one(_each_waiting, (limit - len(claimed.deliveries), terms))
    except StoreError:
        if not claimed.deliveries:
            raise
        return claimed
    return ClaimedDeliveries(claimed.deliveries + more.deliveries, more.next_at)


async def _each_free(
    session: Session, entries: Sequence[Entry[Asked]]
) -> list[tuple[ClaimedDeliveries, bool]]:
    return [await _claim_free(session, *entry.item) for entry in entries]


async def _each_waiting(
    session: Session, entries: Sequence[Entry[Asked]]
) -> list[ClaimedDeliveries]:
    return [await _claim_waiting(session, *entry.item) for entry in entries]


async def _claim_free(
    session: Session, limit: int, terms: DeliveryTerms
) -> tuple[ClaimedDeliveries, bool]:
    """Lease due deliveries of the destinations that nobody else has locked.

    The second answer tells that some were left out that might have more.
    """
    await session.look_at_clock()
    found: list[LeasedDelivery] = []
    looked: set[int] = set()
    while len(found) < limit and len(looked) < LOOK_DESTINATIONS:
        rows = await session.fetch(_READY, session.now, terms.slots, limit, list(looked))
        ready = _wheres(rows)
        if not ready:
            break
        known = await places.look(session, ready)
        looked |= {place.seq for place in known.values()}
        found += await _rounds(session, known, limit - len(found), terms)
    next_at, session.xid = await session.one(_NEXT) or (None, None)
    left_out = False
    if len(found) < limit and next_at is not None and next_at <= session.now:
        rows = await session.fetch(_READY_LOCKED, session.now, terms.slots, 1, list(looked))
        left_out = bool(rows)
    return ClaimedDeliveries(tuple(found), _not_before(next_at, session.now)), left_out


async def _claim_waiting(session: Session, limit: int, terms: DeliveryTerms) -> ClaimedDeliveries:
    """The same, of those that others had locked: waits for them, in the order of all locks."""
    await session.look_at_clock()
    rows = await session.fetch(_READY_LOCKED, session.now, terms.slots, limit, [])
    locked = await session.fetch(_LOCK_READY, [row[0] for row in rows], session.now, terms.slots)
    await session.look_at_clock()  # the wait may have been long
    known = await places.look(session, _wheres(locked))
    found = await _rounds(session, known, limit, terms)
    next_at, session.xid = await session.one(_NEXT) or (None, None)
    return ClaimedDeliveries(tuple(found), _not_before(next_at, session.now))


def _wheres(rows: Sequence[Row]) -> list[Where]:
    return [(row[1], row[2], row[3]) for row in rows]


def _not_before(at: Instant | None, now: Instant) -> Instant | None:
    return None if at is None else max(at, now)


async def _rounds(
    session: Session, known: Mapping[Where, Place], left: int, terms: DeliveryTerms
) -> list[LeasedDelivery]:
    """Take from each destination in turn, until so many are taken or nothing is left."""
    taken: list[LeasedDelivery] = []
    groups = {place.seq: terms.slots - place.sending for place in known.values()}
    served: set[int] = set()
    while left > len(taken) and any(free > 0 for free in groups.values()):
        share = ceil((left - len(taken)) / len(groups))
        found = await heads(
            session, {s: min(share, free) for s, free in groups.items() if free > 0}
        )
        picked: list[int] = []
        for turn in range(share):
            for seq, queue in found.items():
                if turn < len(queue) and len(picked) < left - len(taken):
                    picked.append(queue[turn])
                    served.add(seq)
                    groups[seq] -= 1
        leased = await lease(session, picked, terms)
        taken += [leased[seq] for seq in picked if seq in leased]
        groups = {seq: groups[seq] for seq, queue in found.items() if len(queue) == share}
        if len(leased) < len(picked) or not picked:  # one left out is being changed just now
            break
    after = await places.look(session, known)
    for place in after.values():
        ready_at, full_slots = place.next_at(session.now, terms.slots)
        if place.seq in served or ready_at != session.now:  # unserved, it keeps its place
            place.set(ready_at, full_slots)
    await places.write(session, after.values())
    return taken


async def heads(session: Session, limits: Mapping[int, int]) -> dict[int, list[int]]:
    """Up to so many deliveries of each destination to be sent now, the oldest due first."""
    if not limits:
        return {}
    rows = await session.fetch(_HEADS, list(limits), list(limits.values()), session.now)
    found: dict[int, list[int]] = {}
    for place_seq, seq in rows:
        found.setdefault(place_seq, []).append(seq)
    return found


async def lease(
    session: Session, picked: Sequence[int], terms: DeliveryTerms
) -> dict[int, LeasedDelivery]:
    """Lease deliveries of locked destinations, with all that their bytes are made of, by number.

    One that somebody changes at this moment is left out.
    """
    if not picked:
        return {}
    new = session.ids.new
    rows = await session.fetch(
        _LEASE,
        picked,
        [new("lse") for _ in picked],
        session.now + round(terms.lease_seconds * 1000),
        session.now,
        INLINE_RESULT_BYTES,
    )
    leased = {row[0]: _leased_of(row) for row in rows}
    for each in list(leased.values())[:1]:
        session.witnesses.append(Witness(Kind.DELIVERY_LEASE, each.delivery.id, each.lease))
    return leased


def _leased_of(row: Row) -> LeasedDelivery:
    job = None if row[_JOB_AT] is None else job_of(row[_JOB_AT:])
    job_id = None if job is None else job.id
    event = event_of(row[_EVENT_AT:], job_id)
    delivery = delivery_of(row, event_id=event.id, event_type=event.type, job_id=job_id)
    return LeasedDelivery(delivery, row[DELIVERY_LEASE], event, job, row[_RESULT_AT])
