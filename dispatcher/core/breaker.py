"""The circuit breaker: everything that opens, probes and closes one stands in this file.

A breaker counts what attempts tell of a receiver. It opens after several failures in a row, or when
too large a part of a window's attempts fail. While it is open nothing is sent. Then one probe may
go; if that lands, the receiver gets more and more at once (2, 4, 8 … slots, each step after as many
attempts) until the breaker is closed. If too large a part of a step's attempts fail it opens again,
for longer: the same part as of a window's, so that a receiver which would not have opened it is not
kept waiting by it.

Pure: instants and chance are arguments, and the state is one value that a store keeps. A receiver
against which nothing speaks has no state at all (`None`), so that steady success writes nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

from dispatcher.core.model import Instant


class BreakerState(StrEnum):
    """The states of a breaker. One that is open and whose time is over lets one probe through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


BREAKER_TRANSITIONS: Final[dict[BreakerState, frozenset[BreakerState]]] = {
    BreakerState.CLOSED: frozenset({BreakerState.OPEN}),
    BreakerState.OPEN: frozenset(
        {
            BreakerState.OPEN,  # the probe failed: open again, for longer
            BreakerState.HALF_OPEN,  # the probe landed
            BreakerState.CLOSED,  # the probe landed, and there is but one slot
        }
    ),
    BreakerState.HALF_OPEN: frozenset({BreakerState.OPEN, BreakerState.CLOSED}),
}


class Sign(StrEnum):
    """What an attempt tells of a receiver."""

    ANSWERED = "answered"
    """It answered as a receiver does, whatever it said of the delivery."""
    NO_SERVICE = "no-service"
    """It was reached, but gave no proper answer in time, or a 5xx: its URL is in trouble."""
    NO_CONNECTION = "no-connection"
    """It was not reached (DNS, connect, TLS): its whole origin is in trouble."""
    NOTHING = "nothing"
    """Nothing was sent, or nobody knows how it came out."""


TROUBLE: Final = frozenset({Sign.NO_SERVICE, Sign.NO_CONNECTION})
"""What speaks against a receiver."""


class BreakerTerms(Struct, frozen=True, kw_only=True):
    """When a breaker opens, and for how long.

    It opens after `failures` in a row, or when of `rate_of` or more attempts within
    `window_seconds` since the first failure a part of `rate` or more have failed. It is open for
    `first_seconds`, and twice as long each time that it opens again before it has closed,
    `max_seconds` at most, with jitter that only adds (up to 10 %). While half-open, a part of
    `rate` or more of the attempts of a step opens it again, if two at least have failed.

    Raises:
        ValueError: a number that makes no sense.
    """

    failures: int = 20
    rate: float = 0.5
    rate_of: int = 20
    window_seconds: float = 60.0
    first_seconds: float = 5.0
    max_seconds: float = 600.0

    def __post_init__(self) -> None:
        if self.failures < 1 or self.rate_of < 1 or not 0 < self.rate <= 1:
            raise ValueError("a breaker opens after 1 failure or more, at a rate above 0 up to 1")
        if self.window_seconds <= 0 or not 0 < self.first_seconds <= self.max_seconds:
            raise ValueError("a breaker needs 0 < window and 0 < first_seconds <= max_seconds")


DEFAULT_BREAKER: Final = BreakerTerms()
PROOF: Final = 2
"""So many failures it takes at least to open it again after its probe has landed."""
MAX_JITTER: Final = 0.1

MOST_TARGETS: Final = 1_000
"""So many failing URLs of a destination are known; the one that failed longest ago gives way."""

BREAKER_KEPT_MS: Final = 86_400_000
"""The breaker of a receiver to which nothing is sent any more is forgotten after a day,"""

CLOSED_KEPT_MS: Final = 600_000
"""that of a URL which is closed sooner: its failures were few."""


