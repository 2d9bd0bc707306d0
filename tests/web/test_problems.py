"""Whatever goes wrong is told as a problem (RFC 9457), with a Request-Id."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from dispatcher.core.errors import (
    SchemaMismatch,
    Stopping,
    StoreCorrupt,
    StoreUnavailable,
)
from dispatcher.web import body as body_module
from tests.web.edge import Answer, Edge

ECHO = {"type": "dispatcher.echo", "input": {"hello": "world"}}
MIB = 1_048_576


def checked(answer: Answer) -> dict[str, Any]:
    """The problem's members, as RFC 9457 (3.1) has them."""
    problem: dict[str, Any] = answer.json
    assert answer.headers["Server"] == "dispatcher"  # and no version
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Request-Id"]
    assert problem["status"] == answer.status
    assert problem["instance"].startswith("/")
    assert all(isinstance(problem[name], str) for name in ("type", "title", "detail", "code"))
    assert problem["detail"]
    return problem


def split(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    return Answer(int(status.split()[1]), headers, body)


# --- aiohttp's own refusals --------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/jobs/", "//v1/jobs", "/v2/jobs", "/dev/inbox"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "PROPFIND"])
async def test_an_unknown_path_is_a_404(edge: Edge, method: str, path: str) -> None:
    answer = await edge.call(method, path, key=None)
    assert (answer.status, checked(answer)["code"]) == (404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/jobs", "GET, HEAD, POST"),
        ("PUT", "/v1/jobs/job_1", "DELETE, GET, HEAD"),
        ("GET", "/v1/jobs/job_1/cancel", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("OPTIONS", "/v1/jobs", "GET, HEAD, POST"),
    ],
)
async def test_another_method_is_a_405_that_names_the_allowed(
    edge: Edge, method: str, path: str, allow: str
) -> None:
    answer = await edge.call(method, path)
    assert (answer.status, checked(answer)["code"]) == (405, "method-not-allowed")
    assert answer.headers["Allow"] == allow


async def test_head_is_get_without_a_body(edge: Edge) -> None:
    got = await edge.call("GET", "/v1/jobs")
    head = await edge.call("HEAD", "/v1/jobs")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str(len(got.body))
    refused = await edge.call("HEAD", "/v1/jobs", key=None)
    assert (refused.status, refused.body) == (401, b"")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"garbage\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Name: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 10_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 1_000 + b"\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0",
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the beginning of TLS
    ],
)
async def test_what_is_not_http_is_a_400(edge: Edge, request_bytes: bytes) -> None:
    answer = split(await edge.raw(request_bytes))
    assert (answer.status, checked(answer)["code"]) == (400, "malformed-request")
    assert answer.headers["Connection"] == "close"
    assert "bytearray" not in answer.body.decode()


@pytest.mark.parametrize("path", [b"/v1/jobs", b"/nope", b"/dev/inbox"])
@pytest.mark.parametrize("coding", [b"gzip, chunked", b"x-own, chunked", b",chunked"])
async def test_a_transfer_coding_that_is_not_understood_is_a_501(
    edge: Edge, coding: bytes, path: bytes
) -> None:
    # RFC 9112, 6.1. Where chunked is not the last, the parser refuses with a 400 (6.3).
    body = json.dumps(ECHO).encode()
    answer = split(
        await edge.raw(
            b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer dsp_ada\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: " + coding + b"\r\n\r\n"
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        )
    )
    assert (answer.status, checked(answer)["code"]) == (501, "unknown-transfer-coding")
    assert answer.headers["Connection"] == "close"
    assert not edge.taking.submissions


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b" chunked "])
async def test_chunked_is_read_in_any_case(edge: Edge, coding: bytes) -> None:
    body = json.dumps(ECHO).encode()
    answer = split(
        await edge.raw(
            b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer dsp_ada\r\n"
            b"Content-Type: application/json\r\nConnection: close\r\n"
            b"Transfer-Encoding: " + coding + b"\r\n\r\n"
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        )
    )
    assert answer.status == 202


@pytest.mark.parametrize("path", [b"/v1/jobs", b"/nope"])
async def test_an_expectation_that_cannot_be_met_is_a_417(edge: Edge, path: bytes) -> None:
    answer = split(
        await edge.raw(
            b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nExpect: coffee\r\n"
            b"Connection: close\r\nContent-Length: 0\r\n\r\n"
        )
    )
    assert (answer.status, checked(answer)["code"]) == (417, "expectation-failed")


