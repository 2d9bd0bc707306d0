"""What every part of the engine is given: its numbers, and its surroundings. Made by `compose`."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from dispatcher.core.breaker import DEFAULT_BREAKER, BreakerTerms
from dispatcher.core.limits import Limits
from dispatcher.core.retry import Schedule
from dispatcher.ports.observer import Observer
from dispatcher.ports.records import UNBOUNDED, Concurrency, DeliveryTerms
from dispatcher.ports.system import Clock, Ids, Random, Timers

LEASE_MARGIN_SECONDS: Final = 15.0
"""A delivery's lease outlasts its deadline by this much, so that its outcome can be recorded."""


class EngineTerms(Struct, frozen=True, kw_only=True):
    """Limits and times of one process.

    `lease_seconds` is how long its jobs stay its own without a beat; it beats five times as often
    and stops its jobs a fifth before the end. `poll_seconds` is how long a loop rests at most when
    nobody wakes it. `concurrency` bounds what runs over all processes, by type and queue. Of
    `limits` the engine needs how much may wait. An endpoint of which nothing but failures came for
    `failing_seconds` is disabled; 0: none is. `spans`: each attempt is a span of its own in its
    trace, which an observer exports (see `core.trace`).
    """

    schedule: Schedule
    jobs_at_once: int = 256
    deliveries_at_once: int = 384
    slots: int = 32
    send_seconds: float = 15.0
    lease_seconds: float = 30.0
    grace_seconds: float = 30.0
    poll_seconds: float = 5.0
    sweep_seconds: float = 5.0
    sweep_items: int = 200
    prune_items: int = 200
    progress_seconds: float = 0.5
    secrets_seconds: float = 5.0
    concurrency: Concurrency = UNBOUNDED
    failing_seconds: float = 5 * 86_400.0
    rate_per_second: float | None = None
    breaker: BreakerTerms = DEFAULT_BREAKER
    limits: Limits = Limits()
    spans: bool = False

    @property
    def delivery(self) -> DeliveryTerms:
        """What the store must know to lease deliveries."""
        return DeliveryTerms(
            self.slots,
            self.send_seconds + LEASE_MARGIN_SECONDS,
            self.schedule.seconds[0],
            self.failing_seconds,
            self.rate_per_second,
            self.breaker,
        )


class Parts(Struct, frozen=True):
    """What a process does of the service. Each sweeps, too: that is indexed and idempotent.

    `edge`: it serves the API (and remote workers by it). `jobs`: it runs jobs. `deliveries`: it
    sends callbacks. What it does not do it hands to nobody here: it waits in the store for others.
    """

    edge: bool = True
    jobs: bool = True
    deliveries: bool = True


ALL_PARTS: Final = Parts()


class System(Struct, frozen=True):
    """Time, chance, ids, and who is told: all that comes from outside besides store and sender."""

    clock: Clock
    timers: Timers
    random: Random
    ids: Ids
    observer: Observer
