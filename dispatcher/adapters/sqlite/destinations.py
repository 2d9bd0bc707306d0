"""Destinations: where deliveries of one caller to one origin, or one endpoint, wait."""

from __future__ import annotations

from typing import NamedTuple

from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.adapters.stored import breaker_of
from dispatcher.core.breaker import allowance
from dispatcher.core.gate import NO_LOAD, OWN_LINE, Gate, NextSend, SendRoom, line_room
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
    set_next(session, place.seq, NextSend(at, terms.slots))
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
    rate_us = here.rate_taken(terms, session.now, count)
    if rate_us is not None and count:
        session.execute(_RATE, {"seq": seq, "rate_us": rate_us})


def room_in_line(session: Session, seq: int, target: int, terms: DeliveryTerms) -> SendRoom:
    """How many more of a target's line its own breaker lets through."""
    row = session.one(_TARGET_GATE, (target,))
    breaker = None if row is None or row[0] is None else breaker_of(row[0])
    load: tuple[int, Instant | None] = NO_LOAD
    if breaker is not None and allowance(breaker, terms.slots, session.now) > 0:
        load = session.one(_LINE_LOAD, {"seq": seq, "line": target, "now": session.now})
    return line_room(breaker, load, terms, session.now)


# --- When it is ready --------------------------------------------------------------------------


def next_for(session: Session, seq: int, terms: DeliveryTerms, here: Gate) -> NextSend:
    """When the next for a destination can be claimed: while it is full, when a lease ends.

    Whether it is paused does not count.
    """
    due_at = heads(session, seq).first_at
    if here.lined:
        (line_at,) = session.one(_TARGETS_NEXT, (seq,))
        due_at = min([at for at in (due_at, line_at) if at is not None], default=None)
    return here.next_send(due_at, terms, session.now)


def set_next(session: Session, seq: int, following: NextSend) -> None:
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
        room = room_in_line(session, seq, target, terms)
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
