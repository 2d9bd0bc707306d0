"""Server-Sent Events are read as browsers read them."""

from __future__ import annotations

import pytest

from dispatcher.client.sse import EventStream

Expected = list[tuple[str, str, str]]

# Cases of the Web Platform Tests (eventsource/, named after "WPT") and of eventsource-parser's
# test/parse.test.ts (MIT, "ESP"), which carry out WHATWG HTML, 9.2.
CASES: list[tuple[str, str, Expected, int | None]] = [
    (
        "WPT format-field-data",
        "data:\n\ndata\ndata\n\ndata:test\n\n",
        [("message", "", ""), ("message", "\n", ""), ("message", "test", "")],
        None,
    ),
    (
        "WPT format-comments",
        f"data:1\r:\0\n:\r\ndata:2\n:{'x' * 2048}\rdata:3\n:data:fail\r:{'x' * 2048}\ndata:4\n\n",
        [("message", "1\n2\n3\n4", "")],
        None,
    ),
    (
        "WPT format-field-id-3",
        "id: 1\ndata: 1\n\ndata:2\n\n",
        [("message", "1", "1"), ("message", "2", "1")],
        None,
    ),  # one case a line
    (
        "WPT format-field-id-3, changes",
        "id: 1\ndata: 1\n\nid: 2\ndata:2\n\n",
        [("message", "1", "1"), ("message", "2", "2")],
        None,
    ),  # one case a line
    (
        "WPT format-field-id-3, resets",
        "id: 1\ndata: 1\n\nid:\ndata:2\n\n",
        [("message", "1", "1"), ("message", "2", "")],
        None,
    ),  # one case a line
    (
        "ESP id with NUL",
        "id: 123\nid: bad\0id\ndata: hello\n\n",
        [("message", "hello", "123")],
        None,
    ),  # one case a line
    ("WPT format-null-character", "data:\0\n\n", [("message", "\0", "")], None),
    ("WPT format-bom-2", "\ufeff\ufeffdata:1\n\ndata:2\n\n", [("message", "2", "")], None),
    ("WPT format-bom", "\ufeffdata:1\n\n", [("message", "1", "")], None),
    (
        "WPT format-data-before-final-empty-line",
        "retry:1000\ndata:test1\n\nid:test\ndata:test2",
        [("message", "test1", "")],
        1000,
    ),
    ("WPT format-field-event-empty", "event: \ndata:data\n\n", [("message", "data", "")], None),
    (
        "WPT format-field-retry-bogus",
        "retry:2000\nretry:1000x\ndata:x\n\n",
        [("message", "x", "")],
        2000,
    ),  # one case a line
    ("no ASCII digits", "retry:7\nretry:\u00b2\ndata:x\n\n", [("message", "x", "")], 7),
    (
        "ESP multi-line",
        "event: stock\ndata: YHOO\ndata: +2\ndata: 10\n\n",
        [("stock", "YHOO\n+2\n10", "")],
        None,
    ),  # one case a line
    (
        "ESP CR",
        "data: dog\rdata: bark\r\rdata: cat\rdata: meow\r\revent: done\ndata: v\n\n",
        [("message", "dog\nbark", ""), ("message", "cat\nmeow", ""), ("done", "v", "")],
        None,
    ),
    ("ESP CRLF", "data: sheep\r\ndata: bleat\r\n\r\n", [("message", "sheep\nbleat", "")], None),
    (
        "ESP unknown fields",
        "data:abc\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:123\n\n",
        [("message", "abc\n\n123", "")],
        None,
    ),
    ("ESP no data", "event:\n\nevent: done\ndata: v\n\n", [("done", "v", "")], None),
    ("ESP id without data", "id: 42\n\ndata: x\n\n", [("message", "x", "42")], None),
    ("WHATWG one space", "data:  two\n\n", [("message", " two", "")], None),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize(
    ("text", "expected", "retry_ms"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_a_stream_is_read_however_it_is_cut(
    text: str, expected: Expected, retry_ms: int | None, size: int
) -> None:
    raw = text.encode()
    stream = EventStream()
    found = [
        (each.type, each.data, each.last_event_id)
        for start in range(0, len(raw), size)
        for each in stream.feed(raw[start : start + size])
    ]
    assert found == expected
    assert stream.retry_ms == retry_ms


def test_an_id_that_broke_off_is_not_gone_on_from() -> None:
    stream = EventStream("c0")
    stream.feed(b"id: c1\n\nid: c2\ndata: half")
    assert stream.last_event_id == "c1"
