"""Queues as operators see and steer them: how much is there, pause, resume."""

from __future__ import annotations

from typing import Final

from dispatcher.core.audit import Actor, AuditAction
from dispatcher.core.facts import ActionAudited, PauseChanged
from dispatcher.engine.audit import Entries
from dispatcher.engine.jobs import Jobs
from dispatcher.engine.terms import System
from dispatcher.ports.store import Store
from dispatcher.ports.views import Backlog, Pauses

MOST_COUNTED: Final = 100_000
"""Each count ends at about so many: it bounds what looking costs."""

EVERY_QUEUE: Final = "*"
"""The target in the audit log when all are paused or resumed."""


class Queues:
    """Pauses and resumes; jobs are accepted and wait meanwhile, and what runs goes on."""

    def __init__(self, store: Store, jobs: Jobs, system: System) -> None:
        self._store = store
        self._jobs = jobs
        self._clock = system.clock
        self._observer = system.observer
        self._audit = Entries(system.clock, system.ids)

    async def overview(self) -> tuple[Backlog, Pauses]:
        """How much there is of each queue, and what is paused. Raises `StoreUnavailable`."""
        pauses = await self._store.pauses()
        return await self._store.backlog(MOST_COUNTED), pauses

    async def pause(self, queue: str | None, actor: Actor) -> Pauses:
        """Pause a queue, or all; gives what is paused then. Raises `StoreUnavailable`."""
        told = self._audit.of(actor, AuditAction.QUEUE_PAUSE, queue or EVERY_QUEUE)
        await self._store.pause(queue, self._clock.now(), told)
        self._observer.saw(ActionAudited(told))
        self._observer.saw(PauseChanged(queue, paused=True))
        return await self._store.pauses()

    async def resume(self, queue: str | None, actor: Actor) -> Pauses:
        """Resume a queue, or end the pause of all, and look at once for what waited."""
        told = self._audit.of(actor, AuditAction.QUEUE_RESUME, queue or EVERY_QUEUE)
        await self._store.resume(queue, told)
        self._jobs.wake()
        self._observer.saw(ActionAudited(told))
        self._observer.saw(PauseChanged(queue, paused=False))
        return await self._store.pauses()
