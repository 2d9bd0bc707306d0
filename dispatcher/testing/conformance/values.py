"""The values that the tests are written with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from dispatcher.core.breaker import BreakerTerms
from dispatcher.core.model import Attempt, Callback, EventType, Instant
from dispatcher.core.retry import Schedule
from dispatcher.ports.records import DeliveryTerms

ANN: Final = "clr_00000000000070008000000000000a11"
BEN: Final = "clr_00000000000070008000000000000be1"
MAIL: Final = "mail.send"
REPORT: Final = "report.make"
EVERY_TYPE: Final[Mapping[str, int]] = {MAIL: 1000, REPORT: 1000}

LEASE_SECONDS: Final = 30.0
"""How long a holder's beat lasts here."""

BREAKER: Final = BreakerTerms(failures=5, first_seconds=30.0)
TERMS: Final = DeliveryTerms(slots=4, lease_seconds=20.0, breaker=BREAKER)
ORIGIN: Final = "https://receiver.example"
OTHER_ORIGIN: Final = "https://other.example:8443"

MISCHIEF: Final = (
    'it\'s "quoted", 100 % \\ %s ? :a $1; DROP TABLE job; -- '
    "e\u0301 \u202e \u6f22\u5b57 \U0001f9f5\U0001d54f \x7f\t\n"
)
"""Text that trips whoever puts statements together from strings or counts in UTF-16."""

TOO_LATE: Final[Instant] = 2**63
"""An instant that no database's 64-bit integer holds: a bad item among good ones."""

EVERY_EVENT: Final = tuple(EventType)

_Answer = TypeVar("_Answer")


def a_callback(
    origin: str = ORIGIN,
    *,
    events: tuple[EventType, ...] | None = None,
    schedule: tuple[float, ...] | None = None,
) -> Callback:
    """A callback to `/hook` of an origin."""
    return Callback(
        url=f"{origin}/hook",
        origin=origin,
        events=events,
        schedule=None if schedule is None else Schedule(schedule),
    )


def an_attempt(number: int, at: Instant, *, status: int | None = 500) -> Attempt:
    """A recorded attempt that got an answer."""
    return Attempt(number=number, at=at, duration_ms=12, status_code=status, body=b"an answer")


def raise_first(results: Sequence[_Answer | Exception]) -> list[_Answer]:
    """The answers, or the first exception among them."""
    answers: list[_Answer] = []
    for result in results:
        if isinstance(result, Exception):
            raise result
        answers.append(result)
    return answers


def rests_until(next_at: Instant | None, now: Instant, true: Instant) -> bool:
    """Whether `next_at` is a fair thing to say: not at once, and never later than the truth."""
    return next_at is not None and now < next_at <= true
