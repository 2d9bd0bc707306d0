"""The http runner against real endpoints: what it sends, what answers mean, what it repeats."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from dispatcher.adapters.runners.http import HttpRunner, HttpTerms
from dispatcher.core.errors import SettingsError, StoreUnavailable
from dispatcher.core.model import JobError, JobType
from dispatcher.core.outcome import AttemptFailed, Failed, JobOutcome, Succeeded, WorkerLost
from dispatcher.core.retry import DEFAULT_JOB_BACKOFF
from dispatcher.core.signature import sign
from dispatcher.testing.clock import ManualClock
from scripts.outside.process import free_port
from tests.runners.fakes import Recorder, leased

SECRET = hashlib.sha256(b"a secret").digest()
UNKNOWN = Failed(
    "outcome-unknown", "The request was sent, and nobody knows whether the endpoint did the work."
)
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Make = Callable[..., HttpRunner]


class Signing:
    """Signs as the engine does, with one secret; or can't."""

    def __init__(self) -> None:
        self.refusal: Exception | None = None
        self.now = int(time.time())

    async def headers(self, caller_id: str, id_: str, body: bytes) -> list[tuple[str, str]]:
        if self.refusal is not None:
            raise self.refusal
        return [
            ("webhook-id", id_),
            ("webhook-timestamp", str(self.now)),
            ("webhook-signature", sign([SECRET], id_, self.now, body)),
        ]


class Endpoint:
    """Answers as it is told, and keeps what came."""

    def __init__(self) -> None:
        self.came: list[tuple[str, dict[str, str], bytes]] = []
        self.answer: Answer = self.nothing
        self.arrived = asyncio.Event()
        self.url = ""

    async def nothing(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.came.append((request.raw_path, headers, await request.read()))
        self.arrived.set()
        return await self.answer(request)

    def say(self, status: int, text: str = "", **headers: str) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, text=text, headers=headers)

        self.answer = answer


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    made = Endpoint()
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{rest:.*}", made.serve)
    server = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    made.url = f"{site.name.rstrip('/')}/render?size=a%2Fb"
    yield made
    await server.cleanup()


@pytest.fixture
def signing() -> Signing:
    return Signing()


@pytest.fixture
def make(endpoint: Endpoint, signing: Signing) -> Make:
    def make(url: str | None = None, *, safe: bool = False, most: int = 1_000) -> HttpRunner:
        terms = HttpTerms(
            url=url or endpoint.url,
            safe_to_repeat=safe,
            result_bytes=most,
            connect_seconds=5,
            user_agent="dispatcher/test",
        )
        job_type = JobType(name="test.job", runner="http")
        return HttpRunner(job_type, DEFAULT_JOB_BACKOFF, terms, signing, ManualClock())

    return make


async def run(runner: HttpRunner, given: Any = None, **members: Any) -> JobOutcome:
    async with asyncio.timeout(20):
        return await runner.run(leased(given, **members), Recorder())


async def test_what_is_sent_is_the_input_signed_and_named_by_the_job(
    make: Make, endpoint: Endpoint
) -> None:
    endpoint.say(200, ' {"pages": 3}\n')
    assert await run(make(), {"a": "ö"}) == Succeeded(b'{"pages": 3}')
    ((path, headers, body),) = endpoint.came
    job = leased().job
    assert job.trace is not None
    assert path == "/render?size=a%2Fb"
    assert json.loads(body) == {"a": "ö"}
    Webhook("whsec_" + b64encode(SECRET).decode()).verify(body, headers)
    sent = {name: value for name, value in headers.items() if not name.startswith("webhook-")}
    del sent["host"], sent["content-length"]
    assert sent == {
        "idempotency-key": job.id,
        "content-type": "application/json",
        "accept": "application/json, application/problem+json",
        "user-agent": "dispatcher/test",
        "traceparent": job.trace.traceparent,
        "tracestate": "a=1",
        "correlation-id": "order-7",
        "connection": "close",
    }
    assert headers["webhook-id"] == job.id


async def test_large_inputs_and_results(make: Make, endpoint: Endpoint) -> None:
    endpoint.say(200, json.dumps("y" * 3_000_000))
    outcome = await run(make(most=4_000_000), "x" * 3_000_000)
    assert isinstance(outcome, Succeeded)
    assert len(outcome.result) == 3_000_002
    assert len(endpoint.came[0][2]) == 3_000_002


PROBLEM = json.dumps({"code": "no-such-page", "detail": "There is no page 7.", "title": "x"})


@pytest.mark.parametrize(
    ("status", "text", "outcome"),
    [
        (204, "", Succeeded(b"null")),
        (201, "1", Succeeded(b"1")),
        (200, "", Failed("bad-answer", "The endpoint answered 200, but not with JSON.")),
        (202, "<p>", Failed("bad-answer", "The endpoint answered 202, but not with JSON.")),
        (
            200,
            "1" * 1_001,
            Failed("bad-answer", "The endpoint's answer is longer than 1000 bytes."),
        ),
        (302, "1", Failed("http-status", "The endpoint answered 302; redirects are not followed.")),
        (400, "", Failed("http-status", "The endpoint answered 400.")),
        (404, PROBLEM, Failed("no-such-page", "There is no page 7.")),
        (422, '{"title": "Too long", "code": 7}', Failed("http-status", "Too long")),
        (404, "[1]", Failed("http-status", "The endpoint answered 404.")),
        (413, "x" * 5_000, Failed("http-status", "The endpoint answered 413.")),
        (408, PROBLEM, AttemptFailed("http-status", "The endpoint answered 408.")),
        (425, "", AttemptFailed("http-status", "The endpoint answered 425.")),
        (429, "", AttemptFailed("http-status", "The endpoint answered 429.")),
        (500, PROBLEM, AttemptFailed("http-status", "The endpoint answered 500.")),
        (503, "", AttemptFailed("http-status", "The endpoint answered 503.")),
        (599, "", AttemptFailed("http-status", "The endpoint answered 599.")),
    ],
)
async def test_what_an_answer_means(
    make: Make, endpoint: Endpoint, status: int, text: str, outcome: JobOutcome
) -> None:
    endpoint.say(status, text, location="/elsewhere")
    assert await run(make()) == outcome
    assert len(endpoint.came) == 1


