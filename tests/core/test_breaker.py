"""The circuit breaker: when it opens, for how long, and how it lets traffic back."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.breaker import (
    BREAKER_TRANSITIONS,
    DEFAULT_BREAKER,
    Breaker,
    BreakerState,
    BreakerTerms,
    Outcome,
    Sign,
    after,
    allowance,
    fails_destination,
    has_moved,
    state_of,
    tells_of_url,
)

NOW = 1_769_851_800_000
TERMS = BreakerTerms(failures=5, first_seconds=30.0)
SLOTS = 16
HOUR = 3_600_000


def outcome(
    *,
    failed: bool,
    now: int = NOW,
    began_at: int | None = None,
    jitter: float = 0,
    slots: int = SLOTS,
) -> Outcome:
    began = now if began_at is None else began_at
    return Outcome(failed=failed, began_at=began, at=now, now=now, jitter=jitter, slots=slots)


def told(breaker: Breaker | None, pattern: str, *, now: int = NOW) -> Breaker | None:
    """After attempts in a row at one instant: `x` failed, `.` did not."""
    for each in pattern:
        breaker = after(breaker, outcome(failed=each == "x", now=now), TERMS)
    return breaker


def opened(openings: int = 1, now: int = NOW) -> Breaker:
    breaker = told(None, "xxxxx", now=now)
    assert breaker is not None
    for _ in range(openings - 1):
        assert breaker.open_until is not None
        again = after(breaker, outcome(failed=True, now=breaker.open_until), TERMS)
        assert again is not None
        breaker = again
    return breaker


class TestClosed:
    def test_steady_success_leaves_nothing_to_write(self) -> None:
        assert told(None, "." * 1_000) is None

    def test_four_failures_in_a_row_are_not_enough(self) -> None:
        assert state_of(told(None, "xxxx.xxxx.")) is BreakerState.CLOSED

    def test_five_failures_in_a_row_open_it(self) -> None:
        breaker = told(None, "xxxxx")
        assert breaker == Breaker(
            state=BreakerState.OPEN, openings=1, opened_at=NOW, open_until=NOW + 30_000
        )

    def test_half_of_twenty_are_though_never_five_in_a_row(self) -> None:
        assert state_of(told(None, "x." * 9)) is BreakerState.CLOSED
        assert state_of(told(None, "x." * 10)) is BreakerState.OPEN

    def test_less_than_half_are_not(self) -> None:
        assert state_of(told(None, "x.." * 30)) is BreakerState.CLOSED

    def test_a_success_after_the_window_makes_it_as_new(self) -> None:
        breaker = told(None, "xxx")
        assert told(breaker, ".", now=NOW + 59_999) is not None
        assert told(breaker, ".", now=NOW + 60_000) is None

    def test_failures_in_a_row_count_across_windows(self) -> None:
        breaker = told(None, "xxxx")
        assert state_of(told(breaker, "x", now=NOW + 3_600_000)) is BreakerState.OPEN

    def test_a_rate_counts_within_a_window_alone(self) -> None:
        breaker = told(None, "x." * 9)
        assert state_of(told(breaker, "x.", now=NOW + 60_000)) is BreakerState.CLOSED

    def test_a_later_window_counts_as_the_first_does(self) -> None:
        later = told(told(None, "x." * 9), "x." * 9, now=NOW + 60_000)
        assert state_of(later) is BreakerState.CLOSED
        assert state_of(told(later, "x.", now=NOW + 119_999)) is BreakerState.OPEN


class TestOpen:
    @pytest.mark.parametrize(
        ("openings", "seconds"), [(1, 30), (2, 60), (3, 120), (5, 480), (6, 600), (99, 600)]
    )
    def test_it_is_open_for_longer_each_time(self, openings: int, seconds: int) -> None:
        before = opened(openings)
        began = opened(openings - 1).open_until if openings > 1 else NOW
        assert before.open_until is not None
        assert began is not None
        assert before.open_until - began == seconds * 1000

    def test_jitter_only_adds_a_tenth_at_most(self) -> None:
        breaker = told(None, "xxxx")
        late = after(breaker, outcome(failed=True, jitter=0.5), TERMS)
        assert late is not None
        assert late.open_until == NOW + 31_500

    def test_nothing_may_go_until_its_time_is_over_then_one(self) -> None:
        breaker = opened()
        assert [allowance(breaker, SLOTS, NOW + ms) for ms in (0, 29_999, 30_000, 10**9)] == [
            *(0, 0),
            *(1, 1),
        ]

    @pytest.mark.parametrize("failed", [True, False])
    def test_what_began_before_it_opened_says_nothing(self, failed: bool) -> None:
        breaker = opened()
        late = outcome(failed=failed, now=NOW + 40_000, began_at=NOW - 1)
        assert after(breaker, late, TERMS) == breaker
        soon = outcome(failed=failed, now=NOW + 29_999, began_at=NOW + 1)
        assert after(breaker, soon, TERMS) == breaker


class TestRampUp:
    def test_one_two_four_eight_then_closed(self) -> None:
        breaker: Breaker | None = opened()
        now = NOW + 30_000
        allowed = []
        successes = 0
        while breaker is not None:
            allowed.append(allowance(breaker, SLOTS, now))
            breaker = after(breaker, outcome(failed=False, now=now), TERMS)
            successes += 1
        assert allowed == [1] + [2] * 2 + [4] * 4 + [8] * 8
        assert successes == 15

    @pytest.mark.parametrize(("slots", "probes"), [(1, 1), (2, 1), (3, 3), (4, 3), (5, 7)])
    def test_it_ends_at_the_slots(self, slots: int, probes: int) -> None:
        breaker: Breaker | None = opened()
        count = 0
        while breaker is not None:
            late = outcome(failed=False, now=NOW + 30_000, slots=slots)
            breaker = after(breaker, late, TERMS)
            count += 1
        assert count == probes

    def test_no_more_than_the_slots_that_there_are_now(self) -> None:
        breaker = told(opened(), "." * 7, now=NOW + 30_000)
        assert [allowance(breaker, slots, NOW + 30_000) for slots in (16, 8, 3, 1)] == [8, 8, 3, 1]

    @pytest.mark.parametrize("pattern", ["x", ".xx", "...xx", "....x.x", ".......x.x.x.x"])
    def test_half_of_a_step_opens_it_for_longer(self, pattern: str) -> None:
        now = NOW + 30_000
        breaker = told(opened(), pattern[:-1], now=now)
        assert pattern == "x" or state_of(breaker) is BreakerState.HALF_OPEN
        breaker = told(breaker, pattern[-1], now=now)
        assert breaker is not None
        assert (breaker.state, breaker.open_until) == (BreakerState.OPEN, now + 60_000)

    def test_one_that_fails_less_than_half_gets_its_traffic_back(self) -> None:
        """As it would have kept it: while it is closed as many may fail."""
        assert told(opened(), "." + ".x" + "x..." + "x.x..x..", now=NOW + 30_000) is None

    def test_one_that_fails_now_and_then_is_not_kept_waiting(self) -> None:
        """One attempt in ten fails, at random: however it begins, it is back before long."""
        waits = []
        for seed in range(300):
            chance = random.Random(seed)  # noqa: S311  # to repeat what was drawn
            breaker: Breaker | None = opened()
            now = NOW
            while breaker is not None and now < NOW + HOUR:
                now = max(now, breaker.open_until or 0)
                failed = chance.random() < 1 / 10
                breaker = after(breaker, outcome(failed=failed, now=now), DEFAULT_BREAKER)
            waits.append(now - NOW)
        assert statistics.median(waits) <= 60_000
        assert max(waits) <= 1_200_000

    @pytest.mark.parametrize("failed", [True, False])
    def test_what_began_before_it_opened_counts_for_no_step(self, failed: bool) -> None:
        """A slow receiver's old attempts may end long after its probe has landed."""
        now = NOW + 30_000
        breaker = told(opened(), ".", now=now)
        late = outcome(failed=failed, now=now, began_at=NOW - 1)
        assert after(breaker, late, TERMS) == breaker
        since = outcome(failed=failed, now=now, began_at=NOW)
        assert after(breaker, since, TERMS) != breaker

    def test_after_it_has_closed_the_next_time_is_short_again(self) -> None:
        now = NOW + 30_000
        breaker = told(opened(), "." * 15 + "xxxxx", now=now)
        assert breaker is not None
        assert breaker.open_until == now + 30_000


