"""The sweep: what no claim will ever touch is found by index, decided, and committed.

Every role runs it; it is idempotent, and two of them at once do no harm, since each change is
compared with the state and the lease that it was decided for.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from msgspec.structs import replace

from dispatcher.core.changes import EndDelivery, RecordAttempt, ReleaseJob
from dispatcher.core.endpoints import Endpoint
from dispatcher.core.errors import StoreError
from dispatcher.core.facts import DeliverySwept, LoopFailed, StoreFailed, StoreRecovered
from dispatcher.core.lifecycle import decide_delivery, decide_job, decide_overdue, unrun
from dispatcher.core.model import Delivery, DeliveryState, Job
from dispatcher.core.outcome import Unknown, WorkerLost
from dispatcher.core.retry import JobBackoff
from dispatcher.engine.commit import Commit, pause, stands_as
from dispatcher.engine.deliver import Deliveries, schedule_of
from dispatcher.engine.holder import Holder
from dispatcher.engine.jobs import Jobs
from dispatcher.engine.run import StopReason
from dispatcher.engine.terms import EngineTerms, System
from dispatcher.ports.records import Applied, ApplyResult, HeldJob, Overdue, Stale
from dispatcher.ports.runner import JudgesLoss, Runner
from dispatcher.ports.store import Store


class Sweep:
    """Ends what is overdue, takes back what was lost, and tells runs of cancels."""

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
        self._strays: dict[str, int] = {}

    async def run(self) -> None:
        """Sweep for ever, `sweep_seconds` apart."""
        while True:
            await self._try("sweep", self.once)
            await self._try("held", self.held)
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
        """Decide and commit each; how many were settled. One that can't be keeps up no other."""
        now = self._clock.now()
        # Begun one by one below: a stop in between leaves nothing that was made and never run.
        work = [(job.id, partial(self._lost_job, job, lease)) for job, lease in found.lost_jobs]
        work += [(job.id, partial(self._late_job, job, lease)) for job, lease in found.late_jobs]
        work += [
            (each[0].id, partial(self._lost_delivery, *each)) for each in found.lost_deliveries
        ]
        for each in found.old_deliveries:
            dead = EndDelivery(each.id, DeliveryState.DEAD, now, each.round)
            work.append((each.id, partial(self._swept, each, dead)))
        # All at once: the store puts them into few commits.
        settled = await asyncio.gather(*(self._one(*each) for each in work))
        return sum(settled)

    async def _one(self, what: str, settle: Callable[[], Awaitable[ApplyResult]]) -> bool:
        try:
            result = await settle()
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  # a defect with one must not end the sweep of others
            detail = f"{type(error).__name__}: {error}"
            self._observer.saw(LoopFailed(f"sweep {what}", detail, traceback.format_exc()))
            return False
        if not isinstance(result, Applied):
            return False
        self._jobs.wake_for(result)
        return True

    async def _lost_job(self, job: Job, held_by: str, *, crashed: bool = True) -> ApplyResult:
        runner = self._runners.get(job.type)
        change = decide_job(
            job,
            held_by,
            runner.lost(job) if isinstance(runner, JudgesLoss) else WorkerLost(),
            JobBackoff() if runner is None else runner.backoff,
            now=self._clock.now(),
            jitter=self._random.unit(),
            event_id=self._ids.new("evt"),
        )
        if crashed and isinstance(change, ReleaseJob):
            change = replace(change, crashed=True)
        result, _ = await self._jobs.end(job, change)
        return result

    async def _late_job(self, job: Job, lease: str | None) -> ApplyResult:
        change = decide_overdue(job, lease, now=self._clock.now(), event_id=self._ids.new("evt"))
        if change is None:
            return Stale()
        result, _ = await self._jobs.end(job, change)
        self._jobs.stop(job.id, StopReason.LOST)
        return result

    async def _lost_delivery(
        self, delivery: Delivery, lease: str, job: Job | None, endpoint: Endpoint | None
    ) -> ApplyResult:
        change = decide_delivery(
            delivery,
            lease,
            Unknown(),
            schedule_of(delivery, job, self._terms.schedule, endpoint),
            attempt=None,
            now=self._clock.now(),
            jitter=self._random.unit(),
        )
        return await self._swept(delivery, change, job)

    async def _swept(
        self, delivery: Delivery, change: RecordAttempt | EndDelivery, job: Job | None = None
    ) -> ApplyResult:
        result = await self._commit.apply_once(change)
        if isinstance(result, Applied):
            self._observer.saw(DeliverySwept(delivery, stands_as(change.to, result), job))
        return result

    async def held(self) -> None:
        """Compare what this process holds with what it does.

        Runs of jobs that another process was asked to cancel are stopped. A job that is held and
        not under way here, twice running, is a stray (a claim whose answer was lost, say): nobody
        began it, so it is given back. An answer that is only late is waited for.
        """
        if not self._holder.alive:
            return
        held = await self._store.held_jobs(self._holder.id)
        here, mark = self._jobs.leases(), self._jobs.pledged.mark()
        before, self._strays = self._strays, {}
        for each in held:
            if each.lease not in here:
                since = before.get(each.lease)
                self._strays[each.lease] = mark if since is None else since
                if since is not None and self._jobs.pledged.all_back(since):
                    await self._one(each.job_id, partial(self._stray, each))
            elif each.cancel_requested:
                self._jobs.stop(each.job_id, StopReason.CANCEL)

    async def _stray(self, held: HeldJob) -> ApplyResult:
        record = await self._store.get_job(held.job_id, None)
        if record is None:
            return Stale()
        if held.lease in self._jobs.pledged.botched:
            result = await self._lost_job(record.job, held.lease, crashed=False)
            self._jobs.pledged.botched.discard(held.lease)
            return result
        change = unrun(record.job, held.lease, self._clock.now())
        result, _ = await self._jobs.end(record.job, change)
        return result
