"""Running jobs: claim or hand-off, run, and one commit for the end and the deliveries owed."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from msgspec.structs import replace

from dispatcher.core.audit import AuditEntry
from dispatcher.core.changes import Change, FinishJob, LeasedJob, ReleaseJob
from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.facts import (
    JobAttemptEnded,
    JobEnded,
    JobMoved,
    JobsReady,
    LeaseLost,
    LoopFailed,
)
from dispatcher.core.lifecycle import TERMINAL_EVENT, decide_job, unrun, wants
from dispatcher.core.model import Instant, Job, JobState
from dispatcher.core.outcome import AttemptFailed, JobOutcome
from dispatcher.core.trace import in_attempt
from dispatcher.engine.alone import Alone
from dispatcher.engine.commit import Commit
from dispatcher.engine.deliver import Deliveries
from dispatcher.engine.holder import Holder
from dispatcher.engine.loop import NO_ROOM, ClaimLoop, later
from dispatcher.engine.pledged import Pledged
from dispatcher.engine.report import Report
from dispatcher.engine.run import CANCELED, Run, StopReason, is_being_cancelled, take_cancellation
from dispatcher.engine.slots import Slots
from dispatcher.engine.terms import EngineTerms, System
from dispatcher.ports.records import Applied, ApplyResult, HandOff, JobClaim, LeasedDelivery
from dispatcher.ports.runner import Runner
from dispatcher.ports.store import JobStore


class Jobs:
    """The jobs that this process runs."""

    def __init__(
        self,
        store: JobStore,
        runners: Mapping[str, Runner],
        deliveries: Deliveries,
        commit: Commit,
        *,
        holder: Holder,
        terms: EngineTerms,
        system: System,
    ) -> None:
        self._store = store
        self._runners = runners
        self._deliveries = deliveries
        self._commit = commit
        self._holder = holder
        self._terms = terms
        self._system = system
        self._clock = system.clock
        self._observer = system.observer
        self._runs: dict[str, Run] = {}
        self._superseded: set[Run] = set()
        self._doubts: dict[asyncio.Task[None], str] = {}
        self._ending: set[asyncio.Future[tuple[ApplyResult, JobState]]] = set()
        self._alone = Alone(runners, system.timers, system.observer)
        self._held_back = False
        self._ended_here = 0
        self.pledged = Pledged()
        self.on_ready: Callable[[Instant | None], None] = lambda _: None
        self.slots = Slots(
            terms.jobs_at_once, {name: runner.type.concurrency for name, runner in runners.items()}
        )
        self.loop = ClaimLoop(
            "jobs",
            self._claim,
            poll_seconds=terms.poll_seconds,
            system=system,
        )
        self.slots.on_free = self._alone.on_open = self.loop.wake

    # --- what comes in ---------------------------------------------------------------------

    def offer(self, job_type: str) -> HandOff | None:
        """A slot for a job about to be added, to be used by `start` or given back."""
        if not self._holder.alive or self._alone.keeps_out(job_type):
            return None
        if not self.slots.take(job_type):
            return None
        self._alone.came(job_type)
        offer = HandOff(self._holder.id, self._system.ids.new("lse"), self._terms.concurrency)
        self.pledged.offered.add(offer.lease)
        return offer

    def decline(self, job_type: str, offer: HandOff) -> None:
        """Give back what `offer` took."""
        self.pledged.offered.discard(offer.lease)
        self._alone.went(job_type)
        self.slots.give(job_type)

    def doubt(self, job: Job, offer: HandOff) -> None:
        """Nobody knows whether a job was added under `offer`: if it was, have it put back.

        Nothing else would: its lease is that of this process, which lives and goes on beating. The
        slot is kept until then: while the store is away there are no more doubts than slots.
        """
        self.pledged.offered.discard(offer.lease)
        task = asyncio.get_running_loop().create_task(self._put_back(job, offer.lease))
        self._doubts[task] = offer.lease
        task.add_done_callback(self._doubts.pop)

    async def _put_back(self, job: Job, lease: str) -> None:
        try:
            await self._end(job, unrun(job, lease, job.due_at), self._commit.apply)
        finally:
            self._alone.went(job.type)
            self.slots.give(job.type)

    async def _claim(self) -> Instant | None:
        if not self._holder.alive:
            raise StoreUnavailable("This process could not renew its lease, and holds no jobs now.")
        holder_id = self._holder.id
        share, kinds = self.slots.take_share()
        self.slots.wanted = len(kinds) < len(self._runners)
        if not kinds:
            self.slots.give_share(share, kinds)
            self.slots.wanted = True
            return NO_ROOM
        mosts = {kind: self._alone.most(kind, n) for kind, n in kinds.items()}
        asked = {kind: n for kind, n in mosts.items() if n}
        ended_here = self._ended_here
        try:
            with self.pledged.claim(), self._alone.claim(asked):
                claim = JobClaim(holder_id, asked, share, self._terms.concurrency)
                claimed = await self._store.claim_jobs(claim)
                for leased in claimed.jobs:
                    share -= 1
                    kinds[leased.job.type] -= 1
                    self.start(leased, holder_id)
                    self._observer.saw(JobMoved(leased.job.id, leased.job.caller_id))
        finally:
            self.slots.give_share(share, kinds)
        self._held_back = claimed.held_back
        if ended_here != self._ended_here:  # it may have been counted as running all the same
            self.made_room()
        return claimed.next_at if claimed.jobs else later(claimed.next_at, self._clock.now())

    # --- what runs -------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """How many attempts have a place here; one that only has to be written may have left it."""
        return len(self._runs) + len(self._superseded) - self.slots.leaving

    def start(self, leased: LeasedJob, holder_id: str) -> None:
        """Run a job that was leased to `holder_id`; its slot was taken before.

        If that lease was lost meanwhile it is given back unrun. An attempt at the same job that
        still runs here has lost its lease to this one.
        """
        if self._terms.spans:
            leased = replace(leased, job=in_attempt(leased.job, leased.lease))
        run = Run(leased, self._report, self._system.timers)
        before = self._runs.get(leased.job.id)
        if before is not None:
            self._superseded.add(before)
            before.stop(StopReason.LOST)
        self._runs[leased.job.id] = run
        if leased.lease not in self.pledged.offered:  # those that were offered have come already
            self._alone.came(leased.job.type)
        self.pledged.offered.discard(leased.lease)
        if holder_id != self._holder.id or not self._holder.alive:
            run.stop(StopReason.DRAIN)
        run.task = asyncio.get_running_loop().create_task(self._run(run))

    def _report(self, run: Run) -> Report:
        return Report(
            run.leased,
            self._commit,
            terms=self._terms,
            system=self._system,
            on_stale=partial(run.stop, StopReason.LOST),
            on_applied=self.wake_for,
        )

    def runs(self, job_id: str) -> bool:
        """Whether an attempt at this job is under way here."""
        return job_id in self._runs

    def stop(self, job_id: str, reason: StopReason) -> None:
        """Stop the attempt at this job, if one is under way here."""
        run = self._runs.get(job_id)
        if run is not None:
            run.stop(reason)

    def lost(self, holder_id: str) -> None:
        """The lease under which everything here runs has been lost."""
        self._observer.saw(LeaseLost(holder_id, len(self._runs)))
        for run in self._all():
            run.stop(StopReason.LOST)

    def leases(self) -> set[str]:
        """The leases under which something is under way here, is being added, or is in doubt."""
        running = {run.leased.lease for run in self._all()}
        return running | self.pledged.offered | set(self._doubts.values())

    async def drain(self, seconds: float) -> bool:
        """Wait for what runs, then give the rest back; False if something still runs after that."""
        if await self._ended(seconds):
            return True
        for run in self._all():
            run.stop(StopReason.DRAIN)
        return await self._ended(min(seconds, 5.0) if seconds else 1.0)

    def _all(self) -> list[Run]:
        return [*self._runs.values(), *self._superseded]

    async def _ended(self, seconds: float) -> bool:
        runs = [run.task for run in self._all() if run.task is not None]
        tasks: list[asyncio.Future[Any]] = [*runs, *self._ending, *self._doubts]
        if not tasks:
            return True
        _, pending = await asyncio.wait(tasks, timeout=seconds)
        return not pending

    async def _run(self, run: Run) -> None:
        job, started = run.leased.job, self._clock.monotonic()
        run.waited_ms = max(self._clock.now() - job.due_at, 0)
        try:
            outcome = await self._outcome(run)
            run.left = self.slots.leave(job.type)
            await run.report.close()
            if outcome is not None:
                duration_ms = round((self._clock.monotonic() - started) * 1000)
                await self._record(run, outcome, duration_ms)
        except Exception as error:  # noqa: BLE001  # a defect of ours must not keep the job for ever
            await self._confess(run, error)
        finally:
            if not run.recorded and run.stopped is not StopReason.LOST:
                self.pledged.botched.add(run.leased.lease)
            self._superseded.discard(run)
            if self._runs.get(job.id) is run:
                del self._runs[job.id]
            self._alone.went(job.type)
            self.slots.end(job.type, left=run.left)
            self.made_room()

    async def _confess(self, run: Run, error: Exception) -> None:
        """Tell of a defect, and end the attempt without what may have caused it."""
        detail = f"{type(error).__name__}: {error}"
        self._observer.saw(LoopFailed(f"job {run.leased.job.id}", detail, traceback.format_exc()))
        outcome = AttemptFailed("internal-error", "The service met a defect; operators were told.")
        run.report.latest = None
        with contextlib.suppress(Exception):  # told above; the sweep ends it
            await self._record(run, outcome, 0)

    async def _outcome(self, run: Run) -> JobOutcome | None:
        """Run the handler within its timeout; None if the lease was lost: nothing is to say."""
        job = run.leased.job
        if job.cancel_requested_at is not None:  # its worker died before it could be stopped
            return CANCELED
        if run.was_stopped():
            return run.cut_short()
        run.in_handler = True
        try:
            outcome = await self._alone.run(job, partial(self._begin, run, job))
            await take_cancellation(run.task)
        except asyncio.CancelledError:
            if run.was_stopped():
                return run.cut_short()
            if is_being_cancelled() and not self.loop.goes_on():
                raise  # neither by us nor by the handler: the event loop is being torn down
            return AttemptFailed("handler-error", "CancelledError")
        finally:
            run.in_handler = False
        return None if run.stopped is StopReason.LOST else outcome

    async def _begin(self, run: Run, job: Job) -> JobOutcome | None:
        """Tell that the attempt begins, and have the handler do it within its timeout."""
        run.in_handler = False
        await run.report.started()
        if run.was_stopped():
            return run.cut_short()
        run.in_handler = True
        late = partial(run.stop, StopReason.TIMEOUT)
        alarm = self._system.timers.after(job.timeout_seconds, late)
        try:
            return await self._runners[job.type].run(run.leased, run.report)
        finally:
            alarm.cancel()

    async def _record(self, run: Run, outcome: JobOutcome, duration_ms: int) -> None:
        job, now = run.leased.job, self._clock.now()
        if run.stopped is StopReason.CANCEL and job.cancel_requested_at is None:
            job = replace(job, cancel_requested_at=now)
        change = decide_job(
            job,
            run.leased.lease,
            outcome,
            self._runners[job.type].backoff,
            now=now,
            jitter=self._system.random.unit(),
            event_id=self._system.ids.new("evt"),
            progress=run.report.latest,
        )
        result, to = await self._end(job, change, self._commit.apply)
        run.recorded = True
        error = change.error if to is not JobState.SUCCEEDED else None
        self._observer.saw(
            JobAttemptEnded(
                job=job,
                attempt=job.attempt_count,
                outcome=type(outcome).__name__,
                to=to,
                duration_ms=duration_ms,
                waited_ms=run.waited_ms,
                stale=not isinstance(result, Applied),
                error_code=None if error is None else error.code,
                error_detail=None if error is None else error.detail,
            )
        )

    async def end(
        self, job: Job, change: FinishJob | ReleaseJob, told: AuditEntry | None = None
    ) -> tuple[ApplyResult, JobState]:
        """End a job (or an attempt) that does not run here, as canceling and the sweep do.

        Raises `StoreError` rather than try again. Once begun it is seen through, even if whoever
        asked goes away: slots and what was handed off must not be lost with them. With it `told`
        stands in the audit log.
        """

        def apply(change: Change) -> Awaitable[ApplyResult]:
            return self._commit.by_hand(change, told)

        ending = asyncio.ensure_future(self._end(job, change, apply))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        return await asyncio.shield(ending)

    async def _end(
        self,
        job: Job,
        change: FinishJob | ReleaseJob,
        apply: Callable[[Change], Awaitable[ApplyResult]],
    ) -> tuple[ApplyResult, JobState]:
        """Commit the end of a job (or of an attempt), and send what it owes from here at once."""
        if isinstance(change, ReleaseJob):
            result = await apply(change)
            to = JobState.WAITING
        else:
            result = await self._finish(job, change, apply)
            to = change.to
        if isinstance(result, Applied):
            self.wake_for(result)
            self.made_room()
            if to is not JobState.WAITING:
                self._observer.saw(JobEnded(job, to))
        return result, to

    async def _finish(
        self, job: Job, change: FinishJob, apply: Callable[[Change], Awaitable[ApplyResult]]
    ) -> ApplyResult:
        hands = wants(job, TERMINAL_EVENT[change.to]) and self._deliveries.slots.take(job.caller_id)
        handed: tuple[LeasedDelivery, ...] = ()
        since = self._clock.monotonic()
        try:
            result = await apply(replace(change, hand_off=True) if hands else change)
            handed = result.handed if isinstance(result, Applied) else ()
        finally:
            if hands and not handed:
                self._deliveries.slots.give(job.caller_id)
        for leased in handed:
            self._deliveries.start(leased, since)
        return result

    def wake(self, at: Instant | None = None, job_type: str | None = None) -> None:
        """Something of `job_type`, or of any, may be claimed now, or at `at`: here or elsewhere."""
        self.loop.wake(at)
        self.on_ready(at)
        self._observer.saw(JobsReady(at, job_type))

    def made_room(self) -> None:
        """Something ended: if as many ran as may, more may be claimed."""
        self._ended_here += 1
        if self._held_back:
            self._held_back = False
            self.wake()

    def wake_for(self, result: Applied) -> None:
        """Have the loops look when what a change made claimable may be claimed."""
        if result.job_ready_at is not None:
            self.wake(result.job_ready_at)
        if result.delivery_ready_at is not None:
            self._deliveries.wake(result.delivery_ready_at)
