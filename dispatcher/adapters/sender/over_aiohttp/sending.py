"""One POST of a callback over aiohttp's client, whatever the receiver makes of it."""

from __future__ import annotations

import asyncio
import io
import logging
import ssl
from typing import Final

from aiohttp import (
    ClientConnectorError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
)
from msgspec import Struct
from multidict import CIMultiDict
from yarl import URL

from dispatcher.adapters.resolver import NameResolver, Resolver
from dispatcher.adapters.sender import words
from dispatcher.adapters.sender.over_aiohttp.connecting import Call, Connector, current_call
from dispatcher.adapters.sender.over_aiohttp.failures import explain
from dispatcher.adapters.sender.routes import AMBIGUOUS, Routes
from dispatcher.adapters.sender.terms import SenderTerms
from dispatcher.core.addresses import Policy, Refused, Target
from dispatcher.core.outcome import Answered, NotAllowed, NotSent, NotTried, SendResult
from dispatcher.ports.sender import Callout
from dispatcher.ports.system import Clock

_logger: Final = logging.getLogger("dispatcher.sender")

# What is sent is what was signed and nothing else; aiohttp would add these.
_NOT_ADDED: Final = ("accept", "accept-encoding", "content-type", "user-agent")

# aiohttp warns of larger bodies given as bytes; a file-like one it sends in pieces.
_AT_ONCE_BYTES: Final = 2**20

# aiohttp rounds longer timeouts up to whole seconds; none is longer than this.
_NEVER_ROUNDED_SECONDS: Final = 10.0**9


class _Route(Struct, frozen=True):
    """A URL that was judged, and the same URL as aiohttp takes it."""

    target: Target
    url: URL


class AiohttpSender:
    """The port's `Sender`. Of one event loop: connections begin with the first `send`.

    Args:
        policy: which URLs and addresses may be reached.
        terms: the bounds of an attempt and of the pool.
        clock: measures how long an attempt took.
        resolver: finds addresses; None: this machine's own.
        tls: what is trusted; None: the certificate authorities of this machine.
    """

    def __init__(
        self,
        policy: Policy,
        terms: SenderTerms,
        clock: Clock,
        resolver: NameResolver | None = None,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._terms = terms
        self._clock = clock
        self._resolver = Resolver() if resolver is None else resolver
        self._tls = tls
        self._session: ClientSession | None = None
        self._closed = False
        self._routes = Routes(policy, _route_to)

    async def send(self, callout: Callout) -> SendResult:
        """As the port says.

        A 2xx whose body is longer than `read_bytes` counts as answered: the connection is closed
        with the rest unread. One whose body ends early, or has not ended by the deadline, does not.
        """
        route = self._routes.find(callout.url)
        if isinstance(route, Refused):
            return NotAllowed(route.reason, route.detail)
        started = self._clock.monotonic()
        call = Call(route.target, callout.caller_id)
        token = current_call.set(call)
        try:
            async with asyncio.timeout(self._terms.total_seconds):
                return await self._exchange(callout, route, call, started)
        except Exception as error:  # noqa: BLE001  # the port promises an answer, whatever happens
            return self._say_why(error, call, started)
        finally:
            current_call.reset(token)

    async def close(self) -> None:
        """Close every connection; whoever still sends hears that it was closed."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _exchange(
        self, callout: Callout, route: _Route, call: Call, started: float
    ) -> Answered:
        body = callout.body
        response = await self._open_session().post(
            route.url,
            data=body if len(body) <= _AT_ONCE_BYTES else io.BytesIO(body),
            headers=CIMultiDict(callout.headers),
            allow_redirects=False,
        )
        try:
            call.status = response.status
            kept = await self._read(response, call)
        finally:
            response.close()  # without effect when the answer was read to its end
        return Answered(
            status_code=response.status,
            duration_ms=self._milliseconds_since(started),
            retry_after=response.headers.get("retry-after"),
            body=kept if call.line is not None and call.line.keeps else None,
        )

    async def _read(self, response: ClientResponse, call: Call) -> bytes:
        """Read as much of the body as may be, and return what is kept of it."""
        content = response.content
        kept = b""
        read = 0
        try:
            while read <= self._terms.read_bytes and not content.at_eof():
                part = await content.readany()
                read += len(part)
                if len(kept) < self._terms.kept_bytes:
                    kept += part[: self._terms.kept_bytes - len(kept)]
        except Exception:
            if call.line is None or not call.line.capped:
                raise
        return kept

    def _say_why(
        self, error: Exception, call: Call, started: float
    ) -> NotSent | NotAllowed | NotTried:
        if call.refused is not None:
            return NotAllowed(call.refused.reason, call.refused.detail)
        if isinstance(error, ClientConnectorError):
            call.failed_by(error.os_error)
        if call.not_tried is not None:
            return NotTried(call.not_tried)
        why = words.SHUT_DOWN if self._closed else explain(error, call, self._terms)
        if why is None:
            _logger.error("a callback to %s met a defect", call.target.origin, exc_info=error)
        code, detail = why or words.DEFECT
        return NotSent(
            code=code,
            detail=detail,
            duration_ms=self._milliseconds_since(started),
            status_code=call.status,
        )

    def _milliseconds_since(self, started: float) -> int:
        return int((self._clock.monotonic() - started) * 1000)

    def _open_session(self) -> ClientSession:
        if self._session is None:
            if self._closed:
                raise RuntimeError("the sender is closed")
            self._session = ClientSession(
                connector=Connector(
                    policy=self._policy,
                    terms=self._terms,
                    names=self._resolver,
                    tls=self._tls,
                ),
                cookie_jar=DummyCookieJar(),
                skip_auto_headers=_NOT_ADDED,
                auto_decompress=False,
                trust_env=False,
                timeout=ClientTimeout(
                    total=None,  # the deadline is `send`'s own, over all of it
                    connect=self._terms.connect_seconds,
                    ceil_threshold=_NEVER_ROUNDED_SECONDS,
                ),
                max_line_size=8_190,
                max_field_size=8_190,
            )
        return self._session


def _route_to(target: Target) -> _Route | Refused:
    """The checked parts as a yarl URL, without letting yarl parse or mend anything.

    yarl silently strips line ends and normalises; so it is given the parts as they were checked,
    the query as part of the path, and asked for them again.
    """
    host = f"[{target.host}]" if ":" in target.host else target.host
    try:
        url = URL.build(
            scheme=target.scheme, host=host, port=target.port, path=target.path, encoded=True
        )
    except ValueError:
        return AMBIGUOUS
    dialled = (url.scheme, url.raw_host, url.port, url.raw_path_qs)
    checked = (target.scheme, target.host, target.port, target.path)
    return _Route(target, url) if dialled == checked else AMBIGUOUS
