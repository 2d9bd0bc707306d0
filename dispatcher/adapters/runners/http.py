"""Jobs done by an ordinary HTTP endpoint: its answer is the result."""

from __future__ import annotations

import asyncio
import io
import re
from typing import Any, Final, Protocol

import msgspec
from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorSSLError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    TraceConfig,
)
from msgspec import Struct
from multidict import CIMultiDict
from yarl import URL

from dispatcher.adapters.runners.endings import ids_of, logger
from dispatcher.adapters.runners.text import is_json, safe_text
from dispatcher.core.changes import LeasedJob
from dispatcher.core.errors import DispatcherError, SettingsError
from dispatcher.core.model import Job, JobType
from dispatcher.core.outcome import AttemptFailed, Failed, JobOutcome, Succeeded, WorkerLost
from dispatcher.core.retry import RETRY_AFTER_CAP_MS, JobBackoff, job_due_at, parse_retry_after
from dispatcher.core.urls import Refused, parse_url
from dispatcher.ports.runner import RunReport
from dispatcher.ports.system import Clock

BAD_ANSWER: Final = "bad-answer"
HTTP_STATUS: Final = "http-status"
OUTCOME_UNKNOWN: Final = "outcome-unknown"
SIGNING: Final = "signing"

_NEVER_SENT: Final = {"dns", "tls", "connect", SIGNING}
_TIMEOUT: Final = "timeout"  # the engine's own word; recorded only for what was not sent yet
_REPEATABLE: Final = frozenset({HTTP_STATUS, _TIMEOUT, *_NEVER_SENT})
"""How an attempt may have ended, as recorded, for its request to be sent again in any case."""

# RFC 9110, 15; 425 is of RFC 8470.
_OK, _REDIRECTION, _CLIENT_ERROR, _SERVER_ERROR = 200, 300, 400, 500
_NO_CONTENT: Final = frozenset({204, 205})
_TRY_AGAIN: Final = frozenset({408, 425, 429})

_CODE: Final = re.compile("[a-z0-9][a-z0-9._-]{0,99}")
_AT_ONCE_BYTES: Final = 2**20
_NOT_ADDED: Final = ("accept-encoding", "user-agent")
_UNKNOWN: Final = Failed(
    OUTCOME_UNKNOWN,
    "The request was sent, and nobody knows whether the endpoint did the work.",
)


class Signs(Protocol):
    """What signs requests: `engine.signer.Signer`."""

    async def headers(self, caller_id: str, id_: str, body: bytes) -> list[tuple[str, str]]:
        """The headers of Standard Webhooks for a message; raises `DispatcherError`."""
        ...


class HttpTerms(Struct, frozen=True, kw_only=True):
    """Where to, and how much comes back. `url` is dialled exactly as it stands."""

    url: str
    safe_to_repeat: bool
    result_bytes: int
    connect_seconds: float
    user_agent: str


class _TooMuch(Exception):
    """The answer is longer than a result may be."""


