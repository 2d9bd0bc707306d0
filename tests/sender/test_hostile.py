"""Receivers that mean harm, or don't know better: bounded in time and memory, and told plainly."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import os
import resource
import socket
import time
from collections.abc import Awaitable
from pathlib import Path

import pytest

from dispatcher.core.outcome import Answered, NotSent, SendResult
from dispatcher.testing.receiver import Arrival, Hang, Raw, Receiver, Reply, Script, Wire
from tests.sender.conftest import QUICK, AnySender, MakeSender, callout

OK = b"HTTP/1.1 200 OK\r\n"
MEGABYTE = 2**20


def endless(head: bytes, piece: bytes) -> Script:
    async def script(wire: Wire, _: Arrival) -> None:
        await wire.send(head)
        while True:
            await wire.send(piece)

    return script


def dripping(head: bytes, data: bytes) -> Script:
    """A byte every few milliseconds: no single read is ever late."""

    async def script(wire: Wire, _: Arrival) -> None:
        await wire.send(head)
        for start in range(len(data)):
            await wire.send(data[start : start + 1])
            if await wire.gone(within_seconds=0.005):
                return

    return script


async def send_to(sender: AnySender, answer: Script | Raw | Hang) -> SendResult:
    """Send once; afterwards the connection must be gone, whatever the receiver still wants."""
    async with Receiver(answer) as receiver:
        result = await sender.send(callout(receiver.url))
        await receiver.left(1)
        assert len(receiver.arrivals) == 1
        assert receiver.connection_count == 1
    return result


# --- Time --------------------------------------------------------------------------------------

TOO_SLOW: dict[str, tuple[Script | Raw | Hang, int | None]] = {
    "no answer": (Hang(), None),
    "a head that drips": (dripping(OK, b"x-long: " + b"a" * 4_000), None),
    "half a status line": (Raw(b"HTTP/1.1 2", close=False), None),
    "half a head": (Raw(OK + b"content-length: 0\r\n", close=False), None),
    "a body that drips": (dripping(OK + b"content-length: 999\r\n\r\n", b"a" * 999), 200),
    "a body that never comes": (Raw(OK + b"content-length: 5\r\n\r\n", close=False), 200),
    "a body without end": (Raw(OK + b"\r\nhello", close=False), 200),
    "chunks that drip": (
        dripping(OK + b"transfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 999),
        200,
    ),
    "no last chunk": (Raw(OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n", close=False), 200),
    "only an interim answer": (Raw(b"HTTP/1.1 100 Continue\r\n\r\n", close=False), None),
}


@pytest.mark.parametrize("name", TOO_SLOW)
async def test_one_deadline_holds_however_it_is_spent(make_sender: MakeSender, name: str) -> None:
    answer, status = TOO_SLOW[name]
    began = time.monotonic()
    result = await send_to(make_sender(terms=QUICK), answer)
    assert isinstance(result, NotSent)
    assert (result.code, result.status_code) == ("timeout", status)
    assert result.detail == (
        "no complete answer within 0.2 s"
        if status is None
        else "no end of the answer's body within 0.2 s"
    )
    assert time.monotonic() - began < 2


async def test_a_receiver_that_reads_nothing_holds_no_connection(make_sender: MakeSender) -> None:
    async def unread(wire: Wire) -> None:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a StreamWriter's is a full Transport
        await asyncio.Event().wait()

    async with Receiver(greet=unread) as receiver:
        sender = make_sender(terms=QUICK)
        result = await sender.send(callout(receiver.url, b"x" * 16 * MEGABYTE))
        assert isinstance(result, NotSent)
        assert result.code == "timeout"
        await asyncio.sleep(0)  # the loop closes what was aborted
        assert _sockets_to(receiver.port) == 0


def _sockets_to(port: int) -> int:
    """How many sockets of this process lead to the port of this machine."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(entry.name))) as copy:
            count += copy.family == socket.AF_INET and copy.getpeername()[1] == port
    return count


# --- Size --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (OK + b"\r\n", b"a" * 65_536),
        (OK + b"content-length: 99999999999\r\n\r\n", b"a" * 65_536),
        (OK + b"transfer-encoding: chunked\r\n\r\n", b"10000\r\n" + b"a" * 65_536 + b"\r\n"),
        (OK + b"transfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 10_000),
        (OK + b"transfer-encoding: chunked\r\n\r\n", b"1;" + b"x" * 60_000 + b"\r\na\r\n"),
    ],
    ids=["until the end", "long", "chunks", "tiny chunks", "long chunk extensions"],
)
async def test_an_endless_body_is_cut_and_its_status_counts(
    sender: AnySender, head: bytes, piece: bytes
) -> None:
    wires: list[Wire] = []

    async def script(wire: Wire, arrival: Arrival) -> None:
        wires.append(wire)
        await endless(head, piece)(wire, arrival)

    result = await send_to(sender, script)
    assert isinstance(result, Answered)
    assert result.status_code == 200
    assert result.body is not None
    assert result.body == b"a" * len(result.body)
    assert len(result.body) == 4_096 or piece.startswith(b"1;")
    # What the receiver could write are the buffers of the two sockets, not what it liked.
    assert wires[0].sent_bytes < 16 * MEGABYTE


