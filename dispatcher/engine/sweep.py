"""The sweep: what no claim will ever touch is found by index, decided, and committed.

Every role runs it; it is idempotent, and two of them at once do no harm, since each change is
compared with the state and the lease that it was decided for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from dispatcher.core.changes import EndDelivery
from dispatcher.core.errors import StoreError
from dispatcher.core.facts import DeliverySwept, StoreFailed, StoreRecovered
from dispatcher.core.lifecycle import decide_delivery, decide_job, decide_overdue
from dispatcher.core.model import Delivery, DeliveryState
from dispatcher.core.outcome import Unknown, WorkerLost
from dispatcher.core.retry import JobBackoff
from dispatcher.engine.commit import Commit, pause
from dispatcher.engine.deliver import Deliveries, schedule_of
from dispatcher.engine.holder import Holder
from dispatcher.engine.jobs import Jobs
from dispatcher.engine.run import StopReason
from dispatcher.engine.terms import EngineTerms, System
from dispatcher.ports.records import Applied, Overdue
from dispatcher.ports.runner import Runner
from dispatcher.ports.store import Store


class Sweep:
    """Ends what is overdue, takes back what was lost, tells runs of cancels, and prunes."""

    def __init__(
        self,
        store: Store,
        runners: Mapping[str, Runner],
        jobs: Jobs,
        deliveries: Deliveries,
        commit: Commit,
        *,
        holder: Holder,
        terms: EngineTerms,
        system: System,
    ) -> None:
        self._store = store
        self._runners = runners
        self._jobs = jobs
        self._deliveries = deliveries
        self._commit = commit
        self._holder = holder
        self._terms = terms
        self._clock = system.clock
        self._timers = system.timers
        self._random = system.random
        self._ids = system.ids
        self._observer = system.observer
        self._failing: set[str] = set()

    async def run(self) -> None:
        """Sweep for ever, `sweep_seconds` apart."""
        while True:
            await self._try("sweep", self.once)
            await self._try("cancels", self.cancels)
            await self._try("prune", self.prune)
            await pause(self._timers, self._terms.sweep_seconds)

    async def _try(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except StoreError as error:
            if what not in self._failing:
                self._failing.add(what)
                self._observer.saw(StoreFailed(what, str(error)))
            return
        if what in self._failing:
            self._failing.discard(what)
            self._observer.saw(StoreRecovered(what))

    async def once(self) -> None:
        """Sweep until nothing more is found."""
        while True:
            found = await self._store.sweep(self._terms.sweep_items)
            if not await self._settle(found):
                return

    async def _settle(self, found: Overdue) -> int:
        """Decide and commit each; how many were settled."""
        settled = await self._settle_jobs(found)
        for delivery, lease, job in found.lost_deliveries:
            change = decide_delivery(
                delivery,
                lease,
                Unknown(),
                schedule_of(delivery, job, self._terms.schedule),
                attempt=None,
                now=self._clock.now(),
                jitter=self._random.unit(),
            )
            result = await self._commit.apply_once(change)
            settled += self._note(result, delivery, change.to)
        for delivery in found.old_deliveries:
            end = EndDelivery(delivery.id, DeliveryState.DEAD, self._clock.now())
            result = await self._commit.apply_once(end)
            settled += self._note(result, delivery, end.to)
        return settled

    async def _settle_jobs(self, found: Overdue) -> int:
        settled = 0
        for job, held_by in found.lost_jobs:
            runner = self._runners.get(job.type)
            lost = decide_job(
                job,
                held_by,
                WorkerLost(),
                JobBackoff() if runner is None else runner.backoff,
                now=self._clock.now(),
                jitter=self._random.unit(),
                event_id=self._ids.new("evt"),
            )
            result, _ = await self._jobs.end(job, lost)
            settled += isinstance(result, Applied)
        for job, lease in found.late_jobs:
            late = decide_overdue(job, lease, now=self._clock.now(), event_id=self._ids.new("evt"))
            if late is not None:
                result, _ = await self._jobs.end(job, late)
                settled += isinstance(result, Applied)
                self._jobs.stop(job.id, StopReason.LOST)
        return settled

    def _note(self, result: object, delivery: Delivery, to: DeliveryState) -> int:
        if not isinstance(result, Applied):
            return 0
        self._observer.saw(DeliverySwept(delivery, to))
        self._jobs.wake_for(result)
        return 1

    async def cancels(self) -> None:
        """Stop the runs of jobs that were asked to cancel, or have ended, by another process."""
        if self._jobs.running and self._holder.alive:
            for job_id in await self._store.asked_to_cancel(self._holder.id):
                self._jobs.stop(job_id, StopReason.CANCEL)

    async def prune(self) -> None:
        """Erase what is past its time, in small batches, until a batch is not full."""
        while await self._store.prune(self._terms.prune_items) >= self._terms.prune_items:
            await pause(self._timers, 0.0)
