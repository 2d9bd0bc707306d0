"""Destinations: where deliveries of one caller to one origin, or one endpoint, wait."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core import rate
from dispatcher.core.breaker import Breaker, allowance
from dispatcher.core.model import Instant
from dispatcher.ports.records import DeliveryTerms

_FIND = statement("destination_find")
_ADD = statement("destination_add")
_LOWER = statement("destination_lower")
_SET = statement("destination_set")
_GATE = statement("destination_gate")
_RATE = statement("destination_rate")
_NEXT = statement("destination_next")
_HOLD = statement("destination_hold")
_RELEASE = statement("destination_release")
_LINE_LOAD = statement("line_load")
_TARGET_GATE = statement("target_gate")
_TARGET_SET = statement("target_set")
_TARGETS_NEXT = statement("targets_next")

_NOBODY = -1
"""A number that no delivery has."""

OWN_LINE: Final = 0
"""The line of a destination itself; every other is a target's, by its number."""

breaker_of: Final = msgspec.json.Decoder(Breaker).decode


class Destination(NamedTuple):
    """A destination as it stands now: how many leases are alive, whether a first attempt is due.

    `plain`: nothing holds it back but its slots, as far as the store knows (a rate of the terms may
    all the same).
    """

    seq: int
    ready_at: Instant | None
    full_slots: int | None
    sending: int
    due: bool
    plain: bool


def destination(
    session: Session, caller_id: str, origin: str, endpoint_id: str | None = None
) -> Destination:
    """The destination, made if it is not there. A registered endpoint is one of its own."""
    whose = {"caller_id": caller_id, "origin": origin, "endpoint_id": endpoint_id or ""}
    row = session.one(_FIND, {**whose, "now": session.now})
    if row is not None:
        return Destination(*row)
    added = {"id": session.ids.new("dst"), **whose}
    ((seq, plain),) = session.execute(_ADD, added).fetchall()
    return Destination(seq, None, None, 0, due=False, plain=plain == 1)


def ready_by(session: Session, seq: int, known: Instant | None, at: Instant) -> None:
    """See to it that a destination is ready by `at`; in steady traffic it is, and nothing is done.

    `known` is its `ready_at` as it was read in this transaction.
    """
    if known is None or known > at:
        session.execute(_LOWER, {"seq": seq, "at": at})


def wait_for_slot(
    session: Session, place: Destination, due_at: Instant, terms: DeliveryTerms
) -> Instant:
    """When a delivery that waits at a full destination can be claimed: when the first lease ends.

    Sooner, if a slot comes free: whoever frees it sees to that. In steady traffic this was written
    before, and nothing is done.
    """
    known = place.ready_at
    if known is not None and (known <= due_at or place.full_slots == terms.slots):
        return max(known, session.now)
    first_until = gate(session, place.seq).first_until or session.now
    at: Instant = max(due_at, first_until)
    at = at if known is None else min(at, known)
    set_next(session, place.seq, Next(at, terms.slots))
    return at


def wait(
    session: Session, place: Destination, line: int, due_at: Instant, terms: DeliveryTerms
) -> Instant | None:
    """See to it that a delivery that waits there is claimed in time; from when it can be.

    None: never, as it stands (the destination is paused, say).
    """
    if not place.plain or terms.rate_per_second is not None:
        if line != OWN_LINE:
            renew_line(session, place.seq, line, terms)
        return renew(session, place.seq, terms)
    if place.sending >= terms.slots:
        return wait_for_slot(session, place, due_at, terms)
    ready_by(session, place.seq, place.ready_at, due_at)
    return due_at


class Heads(NamedTuple):
    """When the first of a line is due: never tried, a retry; when the first lease of one ends."""

    fresh_at: Instant | None
    retry_at: Instant | None
    sending_until: Instant | None

    @property
    def first_at(self) -> Instant | None:
        """When the next is due, slots or no slots."""
        return min([at for at in self if at is not None], default=None)


def heads(session: Session, seq: int, line: int = OWN_LINE, besides: int = _NOBODY) -> Heads:
    """What comes next in a line of a destination; the lease of `besides` is left out."""
    return Heads(*session.one(_NEXT, {"seq": seq, "line": line, "besides": besides}))


# --- What holds it back ------------------------------------------------------------------------


class Room(NamedTuple):
    """How many more may be sent; with none, from when it could be more, and whether slots lack."""

    free: int
    at: Instant
    full: bool = False


