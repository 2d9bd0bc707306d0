"""What holds a destination back: its slots, a breaker, a rate, a pause.

Pure: a store reads how a destination stands, and asks here how many more may be sent there now, and
from when it could be more.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from dispatcher.core import rate
from dispatcher.core.breaker import Breaker, allowance
from dispatcher.core.model import Instant

OWN_LINE: Final = 0
"""The line of a destination itself; every other is a target's, by its number."""


class GateTerms(Protocol):
    """What holds for every destination: its slots, and its rate if it has none of its own."""

    @property
    def slots(self) -> int:
        """How many may be sent at once."""
        ...

    @property
    def rate_per_second(self) -> float | None:
        """None: as often as slots allow."""
        ...


class SendRoom(NamedTuple):
    """How many more may be sent; with none, from when it could be more, and whether slots lack."""

    free: int
    at: Instant
    full: bool = False


class NextSend(NamedTuple):
    """When the next for a destination can be claimed; `full_slots`: why it is no sooner."""

    at: Instant | None
    full_slots: int | None = None


class Gate(NamedTuple):
    """What decides how many more may be sent to a destination now.

    `stopped`: paused by operators, or held. `whole`: it is an endpoint's, with one URL and so with
    one breaker for all. `lined`: URLs of it have failed and may have lines of their own. `sending`
    counts leases that are alive, and `first_until` is when the first of them ends.
    """

    breaker: Breaker | None
    rate_per_second: float | None
    rate_us: int | None
    stopped: bool
    whole: bool
    lined: bool
    sending: int
    first_until: Instant | None

    def rate(self, terms: GateTerms) -> float | None:
        """The rate in force: its own, or that of the terms."""
        return terms.rate_per_second if self.rate_per_second is None else self.rate_per_second

    def rate_taken(self, terms: GateTerms, now: Instant, count: int) -> int | None:
        """When the next may go by the rate in force after so many have gone; None without one."""
        per_second = self.rate(terms)
        return None if per_second is None else rate.taken(per_second, self.rate_us, now, count)

    def room(self, terms: GateTerms, now: Instant) -> SendRoom:
        """How many more may be sent, paused or not."""
        allowed = allowance(self.breaker, terms.slots, now)
        if allowed == 0 and self.breaker is not None:
            return SendRoom(0, self.breaker.open_until or now)
        free = allowed - self.sending
        if free <= 0:
            return SendRoom(0, self.first_until or now, full=allowed == terms.slots)
        per_second = self.rate(terms)
        if per_second is not None:
            free = rate.allowed(per_second, self.rate_us, now, free)
            if free == 0:
                return SendRoom(0, rate.next_at(self.rate_us, now))
        return SendRoom(free, now)

    def next_send(self, due_at: Instant | None, terms: GateTerms, now: Instant) -> NextSend:
        """When the next can be claimed: while it is full, when a lease ends.

        `due_at` is when the next is due, slots or no slots. Whether it is paused does not count.
        """
        if due_at is None:
            return NextSend(None)
        room = self.room(terms, now)
        if room.free == 0 and room.at > due_at:
            return NextSend(max(room.at, now), terms.slots if room.full else None)
        return NextSend(max(due_at, now))


PLAIN: Final = Gate(None, None, None, False, False, False, 0, None)
"""Of a destination that nothing holds back but its slots, while nothing is being sent."""

NO_LOAD: Final[tuple[int, Instant | None]] = (0, None)
"""Of a line of which nothing is being sent."""


def line_room(
    breaker: Breaker | None, load: tuple[int, Instant | None], terms: GateTerms, now: Instant
) -> SendRoom:
    """How many more of a target's line its own breaker lets through.

    `load`: how many leases of the line are alive, and when the first of them ends.
    """
    if breaker is None:
        return SendRoom(terms.slots, now)
    allowed = allowance(breaker, terms.slots, now)
    if allowed == 0:
        return SendRoom(0, breaker.open_until or now)
    sending, first_until = load
    at = now if allowed > sending or first_until is None else first_until
    return SendRoom(max(allowed - sending, 0), at)
