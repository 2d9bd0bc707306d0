"""Destinations: where deliveries of one caller to one origin wait."""

from __future__ import annotations

from typing import NamedTuple

from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.model import Instant

_FIND = statement("destination_find")
_ADD = statement("destination_add")
_LOWER = statement("destination_lower")
_SET = statement("destination_set")
_LOAD = statement("destination_load")
_NEXT = statement("destination_next")

_NOBODY = -1
"""A number that no delivery has."""


class Destination(NamedTuple):
    """A destination as it stands now: how many leases are alive, whether something is due."""

    seq: int
    ready_at: Instant | None
    full_slots: int | None
    sending: int
    due: bool


def destination(
    session: Session, caller_id: str, origin: str, endpoint_id: str | None = None
) -> Destination:
    """The destination, made if it is not there. A registered endpoint is one of its own."""
    whose = {"caller_id": caller_id, "origin": origin, "endpoint_id": endpoint_id or ""}
    row = session.one(_FIND, {**whose, "now": session.now})
    if row is not None:
        return Destination(*row)
    ((seq,),) = session.execute(_ADD, (*whose.values(), None)).fetchall()
    return Destination(seq, None, None, 0, due=False)


def ready_by(session: Session, seq: int, known: Instant | None, at: Instant) -> None:
    """See to it that a destination is ready by `at`; in steady traffic it is, and nothing is done.

    `known` is its `ready_at` as it was read in this transaction.
    """
    if known is None or known > at:
        session.execute(_LOWER, {"seq": seq, "at": at})


def wait_for_slot(session: Session, place: Destination, due_at: Instant, slots: int) -> Instant:
    """When a delivery that waits at a full destination can be claimed: when the first lease ends.

    Sooner, if a slot comes free: whoever frees it sees to that. In steady traffic this was written
    before, and nothing is done.
    """
    known = place.ready_at
    if known is not None and (known <= due_at or place.full_slots == slots):
        return max(known, session.now)
    _, first_until = session.one(_LOAD, {"seq": place.seq, "now": session.now})
    at: Instant = max(due_at, first_until)
    at = at if known is None else min(at, known)
    set_next(session, place.seq, Next(at, slots))
    return at


class Heads(NamedTuple):
    """When the first that is pending is due, and when the first lease of one sending ends."""

    pending_at: Instant | None
    sending_until: Instant | None

    @property
    def first_at(self) -> Instant | None:
        """When the next is due, slots or no slots."""
        if self.pending_at is None or self.sending_until is None:
            return self.sending_until if self.pending_at is None else self.pending_at
        return min(self.pending_at, self.sending_until)


def heads(session: Session, seq: int, besides: int = _NOBODY) -> Heads:
    """What comes next at a destination; the lease of `besides` is left out."""
    return Heads(*session.one(_NEXT, {"seq": seq, "besides": besides}))


def free_slots(session: Session, seq: int, slots: int) -> int:
    """How many more may be sent to a destination now."""
    count: int
    count, _ = session.one(_LOAD, {"seq": seq, "now": session.now})
    return max(slots - count, 0)


class Next(NamedTuple):
    """When the next for a destination can be claimed; `full_slots`: why it is no sooner."""

    at: Instant | None
    full_slots: int | None = None


def next_for(session: Session, seq: int, slots: int) -> Next:
    """When the next for a destination can be claimed: while it is full, when a lease ends."""
    due_at = heads(session, seq).first_at
    if due_at is None:
        return Next(None)
    count, first_until = session.one(_LOAD, {"seq": seq, "now": session.now})
    if count >= slots and first_until > due_at:
        return Next(first_until, slots)
    return Next(max(due_at, session.now))


def set_next(session: Session, seq: int, following: Next) -> None:
    """Say when the next for a destination can be claimed."""
    session.execute(_SET, (following.at, following.full_slots, seq))
