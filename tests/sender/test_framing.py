"""Where an answer begins and ends: both senders alike, or the narrow one stricter, with its reason.

A verdict is the status or the fault, and whether the connection was used "again" or only "once".
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.sender.conftest import MakeSender
from tests.sender.exchange import exchange

OK = b"HTTP/1.1 200 OK\r\n"
END = b"content-length: 2\r\n\r\nok"
CHUNKS = OK + b"transfer-encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"

ALIKE: dict[str, tuple[bytes, str]] = {
    "a plain one": (OK + END, "200 again"),
    "bytes above 127 in a field": (OK + b"x: a\xffb\r\n" + END, "200 again"),
    "bytes above 127 in the reason": (b"HTTP/1.1 200 \xff\r\n" + END, "200 again"),
    "no reason": (b"HTTP/1.1 200\r\n" + END, "200 again"),
    "zeros before the length": (OK + b"content-length: 02\r\n\r\nok", "200 again"),
    "blanks behind the length": (OK + b"content-length: 2 \t\r\n\r\nok", "200 again"),
    "a protocol offered": (OK + b"connection: upgrade\r\nupgrade: h2c\r\n" + END, "200 again"),
    "a field twice": (OK + b"content-type: a\r\ncontent-type: b\r\n" + END, "200 again"),
    "128 fields": (OK + b"x: a\r\n" * 127 + END, "200 again"),
    "a field as long as may be": (OK + b"x: " + b"a" * 8_189 + b"\r\n" + END, "200 again"),
    "204": (b"HTTP/1.1 204 N\r\n\r\n", "204 again"),
    "204 with a length of 0": (b"HTTP/1.1 204 N\r\ncontent-length: 0\r\n\r\n", "204 again"),
    "304 with a length": (b"HTTP/1.1 304 N\r\ncontent-length: 9\r\n\r\n", "304 again"),
    "an interim answer first": (b"HTTP/1.1 100 C\r\n\r\n" + OK + END, "200 again"),
    "an unknown interim answer": (b"HTTP/1.1 199 C\r\nx: y\r\n\r\n" + OK + END, "200 again"),
    "chunks": (CHUNKS + b"2\r\nok\r\n" + LAST, "200 again"),
    "chunks in capitals": (
        OK + b"Transfer-Encoding: CHUNKED\r\n\r\n2\r\nok\r\n" + LAST,
        "200 again",
    ),
    "chunk extensions": (CHUNKS + b'2;a="x;y"\r\nok\r\n0;c\r\n\r\n', "200 again"),
    "zeros before a chunk size": (CHUNKS + b"0002\r\nok\r\n000\r\n\r\n", "200 again"),
    "a trailer": (CHUNKS + b"2\r\nok\r\n0\r\nx: y\r\n\r\n", "200 again"),
    "a coding in the trailer": (
        CHUNKS + b"2\r\nok\r\n0\r\ntransfer-encoding: gzip\r\n\r\n",
        "200 again",
    ),
    "HTTP/1.0 that stays": (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n" + END, "200 again"),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n" + END, "200 once"),
    "HTTP/1.0 with chunks": (
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n" + LAST,
        "200 once",
    ),
    "close": (OK + b"connection: close\r\n" + END, "200 once"),
    "close among others": (OK + b"connection: x, CLOSE\r\n" + END, "200 once"),
    "close beside keep-alive": (
        OK + b"connection: keep-alive\r\nconnection: close\r\n" + END,
        "200 once",
    ),
    "close with 204": (b"HTTP/1.1 204 N\r\nconnection: close\r\n\r\n", "204 once"),
    "until it is closed": (OK + b"\r\nbody", "200 once"),
    "101": (b"HTTP/1.1 101 S\r\n\r\nframes", "101 once"),
    "101 that says to what": (
        b"HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nframes",
        "101 once",
    ),
    "half a body": (OK + b"content-length: 9\r\n\r\nok", "closed once"),
    "half a chunk": (CHUNKS + b"9\r\nok", "closed once"),
    "half a head": (OK + b"content-length: 2\r\n", "closed once"),
    "a blank before it": (b" " + OK + END, "bad-answer once"),
    "CR in a field": (OK + b"x: a\rb\r\n" + END, "bad-answer once"),
    "NUL in a field": (OK + b"x: a\0b\r\n" + END, "bad-answer once"),
    "a blank in a name": (OK + b"x y: a\r\n" + END, "bad-answer once"),
    "no name": (OK + b": a\r\n" + END, "bad-answer once"),
    "bytes above 127 in a name": (OK + b"x\xff: a\r\n" + END, "bad-answer once"),
    "no colon": (OK + b"x;y\r\n" + END, "bad-answer once"),
    "the same length twice": (OK + b"content-length: 2\r\n" + END, "bad-answer once"),
    "a list of one length": (OK + b"content-length: 2, 2\r\n\r\nok", "bad-answer once"),
    "a length with a sign": (OK + b"content-length: +2\r\n\r\nok", "bad-answer once"),
    "a length of nothing": (OK + b"content-length:\r\n\r\nok", "bad-answer once"),
    "a length and chunks": (
        OK + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nok\r\n" + LAST,
        "bad-answer once",
    ),
    "LF behind a chunk size": (CHUNKS + b"2\nok\n0\n\n", "bad-answer once"),
    "no line end behind a chunk": (CHUNKS + b"2\r\nok" + LAST, "bad-answer once"),
    "0x before a chunk size": (CHUNKS + b"0x2\r\nok\r\n" + LAST, "bad-answer once"),
    "no chunk size": (CHUNKS + b"\r\nok\r\n" + LAST, "bad-answer once"),
    "NUL in a chunk extension": (CHUNKS + b"2;\0\r\nok\r\n" + LAST, "bad-answer once"),
    "a length in the trailer": (
        CHUNKS + b"2\r\nok\r\n0\r\ncontent-length: 9\r\n\r\n",
        "bad-answer once",
    ),
    "a trailer without end": (CHUNKS + b"0\r\nx: " + b"a" * 30_000, "bad-answer once"),
    "HTTP/1.2": (b"HTTP/1.2 200 OK\r\n" + END, "bad-answer once"),
    "small letters": (b"http/1.1 200 OK\r\n" + END, "bad-answer once"),
    "a status of two digits": (b"HTTP/1.1 20 OK\r\n" + END, "bad-answer once"),
    "two blanks before the status": (b"HTTP/1.1  200 OK\r\n" + END, "bad-answer once"),
    "129 fields": (OK + b"x: a\r\n" * 128 + END, "bad-answer once"),
    "a field too long": (OK + b"x: " + b"a" * 8_190 + b"\r\n" + END, "bad-answer once"),
    "close in an interim answer": (
        b"HTTP/1.1 100 C\r\nconnection: close\r\n\r\n" + OK + END,
        "bad-answer once",
    ),
    "eight bytes that no field announces": (
        OK + b"sec-websocket-key1: a\r\n" + END,
        "bad-answer once",
    ),
    "garbage behind it": (OK + END + b"\0\1", "bad-answer once"),
    "more than its length": (OK + END + b"more", "bad-answer once"),
    "more than a length of 0": (OK + b"content-length: 0\r\n\r\nok", "bad-answer once"),
    "more than the last chunk": (CHUNKS + b"2\r\nok\r\n" + LAST + b"ok", "bad-answer once"),
    "204 with a body": (
        b"HTTP/1.1 204 N\r\ncontent-length: 5\r\n\r\nhello",
        "bad-answer once",
    ),
    "204 with chunks": (
        b"HTTP/1.1 204 N\r\ntransfer-encoding: chunked\r\n\r\n" + LAST,
        "bad-answer once",
    ),
}


class Stricter(NamedTuple):
    answer: bytes
    aiohttp: str
    narrow: str


# RFC 9112, 2.2 lets a recipient take LF for a line end, and 6.1 lets nobody apply a coding that was
# not offered. What is lenient in one reader and not in another is what smuggling is made of.
STRICTER: dict[str, Stricter] = {
    "lines that end with LF": Stricter(
        b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", "200 again", "bad-answer once"
    ),
    "a folded field": Stricter(OK + b"x: a\r\n b\r\n" + END, "200 again", "bad-answer once"),
    "a folded length": Stricter(
        OK + b"content-length:\r\n 2\r\n\r\nok", "200 again", "bad-answer once"
    ),
    "a blank before the colon": Stricter(
        OK + b"content-length : 2\r\n\r\nok", "200 again", "bad-answer once"
    ),
    "an empty line before it": Stricter(b"\r\n" + OK + END, "200 again", "bad-answer once"),
    "a control character in a field": Stricter(
        OK + b"x: a\x01b\r\n" + END, "200 again", "bad-answer once"
    ),
    "a control character in the reason": Stricter(
        b"HTTP/1.1 200 a\0b\r\n" + END, "200 again", "bad-answer once"
    ),
    "a coding besides chunks": Stricter(
        OK + b"transfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n" + LAST,
        "200 again",
        "bad-answer once",
    ),
    "a coding behind chunks": Stricter(
        OK + b"transfer-encoding: chunked, gzip\r\n\r\nok", "200 once", "bad-answer once"
    ),
    "a coding that ends with the connection": Stricter(
        OK + b"transfer-encoding: gzip\r\n\r\nok", "200 once", "bad-answer once"
    ),
    "a coding that looks like chunks": Stricter(
        OK + b"transfer-encoding: xchunked\r\n\r\n2\r\nok\r\n" + LAST,
        "200 once",
        "bad-answer once",
    ),
    "chunks twice": Stricter(
        OK + b"transfer-encoding: chunked\r\n" * 2 + b"\r\n2\r\nok\r\n" + LAST,
        "200 again",
        "bad-answer once",
    ),
    "a blank behind a chunk size": Stricter(
        CHUNKS + b"2 \r\nok\r\n" + LAST, "200 again", "bad-answer once"
    ),
    "LF behind a chunk extension": Stricter(
        CHUNKS + b"2;a\nok\r\n" + LAST, "200 again", "bad-answer once"
    ),
    "HTTP/2.0": Stricter(b"HTTP/2.0 200 OK\r\n" + END, "200 once", "bad-answer once"),
    "HTTP/0.9": Stricter(b"HTTP/0.9 200 OK\r\n" + END, "200 once", "bad-answer once"),
    "RTSP": Stricter(b"RTSP/1.0 200 OK\r\n" + END, "200 once", "bad-answer once"),
    "a status below 100": Stricter(b"HTTP/1.1 099 X\r\n" + END, "99 again", "bad-answer once"),
    "an interim answer with a length": Stricter(
        b"HTTP/1.1 102 C\r\ncontent-length: 3\r\n\r\n" + OK + END, "200 again", "bad-answer once"
    ),
    "an interim answer with chunks": Stricter(
        b"HTTP/1.1 103 C\r\ntransfer-encoding: chunked\r\n\r\n" + OK + END,
        "200 again",
        "bad-answer once",
    ),
    # What stands behind an answer: its length is wrong, or somebody split it.
    "a second answer behind it": Stricter(OK + END + OK + END, "200 once", "bad-answer once"),
    "an interim answer behind it": Stricter(
        OK + END + b"HTTP/1.1 100 C\r\n\r\n", "200 once", "bad-answer once"
    ),
    # A slip of some receivers: it spoils the connection, but not the callback.
    "an empty line behind it": Stricter(OK + END + b"\r\n", "200 again", "200 once"),
    "an empty line behind the last chunk": Stricter(
        CHUNKS + b"2\r\nok\r\n" + LAST + b"\r\n", "200 again", "200 once"
    ),
    "204 with a length": Stricter(
        b"HTTP/1.1 204 N\r\ncontent-length: 5\r\n\r\n", "204 again", "204 once"
    ),
}


@pytest.mark.parametrize("name", ALIKE)
async def test_both_say_the_same(make_sender: MakeSender, name: str) -> None:
    answer, verdict = ALIKE[name]
    assert str(await exchange(make_sender(), [answer])) == verdict


@pytest.mark.parametrize("name", STRICTER)
async def test_the_narrow_one_is_stricter(
    make_sender: MakeSender, sender_name: str, name: str
) -> None:
    case = STRICTER[name]
    expected = case.narrow if sender_name == "narrow" else case.aiohttp
    assert str(await exchange(make_sender(), [case.answer])) == expected


@pytest.mark.parametrize("name", [*ALIKE, *STRICTER])
async def test_pieces_of_a_byte_change_nothing(
    make_sender: MakeSender, sender_name: str, name: str
) -> None:
    """But for what stands behind an answer: come later, it is something unasked."""
    case = STRICTER.get(name)
    answer, verdict = ALIKE[name] if case is None else (case.answer, getattr(case, sender_name))
    if len(answer) > 2_000:
        pytest.skip("tried by the caps")
    pieces = [answer[at : at + 1] for at in range(len(answer))]
    found = await exchange(make_sender(), pieces)
    behind = "behind it" in name or "more than" in name or name.startswith("204 with")
    if behind or name.endswith("behind the last chunk"):
        status = answer[9:12].decode()
        assert str(found) in (verdict, f"{status} once")
    else:
        assert str(found) == verdict
