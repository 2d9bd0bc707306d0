"""What holds a destination back besides its slots: breakers, a rate, a pause.

Where nothing speaks against a destination (it is *plain*) none of this is asked; see `places`. All
that is read here is read under the destination's lock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core import rate
from dispatcher.core.breaker import Breaker, allowance
from dispatcher.core.model import Instant
from dispatcher.ports.records import DeliveryTerms

_GATES = statement("destinations_gates")
_RATES = statement("destinations_rates")
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

    def rate_taken(self, terms: DeliveryTerms, now: Instant, count: int) -> int | None:
        """When the next may go by the rate in force after so many have gone; None without one."""
        per_second = self.rate(terms)
        return None if per_second is None else rate.taken(per_second, self.rate_us, now, count)

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


PLAIN: Final = Gate(None, None, None, False, False, False, 0, None)
"""Of a destination that nothing holds back but its slots, while nothing is being sent."""


async def gates_of(session: Session, seqs: Sequence[int]) -> dict[int, Gate]:
    """How destinations stand, read anew, by their numbers."""
    rows = await session.fetch(_GATES, seqs, session.now)
    return {
        seq: Gate(None if text is None else breaker_of(text), *rest) for seq, text, *rest in rows
    }


async def gate(session: Session, seq: int) -> Gate:
    """How a destination stands, read anew."""
    return (await gates_of(session, (seq,)))[seq]


async def count_rates(
    session: Session, here: dict[int, Gate], counts: Mapping[int, int], terms: DeliveryTerms
) -> None:
    """Keep how many have gone to destinations, of those that have a rate."""
    taken: dict[int, int] = {}
    for seq, count in counts.items():
        rate_us = here[seq].rate_taken(terms, session.now, count)
        if rate_us is not None and count:
            taken[seq] = rate_us
            here[seq] = here[seq]._replace(rate_us=rate_us)
    if taken:
        await session.execute(_RATES, list(taken), list(taken.values()))


async def line_room(session: Session, seq: int, target: int, terms: DeliveryTerms) -> Room:
    """How many more of a target's line its own breaker lets through."""
    row = await session.one(_TARGET_GATE, target)
    breaker = None if row is None or row[0] is None else breaker_of(row[0])
    if breaker is None:
        return Room(terms.slots, session.now)
    load = await session.one(_LINE_LOAD, seq, target, session.now) or (0, None)
    return room_of_line(breaker, load, terms, session.now)


def room_of_line(
    breaker: Breaker, load: tuple[int, Instant | None], terms: DeliveryTerms, now: Instant
) -> Room:
    """The same; `load`: how many of its leases are alive, and when the first of them ends."""
    allowed = allowance(breaker, terms.slots, now)
    if allowed == 0:
        return Room(0, breaker.open_until or now)
    sending, first_until = load
    at = now if allowed > sending or first_until is None else first_until
    return Room(max(allowed - sending, 0), at)


# --- When it is ready --------------------------------------------------------------------------


class Next(NamedTuple):
    """When the next for a destination can be claimed; `full_slots`: why it is no sooner."""

    at: Instant | None
    full_slots: int | None = None


def next_of(due_at: Instant | None, here: Gate, terms: DeliveryTerms, now: Instant) -> Next:
    """When the next for a destination can be claimed: while it is full, when a lease ends.

    `due_at` is when the next is due, slots or no slots. Whether it is paused does not count.
    """
    if due_at is None:
        return Next(None)
    room = here.room(terms, now)
    if room.free == 0 and room.at > due_at:
        return Next(max(room.at, now), terms.slots if room.full else None)
    return Next(max(due_at, now))


async def targets_next(session: Session, seqs: Sequence[int]) -> dict[int, Instant | None]:
    """When the next of the lines of destinations' targets can be claimed."""
    rows = await session.fetch(_TARGETS_NEXT, seqs) if seqs else ()
    return {row[0]: row[1] for row in rows}


async def renew_line(session: Session, seq: int, target: int, terms: DeliveryTerms) -> None:
    """Work out anew when the next of a target's line can be claimed."""
    (due_at,) = await session.one(_LINE_NEXT, seq, target) or (None,)
    at = None
    if due_at is not None:
        room = await line_room(session, seq, target, terms)
        at = max(due_at, session.now if room.free else room.at)
    await session.execute(_TARGET_SET, target, at)
