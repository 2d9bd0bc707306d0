"""Random answers in random pieces: what the narrow sender believes, aiohttp believes too."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatcher.core.outcome import Answered, NotSent
from dispatcher.testing.clock import ManualClock
from tests.sender.conftest import DEV, PATIENT, SENDERS
from tests.sender.exchange import Verdict, exchange

LINE_ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n ", b""])
SOUND_FIELDS = [
    b"x: y",
    b"Retry-After: 7",
    b"connection: close",
    b"connection: keep-alive",
    b"upgrade: h2c",
    b"content-type: text/plain",
    b"content-encoding: gzip",
]
FRAMING = [
    b"content-length: 0",
    b"content-length: 2",
    b"Content-Length:4",
    b"content-length: 1, 2",
    b"content-length: -1",
    b"content-length : 2",
    b"transfer-encoding: chunked",
    b"Transfer-Encoding: Chunked ",
    b"transfer-encoding: gzip",
    b"transfer-encoding: gzip, chunked",
    b"transfer-encoding:\tchunked",
    b"transfer-encoding: identity",
]
STARTS = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 200",
    b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 304 x",
    b"HTTP/1.1 100 Continue",
    b"HTTP/1.1 101 x",
    b"HTTP/1.1 500 x",
    b"HTTP/1.0 200 OK",
    b"HTTP/2.0 200 OK",
    b"HTTP/1.1 099 x",
    b"RTSP/1.0 200 OK",
]
BODIES = [
    b"",
    b"ok",
    b"four",
    b"0\r\n\r\n",
    b"2\r\nok\r\n0\r\n\r\n",
    b"2;a=b\r\nok\r\n0\r\nx: y\r\n\r\n",
    b"2\nok\n0\n\n",
    b"02\r\nok\r\n0\r\n\r\n\r\n",
    b"2\r\nok\r\n",
    b"ffffffffffffffffff\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
]


@st.composite
def likely(draw: st.DrawFn) -> bytes:
    """Something like one or two answers, with whatever framing."""
    answer = b""
    for _ in range(draw(st.integers(1, 2))):
        lines = [draw(st.sampled_from(STARTS))]
        lines += draw(st.lists(st.sampled_from(SOUND_FIELDS + FRAMING), max_size=4))
        for line in lines:
            answer += line + draw(LINE_ENDS)
        answer += draw(LINE_ENDS) + draw(st.sampled_from(BODIES))
    return answer


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A few bytes changed, taken out, doubled or put in."""
    answer = bytearray(draw(likely()))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(len(answer) - 1, 0)))
        match draw(st.sampled_from(["set", "cut", "add", "double"])):
            case "set":
                answer[at : at + 1] = bytes(
                    [draw(st.sampled_from(b"\r\n\t :;,0\x00\x7f\xff\x01a"))]
                )
            case "cut":
                del answer[at : at + draw(st.integers(1, 4))]
            case "add":
                answer[at:at] = bytes([draw(st.integers(0, 255))])
            case _:
                answer[at:at] = answer[at : at + 12]
    return bytes(answer)


@st.composite
def sound(draw: st.DrawFn) -> bytes:
    """An answer as a receiver should write it."""
    body = draw(st.binary(max_size=200))
    status = draw(st.sampled_from([200, 201, 202, 400, 404, 410, 429, 500, 503]))
    lines = [b"HTTP/1.1 %d Why" % status]
    lines += draw(st.lists(st.sampled_from([*SOUND_FIELDS, b"server: a/1 (b)"]), max_size=5))
    if draw(st.booleans()):
        lines.append(b"Content-Length: %d" % len(body))
    else:
        lines.append(b"Transfer-Encoding: chunked")
        cut = draw(st.integers(0, len(body)))
        parts = [part for part in (body[:cut], body[cut:]) if part]
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    interim = draw(st.sampled_from([b"", b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"]))
    return interim + b"\r\n".join(lines) + b"\r\n\r\n" + body


@st.composite
def in_pieces(draw: st.DrawFn, answers: st.SearchStrategy[bytes]) -> list[bytes]:
    answer = draw(answers)
    cuts = sorted(draw(st.sets(st.integers(0, len(answer)), max_size=4)))
    edges = [0, *cuts, len(answer)]
    return [answer[a:b] for a, b in pairwise(edges) if a < b]


class Senders:
    """Both senders, on one event loop for all examples of a test."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner

    def verdicts(self, pieces: Sequence[bytes]) -> tuple[Verdict, Verdict]:
        return self._one("aiohttp", pieces), self._one("narrow", pieces)

    def _one(self, name: str, pieces: Sequence[bytes]) -> Verdict:
        return self._runner.run(self._exchange(name, pieces))

    async def _exchange(self, name: str, pieces: Sequence[bytes]) -> Verdict:
        sender = SENDERS[name](DEV, PATIENT, ManualClock())
        with contextlib.suppress(ConnectionError):
            try:
                return await exchange(sender, pieces)
            finally:
                await sender.close()
        raise AssertionError("the exchange broke")


@pytest.fixture(params=["asyncio", "uvloop"])
def senders(request: pytest.FixtureRequest) -> Iterator[Senders]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield Senders(runner)


QUIETLY = settings(
    max_examples=150,
    deadline=None,  # the machine may be busy
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@QUIETLY
@given(pieces=in_pieces(mutated()))
def test_what_the_narrow_one_believes_the_other_believes(
    senders: Senders, pieces: list[bytes]
) -> None:
    aiohttp, narrow = senders.verdicts(pieces)
    if isinstance(narrow.result, Answered):
        assert narrow.result == aiohttp.result
    else:
        assert isinstance(narrow.result, NotSent)
        assert narrow.result.code in {"bad-answer", "closed"}, narrow.result
        assert "log" not in narrow.result.detail, "no answer is a defect of ours"
    if narrow.again:
        assert aiohttp.again
    if isinstance(aiohttp.result, NotSent) and isinstance(narrow.result, NotSent):
        assert (aiohttp.result.code, narrow.result.code) != ("bad-answer", "closed")


@QUIETLY
@given(pieces=in_pieces(sound()))
def test_what_is_sound_both_believe_alike(senders: Senders, pieces: list[bytes]) -> None:
    aiohttp, narrow = senders.verdicts(pieces)
    assert isinstance(narrow.result, Answered)
    assert aiohttp == narrow
