"""Connections that may serve again, and places for those in use: never more than allowed."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from dispatcher.adapters.sender import words
from dispatcher.adapters.sender.narrow.line import Broken, Line
from dispatcher.adapters.sender.terms import SenderTerms

# Timers are this early, so that they don't ring in vain just before the time.
_EARLY_SECONDS: Final = 0.001


class Pool:
    """The connections of a sender. Whoever has one, or makes one, has a place.

    There are `terms.connections` places; who finds none waits in order. A connection without one is
    idle: it is closed after `terms.idle_seconds`, or when a new one needs its room, the longest
    idle first.
    """

    def __init__(self, terms: SenderTerms, loop: asyncio.AbstractEventLoop) -> None:
        self._terms = terms
        self._loop = loop
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._open: set[Line] = set()
        self._idle: dict[Line, float] = {}  # since when; the longest idle first
        self._by_origin: dict[str, list[Line]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def take(self, origin: str) -> Line | None:
        """An idle connection there with a place; None: wait for a place, and look again."""
        if self._taken >= self._terms.connections:
            return None
        line = self.take_idle(origin)
        if line is not None:
            self._taken += 1
        return line

    async def take_place(self) -> None:
        """Wait for a place, in order; raises `Broken` when the pool is closed."""
        if self._closed:
            raise Broken(words.SHUT_DOWN)
        if self._taken < self._terms.connections:
            self._taken += 1
            return
        freed: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(freed)
        try:
            await freed
        except asyncio.CancelledError:
            if not freed.cancelled():  # it was handed over at the same moment
                self.give_place()
            raise

    def give_place(self) -> None:
        """Give a place back: to who waits for one, if anybody does."""
        while self._waiting:
            freed = self._waiting.popleft()
            if not freed.done():
                freed.set_result(None)
                return
        self._taken -= 1

    def take_idle(self, origin: str) -> Line | None:
        """An idle connection there, for who has a place."""
        lines = self._by_origin.get(origin)
        while lines:
            line = lines[-1]
            fresh = self._loop.time() - self._idle[line] <= self._terms.idle_seconds
            self._forget_idle(line)
            if fresh and line.usable:
                return line
            line.abort()
        return None

    def make_room(self) -> None:
        """Called with a place before a connection is opened."""
        while self._idle and self._taken + len(self._idle) > self._terms.connections:
            longest = next(iter(self._idle))
            self._forget_idle(longest)
            longest.abort()

    def new_line(self, origin: str) -> Line:
        """A connection to be made; `adopt` it when it is."""
        return Line(origin, self._terms, self._loop, self._forget)

    def adopt(self, line: Line) -> None:
        """Know of a connection that was made, until it is lost; raises `Broken` as `take_place`."""
        if self._closed:
            line.abort()
            raise Broken(words.SHUT_DOWN)
        if line.usable:
            self._open.add(line)

    def give(self, line: Line, *, sound: bool) -> None:
        """Give a connection back with its place; one that is not sound is closed."""
        if sound and line.usable and not self._closed:
            self._idle[line] = self._loop.time()
            self._by_origin.setdefault(line.origin, []).append(line)
            if self._timer is None:
                self._timer = self._loop.call_later(self._terms.idle_seconds, self._close_old)
        else:
            line.abort()
        self.give_place()

    def close(self) -> None:
        """Close every connection, in use or not."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._waiting:
            freed = self._waiting.popleft()
            if not freed.done():
                freed.set_exception(Broken(words.SHUT_DOWN))
        for line in list(self._open):
            self._forget_idle(line)
            line.hang_up(words.SHUT_DOWN)

    def _close_old(self) -> None:
        self._timer = None
        now = self._loop.time() + _EARLY_SECONDS
        for line, since in list(self._idle.items()):
            left = since + self._terms.idle_seconds - now
            if left > 0:
                self._timer = self._loop.call_later(left, self._close_old)
                return
            self._forget_idle(line)
            line.abort()

    def _forget(self, line: Line) -> None:
        """It was lost."""
        self._open.discard(line)
        self._forget_idle(line)

    def _forget_idle(self, line: Line) -> None:
        if self._idle.pop(line, None) is None:
            return
        lines = self._by_origin[line.origin]
        lines.remove(line)
        if not lines:
            del self._by_origin[line.origin]
