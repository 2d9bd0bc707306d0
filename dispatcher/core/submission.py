"""What a submission may ask for: the bounds that settings decide, as pure checks.

Each check yields what is wrong and never raises, so that a caller hears of all faults at once. What
no setting can change (the type of a member, the form of a name) stands in `web/wire.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from dispatcher.core.errors import FieldError
from dispatcher.core.limits import Limits
from dispatcher.core.model import Instant
from dispatcher.core.retry import LAST_INSTANT, MAX_SCHEDULE_ENTRIES, MAX_WAIT_SECONDS

_VISIBLE_ASCII: Final = re.compile("[!-~]*")
_PRINTABLE_ASCII: Final = re.compile("[ -~]*")
# RFC 9110, 5.6.2: a field name is a token.
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

RESERVED_HEADERS: Final = frozenset(
    {
        "host",
        "connection",
        "keep-alive",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "accept-encoding",
        "traceparent",
        "tracestate",
        "correlation-id",
        "user-agent",
    }
)
RESERVED_PREFIXES: Final = ("webhook-", "callback-", "content-", "proxy-")


def pointer(*steps: str | int) -> str:
    """A JSON pointer to a member (RFC 6901, 3): `~` and `/` in a step are escaped."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)


# --- Times -------------------------------------------------------------------------------------

_RFC3339: Final = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)[Tt]"
    r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:\.(?P<fraction>\d{1,32}))?"
    r"(?:[Zz]|(?P<sign>[+-])(?P<offset_hours>\d\d):(?P<offset_minutes>\d\d))",
    re.ASCII,
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LEAP_SECOND: Final = 60
_LAST_HOUR: Final = 23
_LAST_MINUTE: Final = 59

TIME_EXAMPLE: Final = "an RFC 3339 time from 1970 on, such as 2026-01-31T09:30:00.123Z"


def parse_rfc3339(text: str) -> Instant | None:
    """The instant of a `date-time` (RFC 3339, 5.6), to the millisecond; None: it is none.

    A time before 1970 is none that anything here could have, and is None too.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    parts = [int(match[name]) for name in ("year", "month", "day", "hour", "minute")]
    second = int(match["second"])
    # A leap second is in the grammar (5.7); `datetime` does not know it.
    leap = second == _LEAP_SECOND and parts[4] == _LAST_MINUTE
    offset = timedelta(0)
    if match["sign"]:
        hours, minutes = int(match["offset_hours"]), int(match["offset_minutes"])
        if hours > _LAST_HOUR or minutes > _LAST_MINUTE:
            return None
        offset = timedelta(hours=hours, minutes=minutes) * (-1 if match["sign"] == "-" else 1)
    try:
        moment = datetime(*parts, second - leap, tzinfo=UTC)  # type: ignore[arg-type,misc]  # five numbers, and the zone by name
    except ValueError:
        return None
    since = moment - _EPOCH - offset
    millis = int((match["fraction"] or "0")[:3].ljust(3, "0"))
    instant = (since // timedelta(seconds=1) + leap) * 1000 + millis
    return instant if 0 <= instant <= LAST_INSTANT else None


def check_times(
    run_at: Instant | None,
    start_by: Instant | None,
    deadline: Instant | None,
    now: Instant,
    limits: Limits,
) -> Iterator[FieldError]:
    """The times as submitted, against each other.

    Only times that stand in the submission are compared, never with a delay from now: the same
    body must fit again when it is repeated with its Idempotency-Key.
    """
    if run_at is not None and run_at > now + limits.delay_seconds * 1000:
        days = limits.delay_seconds / 86_400
        yield FieldError("/runAt", "out-of-range", f"runAt is at most {days:g} days ahead.")
    for name, instant in (("startBy", start_by), ("deadline", deadline)):
        if run_at is not None and instant is not None and instant <= run_at:
            yield FieldError(
                f"/{name}", "too-early", f"{name} must be later than runAt, or the job never runs."
            )
    if start_by is not None and deadline is not None and start_by > deadline:
        yield FieldError("/startBy", "too-late", "startBy must not be later than deadline.")


def _plain(seconds: float) -> str:
    """To the millisecond, never with an exponent."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def check_duration(
    at: str, seconds: float, at_most: float, *, whose: str = "this service"
) -> Iterator[FieldError]:
    """A duration is more than 0 and at most `at_most` seconds, a bound of `whose`."""
    if not 0 < seconds <= at_most:
        yield FieldError(
            at,
            "out-of-range",
            f"It must be more than 0 and at most {_plain(at_most)} seconds, the bound of {whose}.",
        )


