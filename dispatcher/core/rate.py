"""A rate limit by the generic cell rate algorithm (ITU-T I.371, annex A): one number of state.

The number is the theoretical arrival time of the next cell, here in microseconds since the Unix
epoch so that it is exact. Nothing is saved up: after a rest one may go at once, the next an
interval later.
"""

from __future__ import annotations

from typing import Final

from dispatcher.core.model import Instant

LEAST_RATE: Final = 1 / 86_400
"""One a day; a lower rate is a pause."""

MOST_RATE: Final = 100_000.0
_US: Final = 1_000


def interval_us(per_second: float) -> int:
    """The microseconds between two at a rate, which is `LEAST_RATE` to `MOST_RATE`."""
    return round(1_000_000 / min(max(per_second, LEAST_RATE), MOST_RATE))


def allowed(per_second: float, due_us: int | None, now: Instant, most: int) -> int:
    """How many may go now, up to `most`: the first when it is due, more only within this instant.

    Instants are whole milliseconds: at 5,000 a second five go in each.
    """
    end_us = (now + 1) * _US
    first_us = now * _US if due_us is None else max(due_us, now * _US)
    if first_us >= end_us:
        return 0
    interval = interval_us(per_second)
    return min(most, (end_us - 1 - first_us) // interval + 1)


def taken(per_second: float, due_us: int | None, now: Instant, count: int) -> int:
    """When the next is due after `count` have gone now."""
    first_us = now * _US if due_us is None else max(due_us, now * _US)
    return first_us + count * interval_us(per_second)


def next_at(due_us: int | None, now: Instant) -> Instant:
    """The instant from which the next may go: never before it is due by more than its own ms."""
    return now if due_us is None else max(now, due_us // _US)