@pytest.mark.parametrize(
    ("retry_after", "attempt", "seconds"),
    [
        ("30", 1, 30.0),
        ("0", 1, None),  # the type's own wait is longer: never earlier than that
        ("10", 3, None),
        ("99999999", 1, 86_400.0),
        ("soon", 1, None),
    ],
)
async def test_retry_after_is_honoured(
    make: Make, endpoint: Endpoint, retry_after: str, attempt: int, seconds: float | None
) -> None:
    endpoint.say(503, "", **{"retry-after": retry_after})
    outcome = await run(make(safe=True), attempt_count=attempt)
    assert outcome == AttemptFailed("http-status", "The endpoint answered 503.", seconds)


async def test_an_endpoint_that_is_not_there_is_tried_again_in_any_case(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = await run(make(f"http://127.0.0.1:{free_port()}/"))
    assert outcome == AttemptFailed("connect", "The endpoint could not be reached.")

    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    outcome = await run(make("http://name.example/"))
    assert outcome == AttemptFailed("dns", "The endpoint could not be reached.")


async def test_a_request_that_cannot_be_signed_is_not_sent(
    make: Make, endpoint: Endpoint, signing: Signing
) -> None:
    signing.refusal = StoreUnavailable("disk full")
    outcome = await run(make())
    assert outcome == AttemptFailed("signing", "The request could not be signed.")
    assert endpoint.came == []


async def test_proxies_of_the_environment_are_not_used(
    make: Make, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert await run(make()) == Succeeded(b"null")


async def test_compressed_answers_are_not_inflated(make: Make, endpoint: Endpoint) -> None:
    endpoint.say(200, "1", **{"content-encoding": "gzip"})
    assert await run(make()) == Succeeded(b"1")


# --- When nobody knows what came of it ---------------------------------------------------------


async def raw(answer: bytes) -> tuple[str, asyncio.Server]:
    """A server that reads the request's head, writes this, and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", server


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz",
    ],
)
async def test_a_lost_answer_is_repeated_only_where_that_is_safe(make: Make, answer: bytes) -> None:
    url, server = await raw(answer)
    async with server:
        assert await run(make(url)) == UNKNOWN
        outcome = await run(make(url, safe=True))
    assert outcome == AttemptFailed("closed", "The endpoint gave no complete answer.")


async def test_a_refusal_whose_body_is_lost_is_a_refusal_all_the_same(make: Make) -> None:
    for status, outcome in (
        (404, Failed("http-status", "The endpoint answered 404.")),
        (503, AttemptFailed("http-status", "The endpoint answered 503.")),
    ):
        head = f"HTTP/1.1 {status} X\r\ncontent-length: 100\r\n\r\n".encode()
        url, server = await raw(head + b"{")
        async with server:
            assert await run(make(url)) == outcome


@pytest.mark.parametrize("safe", [True, False])
async def test_stopping_a_request_under_way(make: Make, endpoint: Endpoint, safe: bool) -> None:
    async def never(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    endpoint.answer = never
    task = asyncio.create_task(run(make(safe=safe)))
    await endpoint.arrived.wait()
    task.cancel()
    if safe:
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        assert await task == UNKNOWN


@pytest.mark.parametrize(
    ("attempt", "error", "sent"),
    [
        (1, None, True),
        (2, JobError("http-status", "x", 1), True),
        (2, JobError("connect", "x", 1), True),
        (2, JobError("timeout", "x", 1), True),  # the engine's, of what was not sent yet
        (2, None, False),  # the first attempt left no record: its process was killed
        (3, JobError("http-status", "x", 1), False),  # the second did not
        (2, JobError("worker-lost", "x", 1), False),
        (2, JobError("internal-error", "x", 1), False),  # after an answer, perhaps
    ],
)
async def test_an_attempt_that_left_no_record_may_have_been_sent(
    make: Make, endpoint: Endpoint, attempt: int, error: JobError | None, sent: bool
) -> None:
    outcome = await run(make(), attempt_count=attempt, error=error)
    assert outcome == (Succeeded(b"null") if sent else UNKNOWN)
    assert len(endpoint.came) == sent
    assert await run(make(safe=True), attempt_count=attempt, error=error) == Succeeded(b"null")


def test_an_attempt_that_was_lost_may_have_been_sent(make: Make) -> None:
    assert make().lost(leased().job) == UNKNOWN
    assert make(safe=True).lost(leased().job) == WorkerLost()


@pytest.mark.parametrize("url", ["http://user@host/", "ftp://host/", "http://host/#x"])
def test_urls_that_cannot_be_called(make: Make, url: str) -> None:
    with pytest.raises(SettingsError, match="can't be called"):
        make(url)


@pytest.mark.parametrize(
    "url", ["http://[::1]:9000/a", "http://host", "https://host.:8443/%7Ea//b?x=%20", "http://h/ä"]
)
def test_urls_are_called_as_they_stand_or_not_at_all(make: Make, url: str) -> None:
    if not url.isascii():
        with pytest.raises(SettingsError):
            make(url)
        return
    assert str(make(url)._url).rstrip("/") == url