@pytest.mark.parametrize(
    "wrong",
    [
        *({"failures": 0}, {"rate": 0}, {"rate": 1.1}, {"rate_of": 0}, {"first_seconds": 601}),
        *({"window_seconds": 0}, {"first_seconds": 0}),
    ],
)
def test_terms_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a breaker"):
        BreakerTerms(**wrong)  # type: ignore[arg-type]  # a mapping has one type for all


@pytest.mark.parametrize("terms", [{"failures": 1}, {"rate": 1, "rate_of": 1}])
def test_the_strictest_terms_open_at_the_first_failure(terms: dict[str, int]) -> None:
    strict = BreakerTerms(first_seconds=1, max_seconds=1, **terms)
    breaker = after(None, outcome(failed=True), strict)
    assert state_of(breaker) is BreakerState.OPEN


STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 90_000), st.integers(0, 40_000), st.floats(0, 0.999)),
    max_size=120,
)


@given(steps=STEPS, slots=st.integers(1, 20))
def test_it_moves_as_the_table_says_and_never_locks_up(
    steps: list[tuple[bool, int, int, float]], slots: int
) -> None:
    breaker: Breaker | None = None
    now = NOW
    for failed, wait, ago, jitter in steps:
        now += wait
        before = breaker
        breaker = after(
            before,
            outcome(failed=failed, now=now, began_at=now - ago, jitter=jitter, slots=slots),
            TERMS,
        )
        was, is_ = state_of(before), state_of(breaker)
        assert was is is_ or is_ in BREAKER_TRANSITIONS[was]
        assert 0 <= allowance(breaker, slots, now) <= slots
        if breaker is not None and breaker.open_until is not None:
            assert breaker.open_until <= now + 660_000
            assert allowance(breaker, slots, breaker.open_until) == 1
        elif is_ is not BreakerState.OPEN:
            assert allowance(breaker, slots, now) >= 1
    for _ in range(2 * slots):  # wherever it stands, a receiver that is well again gets all slots
        now += 700_000
        breaker = after(breaker, outcome(failed=False, now=now, slots=slots), TERMS)
    assert breaker is None


