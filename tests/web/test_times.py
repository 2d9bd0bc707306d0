from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.payload import rfc3339
from dispatcher.core.retry import LAST_INSTANT
from dispatcher.core.submission import parse_rfc3339
from dispatcher.testing.clock import NOON


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        # RFC 3339, 5.8
        ("1985-04-12T23:20:50.52Z", 482_196_050_520),
        ("1996-12-19T16:39:57-08:00", 851_042_397_000),
        ("1990-12-31T23:59:60Z", 662_688_000_000),
        ("1990-12-31T15:59:60-08:00", 662_688_000_000),
        # and at the edges
        ("1970-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:59.999Z", LAST_INSTANT),
        ("2026-01-31t12:00:00.0009z", NOON),
        ("2026-01-31T12:00:00-00:00", NOON),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ("2026-01-31T17:30:00+05:30", NOON),
        ("2026-01-30T12:01:00-23:59", NOON),
    ],
)
def test_a_time_is_read(text: str, instant: int) -> None:
    assert parse_rfc3339(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31 12:00:00Z",
        "2026-01-31T12:00Z",
        "2026-1-31T12:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:00Z",
        "2026-01-31T12:00:61Z",
        "2026-01-31T12:00:60Z",
        "2026-02-29T12:00:00Z",
        "2026-00-31T12:00:00Z",
        "2026-01-31T12:00:00.Z",
        "2026-01-31T12:00:00,5Z",
        "2026-01-31T12:00:00+0100",
        "2026-01-31T12:00:00+24:00",
        "2026-01-31T12:00:00+01:60",
        "2026-01-31T12:00:00Z\n",
        " 2026-01-31T12:00:00Z",
        "\uff12\uff10\uff12\uff16-01-31T12:00:00Z",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59-01:00",
        "0000-01-01T00:00:00Z",
    ],
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_rfc3339(text) is None


@given(st.integers(0, LAST_INSTANT))
def test_a_time_that_we_write_is_one_that_we_read(instant: int) -> None:
    text = rfc3339(instant)
    assert text is not None
    assert parse_rfc3339(text) == instant


@given(st.text(st.sampled_from("0123456789-:TZtz.+ "), max_size=40))
def test_any_text_is_a_time_or_none(text: str) -> None:
    instant = parse_rfc3339(text)
    assert instant is None or 0 <= instant <= LAST_INSTANT
