"""The lease of this process: one heartbeat for all the jobs that it holds.

The beat comes from a thread of its own, so that a handler that blocks the event loop does not
silence it. A process that can't beat stops its jobs before its lease ends: it measures by the
monotonic clock, from before the beat was sent, so it never believes in its lease longer than the
store does.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from dispatcher.core.errors import Stopping, StoreError
from dispatcher.core.facts import StoreFailed
from dispatcher.engine.terms import System
from dispatcher.ports.store import Heart, Store

BEATS_A_LEASE: Final = 5
"""A fifth of the lease between beats, and a fifth kept as margin before its end."""


Told = TypeVar("Told")


class Holder:
    """Holds jobs in the name of this process, under an id that changes when its lease was lost."""

    def __init__(
        self,
        store: Store,
        *,
        name: str,
        lease_seconds: float,
        system: System,
        on_lost: Callable[[str], None],
    ) -> None:
        """`on_lost` is called on the event loop with the id that was lost."""
        self._store = store
        self._name = name
        self._lease_seconds = lease_seconds
        self._clock = system.clock
        self._ids = system.ids
        self._observer = system.observer
        self._on_lost = on_lost
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heart: Heart | None = None
        self._good_until = 0.0
        self._failing = False
        self.id = self._ids.new("hld")
        self.alive = False

    async def start(self) -> None:
        """Beat once, then go on in the background; raises `StoreError` if the first beat fails."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._beat)
        self._thread = threading.Thread(target=self._run, name="dispatcher-heart", daemon=True)
        self._thread.start()

    async def stop(self, *, release: bool) -> None:
        """Beat no more; with `release` end the lease now (only if nothing is held any longer)."""
        self._stop.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        self.alive = False
        if release:
            with contextlib.suppress(StoreError):
                await self._store.release_holder(self.id)

    def _beat(self) -> None:
        started = self._clock.monotonic()
        if self._heart is None:
            self._heart = self._store.heart(self.id, self._name, self._lease_seconds)
        self._heart.beat()
        self._good_until = started + self._lease_seconds * (1 - 1 / BEATS_A_LEASE)
        self.alive = True

    def _run(self) -> None:
        every = self._lease_seconds / BEATS_A_LEASE
        wait = every
        while not self._stop.wait(wait):
            try:
                self._beat()
                wait = every
                self._failing = False
            except Stopping:
                self._lose()
                wait = 0.0
            except StoreError as error:
                wait = every / BEATS_A_LEASE
                if not self._failing:
                    self._failing = True
                    self._tell(self._observer.saw, StoreFailed("heartbeat", str(error)))
                if self.alive and self._clock.monotonic() + wait >= self._good_until:
                    self._lose()
        if self._heart is not None:
            self._heart.close()

    def _lose(self) -> None:
        """Give up the id; the next beat holds anew under another."""
        lost = self.id
        self.alive = False
        if self._heart is not None:
            self._heart.close()
            self._heart = None
        self.id = self._ids.new("hld")
        self._tell(self._on_lost, lost)

    def _tell(self, call: Callable[[Told], None], what: Told) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            if self._loop is not None:
                self._loop.call_soon_threadsafe(call, what)
