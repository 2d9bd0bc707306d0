"""Small rules of the flow of deliveries: rates, turns, chains, and what an attempt tells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core import rate
from dispatcher.core.breaker import Sign
from dispatcher.core.ordering import chain_of
from dispatcher.core.outcome import Answered, NotAllowed, NotSent, Tried, sign_of
from dispatcher.core.turns import in_turn

NOW = 1_769_851_800_000


def times(per_second: float, seconds: float) -> list[int]:
    """When each goes if somebody looks whenever the next may, from NOW on."""
    due_us: int | None = None
    now, found = NOW, []
    while now < NOW + seconds * 1000:
        count = rate.allowed(per_second, due_us, now, 1_000)
        found += [now - NOW] * count
        due_us = rate.taken(per_second, due_us, now, count) if count else due_us
        now = max(now + 1, rate.next_at(due_us, now))
    return found


class TestRate:
    @pytest.mark.parametrize(
        ("per_second", "expected"),
        [
            (1, [0, 1000, 2000]),
            (2, [0, 500, 1000, 1500, 2000, 2500]),
            (0.5, [0, 2000]),
            (3, [0, 333, 666, 999, 1333, 1666, 1999, 2333, 2666, 2999]),
        ],
    )
    def test_a_rate_gives_the_known_times(self, per_second: float, expected: list[int]) -> None:
        assert times(per_second, 3) == expected

    def test_more_than_one_a_millisecond(self) -> None:
        found = times(5_000, 0.002)
        assert [found.count(0), found.count(1)] == [5, 5]

    def test_nothing_is_saved_up(self) -> None:
        due_us = rate.taken(10, None, NOW, 1)
        later = NOW + 3_600_000
        assert rate.allowed(10, due_us, later, 1_000) == 1

    def test_after_a_rest_the_next_waits_its_interval_again(self) -> None:
        due_us = rate.taken(10, None, NOW, 1)
        later = NOW + 3_600_000
        assert rate.taken(10, due_us, later, 1) == (later + 100) * 1_000

    def test_none_goes_before_it_is_due(self) -> None:
        due_us = rate.taken(2, None, NOW, 1)
        assert [rate.allowed(2, due_us, NOW + ms, 1_000) for ms in (0, 1, 499, 500)] == [0, 0, 0, 1]
        assert rate.allowed(1_000, (NOW + 3_600_000) * 1_000, NOW, 1_000) == 0

    def test_when_the_next_may_go(self) -> None:
        assert rate.next_at(None, NOW) == NOW
        assert rate.next_at(NOW * 1_000 - 1, NOW) == NOW
        assert rate.next_at((NOW + 7) * 1_000 + 999, NOW) == NOW + 7

    @pytest.mark.parametrize(
        ("per_second", "interval_us"),
        [(6, 166_667), (20_000, 50), (1e9, 10), (1 / 86_400, 86_400_000_000), (0, 86_400_000_000)],
    )
    def test_intervals_are_of_ten_microseconds_to_a_day(
        self, per_second: float, interval_us: int
    ) -> None:
        assert rate.interval_us(per_second) == interval_us

    def test_no_more_than_asked(self) -> None:
        assert rate.allowed(100_000, None, NOW, 7) == 7

    @given(st.floats(0.1, 20_000), st.floats(0.01, 3))
    def test_never_more_than_the_rate(self, per_second: float, seconds: float) -> None:
        # One may go at once, and intervals are whole microseconds.
        most = 1 + (seconds + 0.001) * 1_000_000 / rate.interval_us(per_second)
        assert len(times(per_second, seconds)) <= most


class TestTurns:
    def test_one_of_four_is_a_retry(self) -> None:
        assert in_turn("abcdefgh", "12345678", 8, 0) == list("abc1def2")
        assert in_turn("abcdefgh", "12345678", 3, 2) == list("a1b")

    def test_each_fills_up_for_the_other(self) -> None:
        assert in_turn("ab", "12345", 6, 0) == list("ab1234")
        assert in_turn("abcdef", "", 5, 3) == list("abcde")
        assert in_turn("", "12", 5, 0) == list("12")

    @given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 40), st.integers(0, 7))
    def test_nobody_is_lost_or_overtaken(
        self, fresh: int, again: int, limit: int, turn: int
    ) -> None:
        first, retried = range(fresh), range(100, 100 + again)
        taken = in_turn(first, retried, limit, turn)
        assert len(taken) == min(limit, fresh + again)
        assert [each for each in taken if each < 100] == list(first)[: sum(e < 100 for e in taken)]
        ones = [each for each in taken if each >= 100]
        assert ones == list(retried)[: len(ones)]
        assert len(ones) >= min(again, len(taken) // 4)


class TestChains:
    def test_one_caller_target_and_key_is_one_chain(self) -> None:
        one = chain_of("clr_a", "https://r.example/", "k", "job_1")
        assert one == chain_of("clr_a", "https://r.example/", "k", "job_2")
        assert len(one) == 40

    @pytest.mark.parametrize(
        "other",
        [
            ("clr_b", "https://r.example/", "k", "job_1"),
            ("clr_a", "https://r.example/x", "k", "job_1"),
            ("clr_a", "https://r.example/", "j", "job_1"),
            ("clr_a", "https://r.example/", None, "job_1"),
            ("clr_a", "https://r.example/", None, "k"),
        ],
    )
    def test_anything_else_is_another(self, other: tuple[str, str, str | None, str]) -> None:
        assert chain_of(*other) != chain_of("clr_a", "https://r.example/", "k", "job_1")


@pytest.mark.parametrize(
    ("result", "sign"),
    [
        *((Answered(status_code=code, duration_ms=1), Sign.ANSWERED) for code in (200, 302, 404)),
        *((Answered(status_code=code, duration_ms=1), Sign.ANSWERED) for code in (410, 429, 600)),
        *((Answered(status_code=code, duration_ms=1), Sign.NO_SERVICE) for code in (500, 503, 599)),
        *(
            (NotSent(code=code, detail="", duration_ms=1), Sign.NO_CONNECTION)
            for code in ("dns", "connect", "tls")
        ),
        *(
            (NotSent(code=code, detail="", duration_ms=1), Sign.NO_SERVICE)
            for code in ("timeout", "closed", "bad-answer")
        ),
        (NotAllowed("private", ""), Sign.NOTHING),
    ],
)
def test_what_an_attempt_tells(result: Tried, sign: Sign) -> None:
    assert sign_of(result) is sign
