"""Connections of the sender: dialled only where policy allows, heard only so far, closed at once.

aiohttp's pool does most of it. What it leaves open is closed here: it asks its resolver nothing for
an address in a URL, it reuses a connection on which something came unasked (the next request would
take it for its answer), it reads 1xx answers without end, it counts only connections in use against
its limit, and it waits for the peer when it closes one. For that `connect`, `_factory` and
`_release` of `TCPConnector` are overridden, and `_conns` is kept free of what was closed; the suite
in `tests/sender` fails if a release of aiohttp uses them otherwise.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from http import HTTPStatus
from typing import Final

from aiohttp import (
    ClientPayloadError,
    ClientRequest,
    ClientTimeout,
    StreamReader,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import AddrInfoType, Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.tracing import Trace

from dispatcher.adapters.resolver import NameResolver
from dispatcher.adapters.sender import words
from dispatcher.adapters.sender.dial import Dial, may_show
from dispatcher.adapters.sender.terms import SenderTerms
from dispatcher.core.addresses import Policy, Target

# The parser works through so many bytes before it is seen whether the head has ended.
_SLICE_BYTES: Final = 8_192

_FIRST_FINAL_STATUS: Final = 200


class Call(Dial):
    """A dial with the connection that it was given."""

    __slots__ = ("line",)

    def __init__(self, target: Target, caller_id: str) -> None:
        super().__init__(target, caller_id)
        self.line: Line | None = None


# aiohttp hands neither its resolver nor its socket factory the request; both are called in the
# context of the task that sends, or in a task which has a copy of it.
current_call: ContextVar[Call] = ContextVar("current_call")


class Line(ResponseHandler):
    """A connection that hears its receiver out only so far, and not at all when nothing was asked.

    `broken` says for a person what the receiver did wrong, `fault` what the parser says of a body;
    `capped` says that there was more to read than may be, `keeps` whether what comes may be shown.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, terms: SenderTerms, forget: Callable[[Line], None]
    ) -> None:
        super().__init__(loop)
        self._terms = terms
        self._forget = forget
        self._asked = False
        self._quota = 0
        self.broken: str | None = None
        self.capped = False
        self.fault: HttpProcessingError | None = None
        self.keeps: bool | None = None

    def ask(self) -> None:
        """A request is about to be sent: from now on its answer is heard."""
        self._asked = True
        self._quota = self._terms.head_bytes

    def rest(self) -> None:
        """The answer has been read: the connection waits for the next request."""
        self._asked = False

    @property
    def overfed(self) -> bool:
        """Whether the answer was longer than may be read, though it came whole."""
        return self._payload is not None and self._payload.total_bytes > self._terms.read_bytes

    def data_received(self, data: bytes) -> None:
        if not data:  # aiohttp's own call, to go on with what the parser still has
            super().data_received(data)
            return
        if not self._asked:
            self.broken = words.UNASKED
            self._hang_up()
            return
        heard = 0
        while heard < len(data) and self.is_connected():
            piece = data[heard : heard + min(_SLICE_BYTES, self._quota)]
            if not piece:
                self.capped = True
                self._hang_up()
                return
            heard += len(piece)
            self._quota -= len(piece)
            super().data_received(piece)
        self._pass_on_fault()

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """A head was read; interim ones (1xx) all count against that of the answer."""
        status = data[0].code
        if status >= _FIRST_FINAL_STATUS:
            self._quota = self._terms.read_bytes
        elif status == HTTPStatus.SWITCHING_PROTOCOLS:
            self.force_close()
        super().feed_data(data, size)

    def _pass_on_fault(self) -> None:
        """Wake whoever reads a body that turned out malformed: aiohttp leaves them waiting."""
        fault = self.exception()
        if isinstance(fault, HttpProcessingError) and self._payload is not None:
            self.fault = fault
            self._payload.set_exception(ClientPayloadError(fault.message), fault)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._forget(self)
        super().connection_lost(exc)

    def close(self) -> None:
        """Close at once: a receiver that reads nothing, or says no goodbye, holds no socket."""
        transport = self.transport
        super().close()
        if transport is not None:
            transport.abort()

    def _hang_up(self) -> None:
        # Not `close`: whoever waits for the answer is woken by `connection_lost`.
        if self.transport is not None:
            self.transport.abort()


class JudgingResolver(AbstractResolver):
    """Resolves for aiohttp, and refuses a name of which any address is refused."""

    def __init__(self, names: NameResolver, policy: Policy) -> None:
        self._names = names
        self._policy = policy

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002  # both are always asked
    ) -> list[ResolveResult]:
        addresses = await current_call.get().resolve(self._names, self._policy)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is held: lookups end by themselves."""


class Connector(TCPConnector):
    """aiohttp's pool with the address policy at each connect, and every socket counted."""

    def __init__(
        self,
        *,
        policy: Policy,
        terms: SenderTerms,
        names: NameResolver,
        tls: ssl.SSLContext | None,
    ) -> None:
        super().__init__(
            resolver=JudgingResolver(names, policy),
            use_dns_cache=False,  # what was judged is what is dialled, with nothing in between
            socket_factory=self._open_socket,
            ssl=True if tls is None else tls,
            limit=terms.connections,
            keepalive_timeout=terms.idle_seconds,
        )
        self._policy = policy
        self._terms = terms
        self._idle: dict[Line, ConnectionKey] = {}  # the longest idle first
        self._factory = functools.partial(Line, self._loop, terms, self._forget)  # type: ignore[assignment]  # a Line is a ResponseHandler, but `partial` is invariant

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,  # noqa: ASYNC109  # aiohttp's own name, of several durations
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        line = connection.protocol
        assert isinstance(line, Line)  # noqa: S101  # `_factory` makes no others
        if line.keeps is None:
            line.keeps = self._may_show(line)
        self._idle.pop(line, None)
        line.ask()
        call = current_call.get()
        call.line = line
        call.phase = "answer"
        return connection

    def _may_show(self, line: Line) -> bool:
        peer = None if line.transport is None else line.transport.get_extra_info("peername")
        return peer is not None and may_show(peer[0], self._policy)

    def _open_socket(self, info: AddrInfoType) -> socket.socket:
        """Called by aiohttp before each connect, whether the address came from DNS or the URL."""
        made = current_call.get().open_socket(info, self._policy)
        while self._idle and len(self._acquired) + len(self._idle) > self._terms.connections:
            longest = next(iter(self._idle))
            self._forget(longest)
            longest.close()
        return made

    def _release(
        self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False
    ) -> None:
        line = protocol if isinstance(protocol, Line) else None
        too_much = line is not None and line.overfed
        super()._release(key, protocol, should_close=should_close or too_much)
        if line is not None and line.is_connected() and not self._closed:
            line.rest()
            self._idle[line] = key

    def _forget(self, line: Line) -> None:
        """Drop an idle connection; aiohttp keeps those that were closed until it looks again."""
        key = self._idle.pop(line, None)
        if key is None:
            return
        others = deque(each for each in self._conns.get(key, ()) if each[0] is not line)
        if others:
            self._conns[key] = others
        else:
            self._conns.pop(key, None)
