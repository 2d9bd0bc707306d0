"""What is said of a submission that does not fit."""

from __future__ import annotations

import pytest

from dispatcher.core.limits import Limits
from dispatcher.core.submission import check_duration, check_schedule, check_times


@pytest.mark.parametrize(
    ("at_most", "shown"),
    [(31_536_000, "31536000"), (600.0, "600"), (1_234_567.25, "1234567.25"), (0.001, "0.001")],
)
def test_a_bound_has_no_exponent(at_most: float, shown: str) -> None:
    (fault,) = check_duration("/delaySeconds", -1, at_most)
    assert f"at most {shown} seconds, the bound of this service." in fault.detail


def test_a_bound_of_a_schedule_neither() -> None:
    (fault,) = check_schedule((-1,), Limits())
    assert fault.detail.endswith("0 to 604800 seconds.")


def test_a_limit_may_lower_the_bounds_of_a_schedule_and_never_raise_them() -> None:
    low = Limits(schedule_entries=2, schedule_seconds=60)
    assert not [*check_schedule((0, 60), low)]
    assert [fault.code for fault in check_schedule((0, 0, 0), low)] == ["bad-length"]
    assert [fault.code for fault in check_schedule((61,), low)] == ["out-of-range"]
    high = Limits(schedule_entries=99, schedule_seconds=10**9)
    assert not [*check_schedule((604_800,) * 50, high)]
    assert [fault.code for fault in check_schedule((0,) * 51, high)] == ["bad-length"]
    assert [fault.code for fault in check_schedule((604_801,), high)] == ["out-of-range"]


def test_how_far_ahead_a_job_may_be_asked_for_is_told_in_days() -> None:
    limits = Limits(delay_seconds=129_600)
    assert not [*check_times(129_600_001, None, None, 1, limits)]
    (fault,) = check_times(129_600_002, None, None, 1, limits)
    assert fault.detail == "runAt is at most 1.5 days ahead."
