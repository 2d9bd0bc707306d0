"""When something is tried again: the schedule of callbacks, the backoff of jobs, Retry-After.

Instants are milliseconds since the Unix epoch, UTC. Jitter is a number in [0, 1) that the caller
drew. It only ever adds, 10 % of the wait at most: nobody is tried earlier than was promised.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from msgspec import Struct

MAX_JITTER = 0.1

# Standard Webhooks 1.0, "Deliverability and reliability": its example schedule.
DEFAULT_SCHEDULE_SECONDS: tuple[float, ...] = (
    0,
    5,
    300,
    1_800,
    7_200,
    18_000,
    36_000,
    50_400,
    72_000,
    86_400,
)
MAX_SCHEDULE_ENTRIES = 50
MAX_WAIT_SECONDS = 7 * 86_400

# What a Retry-After moves the next attempt ahead at most: a receiver's, or that of an endpoint
# which does jobs.
RETRY_AFTER_CAP_MS = 86_400_000
# What a handler may ask for itself, as far ahead as a submission's `runAt`.
MAX_AFTER_SECONDS = 365 * 86_400

# 9999-12-31T23:59:59.999Z: the last instant that RFC 3339 and HTTP dates can write.
LAST_INSTANT = 253_402_300_799_999


class Schedule(Struct, frozen=True):
    """The seconds before each attempt of a delivery, the first included.

    Raises:
        ValueError: not 1 to 50 entries of 0 to 7 days each.
    """

    seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.seconds) <= MAX_SCHEDULE_ENTRIES:
            raise ValueError(f"a schedule has 1 to {MAX_SCHEDULE_ENTRIES} entries")
        # NaN is in no range, and infinity in none that ends.
        if not all(0 <= entry <= MAX_WAIT_SECONDS for entry in self.seconds):
            raise ValueError(f"an entry of a schedule is 0 to {MAX_WAIT_SECONDS} seconds (7 days)")


DEFAULT_SCHEDULE = Schedule(DEFAULT_SCHEDULE_SECONDS)


def delivery_due_at(
    schedule: Schedule,
    entries_used: int,
    now: int,
    jitter: float,
    retry_after: int | None = None,
) -> int | None:
    """When the next attempt of a delivery is due; None: no entry is left, so it is dead.

    Args:
        schedule: of the job, endpoint or caller.
        entries_used: how many entries earlier attempts have used up; 0 before the first.
        now: the instant that the wait begins.
        jitter: in [0, 1).
        retry_after: what the receiver asked for (`parse_retry_after`). It moves the attempt
            later, never earlier, to 24 hours from now at most.
    """
    if entries_used >= len(schedule.seconds):
        return None
    due_at = _after(now, schedule.seconds[entries_used], jitter)
    if retry_after is not None:
        due_at = max(due_at, min(retry_after, now + RETRY_AFTER_CAP_MS))
    return due_at


class JobBackoff(Struct, frozen=True):
    """How long a job waits after its first, second… failed attempt: 1 s, 4 s, 16 s by default.

    Raises:
        ValueError: not 0 ≤ first ≤ max ≤ 7 days, or a factor that is below 1 or infinite.
    """

    first_seconds: float = 1
    factor: float = 4
    max_seconds: float = 3_600

    def __post_init__(self) -> None:
        if not 0 <= self.first_seconds <= self.max_seconds <= MAX_WAIT_SECONDS:
            raise ValueError(
                f"a backoff needs 0 <= first_seconds <= max_seconds <= {MAX_WAIT_SECONDS} (7 days)"
            )
        if not 1 <= self.factor < math.inf:
            raise ValueError("the factor of a backoff is at least 1")


DEFAULT_JOB_BACKOFF = JobBackoff()


def job_due_at(
    backoff: JobBackoff,
    attempt: int,
    now: int,
    jitter: float,
    after_seconds: float | None = None,
) -> int:
    """When a job whose attempt has failed is due again.

    Args:
        backoff: of its type.
        attempt: the number of the attempt that has just failed, from 1.
        now: the instant of its end.
        jitter: in [0, 1).
        after_seconds: what the handler itself asked for (`Retry(after=…)`): it wins, without
            jitter. Below 0 it means now, above a year a year; NaN is no wish at all.
    """
    if after_seconds is not None and not math.isnan(after_seconds):
        return now + round(min(max(after_seconds, 0), MAX_AFTER_SECONDS) * 1000)
    try:
        wait = backoff.first_seconds * float(backoff.factor) ** max(attempt - 1, 0)
    except OverflowError:
        wait = backoff.max_seconds
    return _after(now, min(wait, backoff.max_seconds), jitter)


def _after(now: int, wait_seconds: float, jitter: float) -> int:
    wait = round(wait_seconds * 1000)
    return now + wait + int(wait * MAX_JITTER * jitter)


# --- Retry-After -------------------------------------------------------------------------------

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_DAY_NAME = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY_NAME = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_TIME = "(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"

_DELAY_SECONDS = re.compile("[0-9]+")
_IMF_FIXDATE = re.compile(
    f"{_DAY_NAME}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT"
)
_RFC850_DATE = re.compile(
    f"{_LONG_DAY_NAME}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT"
)
_ASCTIME_DATE = re.compile(
    f"{_DAY_NAME} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})"
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_HOUR = 23
_LAST_MINUTE = 59
_LEAP_SECOND = 60


def parse_retry_after(value: str, received_at: int) -> int | None:
    """The instant that a Retry-After names (RFC 9110, 10.2.3); None: it can't be understood.

    Either `delay-seconds` or one of the three forms of an HTTP-date (RFC 9110, 5.6.7), strictly:
    case and single spaces included. The name of the weekday need not fit the date. An instant
    that has passed is `received_at`; one beyond the year 9999 is the last of that year. It never
    raises.

    Args:
        value: of the header field.
        received_at: when the answer came, an instant.
    """
    value = value.strip(" \t")  # optional whitespace is no part of a field's value (5.5)
    if _DELAY_SECONDS.fullmatch(value):
        digits = value.lstrip("0")
        if len(digits) > len(str(LAST_INSTANT)):  # int() refuses thousands of digits
            return max(received_at, LAST_INSTANT)
        return max(received_at, min(received_at + int(digits or "0") * 1000, LAST_INSTANT))
    instant = _parse_http_date(value, received_at)
    return None if instant is None else max(received_at, instant)


def _parse_http_date(value: str, received_at: int) -> int | None:
    for form in (_IMF_FIXDATE, _RFC850_DATE, _ASCTIME_DATE):
        if match := form.fullmatch(value):
            break
    else:
        return None
    month = _MONTHS.index(match["month"]) + 1
    day, hour, minute, second = (int(match[x]) for x in ("day", "hour", "minute", "second"))
    # A leap second is the grammar's 60 (RFC 9110, 5.6.7); `datetime` does not know it.
    if hour > _LAST_HOUR or minute > _LAST_MINUTE or second > _LEAP_SECOND:
        return None
    year = int(match["year"])
    if form is _RFC850_DATE:
        year = _full_year(year, (month, day, hour, minute, second), received_at)
    try:
        midnight = datetime(year, month, day, tzinfo=UTC)
    except ValueError:  # no such day, or the year 0
        return None
    at = (midnight - _EPOCH) // timedelta(seconds=1) + hour * 3600 + minute * 60 + second
    return min(at * 1000, LAST_INSTANT)


def _full_year(year: int, rest: tuple[int, ...], received_at: int) -> int:
    """A two-digit year in the latest century that is not over 50 years ahead (5.6.7)."""
    received = _EPOCH + timedelta(milliseconds=min(max(received_at, 0), LAST_INSTANT))
    limit = (
        received.year + 50,
        received.month,
        received.day,
        received.hour,
        received.minute,
        received.second,
    )
    year += (received.year // 100 + 1) * 100
    while (year, *rest) > limit:
        year -= 100
    return year