async def test_a_body_is_asked_for_if_it_may_come(edge: Edge) -> None:
    head = (
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer dsp_ada\r\n"
        b"Content-Type: application/json\r\nExpect: 100-continue\r\nConnection: close\r\n"
    )
    body = json.dumps(ECHO).encode()
    whole = await edge.raw(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    first, _, rest = whole.partition(b"\r\n\r\n")
    assert first == b"HTTP/1.1 100 Continue"
    assert split(rest).status == 202


async def test_a_body_that_is_too_large_is_not_asked_for(edge: Edge) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer dsp_ada\r\n"
        b"Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n"
    )
    assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.close()
    await writer.wait_closed()


# --- Bodies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_body_that_is_too_large_is_a_413(edge: Edge, framing: str) -> None:
    size = 10 * MIB

    async def pieces() -> Any:
        for _ in range(size // 65_536):
            yield b"x" * 65_536

    headers = {"Content-Type": "application/json"}
    if framing == "length":
        headers["Content-Length"] = str(size)
    answer = await edge.call("POST", "/v1/jobs", data=pieces(), headers=headers)
    assert (answer.status, checked(answer)["code"]) == (413, "body-too-large")
    assert not edge.taking.submissions


async def test_a_body_of_just_a_mebibyte_is_taken(edge: Edge) -> None:
    body = json.dumps(ECHO).encode()
    assert (await edge.submit(body + b" " * (MIB - len(body)))).status == 202
    assert (await edge.submit(body + b" " * (MIB - len(body) + 1))).status == 413


async def test_a_body_that_comes_in_pieces_is_whole(edge: Edge) -> None:
    async def pieces() -> Any:
        for byte in json.dumps(ECHO).encode():
            yield bytes([byte])

    headers = {"Content-Type": "application/json"}
    answer = await edge.call("POST", "/v1/jobs", data=pieces(), headers=headers)
    assert answer.status == 202
    assert edge.taking.submissions[0].input == b'{"hello": "world"}'


async def test_a_body_that_drips_is_a_408(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "_SECONDS", 0.05)
    answer = split(
        await edge.raw(
            b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer dsp_ada\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
    )
    assert (answer.status, checked(answer)["code"]) == (408, "body-too-slow")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {},
    ],
)
async def test_another_media_type_is_a_415(edge: Edge, headers: dict[str, str]) -> None:
    answer = await edge.call("POST", "/v1/jobs", data=json.dumps(ECHO).encode(), headers=headers)
    assert (answer.status, checked(answer)["code"]) == (415, "wrong-media-type")
    assert answer.headers["Accept"] == "application/json"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"nul",
        b"{'type':1}",
        b'{"type":"dispatcher.echo","input":1,}',
        b'{"type":"dispatcher.echo","input":01}',
        b'{"type":"dispatcher.echo","input":NaN}',
        b'{"type":"dispatcher.echo","input":1} 2',
        b'{"type":"dispatcher.echo","input":"\n"}',
        b'{"type":"dispatcher.echo","input":"\x00"}',
        b'{"type":"dispatcher.echo","input":"\\ud800"}',
        b'{"type":"dispatcher.echo","input":"\xff"}',
        b'{"type":"dispatcher.echo","\xff":1}',
        b'{"nope":1,"priority":99,"type":"dispatcher.echo","input":{]}',
        b"\xef\xbb\xbf{}",
        '{"type":"dispatcher.echo","input":1}'.encode("utf-16"),
    ],
)
async def test_what_is_not_json_is_a_400(edge: Edge, body: bytes) -> None:
    answer = await edge.submit(body)
    assert (answer.status, checked(answer)["code"]) == (400, "malformed-json")
    assert not edge.taking.submissions


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"dispatcher.echo","input":"\\ud800"}',
        b'{"type":"dispatcher.echo","input":{"a":"\\udc00x"}}',
        b'{"type":"dispatcher.echo","input":["\\ud800\\u0041"]}',
        b'{"type":"dispatcher.echo","input":1,"correlationId":"\\ud800"}',
        b'{"\\ud800":"dispatcher.echo","input":1}',
        b'{"type":"report.generate","input":{"pages":"\\ud800"}}',
    ],
)
async def test_half_a_surrogate_pair_is_told_as_what_it_is(edge: Edge, body: bytes) -> None:
    answer = await edge.submit(body)
    assert (answer.status, checked(answer)["code"]) == (400, "malformed-json")
    assert "surrogate" in answer.json["detail"]
    assert "truncated" not in answer.json["detail"]