def check_attempts(
    count: int, at_most: int, *, whose: str = "this service"
) -> Iterator[FieldError]:
    """The attempts of a job are 1 to `at_most`, a bound of `whose`."""
    if not 1 <= count <= at_most:
        yield FieldError(
            "/maxAttempts",
            "out-of-range",
            f"maxAttempts is 1 to {at_most}, the bound of {whose}.",
        )


# --- Texts -------------------------------------------------------------------------------------


def is_visible(text: str, limits: Limits) -> bool:
    """Whether it is 1 to 256 (a setting) visible ASCII characters, without spaces."""
    return 0 < len(text) <= limits.text_characters and bool(_VISIBLE_ASCII.fullmatch(text))


def check_text(at: str, text: str, limits: Limits) -> Iterator[FieldError]:
    """A text that stands in headers: see `is_visible`."""
    if not is_visible(text, limits):
        yield FieldError(
            at,
            "bad-text",
            f"It must be 1 to {limits.text_characters} visible ASCII characters, without spaces.",
        )


def check_metadata(metadata: Mapping[str, str], limits: Limits) -> Iterator[FieldError]:
    """At most 50 entries, keys and values of at most 512 characters (settings)."""
    if len(metadata) > limits.metadata_entries:
        yield FieldError(
            "/metadata", "too-many", f"metadata has at most {limits.metadata_entries} entries."
        )
    for key, value in metadata.items():
        if max(len(key), len(value)) > limits.metadata_characters:
            yield FieldError(
                pointer("metadata", key),
                "too-long",
                f"Keys and values have at most {limits.metadata_characters} characters.",
            )


# --- Callbacks ---------------------------------------------------------------------------------


def check_headers(
    headers: Mapping[str, str], limits: Limits, *, at: tuple[str, ...] = ("callback", "headers")
) -> Iterator[FieldError]:
    """Headers that a callback is to carry: none that the dispatcher or HTTP itself speaks with."""
    if len(headers) > limits.callback_headers:
        yield FieldError(
            pointer(*at), "too-many", f"A callback has at most {limits.callback_headers} headers."
        )
    seen: set[str] = set()
    for name, value in headers.items():
        lowered = name.lower()
        spoken = lowered.replace("_", "-")  # CGI and WSGI can't tell them apart
        if not _TOKEN.fullmatch(name) or len(name) > limits.text_characters:
            yield FieldError(
                pointer(*at, name),
                "bad-header-name",
                "A header's name has letters, digits and hyphens (a token of RFC 9110), "
                f"{limits.text_characters} at most.",
            )
        elif spoken in RESERVED_HEADERS or spoken.startswith(RESERVED_PREFIXES):
            yield FieldError(
                pointer(*at, name), "reserved-header", f"The dispatcher itself decides on {name}."
            )
        elif lowered in seen:
            yield FieldError(
                pointer(*at, name), "repeated-header", f"{name} is there twice, in another case."
            )
        seen.add(lowered)
        if len(value) > limits.text_characters or not _PRINTABLE_ASCII.fullmatch(value):
            yield FieldError(
                pointer(*at, name),
                "bad-header-value",
                f"A header's value is at most {limits.text_characters} printable ASCII characters.",
            )


def check_schedule(
    seconds: Sequence[float], limits: Limits, *, at: str = "/callback/schedule"
) -> Iterator[FieldError]:
    """1 to 50 waits of 0 to 7 days each (settings that can only be lowered)."""
    entries = min(limits.schedule_entries, MAX_SCHEDULE_ENTRIES)
    longest = min(limits.schedule_seconds, MAX_WAIT_SECONDS)
    if not 1 <= len(seconds) <= entries:
        yield FieldError(at, "bad-length", f"A schedule has 1 to {entries} entries.")
        return
    for index, each in enumerate(seconds):
        if not 0 <= each <= longest:
            yield FieldError(
                at + pointer(index),
                "out-of-range",
                f"Each entry is the wait before an attempt, 0 to {_plain(longest)} seconds.",
            )
