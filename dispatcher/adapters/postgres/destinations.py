"""Destinations as they stand while they are locked: slots, what waits, when the next may be sent.

Whoever takes, frees or waits for a slot locks the destination's row first, always in the order of
(caller, origin, endpoint), and only then counts. So the counts hold until the commit, and no two
transactions wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from dispatcher.adapters.postgres.rows import Row, columns
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.model import Instant
from dispatcher.ports.records import DeliveryTerms

_LOCK = statement("destinations_lock")
_LOADS = statement("destinations_loads")
_SET = statement("destinations_set")

Where: TypeAlias = tuple[str, str, str]
"""A caller's id, an origin, and the id of a registered endpoint ("": a job's own callback URL)."""


def where_of(row: Row) -> Where:
    """Where the delivery of a row goes."""
    return row["caller_id"], row["origin"], row["endpoint_id"] or ""


def earliest(*instants: Instant | None) -> Instant | None:
    """The earliest of those that are known."""
    return min((each for each in instants if each is not None), default=None)


def lease_until(session: Session, terms: DeliveryTerms) -> Instant:
    """When a lease taken now ends."""
    return session.now + round(terms.lease_seconds * 1000)


class Destination:
    """One locked destination.

    `sending` counts leases that are alive, and `first_until` is when the first of them ends.
    `fresh_at` and `retry_at` are when the first that was never tried is due, and the first retry;
    `lost_at` is when the first lease ends, or ended, of what is to be sent again then. `plain`:
    nothing holds it back but its slots, as far as the store knows (a rate of the terms may all the
    same); what is said here of when it is ready holds for plain ones alone.
    """

    __slots__ = (
        "changed",
        "first_until",
        "fresh_at",
        "full_slots",
        "lost_at",
        "plain",
        "ready_at",
        "retry_at",
        "sending",
        "seq",
    )

    def __init__(
        self,
        seq: int,
        ready_at: Instant | None,
        full_slots: int | None,
        sending: int,
        first_until: Instant | None,
        fresh_at: Instant | None,
        retry_at: Instant | None,
        lost_at: Instant | None,
        plain: bool,
    ) -> None:
        self.seq = seq
        self.ready_at = ready_at
        self.full_slots = full_slots
        self.sending = sending
        self.first_until = first_until
        self.fresh_at = fresh_at
        self.retry_at = retry_at
        self.lost_at = lost_at
        self.plain = plain
        self.changed = False

    @property
    def due_at(self) -> Instant | None:
        """When the next is due, slots or no slots."""
        return earliest(self.fresh_at, self.retry_at, self.lost_at)

    def lease(self, until: Instant) -> None:
        """One more is being sent."""
        self.sending += 1
        self.first_until = earliest(self.first_until, until)
        self.lost_at = earliest(self.lost_at, until)

    def next_at(self, now: Instant, slots: int) -> tuple[Instant | None, int | None]:
        """When the next can be claimed, and, if all slots are taken until then, how many."""
        due_at = self.due_at
        if due_at is None:
            return None, None
        until = self.first_until
        if self.sending >= slots and until is not None and until > due_at:
            return until, slots
        return max(due_at, now), None

    def wait(self, due_at: Instant, now: Instant, slots: int) -> Instant:
        """One more waits there, never tried; gives when it can be claimed.

        At a full one that is when a lease ends. Sooner, if a slot comes free: whoever frees it sees
        to that.
        """
        self.fresh_at = earliest(self.fresh_at, due_at)
        until = self.first_until
        if self.sending >= slots and until is not None and until > due_at:
            self.be_ready_by(until, slots)
            return max(until if self.ready_at is None else min(until, self.ready_at), now)
        self.be_ready_by(due_at, None)
        return due_at

    def be_ready_by(self, at: Instant | None, full_slots: int | None) -> None:
        """See to it that it is looked at by then; in steady traffic it is, and nothing is done."""
        if at is None:
            return
        if self.ready_at is None or self.ready_at > at:
            self.set(at, full_slots)
        elif self.ready_at == at and full_slots is not None:
            self.set(at, full_slots)  # sooner for whoever has more slots

    def set(self, ready_at: Instant | None, full_slots: int | None) -> None:
        """Say when the next can be claimed."""
        if (ready_at, full_slots) != (self.ready_at, self.full_slots):
            self.ready_at, self.full_slots = ready_at, full_slots
            self.changed = True


async def lock(session: Session, wanted: Iterable[Where]) -> None:
    """Lock destinations until the commit; those that are not there are made."""
    found = sorted(set(wanted))
    if found:
        ids = [session.ids.new("dst") for _ in found]
        await session.execute(_LOCK, ids, *columns(found, 3))


async def begin(session: Session, wanted: Iterable[Where]) -> None:
    """Read the clock, and how locked destinations stand."""
    found = sorted(set(wanted))
    if not found:
        await session.began()
        return
    rows = await _look(session, found, session.told)
    session.now, session.xid = rows[0][:2]


async def look(session: Session, wanted: Iterable[Where]) -> dict[Where, Destination]:
    """How locked destinations stand now."""
    found = sorted(set(wanted))
    if found:
        await _look(session, found, session.now)
    return {where: session.stands[where] for where in found if where in session.stands}


async def stand(session: Session, wanted: Iterable[Where]) -> dict[Where, Destination]:
    """The same; not read again if the transaction has asked nothing since: see `still`."""
    found = set(wanted)
    if session.stands_since == session.asked and found <= session.stands.keys():
        return {where: session.stands[where] for where in sorted(found)}
    return await look(session, found)


def mark(session: Session) -> bool:
    """Whether the destinations of the last look stand as they are known: for `still`."""
    return session.stands_since == session.asked


def still(session: Session, marked: bool, stands: dict[Where, Destination] | None = None) -> None:
    """They do so still: what was written since the mark is told to the destinations as well.

    `stands`: all of them, if some were looked at again since.
    """
    if marked:
        session.stands = session.stands if stands is None else stands
        session.stands_since = session.asked


def looked(session: Session, rows: Sequence[Row]) -> None:
    """A statement has looked at locked destinations: rows as of `destinations_loads.sql`."""
    session.stands = {(row[2], row[3], row[4]): Destination(*row[5:]) for row in rows}
    session.stands_since = session.asked


async def _look(session: Session, found: Sequence[Where], now: Instant | None) -> list[Row]:
    rows = await session.fetch(_LOADS, *columns(found, 3), now)
    looked(session, rows)
    return rows


async def write(session: Session, places: Iterable[Destination]) -> None:
    """Write what has changed of when they are ready."""
    changed = [place for place in places if place.changed]
    if changed:
        await session.execute(
            _SET,
            [place.seq for place in changed],
            [place.ready_at for place in changed],
            [place.full_slots for place in changed],
        )
    for place in changed:
        place.changed = False