class HttpRunner:
    """Implements `ports.runner.Runner` by one POST an attempt.

    Where it goes was declared by an operator: it is trusted, whatever its address; redirects and
    proxies are not followed. The request has the job's id as `Idempotency-Key` and `webhook-id`,
    and is signed as callbacks are.

    A request that was sent, and of which no answer came, is not sent again unless the type is
    `safe_to_repeat`: that job fails as `outcome-unknown`, however the answer was lost: a broken
    connection, a timeout, a cancel, the drain, a lease or a process that was lost. The last two
    leave no record, which is how the next attempt knows: the error of the attempt before it is not
    there. What was answered (503, say) or never sent (no connection) is tried again in any case.
    """

    def __init__(
        self, job_type: JobType, backoff: JobBackoff, terms: HttpTerms, signs: Signs, clock: Clock
    ) -> None:
        self._type = job_type
        self._backoff = backoff
        self._terms = terms
        self._signs = signs
        self._clock = clock
        self._url = _exactly(terms.url)

    @property
    def type(self) -> JobType:
        """See `Runner.type`."""
        return self._type

    @property
    def backoff(self) -> JobBackoff:
        """See `Runner.backoff`."""
        return self._backoff

    async def run(self, leased: LeasedJob, report: RunReport) -> JobOutcome:  # noqa: ARG002  # an endpoint tells nothing on its way
        """See `Runner.run`."""
        job = leased.job
        if not self._terms.safe_to_repeat and _may_have_been_sent(job):
            return _UNKNOWN
        try:
            headers = await self._headers(leased)
        except (DispatcherError, ValueError) as error:  # no secret, or none that can be opened
            _tell_operators(job, "can't be signed", error)
            return AttemptFailed(SIGNING, "The request could not be signed.")
        exchange = _Exchange()
        try:
            return await self._post(leased, headers, exchange)
        except asyncio.CancelledError:
            if exchange.sent and not self._terms.safe_to_repeat:
                return _UNKNOWN
            raise
        except Exception as error:  # noqa: BLE001  # whatever an endpoint does, the job must end
            _tell_operators(job, "failed", error)
            return self._broken(error, exchange)

    def lost(self, job: Job) -> JobOutcome:  # noqa: ARG002  # whatever the job
        """See `JudgesLoss.lost`: the request may have been sent."""
        return WorkerLost() if self._terms.safe_to_repeat else _UNKNOWN

    async def _post(
        self, leased: LeasedJob, headers: list[tuple[str, str]], exchange: _Exchange
    ) -> JobOutcome:
        # A connection for each request: on one that was kept it could not be told whether a request
        # was lost with it or never arrived.
        async with (
            ClientSession(
                connector=TCPConnector(force_close=True),
                cookie_jar=DummyCookieJar(),
                skip_auto_headers=_NOT_ADDED,
                auto_decompress=False,
                trust_env=False,
                timeout=ClientTimeout(total=None, connect=self._terms.connect_seconds),
                trace_configs=[exchange.traced()],
            ) as session,
            session.post(
                self._url,
                data=_at_hand(leased.input),
                headers=CIMultiDict(headers),
                allow_redirects=False,
            ) as answer,
        ):
            return await self._outcome(leased.job, answer)

    async def _outcome(self, job: Job, answer: ClientResponse) -> JobOutcome:
        status = answer.status
        if _OK <= status < _REDIRECTION:
            return await self._result(answer)
        if status in _TRY_AGAIN or status >= _SERVER_ERROR:
            after = self._wait(job, answer.headers.get("retry-after"))
            return AttemptFailed(HTTP_STATUS, f"The endpoint answered {status}.", after)
        if status < _CLIENT_ERROR:
            text = f"The endpoint answered {status}; redirects are not followed."
            return Failed(HTTP_STATUS, text)
        return await self._refused(answer)

    async def _result(self, answer: ClientResponse) -> JobOutcome:
        if answer.status in _NO_CONTENT:
            return Succeeded(b"null")
        try:
            body = (await self._read(answer)).strip(b" \t\r\n")
        except _TooMuch:
            most = self._terms.result_bytes
            return Failed(BAD_ANSWER, f"The endpoint's answer is longer than {most} bytes.")
        if await is_json(body):
            return Succeeded(body)
        return Failed(BAD_ANSWER, f"The endpoint answered {answer.status}, but not with JSON.")

    async def _refused(self, answer: ClientResponse) -> JobOutcome:
        """A failure, told in the words of the problem (RFC 9457) if it is one."""
        code, detail = HTTP_STATUS, f"The endpoint answered {answer.status}."
        try:
            problem: Any = msgspec.json.decode(await self._read(answer))
        except (ClientError, OSError, _TooMuch, ValueError, RecursionError, msgspec.MsgspecError):
            return Failed(code, detail)
        if isinstance(problem, dict):
            given = problem.get("code")
            if isinstance(given, str) and _CODE.fullmatch(given):
                code = given
            words = problem.get("detail") or problem.get("title")
            if isinstance(words, str):
                detail = safe_text(words)
        return Failed(code, detail)

    async def _read(self, answer: ClientResponse) -> bytes:
        body = bytearray()
        while part := await answer.content.readany():
            body += part
            if len(body) > self._terms.result_bytes:
                raise _TooMuch
        return bytes(body)

    def _wait(self, job: Job, retry_after: str | None) -> float | None:
        """The seconds that the endpoint asks for, if that is more than the type's own wait."""
        now = self._clock.now()
        asked = None if retry_after is None else parse_retry_after(retry_after, now)
        if asked is None:
            return None
        own = job_due_at(self._backoff, job.attempt_count, now, 0.0)
        return None if asked <= own else min(asked - now, RETRY_AFTER_CAP_MS) / 1000

    def _broken(self, error: Exception, exchange: _Exchange) -> JobOutcome:
        """No answer came, or not all of it."""
        if not exchange.sent:
            return AttemptFailed(_why_not_sent(error), "The endpoint could not be reached.")
        if not self._terms.safe_to_repeat:
            return _UNKNOWN
        return AttemptFailed("closed", "The endpoint gave no complete answer.")

    async def _headers(self, leased: LeasedJob) -> list[tuple[str, str]]:
        job = leased.job
        headers = await self._signs.headers(job.caller_id, job.id, leased.input)
        headers += [
            ("idempotency-key", job.id),
            ("content-type", "application/json"),
            ("accept", "application/json, application/problem+json"),
            ("user-agent", self._terms.user_agent),
        ]
        if job.trace is not None:
            headers.append(("traceparent", job.trace.traceparent))
            if job.trace.tracestate is not None:
                headers.append(("tracestate", job.trace.tracestate))
        if job.correlation_id is not None:
            headers.append(("correlation-id", job.correlation_id))
        return headers


