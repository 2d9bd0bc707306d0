"""Names to addresses, in threads of its own, so that nobody waits for another one's slow DNS.

`getaddrinfo` blocks, for many seconds where a name server is silent, and can't be stopped. In an
event loop's own pool (libuv has four threads) a few such names would stop every other lookup. Here
a name is looked up once however many wait for it, and many names at once. The threads are shared
fairly between callers (`engine.places`), since one keeps its thread long after whoever asked has
given up: however many silent names a caller has, there are threads left for the others.

What is returned is only cached for load. Whether an address may be dialled is decided from the
address itself, each time, by whoever dials it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct

from dispatcher.engine.places import Places

NOTHING_LEFT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What the system says when it is this machine that has nothing left (socket(2), connect(2))."""


class LookupFailed(OSError):
    """No address of the name could be found; the message tells a person why.

    `ours`: for want of something of this machine's, which tells nothing of the name.
    """

    def __init__(self, text: str, *, ours: bool = False) -> None:
        super().__init__(text)
        self.ours = ours


class NameResolver(Protocol):
    """Finds the addresses of names."""

    async def addresses(self, host: str, caller_id: str) -> tuple[str, ...]:
        """Every address of the host, in the order to try them; never none.

        It is looked up on the account of the caller, or of another who waits for the same name.

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


def _is_ours(error: OSError) -> bool:
    """Whether a lookup failed for want of something of this machine's.

    Without a socket left `getaddrinfo` says the same as of a name server that is silent.
    """
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_MEMORY or _no_socket_left()
    return error.errno in NOTHING_LEFT or _no_socket_left()


def _no_socket_left() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    except OSError as fault:
        return fault.errno in NOTHING_LEFT
    return False


class _Known(Struct, frozen=True):
    addresses: tuple[str, ...]
    until: float


class _Lookup:
    """One name to look up, and how many wait for it, by caller; `queued` until it has a thread."""

    __slots__ = ("host", "queued", "result", "waiting")

    def __init__(self, host: str, loop: asyncio.AbstractEventLoop) -> None:
        self.host = host
        self.queued = True
        self.waiting: Counter[str] = Counter()
        self.result: asyncio.Future[tuple[str, ...]] = loop.create_future()
        # Nobody may be left to hear of a failure; that is not worth a warning.
        self.result.add_done_callback(lambda done: done.cancelled() or done.exception())


class _Turns:
    """What waits for a thread: callers in turn, and the lookups of one in the order they came.

    A lookup stands in the queue of each caller who waits for it, and nowhere else.
    """

    def __init__(self) -> None:
        self._queues: dict[str, dict[str, _Lookup]] = {}  # of callers, whose turn is next first

    def add(self, caller_id: str, lookup: _Lookup) -> None:
        """Queue it; where it stands already it keeps its place."""
        self._queues.setdefault(caller_id, {}).setdefault(lookup.host, lookup)

    def drop(self, caller_id: str, lookup: _Lookup) -> None:
        """This caller waits for it no more."""
        queue = self._queues[caller_id]
        del queue[lookup.host]
        if not queue:
            del self._queues[caller_id]

    def take(self, places: Places) -> tuple[str, _Lookup] | None:
        """Whose turn it is of those who have room, with the place taken; None: nobody's."""
        caller_id = next((each for each in self._queues if places.take(each)), None)
        if caller_id is None:
            return None
        queue = self._queues[caller_id] = self._queues.pop(caller_id)  # behind all others
        lookup = next(iter(queue.values()))
        lookup.queued = False
        for each in lookup.waiting:
            self.drop(each, lookup)
        return caller_id, lookup


