"""Queues as operators see and steer them: how much is there, pause, resume."""

from __future__ import annotations

from typing import Final

from dispatcher.core.facts import PauseChanged
from dispatcher.engine.jobs import Jobs
from dispatcher.engine.terms import System
from dispatcher.ports.store import Store
from dispatcher.ports.views import Backlog, Pauses

MOST_COUNTED: Final = 100_000
"""Each count ends at about so many: it bounds what looking costs."""


class Queues:
    """Pauses and resumes; jobs are accepted and wait meanwhile, and what runs goes on."""

    def __init__(self, store: Store, jobs: Jobs, system: System) -> None:
        self._store = store
        self._jobs = jobs
        self._clock = system.clock
        self._observer = system.observer

    async def overview(self) -> tuple[Backlog, Pauses]:
        """How much there is of each queue, and what is paused. Raises `StoreUnavailable`."""
        pauses = await self._store.pauses()
        return await self._store.backlog(MOST_COUNTED), pauses

    async def pause(self, queue: str | None) -> Pauses:
        """Pause a queue, or all; gives what is paused then. Raises `StoreUnavailable`."""
        await self._store.pause(queue, self._clock.now())
        return await self._done(queue, paused=True)

    async def resume(self, queue: str | None) -> Pauses:
        """Resume a queue, or end the pause of all, and look at once for what waited."""
        await self._store.resume(queue)
        self._jobs.wake()
        return await self._done(queue, paused=False)

    async def _done(self, queue: str | None, *, paused: bool) -> Pauses:
        """What follows each of them: whoever looks on is told."""
        self._observer.saw(PauseChanged(queue, paused))
        return await self._store.pauses()
