"""A job and a delivery as the model holds them, and what only the store knows of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from dispatcher.core.lifecycle import FINAL_DELIVERY_STATES, UNKNOWN_ATTEMPTS
from dispatcher.core.model import (
    Attempt,
    Delivery,
    DeliveryState,
    EventType,
    Instant,
    Job,
    JobState,
)
from dispatcher.ports.records import DEAD_KEPT_SECONDS

Place: TypeAlias = tuple[str, str]
"""A destination: caller and origin."""


@dataclass
class ModelJob:
    """A job, who holds it, and its events in order."""

    job: Job
    input: bytes
    lease: str | None = None
    holder: str | None = None
    result: bytes | None = None
    events: list[tuple[str, EventType]] = field(default_factory=list)
    last_lease: str | None = None
    seen: Job | None = None

    @property
    def begun(self) -> bool:
        """Whether it has begun and not ended: then it is the front of its key."""
        return self.job.started_at is not None and not self.job.done

    def let_go(self) -> None:
        """Its lease is over; a remote worker's is remembered."""
        if self.lease is not None and self.lease == self.holder:
            self.last_lease = self.lease
        self.lease = self.holder = None

    def late(self, now: Instant) -> bool:
        """Whether it is the sweep's: past its deadline, or its start."""
        start_by = self.job.start_by if self.job.started_at is None else None
        return any(limit is not None and limit <= now for limit in (self.job.deadline, start_by))

    def waits(self, now: Instant) -> bool:
        """Whether it waits and is due."""
        return self.job.state is JobState.WAITING and self.job.due_at <= now


def same_key(one: ModelJob, other: ModelJob) -> bool:
    """Whether two jobs are ordered by the same key of one caller."""
    key = (other.job.caller_id, other.job.ordering_key)
    return key[1] is not None and (one.job.caller_id, one.job.ordering_key) == key


@dataclass
class ModelDelivery:
    """A delivery (its id is learned when it is first seen), its lease, and its attempts."""

    delivery: Delivery
    lease: str | None = None
    lease_until: Instant = 0
    attempts: list[Attempt] = field(default_factory=list)
    recorded: set[tuple[int, str]] = field(default_factory=set)

    @property
    def place(self) -> Place:
        """Its destination."""
        return self.delivery.caller_id, self.delivery.origin

    def held(self, now: Instant) -> bool:
        """Whether it takes up a slot: it is being sent, under a lease that lasts."""
        return self.delivery.state is DeliveryState.SENDING and self.lease_until > now

    def lost(self, now: Instant) -> bool:
        """Whether it is being sent under a lease that has ended."""
        return self.delivery.state is DeliveryState.SENDING and self.lease_until <= now

    def claimable(self, now: Instant) -> bool:
        """Whether a claim with a free slot would take it."""
        if self.delivery.state is DeliveryState.PENDING:
            return self.delivery.due_at <= now
        return self.lost(now) and not self.given_up

    @property
    def retried(self) -> bool:
        """Whether it was tried before: then first attempts go before it."""
        return self.delivery.attempt_count > 0

    @property
    def given_up(self) -> bool:
        """Whether it is the sweep's once its lease has ended."""
        asked = self.delivery.cancel_requested_at is not None
        return asked or self.delivery.unknown_count >= UNKNOWN_ATTEMPTS

    def keeps_its_job(self, now: Instant) -> bool:
        """Whether it is open, or dead and may still be redelivered."""
        if self.delivery.state is DeliveryState.DEAD:
            return (self.delivery.finished_at or 0) > now - DEAD_KEPT_SECONDS * 1000
        return self.delivery.state not in FINAL_DELIVERY_STATES
