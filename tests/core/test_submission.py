"""What is said of a submission that does not fit."""

from __future__ import annotations

import pytest

from dispatcher.core.limits import Limits
from dispatcher.core.submission import check_duration, check_schedule


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
