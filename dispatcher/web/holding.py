"""Holding an answer until there is something to say: `Prefer: wait=N`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from math import inf
from types import TracebackType
from typing import Final, Generic, Protocol, Self, TypeVar, cast

from aiohttp import web
from msgspec import Struct

from dispatcher.core.model import Instant, JobState
from dispatcher.engine.waiters import Waiters, Waiting
from dispatcher.ports.system import Clock
from dispatcher.ports.views import JobRecord
from dispatcher.web.prefer import Wishes, read_wishes

REST_SECONDS: Final = 1.0
"""One who finds no place to wait, and nothing new, rests so long all the same: whoever asks again
at once, without heed of `Retry-After`, does not ask the store more often. It costs a timer."""

_OVER_SECONDS: Final = 0.001
"""A wait with less than this left is over."""

T = TypeVar("T")


class Losable(Protocol):
    """A connection that tells when it is lost: `web.server` makes them."""

    on_lost: Callable[[], None] | None


class Client:
    """The client of a request that takes long: if it goes away, `waiting` is woken."""

    def __init__(self, request: web.Request, waiting: Waiting) -> None:
        self._connection = cast("Losable", request.protocol)
        self._waiting = waiting
        self.gone = request.transport is None

    def __enter__(self) -> Self:
        self._connection.on_lost = self._lost
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.on_lost = None

    def _lost(self) -> None:
        self.gone = True
        self._waiting.ring()


class Look(Struct, Generic[T], frozen=True):
    """What was seen: `enough` to answer, or else to be looked at again in so many seconds."""

    value: T
    enough: bool
    again_in: float = inf


class Holding:
    """Holds answers, within the places that there are for it."""

    def __init__(self, waiters: Waiters, clock: Clock) -> None:
        self._waiters = waiters
        self._clock = clock

    @contextmanager
    def wishes(self, request: web.Request, caller_id: str) -> Iterator[Wishes]:
        """What the request prefers, with a place to wait if it has a wait.

        A wait for which there is no place is left out, as a preference may be (RFC 7240, 2), but
        for the short rest of `hold`. That of a HEAD is left out, too: it asks what there is now.
        """
        wishes = read_wishes(request.headers.getall("Prefer", ()))
        if request.method == "HEAD":
            yield Wishes(wishes.respond_async)
        elif not wishes.wait:
            yield wishes
        elif not self._waiters.waits.take(caller_id):
            yield Wishes(wishes.respond_async, no_place=True)
        else:
            try:
                yield wishes
            finally:
                self._waiters.waits.give(caller_id)

    async def hold(
        self,
        request: web.Request,
        waiting: Waiting,
        wishes: Wishes,
        look: Callable[[Waiting], Awaitable[Look[T]]],
    ) -> T:
        """Look until it is enough, as long as is wished at most, and give what was seen last.

        `look` notes in `waiting.seen` how far it has seen. Nobody waits any more once the service
        shuts down, or for a client that has gone.
        """
        if wishes.no_place:
            return await self._rest(request, waiting, look)
        if not wishes.wait:
            return (await look(waiting)).value
        ends = self._clock.monotonic() + wishes.wait
        with waiting, Client(request, waiting) as client:
            while True:
                seen = await look(waiting)
                left = ends - self._clock.monotonic()
                if seen.enough or left < _OVER_SECONDS or self._waiters.closed or client.gone:
                    return seen.value
                await waiting.wait(min(left, seen.again_in))

    async def _rest(
        self, request: web.Request, waiting: Waiting, look: Callable[[Waiting], Awaitable[Look[T]]]
    ) -> T:
        """Look; if it is not enough, once more a little later. Nobody rings meanwhile."""
        seen = await look(waiting)
        if not seen.enough and seen.again_in > 0:
            with Client(request, waiting) as client:
                if not client.gone:
                    await waiting.wait(min(REST_SECONDS, seen.again_in))
            seen = await look(waiting)
        return seen.value


def changes_in(record: JobRecord, now: Instant) -> float:
    """Seconds until what is shown of a job changes by time alone: it, or its callback, is due."""
    job, delivery = record.job, record.delivery
    dues = [job.due_at] if job.state is JobState.WAITING else []
    if delivery is not None and delivery.next_attempt_at is not None:
        dues.append(delivery.next_attempt_at)
    return min(((due - now) / 1000 for due in dues if due > now), default=inf)