class Breaker(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A breaker that is not as new.

    `failures` are those in a row; `counted` and `failed` are of the window that began at
    `window_at`, or of the step while half-open. `openings` counts how often it has opened without
    closing, the latest time at `opened_at` (as the attempts' own instants go), until `open_until`
    (by the store's clock). While half-open `allowed` may be under way at once, and as many are the
    attempts of the step.
    """

    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    window_at: Instant = 0
    counted: int = 0
    failed: int = 0
    openings: int = 0
    opened_at: Instant = 0
    open_until: Instant | None = None
    allowed: int = 0


class Outcome(Struct, frozen=True, kw_only=True):
    """What an attempt adds: whether it failed, when it began and was recorded; and a draw.

    `now` is the store's; `jitter` is in [0, 1); `slots` is how many may be under way when closed.
    """

    failed: bool
    began_at: Instant
    at: Instant
    now: Instant
    jitter: float
    slots: int


def state_of(breaker: Breaker | None) -> BreakerState:
    """The state, that of none included."""
    return BreakerState.CLOSED if breaker is None else breaker.state


def has_moved(before: Breaker | None, breaker: Breaker | None) -> bool:
    """Whether there is something to tell: its state is another, or it has opened again."""
    reopened = breaker is not None and before is not None and breaker.openings > before.openings
    return reopened or state_of(before) is not state_of(breaker)


def fails_destination(sign: Sign, *, whole: bool) -> bool:
    """Whether an attempt counts as failed for the breaker of its destination.

    `whole`: that has one URL, and so this breaker alone.
    """
    return sign is Sign.NO_CONNECTION or (whole and sign is Sign.NO_SERVICE)


def tells_of_url(sign: Sign, *, whole: bool) -> bool:
    """Whether an attempt tells of its URL by itself, for a breaker of that."""
    return not whole and sign is not Sign.NO_CONNECTION


def allowance(breaker: Breaker | None, slots: int, now: Instant) -> int:
    """How many may be under way at once now, of `slots`: none while it is open, then one probe."""
    if breaker is None:
        return slots
    match breaker.state:
        case BreakerState.CLOSED:
            return slots
        case BreakerState.OPEN:
            return 0 if breaker.open_until is not None and now < breaker.open_until else 1
        case BreakerState.HALF_OPEN:
            return max(1, min(breaker.allowed, slots))


def after(breaker: Breaker | None, outcome: Outcome, terms: BreakerTerms) -> Breaker | None:
    """The breaker after an attempt; None if nothing speaks against the receiver any more."""
    if breaker is None:
        breaker = Breaker(window_at=outcome.now)
        if not outcome.failed:
            return None
    match breaker.state:
        case BreakerState.CLOSED:
            return _counted(breaker, outcome, terms)
        case BreakerState.OPEN:
            if _began_before(breaker, outcome):
                return breaker
            return (
                _opened(breaker, outcome, terms) if outcome.failed else _step(2, breaker, outcome)
            )
        case BreakerState.HALF_OPEN:
            if _began_before(breaker, outcome):
                return breaker
            counted, failed = breaker.counted + 1, breaker.failed + outcome.failed
            if failed >= max(terms.rate * breaker.allowed, PROOF):
                return _opened(breaker, outcome, terms)
            if counted >= breaker.allowed:
                return _step(2 * breaker.allowed, breaker, outcome)
            return msgspec.structs.replace(breaker, counted=counted, failed=failed)


def _began_before(breaker: Breaker, outcome: Outcome) -> bool:
    """Whether an attempt was under way when the breaker opened: it says nothing new."""
    too_soon = breaker.open_until is not None and outcome.now < breaker.open_until
    return too_soon or outcome.began_at < breaker.opened_at


def _counted(breaker: Breaker, outcome: Outcome, terms: BreakerTerms) -> Breaker | None:
    if outcome.now >= breaker.window_at + round(terms.window_seconds * 1000):
        if not outcome.failed:
            return None
        breaker = Breaker(window_at=outcome.now, failures=breaker.failures)
    breaker = msgspec.structs.replace(
        breaker,
        failures=breaker.failures + 1 if outcome.failed else 0,
        counted=breaker.counted + 1,
        failed=breaker.failed + outcome.failed,
    )
    many = breaker.counted >= terms.rate_of
    if breaker.failures >= terms.failures or (many and _rate(breaker) >= terms.rate):
        return _opened(breaker, outcome, terms)
    return breaker


def _rate(breaker: Breaker) -> float:
    return breaker.failed / breaker.counted


def _opened(breaker: Breaker, outcome: Outcome, terms: BreakerTerms) -> Breaker:
    # Beyond 30 doublings any time is the longest.
    seconds = min(terms.first_seconds * 2.0 ** min(breaker.openings, 30), terms.max_seconds)
    wait = round(seconds * 1000)
    return Breaker(
        state=BreakerState.OPEN,
        openings=breaker.openings + 1,
        opened_at=outcome.at,
        open_until=outcome.now + wait + int(wait * MAX_JITTER * outcome.jitter),
    )


def _step(allowed: int, breaker: Breaker, outcome: Outcome) -> Breaker | None:
    """So many may be under way from now on; closed, if those are all."""
    if allowed >= outcome.slots:
        return None
    return Breaker(
        state=BreakerState.HALF_OPEN,
        openings=breaker.openings,
        opened_at=breaker.opened_at,
        allowed=allowed,
    )
