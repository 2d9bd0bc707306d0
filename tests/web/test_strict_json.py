from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dispatcher.core.errors import InvalidFields, MalformedBody
from dispatcher.web.strict_json import check_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=40,
)


def depth_of(value: Any) -> int:
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 0


def has_nul(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(has_nul, value))
    if isinstance(value, dict):
        return any("\0" in name or has_nul(member) for name, member in value.items())
    return isinstance(value, str) and "\0" in value


def faults(body: bytes, max_depth: int = 64) -> list[tuple[str, str]]:
    try:
        check_json(body, max_depth)
    except InvalidFields as error:
        return [(fault.pointer, fault.code) for fault in error.errors]
    return []


@given(JSON, st.integers(0, 5), st.booleans())
@example("[", 0, True)  # brackets in a text alone, and no depth allowed at all
def test_depth_is_counted_exactly(value: Any, max_depth: int, ascii_only: bool) -> None:
    body = (
        json.dumps(value, ensure_ascii=ascii_only)
        .replace("\\u0000", "x")
        .encode("utf-8", "replace")
    )
    found = [code for _, code in faults(body, max_depth)]
    assert found == (["too-deep"] if depth_of(value) > max_depth else [])


@given(JSON)
def test_nul_is_found_wherever_it_is(value: Any) -> None:
    body = json.dumps(value).encode()
    assert bool(faults(body)) is has_nul(value)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"a":"\\u0000"}', [("/a", "nul-character")]),
        (b'{"a":["x",{"b/c":"y\\u0000"}],"d":"\\u0000"}', None),
        (b'{"\\u0000":1e999}', [("/\0", "nul-character")]),
        (b'{"n":%s,"a":"\\u0000"}' % (b"9" * 5_000), [("/a", "nul-character")]),
        (b'{"a":"\\\\u0000"}', []),  # a backslash and five characters
    ],
)
def test_nul_is_pointed_at(body: bytes, found: list[tuple[str, str]] | None) -> None:
    if found is None:
        found = [("/a/1/b~1c", "nul-character"), ("/d", "nul-character")]
    assert faults(body) == found


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"type":"x","input":' + b"[" * 64 + b"]" * 64 + b"}", "/input"),
        (b'{"type":"x","a/b":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "/a~1b"),
        (b'{"type":"x","input":' + b'{"a":' * 70 + b"1" + b"}" * 71, "/input"),
        (b"[" * 100_000, ""),
        (b'{"input":' + b"[" * 100_000, "/input"),
        (b"[" * 65 + b"]" * 65, ""),
        (
            b'{"just":%s,"wide":[[],[]],"deep":%s,"after":[1]}'
            % (b"[" * 63 + b"]" * 63, b"[" * 64 + b"]" * 64),
            "/deep",
        ),
    ],
)
def test_what_is_too_deep_is_pointed_at(body: bytes, pointer: str) -> None:
    assert faults(body) == [(pointer, "too-deep")]


@pytest.mark.parametrize(
    "body",
    [
        b'{"input":' + b"[" * 63 + b"]" * 63 + b"}",
        b"[" + b"[]," * 10_000 + b"[]]",
        b'["' + b"[" * 1000 + b'"]',
        b'["\\"' + b"[" * 1000 + b'"]',
    ],
)
def test_what_is_wide_or_text_is_not_deep(body: bytes) -> None:
    assert faults(body) == []


@pytest.mark.parametrize("body", [b"[]" * 65 + b"]", b"]" + b"[]" * 65, b"[" * 30 + b"[]" * 65])
def test_brackets_that_do_not_match_are_no_json(body: bytes) -> None:
    with pytest.raises(MalformedBody, match="brackets"):
        check_json(body, 64)


@pytest.mark.parametrize("body", [b'{"a":"\xff"}', b"\xed\xa0\x80", b'{"a":"\xc0\x80"}'])
def test_what_is_not_utf8_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody, match="UTF-8"):
        check_json(body, 64)
