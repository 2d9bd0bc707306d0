from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.ratelimit import (
    MOST_REQUESTS,
    MOST_WINDOW_SECONDS,
    Bucket,
    Rate,
    Standing,
    Taken,
    limit_field,
    policy_field,
    take,
    take_many,
)

rates = st.builds(Rate, st.integers(1, 1_000), st.integers(1, 3_600))
waits = st.lists(st.integers(0, 5_000), max_size=60)


def standings(rate: Rate, gaps: list[int]) -> list[tuple[int, Standing]]:
    """How requests fare that come so many milliseconds one after another."""
    found: list[tuple[int, Standing]] = []
    bucket: Bucket | None = None
    now = 1_000_000
    for gap in gaps:
        now += gap
        bucket, standing = take(rate, bucket, now)
        found.append((now, standing))
    return found


def test_a_bucket_of_three_in_ten_seconds_gives_the_known_answers() -> None:
    """Three in 10 s: one more in 3⅓ s, told in whole seconds."""
    rate = Rate(3, 10)
    gaps = [0, 0, 0, 0, 3_333, 1, 0, 6_666, 100_000]
    told = [(s.taken, s.remaining, s.more_in_seconds) for _, s in standings(rate, gaps)]
    assert told == [
        (True, 2, 4),
        (True, 1, 4),
        (True, 0, 4),
        (False, 0, 4),
        (False, 0, 1),  # a third of a millisecond early
        (True, 0, 4),
        (False, 0, 4),
        (True, 1, 4),  # ten seconds are over: two had filled since the fourth was refused
        (True, 2, 4),
    ]


@given(rates, waits)
def test_it_agrees_with_a_bucket_of_fractions(rate: Rate, gaps: list[int]) -> None:
    tokens, last = Fraction(rate.requests), 1_000_000
    per_ms = Fraction(rate.requests, rate.window_seconds * 1000)
    for now, standing in standings(rate, gaps):
        tokens = min(tokens + (now - last) * per_ms, Fraction(rate.requests))
        last = now
        assert standing.taken == (tokens >= 1)
        if standing.taken:
            tokens -= 1
        assert standing.remaining == int(tokens)


@given(rates, waits)
def test_no_stretch_of_time_has_more_than_the_bucket_and_what_fills(
    rate: Rate, gaps: list[int]
) -> None:
    taken = [now for now, standing in standings(rate, gaps) if standing.taken]
    for first, begin in enumerate(taken):
        for count, end in enumerate(taken[first:], 1):
            filled = Fraction((end - begin) * rate.requests, rate.window_seconds * 1000)
            assert count <= rate.requests + filled


@given(rates, waits)
def test_what_is_refused_takes_nothing_and_is_taken_when_it_was_told(
    rate: Rate, gaps: list[int]
) -> None:
    bucket: Bucket | None = None
    now = 0
    for gap in gaps:
        now += gap
        before = bucket
        bucket, standing = take(rate, bucket, now)
        if standing.taken:
            continue
        assert bucket == before
        assert standing.remaining == 0
        assert standing.more_in_seconds >= 1
        later = now + standing.more_in_seconds * 1000
        assert take(rate, bucket, later)[1].taken
        assert not take(rate, bucket, max(later - 1000, now))[1].taken


@given(rates, waits)
def test_more_remain_when_that_was_told(rate: Rate, gaps: list[int]) -> None:
    bucket: Bucket | None = None
    now = 0
    for gap in gaps:
        now += gap
        bucket, standing = take(rate, bucket, now)
        # One is taken by looking, so that one more than remained is seen as many.
        _, later = take(rate, bucket, now + standing.more_in_seconds * 1000)
        assert later.taken
        assert later.remaining >= standing.remaining
        assert 1 <= standing.more_in_seconds <= rate.window_seconds + 1


def test_known_answers_of_many_at_once() -> None:
    """Ten in 1 s: one in 100 ms."""
    rate = Rate(10, 1)
    bucket, taken = take_many(rate, None, 1_000, 7)
    assert taken == Taken(7, 3, 100)
    bucket, taken = take_many(rate, bucket, 1_050, 7)
    assert taken == Taken(3, 0, 50)  # half of the next has filled
    before = bucket
    bucket, taken = take_many(rate, bucket, 1_099, 7)
    assert (bucket, taken) == (before, Taken(0, 0, 1))
    assert take_many(rate, bucket, 1_100, 7)[1] == Taken(1, 0, 100)


@given(rates, st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 50)), max_size=30))
def test_many_at_once_are_as_many_one_by_one(rate: Rate, asked: list[tuple[int, int]]) -> None:
    now = 0
    many: Bucket | None = None
    single: Bucket | None = None
    for gap, wanted in asked:
        now += gap
        many, taken = take_many(rate, many, now, wanted)
        count = 0
        for _ in range(wanted):
            single, standing = take(rate, single, now)
            count += standing.taken
        assert many == single
        assert (taken.taken, taken.remaining) == (count, standing.remaining)
        sooner = take_many(rate, many, now + taken.more_in_ms - 1, rate.requests)[1]
        then = take_many(rate, many, now + taken.more_in_ms, rate.requests)[1]
        assert (sooner.taken, then.taken) == (taken.remaining, taken.remaining + 1)


