"""Accepting and canceling: the use-cases that callers drive."""

from __future__ import annotations

import asyncio
from typing import assert_never

from msgspec.structs import replace

from dispatcher.core.audit import Actor, AuditAction
from dispatcher.core.changes import AskCancel
from dispatcher.core.errors import (
    NotFound,
    OverQuota,
    QueueFull,
    Stopping,
    StoreError,
    StoreUnavailable,
)
from dispatcher.core.facts import CancelAsked, JobAccepted, SubmissionRefused
from dispatcher.core.lifecycle import decide_cancel
from dispatcher.core.model import Callback, Caller, Job, JobState, Submission
from dispatcher.core.quotas import NO_LIMITS, CallerLimits, Full, WaitRoom, room_for
from dispatcher.core.trace import begun_for
from dispatcher.engine.audit import Entries
from dispatcher.engine.commit import Commit
from dispatcher.engine.jobs import Jobs
from dispatcher.engine.run import StopReason
from dispatcher.engine.terms import System
from dispatcher.ports.records import (
    Added,
    AddResult,
    Applied,
    Idempotency,
    NewJob,
    NoRoom,
    Replayed,
    Taken,
)
from dispatcher.ports.store import Store


class Accept:
    """Takes submissions in: one commit, then the 202."""

    def __init__(
        self,
        store: Store,
        jobs: Jobs,
        system: System,
        *,
        limits: CallerLimits,
        queue_jobs: int | None,
        spans: bool = False,
    ) -> None:
        """`limits` hold for callers of whom nothing else is set, `queue_jobs` for each queue.

        With `spans` a job without a trace begins one.
        """
        self._store = store
        self._jobs = jobs
        self._limits = limits
        self._queue_jobs = queue_jobs
        self._spans = spans
        self._usual_room = room_for(limits, queue_jobs)
        self._clock = system.clock
        self._ids = system.ids
        self._observer = system.observer
        self._adding = 0
        self._settled = asyncio.Event()
        self.closed = False

    async def close(self) -> None:
        """Take no more in, and wait for what is on its way into the store."""
        self.closed = True
        if self._adding:
            await self._settled.wait()

    async def submit(
        self, caller: Caller, submission: Submission, idempotency: Idempotency | None = None
    ) -> Taken:
        """Add the job durably, and run it here at once if it is its turn.

        Raises `OverQuota` or `QueueFull` if it would have to wait and there is no room for it;
        `StoreUnavailable`, or `Stopping` during shutdown. A caller who goes away meanwhile
        changes nothing: the job is added, and run, whether or not somebody still waits for the 202.
        """
        if self.closed:
            raise Stopping("The service is shutting down; submit again in a moment.")
        job = self.job(caller, submission)
        self._adding += 1
        try:
            return await self._add(job, submission.input, idempotency, self.room(caller))
        finally:
            self._added()

    def room(self, caller: Caller) -> WaitRoom | None:
        """How much may wait together with one more job of that caller."""
        own = caller.terms.limits
        if own == NO_LIMITS:
            return self._usual_room
        return room_for(own.over(self._limits), self._queue_jobs)

    def _added(self) -> None:
        self._adding -= 1
        if self.closed and not self._adding:
            self._settled.set()

    def job(self, caller: Caller, submission: Submission) -> Job:
        """The job of a submission, as it is before it is added."""
        now = self._clock.now()
        run_at = submission.run_at
        job_id = self._ids.new("job")
        trace = submission.trace
        if trace is None and (submission.new_trace or self._spans):
            trace = begun_for(job_id, sampled=self._spans)
        return Job(
            id=job_id,
            caller_id=caller.id,
            type=submission.type,
            queue=submission.queue,
            priority=submission.priority,
            state=JobState.WAITING,
            attempt_count=0,
            max_attempts=submission.max_attempts,
            timeout_seconds=submission.timeout_seconds,
            retention_seconds=submission.retention_seconds,
            created_at=now,
            due_at=now if run_at is None or run_at < now else run_at,
            run_at=run_at,
            start_by=submission.start_by,
            deadline=submission.deadline,
            callback=_settled(submission.callback, caller),
            correlation_id=submission.correlation_id,
            metadata=submission.metadata,
            replay_of=submission.replay_of,
            trace=trace,
            ordering_key=submission.ordering_key,
        )

    async def _add(
        self, job: Job, body: bytes, idempotency: Idempotency | None, room: WaitRoom | None
    ) -> Taken:
        offer = self._jobs.offer(job.type) if job.due_at <= job.created_at else None
        result: AddResult | Exception | None = None
        try:
            (result,) = await self._store.add_jobs((NewJob(job, body, idempotency, offer, room),))
        finally:
            leased = result.leased if isinstance(result, Added) else None
            if offer is None and result is None:  # whoever asked went away: it may be added yet
                self._jobs.wake(job.due_at, job.type)
            if offer is not None and leased is None:
                if result is None or isinstance(result, StoreError):
                    self._jobs.doubt(job, offer)
                else:
                    self._jobs.decline(job.type, offer)
        if isinstance(result, Added):
            if offer is not None and leased is not None:
                self._jobs.start(leased, offer.holder_id)
            else:
                self._jobs.wake(job.due_at, job.type)
            self._observer.saw(JobAccepted(result.job, leased is not None))
            return result
        if isinstance(result, Exception):
            raise result
        if isinstance(result, NoRoom):
            self._observer.saw(SubmissionRefused(job.caller_id, result.full.value))
            raise _refusal(result.full, job)
        if isinstance(result, Replayed):
            self._observer.saw(JobAccepted(result.job, handed_off=False, replayed=True))
        return result


