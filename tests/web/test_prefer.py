"""`Prefer`: cases of public test suites, and what no text may do."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.web.prefer import MOST_WAIT_SECONDS, Wishes, parse_prefer, read_wishes

# Each with where it comes from: vfaronov/httpheader (rfc7240_test.go), whiskeysierra/Prefer
# (ParseTest), RFC 7240.
CASES: list[tuple[list[str], dict[str, tuple[str | None, dict[str, str | None]]]]] = [
    # vfaronov/httpheader rfc7240_test.go
    ([], {}),
    # whiskeysierra Prefer ParseTest
    ([""], {}),
    # vfaronov/httpheader rfc7240_test.go
    (["respond-async"], {"respond-async": (None, {})}),
    # vfaronov/httpheader rfc7240_test.go
    (["Respond-Async"], {"respond-async": (None, {})}),
    # vfaronov/httpheader rfc7240_test.go
    (["wait=10"], {"wait": ("10", {})}),
    # vfaronov/httpheader rfc7240_test.go
    (['wait="10"'], {"wait": ("10", {})}),
    # vfaronov/httpheader rfc7240_test.go
    (["foo; baz"], {"foo": (None, {"baz": None})}),
    # vfaronov/httpheader rfc7240_test.go
    (["foo ;\t\t;; ; BAZ ;,"], {"foo": (None, {"baz": None})}),
    # vfaronov/httpheader rfc7240_test.go
    (["foo=Bar; baz"], {"foo": ("Bar", {"baz": None})}),
    # vfaronov/httpheader rfc7240_test.go
    (['foo=bar, foo=baz;qux="a,b,c", xyzzy=123'], {"foo": ("bar", {}), "xyzzy": ("123", {})}),
    # vfaronov/httpheader rfc7240_test.go
    (['check-spelling; lang="en-US, en-GB"'], {"check-spelling": (None, {"lang": "en-US, en-GB"})}),
    # vfaronov/httpheader rfc7240_test.go
    (
        ["Handling=Lenient, Return=Minimal"],
        {"handling": ("lenient", {}), "return": ("minimal", {})},
    ),
    # whiskeysierra Prefer ParseTest
    (['weird="a\\\\b,\\"123\\"c", wait=1'], {"weird": ('a\\b,"123"c', {}), "wait": ("1", {})}),
    # whiskeysierra Prefer ParseTest
    (["foo=bar,, foo=baz"], {"foo": ("bar", {})}),
    # whiskeysierra Prefer ParseTest
    (["handling=strict; ;"], {"handling": ("strict", {})}),
    # whiskeysierra Prefer ParseTest
    (["handling=strict; version= "], {"handling": ("strict", {"version": None})}),
    # whiskeysierra Prefer ParseTest
    (
        ["handling=strict; version=1; charset=utf8, wait=500; unit=millis"],
        {
            "handling": ("strict", {"version": "1", "charset": "utf8"}),
            "wait": ("500", {"unit": "millis"}),
        },
    ),
    # vfaronov/httpheader rfc7240_test.go
    (["foo = bar"], {"foo": ("bar", {})}),
    # RFC 7240 2
    (["unknown-thing=1, respond-async"], {"unknown-thing": ("1", {}), "respond-async": (None, {})}),
    # RFC 7240 2, RFC 9110 5.6.4: what is escaped ends no quoted string
    (['a="x\\",y", wait=1'], {"a": ('x",y', {}), "wait": ("1", {})}),
    # RFC 9110 5.6.4: a backslash that is escaped escapes nothing
    (['a="\\\\", wait=1'], {"a": ("\\", {}), "wait": ("1", {})}),
    # RFC 7240 2: one that can't be read is left out with all that it has
    (["foo; =x, wait=1"], {"wait": ("1", {})}),
    # RFC 7240 2: an empty value is none
    (['foo=""; bar=""'], {"foo": (None, {"bar": None})}),
    # RFC 7240 2: a word without case may be missing
    (["return, handling="], {"return": (None, {}), "handling": (None, {})}),
]


@pytest.mark.parametrize(("fields", "expected"), CASES)
def test_preferences_are_read(
    fields: list[str], expected: dict[str, tuple[str | None, dict[str, Any]]]
) -> None:
    found = {name: (each.value, each.params) for name, each in parse_prefer(fields).items()}
    assert found == expected


# RFC 7240, 2 and 4.3: `wait` is delta-seconds; what can't be honoured is ignored, never an error.
@pytest.mark.parametrize(
    "field",
    [
        "wait=-1",
        "wait=1.5",
        "wait",
        "wait=1e3",
        "wait=+5",
        "wait=\u0663",
        "wait=0x10",
        'wait=""',
        'wait="1 "',
        " =10",
        "wait=10 20",
        "wait==10",
        '"wait"=10',
    ],
)
def test_a_wait_that_is_none_is_ignored(field: str) -> None:
    assert read_wishes([field]).wait is None


@pytest.mark.parametrize(
    ("fields", "wishes"),
    [
        (["respond-async, wait=10"], Wishes(respond_async=True, wait=10)),
        (["respond-async", "wait=10"], Wishes(respond_async=True, wait=10)),
        (['WAIT="10"; x=1'], Wishes(wait=10)),
        (["wait=0"], Wishes(wait=0)),
        (["wait=007"], Wishes(wait=7)),
        (["wait=51"], Wishes(wait=MOST_WAIT_SECONDS)),
        (["wait=" + "9" * 5_000], Wishes(wait=MOST_WAIT_SECONDS)),
        (["wait=5, wait=10"], Wishes(wait=5)),
        (["(broken, wait=5"], Wishes(wait=5)),
        (["return=minimal"], Wishes()),
        ([",".join(f"p{number}" for number in range(49)), "wait=5"], Wishes(wait=5)),
        ([",".join(f"p{number}" for number in range(50)), "wait=5"], Wishes()),
        ([], Wishes()),
    ],
)
def test_what_is_known_of_them(fields: list[str], wishes: Wishes) -> None:
    assert read_wishes(fields) == wishes


@pytest.mark.parametrize(
    ("wishes", "accepted", "applied"),
    [
        (Wishes(respond_async=True, wait=10), True, "respond-async, wait=10"),
        (Wishes(respond_async=True, wait=10), False, "wait=10"),
        (Wishes(respond_async=True), True, "respond-async"),
        (Wishes(wait=0), True, "wait=0"),
        (Wishes(), True, ""),
    ],
)
def test_what_was_done_is_told(wishes: Wishes, accepted: bool, applied: str) -> None:
    assert wishes.applied(accepted=accepted) == applied


@given(st.lists(st.text(st.sampled_from('wait=0123,;" \\\tabc')), max_size=3))
def test_no_text_is_an_error(fields: list[str]) -> None:
    wait = read_wishes(fields).wait
    assert wait is None or 0 <= wait <= MOST_WAIT_SECONDS


def test_a_long_field_takes_no_long_time() -> None:
    began = time.process_time()
    read_wishes([",".join(["a;" * 20] * 400), 'a="' + "\\" * 8_000, "=" * 8_000, " " * 8_000])
    assert time.process_time() - began < 2, "it takes more than in proportion"
