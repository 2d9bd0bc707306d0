"""Running jobs: claim or hand-off, run, and one commit for the end and the deliveries owed."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from typing import assert_never

from msgspec.structs import replace

from dispatcher.core.facts import JobAttemptEnded, JobEnded, LeaseLost, LoopFailed
from dispatcher.core.lifecycle import (
    TERMINAL_EVENT,
    FinishJob,
    LeasedJob,
    ReleaseJob,
    decide_job,
    wants,
)
from dispatcher.core.model import EventType, Instant, Job, JobState
from dispatcher.core.outcome import AttemptFailed, Canceled, GivenBack, JobOutcome
from dispatcher.engine.commit import Commit
from dispatcher.engine.deliver import Deliveries
from dispatcher.engine.holder import Holder
from dispatcher.engine.loop import ClaimLoop
from dispatcher.engine.report import Report
from dispatcher.engine.slots import Slots
from dispatcher.engine.terms import EngineTerms, System
from dispatcher.ports.runner import Runner
from dispatcher.ports.store import Applied, ApplyResult, HandOff, JobClaim, JobStore

SPIN_MS = 20
"""A claim that finds nothing although something should be ready is repeated no sooner."""


class StopReason(StrEnum):
    """Why a run is stopped before its handler returned."""

    TIMEOUT = "timeout"
    CANCEL = "cancel"
    DRAIN = "drain"
    LOST = "lost"


class Run:
    """One attempt under way in this process."""

    def __init__(self, leased: LeasedJob, report: Report) -> None:
        self.leased = leased
        self.report = report
        self.task: asyncio.Task[None] | None = None
        self.stopped: StopReason | None = None
        self.in_handler = False

    def stop(self, reason: StopReason) -> None:
        """Stop the handler. The first reason holds, but a lost lease overrules it.

        The task is cancelled only while the handler runs: what is written before and after it must
        be written.
        """
        first = self.stopped is None
        if first or reason is StopReason.LOST:
            self.stopped = reason
        self.report.stop()
        if first and self.in_handler and self.task is not None:
            self.task.cancel()

    def was_stopped(self) -> bool:
        """Whether somebody stopped it."""
        return self.stopped is not None


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
        self._timers = system.timers
        self._random = system.random
        self._ids = system.ids
        self._observer = system.observer
        self._runs: dict[str, Run] = {}
        self.slots = Slots(
            terms.jobs_at_once, {name: runner.type.concurrency for name, runner in runners.items()}
        )
        self.loop = ClaimLoop(
            "jobs",
            self._claim,
            poll_seconds=terms.poll_seconds,
            system=system,
        )
        self.slots.on_free = self.loop.wake

    # --- what comes in ---------------------------------------------------------------------

    def offer(self, job_type: str) -> HandOff | None:
        """A slot for a job about to be added, to be used by `start` or given back."""
        if not self._holder.alive or not self.slots.take(job_type):
            return None
        return HandOff(self._holder.id, self._ids.new("lse"))

    def decline(self, job_type: str) -> None:
        """Give back what `offer` took."""
        self.slots.give(job_type)

    async def _claim(self) -> Instant | None:
        if not self._holder.alive:
            return None
        share, kinds = self.slots.take_share()
        self.slots.wanted = len(kinds) < len(self._runners)
        if not kinds:
            self.slots.give_share(share, kinds)
            self.slots.wanted = True
            return None
        try:
            claimed = await self._store.claim_jobs(JobClaim(self._holder.id, dict(kinds), share))
            for leased in claimed.jobs:
                share -= 1
                kinds[leased.job.type] -= 1
                self.start(leased)
        finally:
            self.slots.give_share(share, kinds)
        next_at, now = claimed.next_at, self._clock.now()
        if next_at is not None and next_at <= now and not claimed.jobs:
            return now + SPIN_MS
        return next_at

    # --- what runs -------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """How many attempts are under way here."""
        return len(self._runs)

    def start(self, leased: LeasedJob) -> None:
        """Run a leased job; its slot was taken before."""
        report = Report(
            leased,
            self._commit,
            coalesce_seconds=self._terms.progress_seconds,
            system=self._system,
            on_stale=partial(self.stop, leased.job.id, StopReason.LOST),
            on_applied=self.wake_for,
        )
        run = Run(leased, report)
        self._runs[leased.job.id] = run
        run.task = asyncio.get_running_loop().create_task(self._run(run))

    def stop(self, job_id: str, reason: StopReason) -> None:
        """Stop the attempt at this job, if one is under way here."""
        run = self._runs.get(job_id)
        if run is not None:
            run.stop(reason)

    def lost(self, holder_id: str) -> None:
        """The lease under which everything here runs has been lost."""
        self._observer.saw(LeaseLost(holder_id, len(self._runs)))
        for run in list(self._runs.values()):
            run.stop(StopReason.LOST)

    def held(self) -> list[str]:
        """The ids of the jobs under way here."""
        return list(self._runs)

    async def drain(self, seconds: float) -> bool:
        """Wait for what runs, then give the rest back; False if something still runs after that."""
        if await self._ended(seconds):
            return True
        for run in list(self._runs.values()):
            run.stop(StopReason.DRAIN)
        return await self._ended(min(seconds, 5.0) if seconds else 1.0)

    async def _ended(self, seconds: float) -> bool:
        tasks = [run.task for run in self._runs.values() if run.task is not None]
        if not tasks:
            return True
        _, pending = await asyncio.wait(tasks, timeout=seconds)
        return not pending

    async def _run(self, run: Run) -> None:
        job = run.leased.job
        started = self._clock.monotonic()
        try:
            outcome = await self._outcome(run)
            await run.report.close()
            if outcome is not None:
                duration_ms = round((self._clock.monotonic() - started) * 1000)
                await self._record(run, outcome, duration_ms)
        except Exception as error:  # noqa: BLE001  # a defect of ours must not keep the job for ever
            await self._confess(run, error)
        finally:
            if self._runs.get(job.id) is run:
                del self._runs[job.id]
            self.slots.give(job.type)

    async def _confess(self, run: Run, error: Exception) -> None:
        """Tell of a defect, and end the attempt without what may have caused it."""
        detail = f"{type(error).__name__}: {error}"
        self._observer.saw(LoopFailed(f"job {run.leased.job.id}", detail, traceback.format_exc()))
        outcome = AttemptFailed("internal-error", "The service met a defect; operators were told.")
        with contextlib.suppress(Exception):  # told above; the lease, or an operator, ends it
            await self._record(run, outcome, 0)

    async def _outcome(self, run: Run) -> JobOutcome | None:
        """Run the handler within its timeout; None if the lease was lost: nothing is to say."""
        job = run.leased.job
        if wants(job, EventType.JOB_STARTED):
            await run.report.started()
        if run.was_stopped():
            return _outcome_of(run.stopped, job)
        alarm = self._timers.after(job.timeout_seconds, partial(run.stop, StopReason.TIMEOUT))
        run.in_handler = True
        try:
            outcome = await self._runners[job.type].run(run.leased, run.report)
        except asyncio.CancelledError:
            if not run.was_stopped():
                raise  # not by us: the event loop is being torn down
            return _outcome_of(run.stopped, job)
        finally:
            run.in_handler = False
            alarm.cancel()
        return None if run.stopped is StopReason.LOST else outcome

    async def _record(self, run: Run, outcome: JobOutcome, duration_ms: int) -> None:
        job = run.leased.job
        now = self._clock.now()
        if run.stopped is StopReason.CANCEL and job.cancel_requested_at is None:
            job = replace(job, cancel_requested_at=now)
        change = decide_job(
            job,
            run.leased.lease,
            outcome,
            self._runners[job.type].backoff,
            now=now,
            jitter=self._random.unit(),
            event_id=self._ids.new("evt"),
            progress=run.report.latest,
        )
        result, to = await self.end(job, change)
        stale = not isinstance(result, Applied)
        error = change.error if to is not JobState.SUCCEEDED else None
        self._observer.saw(
            JobAttemptEnded(
                job=job,
                attempt=job.attempt_count,
                outcome=type(outcome).__name__,
                to=to,
                duration_ms=duration_ms,
                stale=stale,
                error_code=None if error is None else error.code,
                error_detail=None if error is None else error.detail,
            )
        )

    async def end(self, job: Job, change: FinishJob | ReleaseJob) -> tuple[ApplyResult, JobState]:
        """Commit the end of a job (or of an attempt), and send what it owes from here at once."""
        if isinstance(change, ReleaseJob):
            result = await self._commit.apply(change)
            to = JobState.WAITING
        else:
            to = change.to
            hands = wants(job, TERMINAL_EVENT[to]) and self._deliveries.slots.take()
            if hands:
                change = replace(change, hand_off=True)
            result = await self._commit.apply(change)
            handed = result.handed if isinstance(result, Applied) else ()
            if hands and not handed:
                self._deliveries.slots.give()
            for leased in handed:
                self._deliveries.start(leased)
        if isinstance(result, Applied):
            self.wake_for(result)
            if to is not JobState.WAITING:
                self._observer.saw(JobEnded(job, to))
        return result, to

    def wake_for(self, result: Applied) -> None:
        """Have the loops look when what a change made claimable may be claimed."""
        if result.job_ready_at is not None:
            self.loop.wake(result.job_ready_at)
        if result.delivery_ready_at is not None:
            self._deliveries.loop.wake(result.delivery_ready_at)


def _outcome_of(reason: StopReason | None, job: Job) -> JobOutcome | None:
    match reason:
        case StopReason.TIMEOUT:
            took = f"The attempt took longer than {job.timeout_seconds:g} s."
            return AttemptFailed("timeout", took)
        case StopReason.CANCEL:
            return Canceled("canceled by request")
        case StopReason.DRAIN:
            return GivenBack()
        case StopReason.LOST | None:
            return None
        case _:
            assert_never(reason)