def _settled(callback: Callback | None, caller: Caller) -> Callback | None:
    """The callback with its caller's schedule, if it has none of its own.

    It stays with the job, so that an operator who changes it changes none that is under way.
    """
    schedule = caller.terms.schedule
    if callback is None or callback.schedule is not None or schedule is None:
        return callback
    return replace(callback, caller_schedule=schedule)


def _refusal(full: Full, job: Job) -> OverQuota | QueueFull:
    match full:
        case Full.JOBS:
            advice = "As many jobs of this caller wait as may. Submit again when some have begun."
            return OverQuota(full.value, advice)
        case Full.BYTES:
            advice = (
                "The inputs of this caller's waiting jobs are as large together as they may be. "
                "Submit again when some have begun, or put large data elsewhere and submit its URL."
            )
            return OverQuota(full.value, advice)
        case Full.QUEUE:
            return QueueFull(f"as many jobs wait in the queue {job.queue} as may")
        case _:
            assert_never(full)


class Cancel:
    """Cancels jobs: idempotent, and the first committed end wins."""

    TRIES = 5
    """How often a decision is made anew because the job moved on meanwhile."""

    def __init__(self, store: Store, jobs: Jobs, commit: Commit, system: System) -> None:
        self._store = store
        self._jobs = jobs
        self._commit = commit
        self._clock = system.clock
        self._ids = system.ids
        self._observer = system.observer
        self._audit = Entries(system.clock, system.ids)

    async def cancel(self, job_id: str, caller_id: str | None, actor: Actor | None = None) -> Job:
        """Cancel and give the job as it is now.

        It has ended at once, or had ended before, or still runs and was asked to stop. If `actor`
        is another than its caller it stands in the audit log. Raises `NotFound`,
        `StoreUnavailable`.
        """
        for _ in range(self.TRIES):
            job = await self._read(job_id, caller_id)
            now = self._clock.now()
            change = decide_cancel(job, now=now, event_id=self._ids.new("evt"))
            if change is None:
                return job
            told = self._audit.of_another(
                actor, AuditAction.JOB_CANCEL, job.id, job.caller_id, type=job.type
            )
            if isinstance(change, AskCancel):
                applied = isinstance(await self._commit.by_hand(change, told), Applied)
                self._jobs.stop(job_id, StopReason.CANCEL)
                if applied:
                    self._observer.saw(CancelAsked(job))
            else:
                result, _ = await self._jobs.end(job, change, told)
                applied = isinstance(result, Applied)
            if applied:
                return await self._read(job_id, caller_id)
        raise StoreUnavailable("The job changes faster than it can be canceled; try again.")

    async def _read(self, job_id: str, caller_id: str | None) -> Job:
        record = await self._store.get_job(job_id, caller_id)
        if record is None:
            raise NotFound("job", job_id)
        return record.job