@given(st.lists(st.booleans(), max_size=200))
def test_it_opens_exactly_when_the_rule_says(failures: list[bool]) -> None:
    """Against the rule, counted plainly, for attempts that all end at one instant."""
    breaker: Breaker | None = None
    seen: list[bool] = []
    for failed in failures:
        breaker = after(breaker, outcome(failed=failed), TERMS)
        if seen or failed:
            seen.append(failed)
        row = all(seen[-5:]) and len(seen) >= 5
        rate = len(seen) >= 20 and 2 * sum(seen) >= len(seen)
        assert (state_of(breaker) is BreakerState.OPEN) == (row or rate)
        if row or rate:
            return


@pytest.mark.parametrize(
    ("sign", "whole", "destination_failed", "url_told"),
    [
        (Sign.ANSWERED, False, False, True),
        (Sign.NO_SERVICE, False, False, True),
        (Sign.NO_CONNECTION, False, True, False),
        (Sign.ANSWERED, True, False, False),
        (Sign.NO_SERVICE, True, True, False),
        (Sign.NO_CONNECTION, True, True, False),
    ],
)
def test_a_url_in_trouble_is_no_trouble_of_its_origin(
    sign: Sign, *, whole: bool, destination_failed: bool, url_told: bool
) -> None:
    assert fails_destination(sign, whole=whole) == destination_failed
    assert tells_of_url(sign, whole=whole) == url_told


def test_what_is_told_of_a_breaker_is_another_state_or_one_more_opening() -> None:
    assert not has_moved(None, None)
    assert not has_moved(None, told(None, "x"))
    assert has_moved(told(None, "xxxx"), opened())
    assert has_moved(opened(1), opened(2))
    assert not has_moved(opened(), opened())
    assert has_moved(opened(), None)
