"""Time, chance and ids that a test decides."""

from __future__ import annotations

import itertools
import random
import threading
from typing import Final

from dispatcher.core.model import Instant

NOON: Final[Instant] = 1_769_860_800_000
"""2026-01-31T12:00:00.000Z, where a `ManualClock` begins unless told otherwise."""

_VERSION_AND_VARIANT: Final = 0x7000_8000_0000_0000_0000
"""What makes 128 bits a UUIDv7 (RFC 9562, 4.1 and 4.2)."""


class ManualClock:
    """A clock that stands still until it is advanced; safe to read from any thread."""

    def __init__(self, start: Instant = NOON) -> None:
        self._start = start
        self._elapsed_ms = 0

    def now(self) -> Instant:
        """Milliseconds since the Unix epoch."""
        return self._start + self._elapsed_ms

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed_ms / 1000

    def advance(self, seconds: float) -> Instant:
        """Go forward, to the nearest millisecond; answers the new `now`.

        Raises:
            ValueError: `seconds` is negative: a clock never goes back.
        """
        if seconds < 0:
            raise ValueError("a clock never goes back: advance by 0 seconds or more")
        self._elapsed_ms += round(seconds * 1000)
        return self.now()


class SeededRandom:
    """Chance that comes out the same each time, told by `seed`."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311  # tests must repeat; nothing is guarded

    def unit(self) -> float:
        """A number in [0, 1)."""
        return self._random.random()

    def token(self, size: int) -> bytes:
        """`size` bytes, the same in each run: never for anything but tests."""
        return self._random.randbytes(size)


class CountingIds:
    """Ids that count from 1, in the form of real ones."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def new(self, prefix: str) -> str:
        """`job_00000000000070008000000000000001`, then …2, whatever the prefix."""
        with self._lock:
            number = next(self._numbers)
        return f"{prefix}_{_VERSION_AND_VARIANT | number:032x}"
