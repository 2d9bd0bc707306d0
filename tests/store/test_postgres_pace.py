"""How often a process notifies the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.adapters.postgres.hints import AT_ONCE, REST_SECONDS, Pace

EXACT = 1e-6


def sent(pace: Pace, gaps: list[float]) -> list[float]:
    """When notifications go out of one who has the next ready so long after each."""
    now, times = 0.0, []
    for gap in gaps:
        times.append(now)
        now += max(pace.rest(now), gap)
    return times


def test_a_few_go_at_once_then_one_in_its_time() -> None:
    times = sent(Pace(), [0.0] * (AT_ONCE + 5))
    assert times[: AT_ONCE + 1] == [0.0] * (AT_ONCE + 1)
    late = [each / REST_SECONDS for each in times[AT_ONCE + 1 :]]
    assert all(abs(each - n) < EXACT for n, each in enumerate(late, 1))


def test_who_rests_may_send_as_many_at_once_again() -> None:
    pace = Pace()
    sent(pace, [0.0] * 50)
    assert max(pace.rest(100.0) for _ in range(AT_ONCE)) < EXACT
    assert pace.rest(100.0) > REST_SECONDS / 2


@given(st.lists(st.floats(0, 0.1), min_size=1, max_size=200))
def test_in_the_long_run_no_more_than_one_in_its_time(gaps: list[float]) -> None:
    times = sent(Pace(), gaps)
    for first in range(0, len(times), 7):
        for last in range(first, len(times), 5):
            room = (times[last] - times[first]) / REST_SECONDS
            assert last - first <= room + AT_ONCE + EXACT