class Resolver:
    """A `NameResolver` on this machine's own resolver.

    Args:
        lookup: blocks, and returns the addresses of a host or raises OSError.
        ttl_seconds: how long an answer is used again; a failure never is.
        most_threads: how many names are looked up at once, for one caller three quarters of them
            at most; the others wait their turn.
        most_names: how many answers are kept.
        monotonic: seconds that only run forward.
    """

    def __init__(
        self,
        *,
        lookup: Callable[[str], tuple[str, ...]] = system_addresses,
        ttl_seconds: float = 5.0,
        most_threads: int = 64,
        most_names: int = 4_096,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lookup = lookup
        self._ttl_seconds = ttl_seconds
        self._most_names = most_names
        self._monotonic = monotonic
        self._known: dict[str, _Known] = {}
        self._pending: dict[str, _Lookup] = {}
        self._turns = _Turns()
        self._threads = Places(most_threads)

    async def addresses(self, host: str, caller_id: str) -> tuple[str, ...]:
        """As `NameResolver.addresses`."""
        known = self._known.get(host)
        if known is not None and self._monotonic() < known.until:
            return known.addresses
        lookup = self._pending.get(host)
        if lookup is None:
            lookup = self._pending[host] = _Lookup(host, asyncio.get_running_loop())
        lookup.waiting[caller_id] += 1
        if lookup.queued:
            self._turns.add(caller_id, lookup)
        try:
            self._start_threads()
            return await asyncio.shield(lookup.result)
        finally:
            self._leave(caller_id, lookup)

    def _leave(self, caller_id: str, lookup: _Lookup) -> None:
        """One of those who waited has its answer, or has given up."""
        lookup.waiting[caller_id] -= 1
        if lookup.waiting[caller_id]:
            return
        del lookup.waiting[caller_id]
        if lookup.queued:
            self._turns.drop(caller_id, lookup)
            if not lookup.waiting:
                del self._pending[lookup.host]

    def _start_threads(self) -> None:
        while (turn := self._turns.take(self._threads)) is not None:
            caller_id, lookup = turn
            try:
                # Not of a pool: those of concurrent.futures are joined when the interpreter ends,
                # so that a silent name server would hold up the end of the process.
                threading.Thread(
                    target=self._run, args=turn, name="dispatcher-dns", daemon=True
                ).start()
            except (RuntimeError, MemoryError):
                failure = LookupFailed("this machine can start no more threads", ours=True)
                self._end(caller_id, lookup, (), failure)

    def _run(self, caller_id: str, lookup: _Lookup) -> None:
        """In a thread of its own."""
        addresses: tuple[str, ...] = ()
        failure = None
        try:
            addresses = self._lookup(lookup.host)
        except OSError as error:  # gaierror is one
            failure = LookupFailed(error.strerror or "the lookup failed", ours=_is_ours(error))
        except Exception:  # noqa: BLE001  # the idna codec's, say: whatever it is, the place is given back
            failure = LookupFailed("the name can't be looked up")
        if failure is None and not addresses:
            failure = LookupFailed("the name has no address")
        loop = lookup.result.get_loop()
        try:
            loop.call_soon_threadsafe(self._finish, caller_id, lookup, addresses, failure)
        except RuntimeError:
            return  # the loop has ended, and whoever asked with it

    def _finish(
        self,
        caller_id: str,
        lookup: _Lookup,
        addresses: tuple[str, ...],
        failure: LookupFailed | None,
    ) -> None:
        """A thread is free again."""
        self._end(caller_id, lookup, addresses, failure)
        self._start_threads()

    def _end(
        self,
        caller_id: str,
        lookup: _Lookup,
        addresses: tuple[str, ...],
        failure: LookupFailed | None,
    ) -> None:
        self._threads.give(caller_id)
        del self._pending[lookup.host]
        if failure is not None:
            lookup.result.set_exception(failure)
        else:
            self._keep(lookup.host, addresses)
            lookup.result.set_result(addresses)

    def _keep(self, host: str, addresses: tuple[str, ...]) -> None:
        self._known.pop(host, None)
        while len(self._known) >= self._most_names:
            del self._known[next(iter(self._known))]  # the oldest: all live equally long
        self._known[host] = _Known(addresses, self._monotonic() + self._ttl_seconds)
