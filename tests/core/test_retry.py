"""Backoff arithmetic, exact: jitter and instants come in as arguments."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.retry import (
    DEFAULT_JOB_BACKOFF,
    DEFAULT_SCHEDULE,
    DEFAULT_SCHEDULE_SECONDS,
    LAST_INSTANT,
    JobBackoff,
    Schedule,
    delivery_due_at,
    job_due_at,
    parse_retry_after,
)

NOW = 1_769_851_800_000
DAY = 86_400_000

instants = st.integers(min_value=0, max_value=4_102_444_800_000)
jitters = st.floats(min_value=0, max_value=1, exclude_max=True)
schedules = st.lists(st.floats(min_value=0, max_value=604_800), min_size=1, max_size=50).map(
    lambda seconds: Schedule(tuple(seconds))
)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1000


# --- Deliveries --------------------------------------------------------------------------------


def test_default_schedule_is_the_one_of_the_contract() -> None:
    waits = [delivery_due_at(DEFAULT_SCHEDULE, used, 0, 0.0) for used in range(11)]
    assert waits == [
        0,
        5_000,
        300_000,
        1_800_000,
        7_200_000,
        18_000_000,
        36_000_000,
        50_400_000,
        72_000_000,
        86_400_000,
        None,
    ]
    assert DEFAULT_SCHEDULE.seconds == DEFAULT_SCHEDULE_SECONDS


def test_fractions_and_jitter_are_counted_in_milliseconds() -> None:
    schedule = Schedule((0.25, 10))
    assert delivery_due_at(schedule, 0, NOW, 0.0) == NOW + 250
    assert delivery_due_at(schedule, 0, NOW, 0.5) == NOW + 250 + 12
    assert delivery_due_at(schedule, 1, NOW, 0.5) == NOW + 10_500
    assert delivery_due_at(schedule, 2, NOW, 0.5) is None


@pytest.mark.parametrize(
    ("retry_after", "expected"),
    [
        (None, 10_000),
        (-5_000, 10_000),  # never earlier
        (3_000, 10_000),
        (60_000, 60_000),
        (DAY, DAY),
        (DAY + 1, DAY),  # 24 hours at most
        (LAST_INSTANT, DAY),
    ],
)
def test_retry_after_only_moves_later(retry_after: int | None, expected: int) -> None:
    asked = None if retry_after is None else NOW + retry_after
    assert delivery_due_at(Schedule((10,)), 0, NOW, 0.0, asked) == NOW + expected


def test_retry_after_does_not_shorten_a_wait_beyond_its_cap() -> None:
    assert delivery_due_at(Schedule((604_800,)), 0, NOW, 0.0, NOW + 9 * DAY) == NOW + 7 * DAY


def test_retry_after_gives_no_entry_back() -> None:
    assert delivery_due_at(Schedule((0,)), 1, NOW, 0.0, NOW + 60_000) is None


@given(schedules, st.integers(0, 60), instants, jitters, st.none() | st.integers())
def test_due_lies_between_the_entry_and_a_tenth_more(
    schedule: Schedule, used: int, now: int, jitter: float, retry_after: int | None
) -> None:
    due = delivery_due_at(schedule, used, now, jitter, retry_after)
    if used >= len(schedule.seconds):
        assert due is None
        return
    assert due is not None
    wait = round(schedule.seconds[used] * 1000)
    assert now + wait <= due <= now + max(wait * 1.1, DAY)
    if retry_after is None:
        assert due <= now + wait * 1.1


@pytest.mark.parametrize(
    "seconds",
    [(), (0,) * 51, (-1,), (604_801,), (math.nan,), (math.inf,), (0, -0.001), (-math.inf,)],
)
def test_schedule_checks_itself(seconds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="schedule"):
        Schedule(seconds)


def test_schedule_takes_its_bounds() -> None:
    assert Schedule((604_800,) * 50).seconds[49] == 604_800


# --- Jobs --------------------------------------------------------------------------------------


def test_job_waits_grow_by_four_up_to_the_cap() -> None:
    waits = [job_due_at(DEFAULT_JOB_BACKOFF, n, 0, 0.0) for n in range(1, 9)]
    assert waits == [1_000, 4_000, 16_000, 64_000, 256_000, 1_024_000, 3_600_000, 3_600_000]


def test_job_jitter_adds_a_tenth_at_most() -> None:
    assert job_due_at(DEFAULT_JOB_BACKOFF, 2, NOW, 0.5) == NOW + 4_200


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (30, 30_000),
        (0, 0),
        (0.0015, 2),
        (90_000, 90_000_000),
        (-1, 0),
        (math.inf, 365 * DAY),
        (math.nan, 4_400 - 4),
    ],
)
def test_what_a_handler_asks_for_wins_exactly(after: float, expected: int) -> None:
    assert job_due_at(DEFAULT_JOB_BACKOFF, 2, NOW, 0.99, after) == NOW + expected


def test_a_huge_exponent_is_the_cap() -> None:
    assert job_due_at(JobBackoff(factor=1e10), 100, 0, 0.0) == 3_600_000
    assert job_due_at(JobBackoff(first_seconds=0, factor=1e10), 2, 0, 0.0) == 0


@given(st.integers(1, 10_000), instants, jitters)
def test_job_waits_never_shrink(attempt: int, now: int, jitter: float) -> None:
    this = job_due_at(DEFAULT_JOB_BACKOFF, attempt, now, jitter)
    following = job_due_at(DEFAULT_JOB_BACKOFF, attempt + 1, now, jitter)
    assert now + 1_000 <= this <= following <= now + 3_960_000


@pytest.mark.parametrize(
    ("first", "factor", "most"),
    [
        (-1, 4, 3600),
        (10, 4, 9),
        (1, 0.5, 3600),
        (1, math.nan, 3600),
        (1, math.inf, 3600),
        (math.nan, 4, 3600),
        (1, 4, math.inf),
        (1, 4, 604_801),
    ],
)
def test_backoff_checks_itself(first: float, factor: float, most: float) -> None:
    with pytest.raises(ValueError, match="backoff"):
        JobBackoff(first, factor, most)


def test_backoff_takes_its_bounds() -> None:
    same = JobBackoff(604_800, 1, 604_800)
    assert [job_due_at(same, n, 0, 0.0) for n in (1, 2, 9)] == [7 * DAY] * 3


# --- Retry-After -------------------------------------------------------------------------------

RFC_9110 = "RFC 9110 10.2.3 / 5.6.7"
HTTPHEADER = "vfaronov/httpheader TestRetryAfter"
SVIX = "svix worker.rs test_retry_after"
EVE = "1999-12-31T23:59:00Z"

# value, received at, seconds after that, source
UNDERSTOOD = [
    ("120", EVE, 120, RFC_9110),
    ("00120", EVE, 120, RFC_9110),
    (" 120 ", EVE, 120, "RFC 9110 5.5"),
    ("Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:00Z", 37, RFC_9110),
    ("Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:00Z", 37, RFC_9110),
    ("Sun, 07 Jul 2019 08:06:01 GMT", "2019-07-07T08:03:32Z", 149, HTTPHEADER),
    ("Sunday, 06-Nov-94 08:49:37 GMT", "2026-01-01T00:00:00Z", 0, RFC_9110),  # not 2094
    ("Fri, 31 Dec 1999 23:59:59 GMT", EVE, 59, RFC_9110),
    ("Fri, 31 Dec 1999 23:59:60 GMT", EVE, 60, "RFC 9110 5.6.7, a leap second"),
    ("Sun Nov 16 08:49:37 1994", "1994-11-16T08:49:00Z", 37, RFC_9110),
    ("0", EVE, 0, RFC_9110),
    ("\t7\t", EVE, 7, "RFC 9110 5.5"),
]

# value, source
NOT_UNDERSTOOD = [
    ("", RFC_9110),
    ("invalid", SVIX),
    ("Sun, 37 Jul 2019 08:06:01 GMT", HTTPHEADER),
    ("+120", RFC_9110),
    ("1e3", RFC_9110),
    ("0x78", RFC_9110),
    ("1_000", RFC_9110),
    ("\uff11\uff12\uff10", RFC_9110),
    ("120;q=1", RFC_9110),
    ('"120"', RFC_9110),
    ("inf", RFC_9110),
    ("nan", RFC_9110),
    ("1999-12-31T23:59:59Z", RFC_9110),
    ("Fri, 31 Dec 1999 23:59:59", RFC_9110),
    ("Fri, 31 Dec 1999 24:00:00 GMT", RFC_9110),
    # Not HTTP-dates; a recipient may accept them, and we do not.
    ("Fri, 31 Dec 1999 23:59:59 +0000", RFC_9110),
    ("Fri, 31 Dec 1999  23:59:59 GMT", RFC_9110),
    ("31 Dec 1999 23:59:59 GMT", RFC_9110),
    ("120.0", f"{RFC_9110}; {SVIX} rounds up"),
    ("-1", RFC_9110),
    ("fri, 31 dec 1999 23:59:59 gmt", "RFC 9110 5.6.7: case-sensitive"),
    ("Fri, 31 Dec 0000 23:59:59 GMT", "there is no year 0"),
    ("Fri, 29 Feb 2001 23:59:59 GMT", "2001 was no leap year"),
    ("Fri, 31 Dec 1999 23:60:00 GMT", RFC_9110),
    ("Fri, 31 Dec 1999 23:59:61 GMT", RFC_9110),
    ("Sunday, 06-Nov-1994 08:49:37 GMT", RFC_9110),
    ("Sun, 06-Nov-94 08:49:37 GMT", RFC_9110),
    ("Sun Nov 6 08:49:37 1994", RFC_9110),
    ("120\n", RFC_9110),
    ("120, 120", RFC_9110),
    ("\u00a0120", RFC_9110),
]


@pytest.mark.parametrize(("value", "received", "delay", "source"), UNDERSTOOD)
def test_retry_after_is_understood(value: str, received: str, delay: int, source: str) -> None:
    assert parse_retry_after(value, at(received)) == at(received) + delay * 1000, source


@pytest.mark.parametrize(("value", "source"), NOT_UNDERSTOOD)
def test_retry_after_is_ignored(value: str, source: str) -> None:
    assert parse_retry_after(value, at(EVE)) is None, source


@pytest.mark.parametrize(
    "value", ["Wed, 31 Dec 9999 23:59:59 GMT", "9" * 10, "9" * 5_000, "1" + "0" * 16]
)
def test_far_future_is_kept_for_the_caller_to_cap(value: str) -> None:
    far = parse_retry_after(value, at(EVE))
    assert far is not None
    assert delivery_due_at(DEFAULT_SCHEDULE, 1, at(EVE), 0.0, far) == at(EVE) + DAY


def test_nothing_is_later_than_the_year_9999() -> None:
    end = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()) * 1000 + 999
    for beyond in ("9" * 15, "9" * 5_000, str(end // 1000)):
        assert parse_retry_after(beyond, NOW) == end
    assert parse_retry_after(str((end - NOW) // 1000), NOW) == end - 999
    assert parse_retry_after("Fri, 31 Dec 9999 23:59:60 GMT", NOW) == end


def test_leading_zeros_do_not_count_as_length() -> None:
    assert parse_retry_after("0" * 6_000 + "5", NOW) == NOW + 5_000


@pytest.mark.parametrize(
    ("year", "received", "expected"),
    [
        # Exactly 50 years ahead is not more than 50 years (RFC 9110 5.6.7).
        ("76", "2026-11-06T08:49:37Z", "2076-11-06T08:49:37Z"),
        ("76", "2026-11-06T08:49:36Z", None),  # 1976
        ("75", "2026-01-01T00:00:00Z", "2075-11-06T08:49:37Z"),
        ("00", "2099-12-31T23:59:00Z", "2100-11-06T08:49:37Z"),  # the next century
    ],
)
def test_two_digit_years(year: str, received: str, expected: str | None) -> None:
    got = parse_retry_after(f"Sunday, 06-Nov-{year} 08:49:37 GMT", at(received))
    assert got == at(expected or received)


@given(st.text() | st.text("0123456789 ,:-GMTSundayNov"), st.integers())
def test_retry_after_never_raises_and_is_never_past(value: str, received_at: int) -> None:
    parsed = parse_retry_after(value, received_at)
    assert parsed is None or received_at <= parsed <= max(received_at, LAST_INSTANT)


@given(
    st.integers(0, (LAST_INSTANT - 86_399_999) // 1000).map(
        lambda seconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    )
)
def test_all_three_forms_name_the_same_instant(moment: datetime) -> None:
    instant = (moment - datetime(1970, 1, 1, tzinfo=UTC)).days * DAY
    instant += (moment.hour * 3600 + moment.minute * 60 + moment.second) * 1000
    day, month = f"{moment.day:02}", f"{moment:%b}"
    imf = f"{moment:%a}, {day} {month} {moment.year:04} {moment:%H:%M:%S} GMT"
    asctime = f"{moment:%a} {month} {moment.day:>2} {moment:%H:%M:%S} {moment.year:04}"
    rfc850 = f"{moment:%A}, {day}-{month}-{moment.year % 100:02} {moment:%H:%M:%S} GMT"
    before = max(instant - 30 * 365 * DAY, 0)
    assert parse_retry_after(imf, before) == instant
    assert parse_retry_after(asctime, before) == instant
    assert parse_retry_after(rfc850, before) == instant