@pytest.mark.parametrize("size", [65_536, 65_537, 70_000, 80_000])
async def test_a_connection_is_used_again_only_when_all_was_read(
    sender: AnySender, size: int
) -> None:
    async with Receiver(Reply(200, b"a" * size)) as receiver:
        for _ in range(2):
            result = await sender.send(callout(receiver.url))
            assert result == Answered(status_code=200, duration_ms=0, body=b"a" * 4_096)
        arrivals = await receiver.received(2)
    assert arrivals[1].connection == (1 if size == 65_536 else 2)


async def test_a_gzip_bomb_stays_wrapped(sender: AnySender) -> None:
    bomb = gzip.compress(b"\0" * 20 * MEGABYTE)
    assert len(bomb) < 65_536
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    head = b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)
    result = await send_to(sender, Raw(OK + head + bomb))
    assert result == Answered(status_code=200, duration_ms=0, body=bomb[:4_096])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_240  # KiB


@pytest.mark.parametrize("coding", [b"deflate", b"br", b"gzip", b"zstd", b"nonsense"])
async def test_a_content_coding_is_nothing_to_us(sender: AnySender, coding: bytes) -> None:
    head = b"content-encoding: " + coding + b"\r\ncontent-length: 4\r\n\r\n"
    result = await send_to(sender, Raw(OK + head + b"junk"))
    assert result == Answered(status_code=200, duration_ms=0, body=b"junk")


HUGE_HEADS: dict[str, Script | Raw] = {
    "a long field": Raw(OK + b"x: " + b"a" * 9_000 + b"\r\ncontent-length: 0\r\n\r\n"),
    "a long name": Raw(OK + b"x" * 9_000 + b": a\r\ncontent-length: 0\r\n\r\n"),
    "a long reason": Raw(b"HTTP/1.1 200 " + b"a" * 9_000 + b"\r\ncontent-length: 0\r\n\r\n"),
    "many fields": Raw(
        OK + b"".join(b"x-%d: a\r\n" % n for n in range(1_000)) + b"content-length: 0\r\n\r\n"
    ),
    "fields without end": endless(OK, b"x: a\r\n" * 1_000),
    "large fields without end": endless(OK, (b"x: " + b"a" * 8_000 + b"\r\n") * 10),
    "a field without end": endless(OK + b"x: ", b"a" * 10_000),
    "a status line without end": endless(b"HTTP/1.1 200 ", b"a" * 10_000),
    "trailers without end": endless(
        OK + b"transfer-encoding: chunked\r\n\r\n0\r\n", b"x: a\r\n" * 1_000
    ),
    "interim answers without end": endless(b"", b"HTTP/1.1 100 \r\n\r\n" * 1_000),
    "early hints without end": endless(b"", b"HTTP/1.1 103 x\r\nlink: </a>\r\n\r\n" * 1_000),
}


@pytest.mark.parametrize("name", HUGE_HEADS)
async def test_a_huge_head_is_refused_soon(sender: AnySender, name: str) -> None:
    result, slowest = await _slowest_turn_during(send_to(sender, HUGE_HEADS[name]))
    assert isinstance(result, NotSent)
    assert result.code == "bad-answer", result
    assert_plain(result.detail)
    assert slowest < 0.1, "a flood holds up everybody"


async def _slowest_turn_during(act: Awaitable[SendResult]) -> tuple[SendResult, float]:
    """The result, and the most seconds of CPU time before the event loop came round again."""
    slowest = 0.0

    async def watch() -> None:
        nonlocal slowest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            slowest = max(slowest, time.thread_time() - before)

    gc.disable()  # a collection goes through all that a suite of 9,000 tests has loaded
    try:
        watching = asyncio.create_task(watch())
        result = await act
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    finally:
        gc.enable()
    return result, slowest


# --- What is no answer -------------------------------------------------------------------------

CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"

