"""Time, chance and ids: injected, so that tests decide them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from dispatcher.core.model import Instant


class Clock(Protocol):
    """The time of day, and a time that only runs forward."""

    def now(self) -> Instant:
        """Milliseconds since the Unix epoch; never less than it said before in this process."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment, for measuring and for leases; no clock change moves it."""
        ...


class Paced(Protocol):
    """A clock that goes by another's, which is asked once in a while."""

    def elapsed(self) -> float:
        """Seconds since some moment."""
        ...

    def told(self, now: Instant, asked_at: float, answered_at: float) -> float:
        """The other said `now` between two moments of `elapsed`.

        Answers by how many seconds the machine's own clock is ahead of it.
        """
        ...


class Alarm(Protocol):
    """Something that will happen, unless it is canceled first."""

    def cancel(self) -> None:
        """Keep it from happening; harmless if it has happened."""
        ...


class Timers(Protocol):
    """Calls later, on the event loop. Tests make time pass by hand."""

    def after(self, seconds: float, call: Callable[[], None]) -> Alarm:
        """Call `call` once, `seconds` from now and never sooner; in the next turn if not positive.

        By the clock of `Clock.monotonic`: whoever is called may go by it that the time is over.
        """
        ...


class Random(Protocol):
    """Chance."""

    def unit(self) -> float:
        """A number in [0, 1)."""
        ...

    def token(self, size: int) -> bytes:
        """`size` bytes that nobody can guess."""
        ...


class Ids(Protocol):
    """New ids."""

    def new(self, prefix: str) -> str:
        """`prefix`, an underscore, and a UUIDv7 (RFC 9562, 5.7) in 32 hex digits."""
        ...