@given(rates, st.integers(1, 10**9))
def test_a_clock_that_goes_back_empties_a_bucket_at_the_worst(rate: Rate, back: int) -> None:
    """As that of a database may, when another server has taken over."""
    now = 10**10
    spent, _ = take_many(rate, None, now, rate.requests)
    bucket, taken = take_many(rate, spent, now - back, 1)
    empty, none = take_many(rate, take_many(rate, None, 0, rate.requests)[0], 0, 1)
    assert taken == none
    assert bucket.full_at == empty.full_at + (now - back) * rate.requests
    assert take_many(rate, bucket, now - back + none.more_in_ms, 1)[1].taken == 1
    bucket, standing = take(rate, spent, now - back)
    assert (standing.taken, standing.remaining) == (False, 0)
    assert take(rate, bucket, now - back + standing.more_in_seconds * 1000)[1].taken


def test_another_rate_begins_with_a_full_bucket() -> None:
    bucket, _ = take(Rate(1, 60), None, 0)
    assert not take(Rate(1, 60), bucket, 1)[1].taken
    assert take(Rate(2, 60), bucket, 1)[1] == Standing(Rate(2, 60), True, 1, 30)


def test_a_bucket_is_full_again_after_its_window() -> None:
    rate = Rate(7, 60)
    bucket: Bucket | None = None
    for _ in range(7):
        bucket, _ = take(rate, bucket, 5)
    assert bucket is not None
    assert not bucket.is_full(60_004)
    assert bucket.is_full(60_005)


@pytest.mark.parametrize(
    ("requests", "window"), [(0, 1), (1, 0), (-1, 5), (10**9 + 1, 1), (1, 86_401)]
)
def test_a_rate_that_can_not_be(requests: int, window: int) -> None:
    with pytest.raises(ValueError, match="rate"):
        Rate(requests, window)


def test_the_least_and_the_largest_rate() -> None:
    assert take(Rate(1, 1), None, 0)[1] == Standing(Rate(1, 1), True, 0, 1)
    largest = Rate(MOST_REQUESTS, MOST_WINDOW_SECONDS)
    assert take(largest, None, 0)[1] == Standing(largest, True, MOST_REQUESTS - 1, 1)


# --- The headers -------------------------------------------------------------------------------

# draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy` and `RateLimit` are Lists of
# Items that are Strings (RFC 9651), with the parameters below. The examples are the draft's own.
POLICY = re.compile(
    r'"(?P<name>[ !#-\[\]-~]+)"(?=.*;q=)'
    r'(;(q=\d{1,15}|w=[1-9]\d{0,14}|qu="(requests|content-bytes|concurrent-requests)"|pk=:[A-Za-z0-9+/=]*:))+'
)
LIMIT = re.compile(
    r'"(?P<name>[ !#-\[\]-~]+)"(?=.*;r=)(;(r=\d{1,15}|t=\d{1,15}|pk=:[A-Za-z0-9+/=]*:))+'
)
VALID_POLICIES = [
    '"burst";q=100;w=60,"daily";q=1000;w=86400',
    '"default";q=100;w=10',
    '"permin";q=50;w=60,"perhr";q=1000;w=3600',
    '"peruser";q=100;w=60;pk=:cHsdsRa894==:',
    '"peruser";q=65535;qu="content-bytes";w=10;pk=:sdfjLJUOUH==:',
]
VALID_LIMITS = [
    '"default";r=50;t=30',
    '"default";r=999;pk=:dHJpYWwxMjEzMjM=:',
    '"default";r=300000000;t=60;pk=:QXBwLTk5OQ==:',
    '"problemPolicy";r=0;t=10',
]
INVALID_LIMITS = [
    "default;r=50;t=30",  # a Token, not a String
    '"default";t=30',  # `r` is missing
    '"default";r=-1',  # negative
    '"default";r=1.5',  # a Decimal
    '"default";r="50"',  # a String
    "limit=100, remaining=50, reset=50",  # as the draft had it before 08
]


def test_the_grammar_here_is_the_draft_s() -> None:
    for field in VALID_POLICIES:
        assert all(POLICY.fullmatch(item) for item in field.split(",")), field
    for field in VALID_LIMITS:
        assert LIMIT.fullmatch(field), field
    for field in INVALID_LIMITS:
        assert not all(LIMIT.fullmatch(item.strip()) for item in field.split(",")), field


@given(rates, waits)
def test_the_headers_fit_the_draft_and_each_other(rate: Rate, gaps: list[int]) -> None:
    policy = POLICY.fullmatch(policy_field(rate))
    assert policy is not None
    for _, standing in standings(rate, gaps):
        limit = LIMIT.fullmatch(limit_field(standing))
        assert limit is not None
        assert limit["name"] == policy["name"]


def test_the_headers_as_they_are_sent() -> None:
    _, standing = take(Rate(100, 60), None, 0)
    assert policy_field(standing.rate) == '"submissions";q=100;w=60'
    assert limit_field(standing) == '"submissions";r=99;t=1'