class Gate(NamedTuple):
    """What decides how many more may be sent to a destination now.

    `stopped`: paused by operators, or held. `whole`: it is an endpoint's, with one URL and so with
    one breaker for all. `lined`: URLs of it have failed and may have lines of their own.
    """

    breaker: Breaker | None
    rate_per_second: float | None
    rate_us: int | None
    stopped: bool
    whole: bool
    lined: bool
    sending: int
    first_until: Instant | None

    def rate(self, terms: DeliveryTerms) -> float | None:
        """The rate in force: its own, or that of the terms."""
        return terms.rate_per_second if self.rate_per_second is None else self.rate_per_second

    def room(self, terms: DeliveryTerms, now: Instant) -> Room:
        """How many more may be sent, paused or not."""
        allowed = allowance(self.breaker, terms.slots, now)
        if allowed == 0 and self.breaker is not None:
            return Room(0, self.breaker.open_until or now)
        free = allowed - self.sending
        if free <= 0:
            return Room(0, self.first_until or now, full=allowed == terms.slots)
        per_second = self.rate(terms)
        if per_second is not None:
            free = rate.allowed(per_second, self.rate_us, now, free)
            if free == 0:
                return Room(0, rate.next_at(self.rate_us, now))
        return Room(free, now)


def gate(session: Session, seq: int) -> Gate:
    """How a destination stands, read anew."""
    text, per_second, rate_us, stopped, whole, lined, sending, first_until = session.one(
        _GATE, {"seq": seq, "now": session.now}
    )
    breaker = None if text is None else breaker_of(text)
    return Gate(
        breaker, per_second, rate_us, stopped == 1, whole == 1, lined == 1, sending, first_until
    )


def count_rate(session: Session, seq: int, here: Gate, terms: DeliveryTerms, count: int) -> None:
    """Keep that so many have gone, if there is a rate."""
    per_second = here.rate(terms)
    if per_second is not None and count:
        rate_us = rate.taken(per_second, here.rate_us, session.now, count)
        session.execute(_RATE, {"seq": seq, "rate_us": rate_us})


def line_room(session: Session, seq: int, target: int, terms: DeliveryTerms) -> Room:
    """How many more of a target's line its own breaker lets through."""
    row = session.one(_TARGET_GATE, (target,))
    breaker = None if row is None or row[0] is None else breaker_of(row[0])
    if breaker is None:
        return Room(terms.slots, session.now)
    allowed = allowance(breaker, terms.slots, session.now)
    if allowed == 0:
        return Room(0, breaker.open_until or session.now)
    wanted = {"seq": seq, "line": target, "now": session.now}
    sending, first_until = session.one(_LINE_LOAD, wanted)
    return Room(max(allowed - sending, 0), session.now if allowed > sending else first_until)


# --- When it is ready --------------------------------------------------------------------------


class Next(NamedTuple):
    """When the next for a destination can be claimed; `full_slots`: why it is no sooner."""

    at: Instant | None
    full_slots: int | None = None


def next_for(session: Session, seq: int, terms: DeliveryTerms, here: Gate) -> Next:
    """When the next for a destination can be claimed: while it is full, when a lease ends.

    Whether it is paused does not count.
    """
    due_at = heads(session, seq).first_at
    if here.lined:
        (line_at,) = session.one(_TARGETS_NEXT, (seq,))
        due_at = min([at for at in (due_at, line_at) if at is not None], default=None)
    if due_at is None:
        return Next(None)
    room = here.room(terms, session.now)
    if room.free == 0 and room.at > due_at:
        return Next(max(room.at, session.now), terms.slots if room.full else None)
    return Next(max(due_at, session.now))


def set_next(session: Session, seq: int, following: Next) -> None:
    """Say when the next for a destination can be claimed."""
    session.execute(_SET, (following.at, following.full_slots, seq))


def renew(session: Session, seq: int, terms: DeliveryTerms) -> Instant | None:
    """Work out anew when the next can be claimed; None: never, as it stands (paused, say)."""
    here = gate(session, seq)
    following = next_for(session, seq, terms, here)
    set_next(session, seq, following)
    return None if here.stopped else following.at


def renew_line(session: Session, seq: int, target: int, terms: DeliveryTerms) -> None:
    """Work out anew when the next of a target's line can be claimed."""
    due_at = heads(session, seq, target).first_at
    at = None
    if due_at is not None:
        room = line_room(session, seq, target, terms)
        at = max(due_at, session.now if room.free else room.at)
    session.execute(_TARGET_SET, {"target": target, "at": at})


# --- Held --------------------------------------------------------------------------------------


def hold(session: Session, seq: int) -> None:
    """Have nothing of a destination claimed until it is released: its endpoint is disabled."""
    session.execute(_HOLD, {"seq": seq, "now": session.now})


def release(session: Session, seq: int) -> Instant | None:
    """Let a destination go that was held; from when what waited can be claimed, None: it was not.

    Whoever does so tells it by `Applied.delivery_ready_at`, so that the loop looks.
    """
    released = session.execute(_RELEASE, {"seq": seq, "now": session.now}).rowcount
    return session.now if released else None
