"""Registered endpoints: callback URLs that a caller subscribes to its events, and when they rest.

An endpoint is enabled until its receiver answers 410, until nothing but failures came of it for too
long, or until somebody disables it. While it rests, what it is owed waits.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from dispatcher.core.lifecycle import BEST_EFFORT_EVENTS, TERMINAL_EVENTS
from dispatcher.core.model import EventType, Instant
from dispatcher.core.payload import rfc3339, seconds
from dispatcher.core.retry import Schedule

ENDPOINT_EVENTS: Final = frozenset(EventType) - {EventType.PING}
"""What an endpoint can subscribe to: a ping goes to the one that is pinged, and to no other."""

DEFAULT_EVENTS: Final = tuple(kind for kind in EventType if kind in TERMINAL_EVENTS)
"""What an endpoint gets that names no events: those that end a job."""

ASKED_EVENTS: Final = frozenset({EventType.JOB_STARTED, EventType.JOB_PROGRESS})
"""Events of a job that are stored only if its callback or an endpoint asked for them."""


class DisabledReason(StrEnum):
    """Why an endpoint is disabled."""

    GONE = "gone"
    """Its receiver answered 410 (Standard Webhooks): it wants no more."""
    FAILING = "failing"
    """Nothing but failures came of it for longer than a setting allows."""
    MANUAL = "manual"
    """Somebody asked for it."""


class Endpoint(Struct, frozen=True, kw_only=True):
    """A registered callback URL of a caller, subscribed to `events` of all of its jobs.

    `headers` are the names alone, their values are sealed in `sealed_headers`. `schedule` None
    means that of its caller (`caller_schedule`, as it is now), or the default. `rate_limit` is in
    callbacks a second. `failing_since` is when the present stretch of nothing but failures began
    (None: the latest attempt succeeded, or there was none). `version` grows with each change that
    somebody asked for, or that disabled it.
    """

    id: str
    caller_id: str
    url: str
    origin: str
    events: tuple[EventType, ...]
    created_at: Instant
    headers: tuple[str, ...] = ()
    sealed_headers: bytes | None = None
    schedule: Schedule | None = None
    ordered: bool = False
    rate_limit: float | None = None
    failing_since: Instant | None = None
    disabled_at: Instant | None = None
    disabled_reason: DisabledReason | None = None
    version: int = 1
    caller_schedule: Schedule | None = None

    @property
    def own_schedule(self) -> Schedule | None:
        """The schedule in force; None: the service's default."""
        return self.caller_schedule if self.schedule is None else self.schedule

    @property
    def enabled(self) -> bool:
        """Whether anything is sent to it now."""
        return self.disabled_at is None


def is_owed(endpoint: Endpoint, event: EventType) -> bool:
    """Whether an event goes to an endpoint of its caller.

    What a disabled one subscribed to waits until it is enabled; but what is best effort, or tells
    of another that was disabled, would be of no use by then.
    """
    if event not in endpoint.events:
        return False
    passing = event in BEST_EFFORT_EVENTS or event is EventType.ENDPOINT_DISABLED
    return endpoint.enabled or not passing


def fails_too_long(endpoint: Endpoint, now: Instant, most_seconds: float) -> bool:
    """Whether its stretch of nothing but failures has reached `most_seconds`; 0: never."""
    if endpoint.failing_since is None or most_seconds <= 0:
        return False
    return now - endpoint.failing_since >= round(most_seconds * 1000)


def why_disabled(
    endpoint: Endpoint, now: Instant, most_seconds: float, *, gone: bool
) -> DisabledReason | None:
    """Why an endpoint is to be disabled after an attempt that failed; None: it is not.

    `gone`: its receiver answered 410. `most_seconds` as in `fails_too_long`.
    """
    if gone:
        return DisabledReason.GONE
    return DisabledReason.FAILING if fails_too_long(endpoint, now, most_seconds) else None


def endpoint_json(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint as callers see it: never its secrets, nor the values of its headers."""
    schedule = endpoint.schedule
    return {
        "id": endpoint.id,
        "callerId": endpoint.caller_id,
        "url": endpoint.url,
        "events": endpoint.events,
        "headers": dict.fromkeys(endpoint.headers, "***"),
        "schedule": None if schedule is None else [seconds(each) for each in schedule.seconds],
        "ordered": endpoint.ordered,
        "rateLimit": None if endpoint.rate_limit is None else seconds(endpoint.rate_limit),
        "status": "enabled" if endpoint.enabled else "disabled",
        "disabledReason": endpoint.disabled_reason,
        "disabledAt": rfc3339(endpoint.disabled_at),
        "failingSince": rfc3339(endpoint.failing_since),
        "createdAt": rfc3339(endpoint.created_at),
    }
