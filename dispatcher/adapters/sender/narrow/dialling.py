"""New connections: to addresses that policy allows, with TLS that is verified."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import cast

from dispatcher.adapters.resolver import NameResolver
from dispatcher.adapters.sender import words
from dispatcher.adapters.sender.dial import AddressInfo, AddressRefused, Dial, may_show
from dispatcher.adapters.sender.narrow.line import Broken, Line
from dispatcher.adapters.sender.narrow.pool import Pool
from dispatcher.adapters.sender.narrow.racing import Race
from dispatcher.adapters.sender.narrow.resuming import Resuming, Sessions
from dispatcher.core.addresses import Policy


def trusted_here() -> ssl.SSLContext:
    """The certificate authorities of this machine, as a `Dialler` trusts them.

    Reading them takes tens of milliseconds: do it off the event loop, before serving.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class Dialler:
    """Makes the connections of a sender.

    Args:
        policy: which addresses may be reached.
        names: finds them.
        tls: what is trusted; None: `trusted_here`, read at the first dial that needs it.
        loop: whose connections they are.
    """

    def __init__(
        self,
        policy: Policy,
        names: NameResolver,
        tls: ssl.SSLContext | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._policy = policy
        self._names = names
        self._tls = tls
        self._loop = loop
        self._sessions = Sessions()

    async def connect(self, dial: Dial, pool: Pool) -> Line:
        """Connect to one address of the target after the other, to each once, until one does.

        Raises:
            AddressRefused: policy refuses the address; `dial.refused` says why.
            Broken: no connection came about, or no TLS.
        """
        left = await self._addresses(dial)
        tried: set[AddressInfo] = set()
        why: words.Why | None = None
        while left:
            try:
                connected = await self._reach(left, tried, dial, pool)
            except OSError as fault:
                if dial.refused is not None or (fault.errno is None and _ran_out(fault)):
                    raise
                dial.failed_by(fault)
                raise Broken(words.no_connection(dial, fault)) from None
            try:
                line = await self._begin(connected, dial, pool)
            except ssl.CertificateError as fault:
                why = words.bad_certificate(fault)
            except ssl.SSLError as fault:
                why = words.no_handshake(fault)
            except OSError as fault:
                if fault.errno is None and _ran_out(fault):
                    raise
                why = words.no_connection(dial, fault)
            else:
                self._learn(line)
                pool.adopt(line)
                return line
            # None is tried twice: a name that lists others' addresses has them knocked at once.
            left = [each for each in left if each not in tried]
        assert why is not None  # noqa: S101  # a resolver finds at least one address
        raise Broken(why)

    def remember(self, line: Line) -> None:
        """Keep the TLS session of a connection that has served; a ticket comes with the answer."""
        if not line.seasoned:
            line.seasoned = True
            tls = line.info("ssl_object")
            if tls is not None:
                self._sessions.keep(line.origin, tls, self._loop.time())

    async def _addresses(self, dial: Dial) -> list[AddressInfo]:
        target = dial.target
        if target.literal:
            found: tuple[str, ...] = (target.host,)
        else:
            try:
                found = await dial.resolve(self._names, self._policy)
            except OSError as fault:
                if dial.refused is not None or (fault.errno is None and _ran_out(fault)):
                    raise
                raise Broken(words.no_address(dial, fault)) from None
        return [_info(address, target.port) for address in found]

    async def _reach(
        self, addresses: list[AddressInfo], tried: set[AddressInfo], dial: Dial, pool: Pool
    ) -> socket.socket:
        """Connected to the first of these that answers; notes which were tried."""

        def open_socket(info: AddressInfo) -> socket.socket:
            made = dial.open_socket(info, self._policy)
            tried.add(info)
            pool.make_room()
            return made

        connected = await Race(open_socket, self._loop).first_of(addresses)
        if dial.refused is not None:  # another address of the name was
            connected.close()
            raise AddressRefused(dial.refused.detail)
        return connected

    async def _begin(self, connected: socket.socket, dial: Dial, pool: Pool) -> Line:
        target = dial.target
        secure = target.scheme == "https"
        _, line = await self._loop.create_connection(
            lambda: pool.new_line(target.origin),
            sock=connected,
            ssl=self._context(target.origin) if secure else None,
            # Certificates have names without the final dot.
            server_hostname=target.host.rstrip(".") if secure else None,
        )
        return line

    def _context(self, origin: str) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = trusted_here()
        session = self._sessions.find(origin, self._loop.time())
        if session is None:
            return self._tls
        return cast("ssl.SSLContext", Resuming(self._tls, session))

    def _learn(self, line: Line) -> None:
        peer = line.info("peername")
        line.keeps = peer is not None and may_show(peer[0], self._policy)


def _info(address: str, port: int) -> AddressInfo:
    """As `socket.getaddrinfo` gives it, with an address that needs no lookup."""
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)


def _ran_out(fault: OSError) -> bool:
    """Whether it is our own deadline; the system's time-out has a number."""
    return isinstance(fault, TimeoutError)