@pytest.mark.parametrize(
    ("body", "word"), [(b"", "empty"), (b" \n", "empty"), (b"\xef\xbb\xbf{}", "byte order mark")]
)
async def test_what_nobody_sees_is_told_as_what_it_is(edge: Edge, body: bytes, word: str) -> None:
    answer = await edge.submit(body)
    assert (answer.status, checked(answer)["code"]) == (400, "malformed-json")
    assert word in answer.json["detail"]


@pytest.mark.parametrize("body", [b'{"type":"dispatcher.echo","input":"\\ud800', b'{"type":"x'])
async def test_a_body_that_breaks_off_is_told_as_such(edge: Edge, body: bytes) -> None:
    assert "truncated" in (await edge.submit(body)).json["detail"]


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"x"', b"[" * 100_000])
async def test_what_is_no_object_is_a_422(edge: Edge, body: bytes) -> None:
    answer = await edge.submit(body)
    assert answer.status == 422
    checked(answer)
    assert answer.pointers == [""]


async def test_a_hundred_thousand_brackets_are_a_422(edge: Edge) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    answer = await edge.submit(b'{"type":"dispatcher.echo","input":' + deep + b"}")
    assert (answer.status, answer.pointers) == (422, ["/input"])
    assert (await edge.submit(ECHO)).status == 202  # and the service goes on


# --- The store and the process -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "retry_after"),
    [
        (StoreUnavailable("disk full: /data/jobs.db"), "store-unavailable", "1"),
        (Stopping("draining"), "stopping", "1"),
        (StoreCorrupt("page 7 of /data/jobs.db"), "store-broken", "60"),
        (SchemaMismatch("version 9"), "store-broken", "60"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/jobs", "/readyz"])
async def test_what_an_operator_must_mend_is_a_503(  # parameters of the test
    edge: Edge,
    error: Exception,
    code: str,
    retry_after: str,
    path: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert (await edge.submit(ECHO)).status == 202  # the key is known now
    edge.memory.fails_with = edge.not_ready = error
    method = "GET" if path == "/readyz" else "POST"
    answer = await edge.call(method, path, json=ECHO if method == "POST" else ...)
    problem = checked(answer)
    assert (answer.status, problem["code"]) == (503, code)
    assert answer.headers["Retry-After"] == retry_after
    assert str(error) not in answer.body.decode()  # its words are for operators
    assert (str(error) in caplog.text) is (code != "stopping")
    edge.memory.fails_with = edge.not_ready = None
    assert (await edge.submit(ECHO)).status == 202


async def test_of_a_store_that_is_away_operators_are_told_now_and_then(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    path = "/v1/endpoints/ep_1"
    for error, seconds in (("a lock is held", 1.0), ("again", 1.0), ("it runs", 9.0), ("gone", 0)):
        edge.memory.fails_with = StoreUnavailable(error)
        await edge.call("GET", path)
        edge.clock.advance(seconds)
    assert [record.getMessage().partition(" to ")[2] for record in caplog.records] == [
        f"{path}: a lock is held",
        f"{path}: gone (2 more since the last of these)",
    ]


async def test_healthz_needs_no_store(edge: Edge) -> None:
    edge.memory.fails_with = edge.not_ready = StoreUnavailable("gone")
    answer = await edge.call("GET", "/healthz", key=None)
    assert (answer.status, answer.json) == (200, {"status": "ok"})
    edge.not_ready = None
    answer = await edge.call("GET", "/readyz", key=None)
    assert (answer.status, answer.json) == (200, {"status": "ready"})


async def test_a_defect_of_ours_is_a_500_that_tells_nothing(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    edge.memory.fails_with = ZeroDivisionError("secret detail")
    headers = {"Request-Id": "trace-me-7"}
    with caplog.at_level(logging.ERROR, "dispatcher.web"):
        answer = await edge.call("GET", "/v1/jobs", headers=headers)
    problem = checked(answer)
    assert (answer.status, problem["code"]) == (500, "internal-error")
    assert "secret detail" not in answer.body.decode()
    assert "trace-me-7" in problem["detail"]
    (record,) = caplog.records
    assert "trace-me-7" in record.getMessage()
    assert record.exc_info is not None
    assert "secret detail" in caplog.text


# --- Request-Id --------------------------------------------------------------------------------


async def test_a_request_keeps_its_own_id_or_gets_one(edge: Edge) -> None:
    own = await edge.call("GET", "/v1/jobs", headers={"Request-Id": "mine-1"})
    assert own.headers["Request-Id"] == "mine-1"
    strange = await edge.call("GET", "/nope", headers={"Request-Id": "a b"})
    assert strange.headers["Request-Id"].startswith("req_")
    other = await edge.call("GET", "/nope")
    assert other.headers["Request-Id"] != strange.headers["Request-Id"]
