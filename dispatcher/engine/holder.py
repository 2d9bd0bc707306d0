"""The lease of this process: one heartbeat for all the jobs that it holds.

The beat comes from a thread of its own, so that a handler that blocks the event loop does not
silence it. A process that can't beat stops its jobs before its lease ends: it measures by the
monotonic clock, from before the beat was sent, so it never believes in its lease longer than the
store does. The event loop watches over a beat that hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import traceback
from collections.abc import Callable
from typing import Final, TypeVar

from dispatcher.core.errors import Stopping, StoreError, StoreUnavailable
from dispatcher.core.facts import LoopFailed, StoreFailed, StoreRecovered
from dispatcher.engine.terms import System
from dispatcher.ports.store import Heart, Store
from dispatcher.ports.system import Alarm

BEATS_A_LEASE: Final = 5
"""A fifth of the lease between beats, and a fifth kept as margin before its end."""

HEARTBEAT: Final = "heartbeat"

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
        on_held: Callable[[str], None],
    ) -> None:
        """`on_lost` and `on_held` are called on the event loop with the id lost, or held anew."""
        self._store = store
        self._name = name
        self._lease_seconds = lease_seconds
        self._clock = system.clock
        self._timers = system.timers
        self._ids = system.ids
        self._observer = system.observer
        self._on_lost = on_lost
        self._on_held = on_held
        self._stopping = False
        self._beat_now = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._alarm: Alarm | None = None
        self._failing = False
        # Of the beating thread alone:
        self._heart: Heart | None = None
        self._heart_of = ""
        # Changed by the thread and the loop, under the lock:
        self._lock = threading.Lock()
        self._good_until = 0.0
        self.id = self._ids.new("hld")
        self.alive = False

    async def start(self) -> None:
        """Beat once, then go on in the background; raises `StoreError` if the first beat fails."""
        self._loop = asyncio.get_running_loop()
        if not await asyncio.to_thread(self._beat):
            raise StoreUnavailable("The first heartbeat took longer than a lease; start again.")
        self._thread = threading.Thread(target=self._run, name="dispatcher-heart", daemon=True)
        self._thread.start()

    async def stop(self, *, release: bool) -> None:
        """Beat no more; with `release` end the lease now (only if nothing is held any longer)."""
        self._stopping = True
        self._beat_now.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        self._loop = None
        if self._alarm is not None:
            self._alarm.cancel()
        self.alive = False
        if release:
            with contextlib.suppress(StoreError):
                await self._store.release_holder(self.id)

    # --- in the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        every = self._lease_seconds / BEATS_A_LEASE
        wait = every
        while True:
            self._beat_now.wait(wait)
            self._beat_now.clear()
            if self._stopping:
                break
            try:
                held = self._beat()
            except Exception as error:  # noqa: BLE001  # a heart that stopped for a defect of ours would hold for ever
                wait = every / BEATS_A_LEASE
                self._tell_failure(error)
                if self._clock.monotonic() + wait >= self._good_until:
                    self._lose(self._heart_of)
            else:
                wait = every if held else 0.0
                if held and self._failing:
                    self._failing = False
                    self._tell(self._observer.saw, StoreRecovered(HEARTBEAT))
        if self._heart is not None:
            self._heart.close()

    def _beat(self) -> bool:
        """Beat once; False if the lease is lost, and the next beat must hold anew."""
        started = self._clock.monotonic()
        holder_id = self.id
        if self._heart is None or self._heart_of != holder_id:
            if self._heart is not None:
                self._heart.close()
            self._heart_of = holder_id
            self._heart = self._store.heart(holder_id, self._name, self._lease_seconds)
        try:
            self._heart.beat()
        except Stopping:
            self._lose(holder_id)
            return False
        good_until = started + self._lease_seconds * (1 - 1 / BEATS_A_LEASE)
        if self._clock.monotonic() >= good_until:  # it took as long as the lease lasts
            self._lose(holder_id)
            return False
        with self._lock:
            if self.id != holder_id:  # the loop gave it up while the beat was on its way
                return False
            self._good_until = good_until
            anew = not self.alive and self._thread is not None
            self.alive = True
        self._tell(self._watch, good_until)
        if anew:
            self._tell(self._on_held, holder_id)
        return True

    def _tell_failure(self, error: Exception) -> None:
        if self._failing:
            return
        self._failing = True
        if isinstance(error, StoreError):
            self._tell(self._observer.saw, StoreFailed(HEARTBEAT, str(error)))
        else:
            detail = f"{type(error).__name__}: {error}"
            self._tell(self._observer.saw, LoopFailed(HEARTBEAT, detail, traceback.format_exc()))

    # --- in either -----------------------------------------------------------------------------

    def _lose(self, holder_id: str) -> None:
        """Give up the id, once; the next beat holds anew under another."""
        with self._lock:
            if self.id != holder_id or not self.alive:
                return
            self.alive = False
            self.id = self._ids.new("hld")
        self._tell(self._on_lost, holder_id)
        self._beat_now.set()

    def _tell(self, call: Callable[[Told], None], what: Told) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            if self._loop is not None:
                self._loop.call_soon_threadsafe(call, what)

    # --- on the loop ---------------------------------------------------------------------------

    def _watch(self, good_until: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        if self._loop is not None:
            left = good_until - self._clock.monotonic()
            self._alarm = self._timers.after(left, self._overdue)

    def _overdue(self) -> None:
        """No beat has come back in time: it may hang."""
        self._alarm = None
        if self._clock.monotonic() >= self._good_until:
            self._lose(self.id)
        else:  # another beat has come back meanwhile, or the alarm was early: it is the last guard
            self._watch(self._good_until)
