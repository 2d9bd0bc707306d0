"""Names to addresses, in threads of its own, so that nobody waits for another one's slow DNS.

`getaddrinfo` blocks, for many seconds where a name server is silent, and can't be stopped. In an
event loop's own pool (libuv has four threads) a few such names would stop every other lookup. Here
a name is looked up once however many wait for it, and many names at once.

What is returned is only cached for load. Whether an address may be dialled is decided from the
address itself, each time, by whoever dials it.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct


class LookupFailed(OSError):
    """No address of the name could be found; the message tells a person why."""


class NameResolver(Protocol):
    """Finds the addresses of names."""

    async def addresses(self, host: str) -> tuple[str, ...]:
        """Every address of the host, in the order to try them; never none.

        Raises:
            LookupFailed: the name has no address, or nobody can tell now.
        """
        ...


def system_addresses(host: str) -> tuple[str, ...]:
    """What this machine's resolver says, in its order of preference (RFC 6724). Blocks.

    Raises:
        OSError: it knows no address.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(info[4][0]) for info in found))


class _Known(Struct, frozen=True):
    addresses: tuple[str, ...]
    until: float


class _Lookup:
    """One name being looked up, and how many wait for it."""

    __slots__ = ("host", "result", "waiting")

    def __init__(self, host: str, loop: asyncio.AbstractEventLoop) -> None:
        self.host = host
        self.waiting = 0
        self.result: asyncio.Future[tuple[str, ...]] = loop.create_future()
        # Nobody may be left to hear of a failure; that is not worth a warning.
        self.result.add_done_callback(lambda done: done.cancelled() or done.exception())


class Resolver:
    """A `NameResolver` on this machine's own resolver.

    Args:
        lookup: blocks, and returns the addresses of a host or raises OSError.
        ttl_seconds: how long an answer is used again; a failure never is.
        most_threads: how many names are looked up at once; the others wait their turn.
        most_names: how many answers are kept.
        monotonic: seconds that only run forward.
    """

    def __init__(
        self,
        *,
        lookup: Callable[[str], tuple[str, ...]] = system_addresses,
        ttl_seconds: float = 5.0,
        most_threads: int = 32,
        most_names: int = 4_096,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lookup = lookup
        self._ttl_seconds = ttl_seconds
        self._most_threads = most_threads
        self._most_names = most_names
        self._monotonic = monotonic
        self._known: dict[str, _Known] = {}
        self._pending: dict[str, _Lookup] = {}
        self._queue: deque[_Lookup] = deque()
        self._threads = 0

    async def addresses(self, host: str) -> tuple[str, ...]:
        """As `NameResolver.addresses`."""
        known = self._known.get(host)
        if known is not None and self._monotonic() < known.until:
            return known.addresses
        lookup = self._pending.get(host)
        if lookup is None:
            lookup = self._pending[host] = _Lookup(host, asyncio.get_running_loop())
            self._queue.append(lookup)
        lookup.waiting += 1
        try:
            self._start_threads()
            return await asyncio.shield(lookup.result)
        finally:
            lookup.waiting -= 1

    def _start_threads(self) -> None:
        while self._queue and self._threads < self._most_threads:
            lookup = self._queue.popleft()
            if not lookup.waiting:  # all who asked have given up meanwhile
                del self._pending[lookup.host]
                continue
            self._threads += 1
            # Not of a pool: those of concurrent.futures are joined when the interpreter ends, so
            # that a silent name server would hold up the end of the process.
            thread = threading.Thread(
                target=self._run, args=(lookup,), name="dispatcher-dns", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:
                self._finish(lookup, (), LookupFailed("this machine can start no more threads"))

    def _run(self, lookup: _Lookup) -> None:
        """In a thread of its own."""
        addresses: tuple[str, ...] = ()
        failure = None
        try:
            addresses = self._lookup(lookup.host)
        except OSError as error:  # gaierror is one
            failure = LookupFailed(error.strerror or "the lookup failed")
        except ValueError:  # the idna codec's, of a name that it can't encode
            failure = LookupFailed("the name can't be looked up")
        if failure is None and not addresses:
            failure = LookupFailed("the name has no address")
        try:
            lookup.result.get_loop().call_soon_threadsafe(self._finish, lookup, addresses, failure)
        except RuntimeError:
            return  # the loop has ended, and whoever asked with it

    def _finish(
        self, lookup: _Lookup, addresses: tuple[str, ...], failure: LookupFailed | None
    ) -> None:
        self._threads -= 1
        self._pending.pop(lookup.host, None)
        if failure is not None:
            lookup.result.set_exception(failure)
        else:
            self._keep(lookup.host, addresses)
            lookup.result.set_result(addresses)
        self._start_threads()

    def _keep(self, host: str, addresses: tuple[str, ...]) -> None:
        self._known.pop(host, None)
        while len(self._known) >= self._most_names:
            del self._known[next(iter(self._known))]  # the oldest: all live equally long
        self._known[host] = _Known(addresses, self._monotonic() + self._ttl_seconds)
