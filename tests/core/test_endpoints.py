"""Registered endpoints: what goes to one, how long it may fail, and what is shown of it."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.core.endpoints import (
    ENDPOINT_EVENTS,
    DisabledReason,
    Endpoint,
    endpoint_json,
    fails_too_long,
    is_owed,
    why_disabled,
)
from dispatcher.core.model import EventType
from dispatcher.core.retry import Schedule
from tests.core.samples import NOW

PASSING = {
    EventType.JOB_STARTED,
    EventType.JOB_PROGRESS,
    EventType.JOB_OUTPUT,
    EventType.ENDPOINT_DISABLED,
}
"""Of no use to one that was disabled meanwhile."""


def an_endpoint(**changes: Any) -> Endpoint:
    members: dict[str, Any] = {
        "id": "ep_1",
        "caller_id": "clr_1",
        "url": "https://hooks.example/in",
        "origin": "https://hooks.example",
        "events": tuple(EventType),
        "created_at": NOW,
    }
    return Endpoint(**members | changes)


@pytest.mark.parametrize("event", EventType)
def test_a_disabled_one_waits_for_what_lasts_alone(event: EventType) -> None:
    assert is_owed(an_endpoint(), event)
    assert is_owed(an_endpoint(disabled_at=NOW), event) == (event not in PASSING)
    others = tuple(kind for kind in EventType if kind is not event)
    assert not is_owed(an_endpoint(events=others), event)


def test_none_subscribes_to_pings() -> None:
    assert frozenset(EventType) - {EventType.PING} == ENDPOINT_EVENTS


@pytest.mark.parametrize(
    ("failing_since", "most_seconds", "expected"),
    [
        (None, 1.5, False),
        (NOW - 1_499, 1.5, False),
        (NOW - 1_500, 1.5, True),
        (NOW - 10**9, 0, False),
        (0, 1.5, True),
    ],
)
def test_it_fails_too_long_from_that_very_instant(
    failing_since: int | None, most_seconds: float, expected: bool
) -> None:
    endpoint = an_endpoint(failing_since=failing_since)
    assert fails_too_long(endpoint, NOW, most_seconds) == expected


def test_a_receiver_that_wants_no_more_is_believed_at_once() -> None:
    long, short = an_endpoint(failing_since=NOW - 2_000), an_endpoint(failing_since=NOW)
    assert why_disabled(short, NOW, 1.5, gone=True) is DisabledReason.GONE
    assert why_disabled(long, NOW, 1.5, gone=True) is DisabledReason.GONE
    assert why_disabled(long, NOW, 1.5, gone=False) is DisabledReason.FAILING
    assert why_disabled(short, NOW, 1.5, gone=False) is None


def test_its_own_schedule_comes_before_its_caller_s() -> None:
    own, caller_s = Schedule((1,)), Schedule((2,))
    assert an_endpoint().own_schedule is None
    assert an_endpoint(caller_schedule=caller_s).own_schedule == caller_s
    assert an_endpoint(schedule=own, caller_schedule=caller_s).own_schedule == own


def test_what_is_shown_has_no_value_of_a_header_and_no_schedule_of_another() -> None:
    plain = endpoint_json(an_endpoint(events=(), caller_schedule=Schedule((9,))))
    assert plain == {
        "id": "ep_1",
        "callerId": "clr_1",
        "url": "https://hooks.example/in",
        "events": (),
        "headers": {},
        "schedule": None,
        "ordered": False,
        "rateLimit": None,
        "status": "enabled",
        "disabledReason": None,
        "disabledAt": None,
        "failingSince": None,
        "createdAt": "2026-01-31T09:30:00.000Z",
    }
    resting = an_endpoint(
        headers=("x-key",),
        sealed_headers=b"sealed",
        schedule=Schedule((0.0, 2.5)),
        rate_limit=3.0,
        failing_since=NOW - 1,
        disabled_at=NOW,
        disabled_reason=DisabledReason.FAILING,
    )
    shown = endpoint_json(resting)
    assert {name: value for name, value in shown.items() if plain[name] != value} == {
        "events": tuple(EventType),
        "headers": {"x-key": "***"},
        "schedule": [0, 2.5],
        "rateLimit": 3,
        "status": "disabled",
        "disabledReason": "failing",
        "disabledAt": "2026-01-31T09:30:00.000Z",
        "failingSince": "2026-01-31T09:29:59.999Z",
    }