BAD_ANSWERS: dict[str, tuple[bytes, str, int | None]] = {
    "nothing": (b"", "closed", None),
    "half a status line": (b"HTTP/1.1 2", "closed", None),
    "half a head": (OK + b"content-le", "closed", None),
    "half a body": (OK + b"content-length: 10\r\n\r\nhalf", "closed", 200),
    "no last chunk": (CHUNKED + b"3\r\nabc\r\n", "closed", 200),
    "half a chunk": (CHUNKED + b"30\r\nabc", "closed", 200),
    "garbage": (b"\x00\x01\x02\xff" * 100, "bad-answer", None),
    "another protocol": (b"SSH-2.0-OpenSSH_9.6\r\n", "bad-answer", None),
    "mail": (b"220 mail.example ESMTP\r\n", "bad-answer", None),
    "HTTP/2": (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\0" * 18, "bad-answer", None),
    "TLS": (b"\x15\x03\x01\x00\x02\x02\x46", "bad-answer", None),
    "a page without a head": (b"<html>HTTP/0.9</html>", "bad-answer", None),
    "no status": (b"HTTP/1.1 \r\n\r\n", "bad-answer", None),
    "a status of letters": (b"HTTP/1.1 abc OK\r\n\r\n", "bad-answer", None),
    "a status too long": (b"HTTP/1.1 2000 OK\r\n\r\n", "bad-answer", None),
    "a version unheard of": (b"HTTP/9.9 200 OK\r\n\r\n", "bad-answer", None),
    "a field without a colon": (OK + b"nonsense\r\n\r\n", "bad-answer", None),
    "NUL in a field": (OK + b"x: a\0b\r\ncontent-length: 0\r\n\r\n", "bad-answer", None),
    "two lengths": (
        OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\nabc",
        "bad-answer",
        None,
    ),
    "a length of two": (OK + b"content-length: 2, 3\r\n\r\nabc", "bad-answer", None),
    "a negative length": (OK + b"content-length: -1\r\n\r\n", "bad-answer", None),
    "a length of hex": (OK + b"content-length: 0x1\r\n\r\na", "bad-answer", None),
    "a length past 64 bits": (
        OK + b"content-length: " + b"9" * 30 + b"\r\n\r\n",
        "bad-answer",
        None,
    ),
    "length and chunks": (
        OK + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "bad-answer",
        None,
    ),
    "a chunk size of letters": (CHUNKED + b"zz\r\nabc\r\n", "bad-answer", 200),
    "a chunk longer than it says": (CHUNKED + b"1\r\nabc\r\n0\r\n\r\n", "bad-answer", 200),
    "a chunk size past 64 bits": (CHUNKED + b"f" * 20 + b"\r\n", "bad-answer", 200),
    "a negative chunk": (CHUNKED + b"-1\r\n", "bad-answer", 200),
}


@pytest.mark.parametrize("pieces", ["at once", "in two"])
@pytest.mark.parametrize("name", BAD_ANSWERS)
async def test_what_is_no_answer_is_told_plainly(sender: AnySender, name: str, pieces: str) -> None:
    data, code, status = BAD_ANSWERS[name]
    head, separator, rest = data.partition(b"\r\n\r\n")

    async def script(wire: Wire, _: Arrival) -> None:
        if pieces == "at once" or not separator:
            await wire.send(data)
            return
        await wire.send(head + separator)
        await wire.gone(within_seconds=0.02)
        await wire.send(rest)

    result = await send_to(sender, script)
    assert isinstance(result, NotSent), result
    assert result.code == code, result
    assert result.status_code in (status, None), result
    assert_plain(result.detail)


def assert_plain(detail: str) -> None:
    """For a person: a sentence without Python in it."""
    assert 10 < len(detail) < 300
    assert detail.isprintable()
    for word in (
        "Error",
        "Exception",
        "object at",
        "b'",
        "None",
        "Traceback",
        "\\x",
        "bytearray",
        "aiohttp",
    ):
        assert word not in detail, detail


async def test_a_reset_is_told_plainly(sender: AnySender) -> None:
    async def script(wire: Wire, _: Arrival) -> None:
        wire.reset()

    result = await send_to(sender, script)
    assert isinstance(result, NotSent)
    assert result.code == "closed"
    assert_plain(result.detail)


async def test_a_reset_within_the_body_keeps_the_status(sender: AnySender) -> None:
    async def script(wire: Wire, _: Arrival) -> None:
        await wire.send(OK + b"content-length: 10\r\n\r\nabc")
        await wire.gone(within_seconds=0.02)
        wire.reset()

    result = await send_to(sender, script)
    assert isinstance(result, NotSent)
    assert (result.code, result.status_code) == ("closed", 200)
    assert_plain(result.detail)


async def test_a_receiver_that_only_stops_sending_has_closed(sender: AnySender) -> None:
    async def half_open(wire: Wire, _: Arrival) -> None:
        wire.writer.write_eof()
        await wire.gone()

    result = await send_to(sender, half_open)
    assert isinstance(result, NotSent)
    assert result.code == "closed"


async def test_a_port_that_nothing_listens_at_is_told_as_refused(sender: AnySender) -> None:
    async with Receiver() as receiver:
        url = receiver.url
    result = await sender.send(callout(url))
    assert isinstance(result, NotSent)
    assert result.code == "connect"
    assert "refused" in result.detail.lower()
    assert_plain(result.detail)


async def test_an_answer_before_the_whole_request_was_read_counts(sender: AnySender) -> None:
    async def early(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nno!")
        await wire.gone()

    async with Receiver(greet=early) as receiver:
        result = await sender.send(callout(receiver.url, b"x" * 8 * MEGABYTE))
    assert result == Answered(status_code=413, duration_ms=0, body=b"no!")