class _Exchange:
    """How far a request has come: `sent` from the moment that it has a connection to go out on."""

    def __init__(self) -> None:
        self.sent = False

    def traced(self) -> TraceConfig:
        """What has aiohttp tell."""
        config = TraceConfig()
        config.on_connection_create_end.append(self._connected)
        return config

    async def _connected(self, *_: object) -> None:
        self.sent = True


def _at_hand(body: bytes) -> bytes | io.BytesIO:
    """Aiohttp warns of larger bodies given as bytes; a file-like one it sends in pieces."""
    return body if len(body) <= _AT_ONCE_BYTES else io.BytesIO(body)


def _may_have_been_sent(job: Job) -> bool:
    """Whether an earlier attempt may have sent the request, and nobody knows what came of it.

    An attempt that came out is recorded in the job's error, one that was given back is not counted.
    So if the attempt before this one left no record, its worker or its lease was lost.
    """
    before = job.attempt_count - 1
    if before == 0:
        return False
    return job.error is None or job.error.attempt != before or job.error.code not in _REPEATABLE


def _why_not_sent(error: Exception) -> str:
    if isinstance(error, ClientConnectorDNSError):
        return "dns"
    if isinstance(error, ClientConnectorCertificateError | ClientConnectorSSLError):
        return "tls"
    return "connect"


def _exactly(url: str) -> URL:
    """The URL as aiohttp dials it; yarl must not have changed anything."""
    target = parse_url(url)
    if isinstance(target, Refused):
        raise SettingsError(f"{url!r} can't be called: {target.detail}")
    found = URL(url, encoded=True)
    host, path = target.host, target.path
    if (found.raw_host, found.port, found.raw_path_qs) != (host, target.port, path):
        raise SettingsError(f"{url!r} can't be called exactly as it stands: write it plainly")
    return found


def _tell_operators(job: Job, what: str, error: Exception) -> None:
    logger.warning(
        "The request for job %s (%s), attempt %d, %s: %s: %s",
        job.id,
        job.type,
        job.attempt_count,
        what,
        type(error).__name__,
        error,
        extra=ids_of(job),
    )
