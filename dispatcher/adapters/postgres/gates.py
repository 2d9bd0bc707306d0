"""What holds a destination back besides its slots: breakers, a rate, a pause.

Where nothing speaks against a destination (it is *plain*) none of this is asked; see `places`. All
that is read here is read under the destination's lock.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from dispatcher.adapters.postgres.places import earliest
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core import rate
from dispatcher.core.breaker import Breaker, allowance
from dispatcher.core.model import Instant
from dispatcher.ports.records import DeliveryTerms

_GATE = statement("destination_gate")
_RATE = statement("destination_rate")
_SET = statement("destinations_set")
_LINE_NEXT = statement("line_next")
_LINE_LOAD = statement("line_load")
_TARGET_GATE = statement("target_gate")
_TARGET_SET = statement("target_set")
_TARGETS_NEXT = statement("targets_next")

OWN_LINE: Final = 0
"""The line of a destination itself; every other is a target's, by its number."""

breaker_of: Final = msgspec.json.Decoder(Breaker).decode


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


async def gate(session: Session, seq: int) -> Gate:
    """How a destination stands, read anew."""
    row = await session.one(_GATE, seq, session.now)
    if row is None:
        raise AssertionError("a destination that is locked is there")
    text, *rest = row
    return Gate(None if text is None else breaker_of(text), *rest)


async def count_rate(
    session: Session, seq: int, here: Gate, terms: DeliveryTerms, count: int
) -> None:
    """Keep that so many have gone, if there is a rate."""
    per_second = here.rate(terms)
    if per_second is not None and count:
        rate_us = rate.taken(per_second, here.rate_us, session.now, count)
        await session.execute(_RATE, seq, rate_us)


async def line_room(session: Session, seq: int, target: int, terms: DeliveryTerms) -> Room:
    """How many more of a target's line its own breaker lets through."""
    row = await session.one(_TARGET_GATE, target)
    breaker = None if row is None or row[0] is None else breaker_of(row[0])
    if breaker is None:
        return Room(terms.slots, session.now)
    allowed = allowance(breaker, terms.slots, session.now)
    if allowed == 0:
        return Room(0, breaker.open_until or session.now)
    sending, first_until = await session.one(_LINE_LOAD, seq, target, session.now) or (0, None)
    at = session.now if allowed > sending or first_until is None else first_until
    return Room(max(allowed - sending, 0), at)


async def line_next(session: Session, seq: int, line: int = OWN_LINE) -> Instant | None:
    """When the next of a line is due, slots or no slots."""
    row = await session.one(_LINE_NEXT, seq, line)
    return None if row is None else row[0]


# --- When it is ready --------------------------------------------------------------------------


class Next(NamedTuple):
    """When the next for a destination can be claimed; `full_slots`: why it is no sooner."""

    at: Instant | None
    full_slots: int | None = None


async def next_for(session: Session, seq: int, terms: DeliveryTerms, here: Gate) -> Next:
    """When the next for a destination can be claimed: while it is full, when a lease ends.

    Whether it is paused does not count.
    """
    due_at = await line_next(session, seq)
    if here.lined:
        row = await session.one(_TARGETS_NEXT, seq)
        due_at = earliest(due_at, None if row is None else row[0])
    if due_at is None:
        return Next(None)
    room = here.room(terms, session.now)
    if room.free == 0 and room.at > due_at:
        return Next(max(room.at, session.now), terms.slots if room.full else None)
    return Next(max(due_at, session.now))


async def set_next(session: Session, seq: int, following: Next) -> None:
    """Say when the next for a destination can be claimed."""
    await session.execute(_SET, [seq], [following.at], [following.full_slots])


async def renew(session: Session, seq: int, terms: DeliveryTerms) -> Instant | None:
    """Work out anew when the next can be claimed; None: never, as it stands (paused, say)."""
    here = await gate(session, seq)
    following = await next_for(session, seq, terms, here)
    await set_next(session, seq, following)
    return None if here.stopped else following.at


async def renew_line(session: Session, seq: int, target: int, terms: DeliveryTerms) -> None:
    """Work out anew when the next of a target's line can be claimed."""
    due_at = await line_next(session, seq, target)
    at = None
    if due_at is not None:
        room = await line_room(session, seq, target, terms)
        at = max(due_at, session.now if room.free else room.at)
    await session.execute(_TARGET_SET, target, at)
