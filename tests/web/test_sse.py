"""Server-Sent Events: the reader of these tests against public cases, and what we write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.web import sse
from tests.web.sse_reader import Parser, Told

# From web-platform-tests/wpt (eventsource) and rexxars/eventsource-parser (parse.test.ts), each
# named; the rules are WHATWG HTML 9.2. First the chunks, then what is dispatched, then `retry`.
CASES: list[tuple[str, list[str], list[Told], int | None]] = [
    # WPT eventsource/format-field-data.htm
    (
        "data field parsing",
        ["data:\n\ndata\ndata\n\ndata:test\n\n"],
        [Told("message", "", ""), Told("message", "\n", ""), Told("message", "test", "")],
        None,
    ),
    # WPT eventsource/format-comments.js
    (
        "comment fest",
        [
            (
                "data:1\r:\x00\n:\r\ndata:2\n:"
                + "x" * 2048
                + "\rdata:3\n:data:fail\r:"
                + "x" * 2048
                + "\ndata:4\n\n"
            )
        ],
        [Told("message", "1\n2\n3\n4", "")],
        None,
    ),
    # WPT eventsource/format-field-id-3 / last-event-id2.py
    (
        "id persists",
        ["id: 1\ndata: 1\n\ndata:2\n\n"],
        [Told("message", "1", "1"), Told("message", "2", "1")],
        None,
    ),
    # WPT eventsource/format-field-id-3
    (
        "id changes",
        ["id: 1\ndata: 1\n\nid: 2\ndata:2\n\ndata:3\n\n"],
        [Told("message", "1", "1"), Told("message", "2", "2"), Told("message", "3", "2")],
        None,
    ),
    # WPT eventsource/format-field-id-3
    (
        "id resets",
        ["id: 1\ndata: 1\n\nid:\ndata:2\n\ndata:3\n\n"],
        [Told("message", "1", "1"), Told("message", "2", ""), Told("message", "3", "")],
        None,
    ),
    # rexxars/eventsource-parser test/parse.test.ts
    (
        "id with NUL ignored",
        ["id: 123\nid: bad\x00id\ndata: hello\n\n"],
        [Told("message", "hello", "123")],
        None,
    ),
    # WPT eventsource/format-null-character.html
    ("NUL in data kept", ["data:\x00\n\n"], [Told("message", "\x00", "")], None),
    # WPT eventsource/format-bom-2.any.js
    (
        "double BOM",
        ["\ufeff\ufeffdata:1\n\ndata:2\n\ndata:3\n\n"],
        [Told("message", "2", ""), Told("message", "3", "")],
        None,
    ),
    # WPT eventsource/format-bom
    ("one BOM stripped", ["\ufeffdata:1\n\n"], [Told("message", "1", "")], None),
    # WPT eventsource/format-data-before-final-empty-line.js
    (
        "unterminated last event dropped",
        ["retry:1000\ndata:test1\n\nid:test\ndata:test2"],
        [Told("message", "test1", "")],
        1000,
    ),
    # WPT eventsource/format-field-event-empty.htm
    (
        "empty event field is message",
        ["event: \ndata:data\n\n"],
        [Told("message", "data", "")],
        None,
    ),
    # WPT eventsource/format-field-retry-bogus.htm
    (
        "bogus retry ignored",
        ["retry:2000\nretry:1000x\ndata:x\n\n"],
        [Told("message", "x", "")],
        2000,
    ),
    # rexxars/eventsource-parser test/parse.test.ts
    (
        "multi-line",
        ["event: stock\ndata: YHOO\ndata: +2\ndata: 10\n\n"],
        [Told("stock", "YHOO\n+2\n10", "")],
        None,
    ),
    # rexxars/eventsource-parser test/parse.test.ts
    (
        "CR endings",
        ["data: dog\rdata: bark\r\rdata: cat\rdata: meow\r\revent: done\ndata: v\n\n"],
        [Told("message", "dog\nbark", ""), Told("message", "cat\nmeow", ""), Told("done", "v", "")],
        None,
    ),
    # rexxars/eventsource-parser test/parse.test.ts
    (
        "CRLF endings",
        ["data: sheep\r\ndata: bleat\r\n\r\n"],
        [Told("message", "sheep\nbleat", "")],
        None,
    ),
    # rexxars/eventsource-parser test/parse.test.ts
    (
        "CRLF split across chunks",
        ["data: A\r\n", "data: B\r", "\n", "data: C\r\n", "\n"],
        [Told("message", "A\nB\nC", "")],
        None,
    ),
    # rexxars/eventsource-parser test/parse.test.ts
    (
        "unknown fields and leading space",
        ["data:abc\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:123\n\n"],
        [Told("message", "abc\n\n123", "")],
        None,
    ),
    # rexxars/eventsource-parser test/parse.test.ts
    (
        "event without data not dispatched",
        ["event:\n\nevent: done\ndata: v\n\n"],
        [Told("done", "v", "")],
        None,
    ),
    # rexxars/eventsource-parser test/parse.test.ts (onId) / WHATWG dispatch step 1
    (
        "id without data still updates",
        ["id: 42\n\ndata: x\n\n"],
        [Told("message", "x", "42")],
        None,
    ),
    # WHATWG: remove one leading space
    ("only one space stripped", ["data:  two\n\n"], [Told("message", " two", "")], None),
]


@pytest.mark.parametrize(
    ("chunks", "events", "retry"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_the_reader_reads_as_browsers_do(
    chunks: list[str], events: list[Told], retry: int | None
) -> None:
    parser = Parser()
    told = [each for chunk in chunks for each in parser.feed(chunk.encode())]
    assert told == events
    assert parser.retry == retry


def read(written: bytes) -> list[Told]:
    return Parser().feed(written)


@given(st.text(st.characters(codec="utf-8")), st.integers(min_value=1, max_value=7))
def test_data_comes_out_as_it_went_in_but_for_line_ends(text: str, size: int) -> None:
    written = sse.event("job.output", text.encode(), "abc")
    parser = Parser()
    told = [
        each
        for start in range(0, len(written), size)
        for each in parser.feed(written[start : start + size])
    ]
    data = text.replace("\r\n", "\n").replace("\r", "\n")
    assert told == [Told("job.output", data, "abc")]


def test_lines_end_in_lf_and_each_line_of_data_is_one() -> None:
    assert sse.event("e", b'{\r\n"a":\r1\n}', "7") == (
        b'event: e\nid: 7\ndata: {\ndata: "a":\ndata: 1\ndata: }\n\n'
    )
    assert sse.event("e", b"1") == b"event: e\ndata: 1\n\n"


def test_what_is_no_event_dispatches_nothing() -> None:
    assert read(sse.comment("still here") + sse.retry(2_000)) == []
    parser = Parser()
    assert parser.feed(sse.moved("9") + sse.event("e", b"1")) == [Told("e", "1", "9")]
    assert parser.feed(sse.retry(2_000)) == []
    assert parser.retry == 2_000


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b"])
def test_an_id_can_not_break_out_of_its_line(bad: str) -> None:
    with pytest.raises(ValueError, match="line end"):
        sse.event("e", b"", bad)
    with pytest.raises(ValueError, match="line end"):
        sse.event(bad, b"")
