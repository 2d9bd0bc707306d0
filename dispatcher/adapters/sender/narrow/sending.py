"""One POST of a callback over a connection of our own, whatever the receiver makes of it."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from typing import Final

from msgspec import Struct

from dispatcher.adapters.resolver import NameResolver, Resolver
from dispatcher.adapters.sender import words
from dispatcher.adapters.sender.dial import Dial
from dispatcher.adapters.sender.narrow.deadlines import Deadline, Deadlines
from dispatcher.adapters.sender.narrow.dialling import Dialler
from dispatcher.adapters.sender.narrow.line import Broken, Line
from dispatcher.adapters.sender.narrow.pool import Pool
from dispatcher.adapters.sender.routes import Routes
from dispatcher.adapters.sender.terms import SenderTerms
from dispatcher.core.addresses import Policy, Refused, Target
from dispatcher.core.outcome import Answered, NotAllowed, NotSent, NotTried, SendResult
from dispatcher.core.urls import DEFAULT_PORTS
from dispatcher.ports.sender import Callout
from dispatcher.ports.system import Clock

_logger: Final = logging.getLogger("dispatcher.sender")

# RFC 9110, 5.1 and 5.5: a token, and anything without control characters but the tab.
_NAME: Final = re.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SENDABLE: Final = bytes({*range(32, 127), *range(128, 256), *b"\t\r\n"})
# These say where a request goes and where it ends; they are ours to write.
_OURS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "expect", "te"}
)

# The names of headers that were found to be sound: nearly all callbacks have the same.
_KEPT_NAMES: Final = 256
_sound_names: Final[set[str]] = set()


class _Route(Struct, frozen=True):
    """A URL that was judged, and how each request to it begins."""

    target: Target
    beginning: str


class _Parts(Struct, frozen=True):
    """What belongs to one event loop."""

    pool: Pool
    dialler: Dialler
    deadlines: Deadlines


class NarrowSender:
    """The port's `Sender`: what a callback needs of HTTP/1.1 and nothing else.

    Of one event loop: connections begin with the first `send`.

    Args:
        policy: which URLs and addresses may be reached.
        terms: the bounds of an attempt and of the pool.
        clock: measures how long an attempt took.
        resolver: finds addresses; None: this machine's own.
        tls: what is trusted; None: `trusted_here`, read at the first callback by TLS.
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
        self._routes: Routes[_Route] = Routes(policy, _route_to)
        self._parts: _Parts | None = None
        self._closed = False

    async def send(self, callout: Callout) -> SendResult:
        """As the port says.

        A 2xx whose body is longer than `read_bytes` counts as answered: the connection is closed
        with the rest unread. One whose body ends early, or has not ended by the deadline, does not.
        """
        route = self._routes.find(callout.url)
        if isinstance(route, Refused):
            return NotAllowed(route.reason, route.detail)
        started = self._clock.monotonic()
        parts = self._parts or self._open()
        dial = Dial(route.target, callout.caller_id)
        deadline = parts.deadlines.begin()
        line: Line | None = None
        try:
            head = _head_of(route, callout)
            line = parts.pool.take(route.target.origin)
            if line is None:
                line = await self._new_line(parts, dial, deadline)
            dial.phase = "answer"
            waiter = line.ask(head, callout.body)
            deadline.watch(waiter)
            answer = await waiter
            parts.dialler.remember(line)
            parts.pool.give(line, sound=answer.sound)
            line = None
            assert answer.status is not None  # noqa: S101  # its head has come
            return Answered(
                status_code=answer.status,
                duration_ms=self._milliseconds_since(started),
                retry_after=answer.retry_after,
                body=answer.kept,
            )
        except Exception as error:  # noqa: BLE001  # the port promises an answer, whatever happens
            dial.status = None if line is None else line.status
            return self._say_why(error, dial, started)
        finally:
            parts.deadlines.end(deadline)
            if line is not None:
                parts.pool.give(line, sound=False)

    async def close(self) -> None:
        """Close every connection that there is, and send nothing any more.

        Whoever waits for an answer or for a place hears of it at once. Whoever still looks up a
        name or connects hears of it when that has ended, within the time for connecting; what came
        about is closed then.
        """
        self._closed = True
        if self._parts is not None:
            self._parts.deadlines.close()
            self._parts.pool.close()
        await asyncio.sleep(0)  # the event loop closes what was aborted when it comes round

    def _open(self) -> _Parts:
        loop = asyncio.get_running_loop()
        pool = Pool(self._terms, loop)
        if self._closed:
            pool.close()
        self._parts = _Parts(
            pool,
            Dialler(self._policy, self._resolver, self._tls, loop),
            Deadlines(self._terms.total_seconds, loop),
        )
        return self._parts

    async def _new_line(self, parts: _Parts, dial: Dial, deadline: Deadline) -> Line:
        """A connection with a place, within the time for connecting."""
        terms = self._terms
        connect_by = deadline.at - terms.total_seconds + terms.connect_seconds
        async with asyncio.timeout_at(min(connect_by, deadline.at)):
            await parts.pool.take_place()
            try:
                line = parts.pool.take_idle(dial.target.origin)
                if line is not None:
                    return line
                return await parts.dialler.connect(dial, parts.pool)
            except BaseException:
                parts.pool.give_place()
                raise

    def _say_why(
        self, error: Exception, dial: Dial, started: float
    ) -> NotSent | NotAllowed | NotTried:
        if dial.refused is not None:
            return NotAllowed(dial.refused.reason, dial.refused.detail)
        if dial.not_tried is not None:
            return NotTried(dial.not_tried)
        if self._closed:
            code, detail = words.SHUT_DOWN
        elif isinstance(error, Broken):
            code, detail = error.why
        elif isinstance(error, TimeoutError):
            code, detail = words.timed_out(dial, self._terms)
        else:
            _logger.error("a callback to %s met a defect", dial.target.origin, exc_info=error)
            code, detail = words.DEFECT
        return NotSent(
            code=code,
            detail=detail,
            duration_ms=self._milliseconds_since(started),
            status_code=dial.status,
        )

    def _milliseconds_since(self, started: float) -> int:
        return int((self._clock.monotonic() - started) * 1000)


def _route_to(target: Target) -> _Route:
    """Everything in a request that its URL decides; a checked URL has visible ASCII alone."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    if target.port != DEFAULT_PORTS[target.scheme]:
        host += f":{target.port}"
    return _Route(target, f"POST {target.path} HTTP/1.1\r\nHost: {host}\r\n")


def _head_of(route: _Route, callout: Callout) -> bytes:
    """The request up to its body (RFC 9112, 2.1).

    Raises:
        ValueError: a header can't be sent, or would say where the request ends.
    """
    lines = [route.beginning]
    for name, value in callout.headers:
        if name not in _sound_names:
            _check_name(name)
        lines.append(f"{name}: {value}\r\n")
    lines.append(f"Content-Length: {len(callout.body)}\r\n\r\n")
    head = "".join(lines).encode()
    # All at once: each line ends once, and nothing else is a control character.
    ends = len(lines) + 2
    if head.count(b"\r") != ends or head.count(b"\n") != ends or head.translate(None, _SENDABLE):
        raise ValueError("a header of a callback has characters that can't be sent")
    return head


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError("a header of a callback has a name that can't be sent")
    if name.lower() in _OURS:
        raise ValueError("a header of a callback is one that the sender writes itself")
    if len(_sound_names) < _KEPT_NAMES:
        _sound_names.add(name)
