"""One POST of a callback over aiohttp's client, whatever the receiver makes of it."""

from __future__ import annotations

import asyncio
import io
import logging
import ssl
from typing import Final

from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar
from msgspec import Struct
from multidict import CIMultiDict
from yarl import URL

from dispatcher.adapters.resolver import NameResolver, Resolver
from dispatcher.adapters.sender.connecting import Connector, Dial, current_dial
from dispatcher.adapters.sender.failures import explain
from dispatcher.adapters.sender.terms import SenderTerms
from dispatcher.core.addresses import Policy, Refused, Target, judge_url
from dispatcher.core.outcome import Answered, NotAllowed, NotSent, SendResult
from dispatcher.ports.sender import Callout
from dispatcher.ports.system import Clock

_logger: Final = logging.getLogger("dispatcher.sender")

# What is sent is what was signed and nothing else; aiohttp would add these.
_NOT_ADDED: Final = ("accept", "accept-encoding", "content-type", "user-agent")

# aiohttp warns of larger bodies given as bytes; a file-like one it sends in pieces.
_AT_ONCE_BYTES: Final = 2**20

_SHUT_DOWN: Final = ("closed", "the service was shut down while the callback was being sent")
_DEFECT: Final = ("closed", "the callback could not be sent; the log of the service says more")

# How many URLs are kept in the form that they are dialled in; a URL has 2,048 characters at most.
_KEPT_ROUTES: Final = 2_048

# aiohttp rounds longer timeouts up to whole seconds; none is longer than this.
_NEVER_ROUNDED_SECONDS: Final = 10.0**9

_AMBIGUOUS: Final = Refused("ambiguous", "The URL would not be dialled as it was checked.")


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
        self._routes: dict[str, _Route | Refused] = {}

    async def send(self, callout: Callout) -> SendResult:
        """As the port says.

        A 2xx whose body is longer than `read_bytes` counts as answered: the connection is closed
        with the rest unread. One whose body ends early, or has not ended by the deadline, does not.
        """
        route = self._routes.get(callout.url) or self._find_route(callout.url)
        if isinstance(route, Refused):
            return NotAllowed(route.reason, route.detail)
        started = self._clock.monotonic()
        dial = Dial(route.target)
        token = current_dial.set(dial)
        try:
            async with asyncio.timeout(self._terms.total_seconds):
                return await self._exchange(callout, route, dial, started)
        except Exception as error:  # noqa: BLE001  # the port promises an answer, whatever happens
            return self._say_why(error, dial, started)
        finally:
            current_dial.reset(token)

    async def close(self) -> None:
        """Close every connection; whoever still sends hears that it was closed."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _exchange(
        self, callout: Callout, route: _Route, dial: Dial, started: float
    ) -> Answered:
        body = callout.body
        response = await self._open_session().post(
            route.url,
            data=body if len(body) <= _AT_ONCE_BYTES else io.BytesIO(body),
            headers=CIMultiDict(callout.headers),
            allow_redirects=False,
        )
        try:
            dial.status = response.status
            kept = await self._read(response, dial)
        finally:
            response.close()  # without effect when the answer was read to its end
        return Answered(
            status_code=response.status,
            duration_ms=self._milliseconds_since(started),
            retry_after=response.headers.get("retry-after"),
            body=kept if dial.line is not None and dial.line.keeps else None,
        )

    async def _read(self, response: ClientResponse, dial: Dial) -> bytes:
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
            if dial.line is None or not dial.line.capped:
                raise
        return kept

    def _say_why(self, error: Exception, dial: Dial, started: float) -> NotSent | NotAllowed:
        if dial.refused is not None:
            return NotAllowed(dial.refused.reason, dial.refused.detail)
        why = _SHUT_DOWN if self._closed else explain(error, dial, self._terms)
        if why is None:
            _logger.error("a callback to %s met a defect", dial.target.origin, exc_info=error)
        code, detail = why or _DEFECT
        return NotSent(
            code=code,
            detail=detail,
            duration_ms=self._milliseconds_since(started),
            status_code=dial.status,
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

    def _find_route(self, url: str) -> _Route | Refused:
        """Judge a URL, and put it as aiohttp will dial it; the verdict depends on nothing else."""
        target = judge_url(url, self._policy)
        route = target if isinstance(target, Refused) else _route_to(target)
        while len(self._routes) >= _KEPT_ROUTES:
            del self._routes[next(iter(self._routes))]
        self._routes[url] = route
        return route


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
        return _AMBIGUOUS
    dialled = (url.scheme, url.raw_host, url.port, url.raw_path_qs)
    checked = (target.scheme, target.host, target.port, target.path)
    return _Route(target, url) if dialled == checked else _AMBIGUOUS
