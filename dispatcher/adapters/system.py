"""The machine's own clock and chance, and ids made of both."""

from __future__ import annotations

import os
import random
import time
import weakref
from collections.abc import Callable
from threading import Lock
from typing import Final

from dispatcher.core.model import Instant


class SystemClock:
    """The time of day that never runs backwards within this process.

    When the machine's clock is set back, this one goes on at half speed until the other has caught
    up: a clock that stood still for an hour would end no lease and start no retry for an hour.
    """

    def __init__(
        self,
        time_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._time_ns = time_ns
        self._monotonic = monotonic
        self._last = 0
        self._set_back: tuple[Instant, float] | None = None

    def now(self) -> Instant:
        """Milliseconds since the Unix epoch."""
        wall = self._time_ns() // 1_000_000
        if wall >= self._last:
            self._last = wall
            self._set_back = None
            return wall
        return self._behind()

    def _behind(self) -> Instant:
        since = self._set_back  # another thread may find meanwhile that the clock has caught up
        if since is None:
            since = self._set_back = (self._last, self._monotonic())
        began_at, began = since
        self._last = max(self._last, began_at + int((self._monotonic() - began) * 500))
        return self._last

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return self._monotonic()


class StoreTime:
    """The time of a store's clock, carried on from when it was last asked.

    Hand `time_ns` to a `SystemClock`. Before the first answer it is the machine's own.
    """

    def __init__(
        self,
        time_ns: Callable[[], int] = time.time_ns,
        elapsed: Callable[[], float] | None = None,
    ) -> None:
        """`elapsed`: seconds since some moment, those in which the machine slept included."""
        self._own_ns = time_ns
        self.elapsed = elapsed or _since_boot
        self._ahead_ns: int | None = None
        self._sure_within = 0.0
        self._since = 0.0

    def time_ns(self) -> int:
        """Nanoseconds since the Unix epoch."""
        if self._ahead_ns is None:
            return self._own_ns()
        return int(self.elapsed() * 1e9) + self._ahead_ns

    def told(self, now: Instant, asked_at: float, answered_at: float) -> float:
        """The store said `now` between two moments of `elapsed`.

        An answer that took longer than one before is less sure, and not taken as long as that one
        can't be further off for its age. Answers by how many seconds the machine's clock is ahead.
        """
        doubt = answered_at - asked_at
        aged = self._sure_within + (answered_at - self._since) * _DRIFT
        if self._ahead_ns is None or doubt <= aged:
            middle = (asked_at + answered_at) / 2
            self._ahead_ns = now * 1_000_000 - int(middle * 1e9)
            self._sure_within, self._since = doubt, answered_at
        return (self._own_ns() - self.time_ns()) / 1e9


_DRIFT: Final = 0.001
"""How fast two clocks drift apart at most: quartz does a twentieth of it."""


def _since_boot() -> float:
    """Linux's `CLOCK_MONOTONIC` stands still while the machine sleeps; `CLOCK_BOOTTIME` goes on."""
    return time.clock_gettime(_SINCE_BOOT)


_SINCE_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemRandom:
    """The operating system's chance for tokens, a quick one for jitter."""

    def unit(self) -> float:
        """A number in [0, 1)."""
        return random.random()  # noqa: S311  # jitter: nobody gains by guessing it

    def token(self, size: int) -> bytes:
        """`size` bytes that nobody can guess."""
        return os.urandom(size)


_POOL_BYTES: Final = 4096
# A millisecond's sequence begins with 72 bits of chance: the upper two are left 0 for counting.
_FIRST_TAIL_BYTES: Final = 9
_STEP_BYTES: Final = 4
_RAND_A_BITS: Final = 12
_RAND_B_BITS: Final = 62
_RAND_B_MASK: Final = (1 << _RAND_B_BITS) - 1
_VERSION: Final = 7
_VARIANT: Final = 2 << 62


class Uuid7Ids:
    """Ids with a UUIDv7 each (RFC 9562, 5.7), rising within a process, of unguessable bits.

    Within a millisecond the 74 bits behind the timestamp are counted up by a random step (6.2,
    method 2). Threads may share it; a forked child draws chance of its own.
    """

    def __init__(self, time_ns: Callable[[], int] = time.time_ns) -> None:
        self._time_ns = time_ns
        self._millis = 0
        self._start_anew()
        _living.add(self)

    def _start_anew(self) -> None:
        self._lock = Lock()  # a fork may have copied one that is held for ever
        self._pool = b""
        self._at = _POOL_BYTES  # used up: the next id draws
        # As if both parts were used up: a child of the same millisecond begins another.
        self._rand_a = (1 << _RAND_A_BITS) - 1
        self._rand_b = _RAND_B_MASK
        self._beginning = ""

    def new(self, prefix: str) -> str:
        """`prefix`, an underscore, and 32 hex digits."""
        with self._lock:
            millis = self._time_ns() // 1_000_000
            if millis > self._millis:
                self._begin(millis)
            else:
                start = self._at
                self._at = end = start + _STEP_BYTES
                step = self._pool[start:end] if end <= _POOL_BYTES else self._draw(_STEP_BYTES)
                self._rand_b += 1 + int.from_bytes(step)
                if self._rand_b > _RAND_B_MASK:
                    self._carry()
            return f"{prefix}_{self._beginning}{_VARIANT | self._rand_b:x}"

    def _begin(self, millis: int) -> None:
        """Begin the sequence of a millisecond."""
        self._millis = millis
        tail = int.from_bytes(self._draw(_FIRST_TAIL_BYTES))
        self._rand_a, self._rand_b = tail >> _RAND_B_BITS, tail & _RAND_B_MASK
        self._write_beginning()

    def _carry(self) -> None:
        """Count on in `rand_a`; once that is used up too, borrow from the next (6.2)."""
        self._rand_a += 1
        self._rand_b &= _RAND_B_MASK
        if self._rand_a >> _RAND_A_BITS:
            self._begin(self._millis + 1)
        else:
            self._write_beginning()

    def _write_beginning(self) -> None:
        """What ids have in common until the lower part runs over."""
        self._beginning = f"{self._millis:012x}{_VERSION:x}{self._rand_a:03x}"

    def _draw(self, size: int) -> bytes:
        start = self._at
        self._at = end = start + size
        if end > len(self._pool):
            self._pool = os.urandom(_POOL_BYTES)
            start, self._at = 0, size
            end = size
        return self._pool[start:end]


_living: Final[weakref.WeakSet[Uuid7Ids]] = weakref.WeakSet()


def _after_fork() -> None:
    for ids in _living:
        ids._start_anew()  # noqa: SLF001  # the class is of this module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
