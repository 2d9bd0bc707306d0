"""Starting and stopping the engine, and starting a loop again that met a defect."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from dispatcher.core.errors import Stopping
from dispatcher.core.facts import LoopFailed
from dispatcher.engine.accept import Accept, Cancel
from dispatcher.engine.commit import Commit, pause
from dispatcher.engine.deliver import Deliveries
from dispatcher.engine.destinations import Destinations
from dispatcher.engine.endpoints import Endpoints
from dispatcher.engine.erase import Erase
from dispatcher.engine.holder import Holder
from dispatcher.engine.jobs import Jobs
from dispatcher.engine.leases import RemoteKind, RemoteWork
from dispatcher.engine.prune import Prune
from dispatcher.engine.queues import Queues
from dispatcher.engine.redeliver import CancelDelivery, Redeliver
from dispatcher.engine.service_keys import ensure_service_key
from dispatcher.engine.sweep import Sweep
from dispatcher.engine.terms import ALL_PARTS, EngineTerms, Parts, System
from dispatcher.ports.runner import Runner
from dispatcher.ports.sender import Sender
from dispatcher.ports.store import Store
from dispatcher.ports.vault import Vault

RESTART_SECONDS: Final = 1.0


class Engine:
    """The parts of the engine, put together, with their beginning and their end."""

    stuck = False
    """Whether, after `stop`, something still runs that nothing can stop."""

    def __init__(
        self,
        store: Store,
        runners: Mapping[str, Runner],
        sender: Sender,
        vault: Vault,
        *,
        name: str,
        user_agent: str,
        terms: EngineTerms,
        system: System,
        remote: Mapping[str, RemoteKind] | None = None,
        parts: Parts = ALL_PARTS,
    ) -> None:
        """`name` tells operators which process this is; `user_agent` goes with each callback.

        `remote` are the types that remote workers do, by name. `parts` is what is begun here.
        """
        self._parts = parts
        self._store, self._vault = store, vault
        self._terms = terms
        self._system = system
        commit = self._commit = Commit(store, terms.delivery, system)
        self.deliveries = Deliveries(
            store, sender, vault, commit, user_agent=user_agent, terms=terms, system=system
        )
        self.holder = Holder(
            store,
            name=name,
            lease_seconds=terms.lease_seconds,
            system=system,
            on_lost=self._lost,
            on_held=self._held,
        )
        self.jobs = Jobs(
            store, runners, self.deliveries, commit, holder=self.holder, terms=terms, system=system
        )
        self.sweep = Sweep(
            store,
            runners,
            self.jobs,
            self.deliveries,
            commit,
            holder=self.holder,
            terms=terms,
            system=system,
        )
        self.queues = Queues(store, self.jobs, system)
        self.remote = RemoteWork(store, self.jobs, commit, remote or {}, terms=terms, system=system)
        self.accept = Accept(
            store,
            self.jobs,
            system,
            limits=terms.limits.of_a_caller,
            queue_jobs=terms.limits.queue_jobs,
            spans=terms.spans,
        )
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._steer()

    def _steer(self) -> None:
        """What people do by hand about jobs, deliveries and where they go."""
        store, vault, terms, system = self._store, self._vault, self._terms, self._system
        self.cancel = Cancel(store, self.jobs, self._commit, system)
        self.endpoints = Endpoints(store, vault, self.deliveries, terms=terms, system=system)
        parts = (store, self.deliveries, self._commit, system)
        self.redeliver = Redeliver(*parts)
        self.cancel_delivery = CancelDelivery(*parts)
        self.erase = Erase(self._store, self.deliveries, self._terms.delivery, self._system)
        self.destinations = Destinations(*parts)
        self.prune = Prune(store, self.deliveries.wake, terms, system)

    async def start(self, *, alone: bool = False) -> None:
        """Hold a lease and start the loops; raises `StoreError` if the store does not work.

        `alone` says that no other process can hold anything now: what a dead one left behind is
        taken back at once rather than when its lease ends.
        """
        await ensure_service_key(self._store, self._vault, self._system.clock, self._system.random)
        if self._parts.jobs:  # without a lease nothing is handed off to this process
            await self.holder.start()
        if alone:
            try:
                await self._store.end_other_leases(self.holder.id)
            except BaseException:
                await self.holder.stop(release=False)
                raise
        if self._parts.jobs:
            self._keep("jobs", self.jobs.loop.run)
        if self._parts.deliveries:
            self._keep("deliveries", self.deliveries.loop.run)
        else:
            self.deliveries.slots.close()
        self._keep("sweep", self.sweep.run)
        self._keep("prune", self.prune.run)

    async def ready(self) -> None:
        """Raise what keeps the service from its work: `Stopping`, or a `StoreError`."""
        if self.accept.closed:
            raise Stopping("The service is shutting down.")
        await self._store.check()

    async def stop(self) -> None:
        """Drain: accept no more, claim no more, finish what runs within the grace, give back.

        `stuck` is true after it if a handler still runs that nothing can stop: then the lease is
        left to end by itself, and the process must exit for it to do so.
        """
        grace = self._terms.grace_seconds
        until = self._system.clock.monotonic() + grace
        await self.accept.close()
        self.remote.close()
        self.jobs.loop.stop()
        self.deliveries.loop.stop()
        for name in ("sweep", "prune"):
            if name in self._tasks:
                self._tasks[name].cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self.jobs.slots.close()
        ended = await self.jobs.drain(max(until - self._system.clock.monotonic(), 0.0))
        left = max(until - self._system.clock.monotonic(), 0.0)
        await self.deliveries.drain(left)
        if self._parts.jobs:
            await self.holder.stop(release=ended)
        self.stuck = not ended

    def _keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self._tasks[name] = asyncio.get_running_loop().create_task(self._kept(name, work))

    async def _kept(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001  # a defect must not end the service's work
                detail = f"{type(error).__name__}: {error}"
                self._system.observer.saw(LoopFailed(name, detail, traceback.format_exc()))
                await pause(self._system.timers, RESTART_SECONDS)
            else:
                return

    def _lost(self, holder_id: str) -> None:
        self.jobs.lost(holder_id)

    def _held(self, _: str) -> None:
        self.jobs.loop.wake()
