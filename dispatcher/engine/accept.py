"""Accepting and canceling: the use-cases that callers drive."""

from __future__ import annotations

import asyncio

from dispatcher.core.changes import AskCancel
from dispatcher.core.errors import NotFound, Stopping, StoreError, StoreUnavailable
from dispatcher.core.facts import JobAccepted
from dispatcher.core.lifecycle import decide_cancel
from dispatcher.core.model import Caller, Job, JobState, Submission
from dispatcher.engine.commit import Commit
from dispatcher.engine.jobs import Jobs
from dispatcher.engine.run import StopReason
from dispatcher.engine.terms import System
from dispatcher.ports.records import Added, AddResult, Applied, Idempotency, NewJob, Replayed
from dispatcher.ports.store import Store


class Accept:
    """Takes submissions in: one commit, then the 202."""

    def __init__(self, store: Store, jobs: Jobs, system: System) -> None:
        self._store = store
        self._jobs = jobs
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
    ) -> AddResult:
        """Add the job durably, and run it here at once if it is its turn.

        Raises `StoreUnavailable`, or `Stopping` during shutdown. A caller who goes away meanwhile
        changes nothing: the job is added, and run, whether or not somebody still waits for the 202.
        """
        if self.closed:
            raise Stopping("The service is shutting down; submit again in a moment.")
        job = self.job(caller.id, submission)
        self._adding += 1
        try:
            return await self._add(job, submission.input, idempotency)
        finally:
            self._added()

    def _added(self) -> None:
        self._adding -= 1
        if self.closed and not self._adding:
            self._settled.set()

    def job(self, caller_id: str, submission: Submission) -> Job:
        """The job of a submission, as it is before it is added."""
        now = self._clock.now()
        run_at = submission.run_at
        return Job(
            id=self._ids.new("job"),
            caller_id=caller_id,
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
            callback=submission.callback,
            correlation_id=submission.correlation_id,
            metadata=submission.metadata,
            replay_of=submission.replay_of,
            trace=submission.trace,
        )

    async def _add(self, job: Job, body: bytes, idempotency: Idempotency | None) -> AddResult:
        offer = self._jobs.offer(job.type) if job.due_at <= job.created_at else None
        result: AddResult | Exception | None = None
        try:
            (result,) = await self._store.add_jobs((NewJob(job, body, idempotency, offer),))
        finally:
            leased = result.leased if isinstance(result, Added) else None
            if offer is None and result is None:  # whoever asked went away: it may be added yet
                self._jobs.loop.wake(job.due_at)
            if offer is not None and leased is None:
                if result is None or isinstance(result, StoreError):
                    self._jobs.doubt(job, offer)
                else:
                    self._jobs.decline(job.type)
        if isinstance(result, Exception):
            raise result
        if offer is not None and leased is not None:
            self._jobs.start(leased, offer.holder_id)
        elif isinstance(result, Added):
            self._jobs.loop.wake(job.due_at)
        if isinstance(result, Added | Replayed):
            replayed = isinstance(result, Replayed)
            self._observer.saw(JobAccepted(result.job, leased is not None, replayed))
        return result


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

    async def cancel(self, job_id: str, caller_id: str | None) -> Job:
        """Cancel and give the job as it is now.

        It has ended at once, or had ended before, or still runs and was asked to stop. Raises
        `NotFound`, `StoreUnavailable`.
        """
        for _ in range(self.TRIES):
            job = await self._read(job_id, caller_id)
            now = self._clock.now()
            change = decide_cancel(job, now=now, event_id=self._ids.new("evt"))
            if change is None:
                return job
            if isinstance(change, AskCancel):
                applied = isinstance(await self._commit.apply_once(change), Applied)
                self._jobs.stop(job_id, StopReason.CANCEL)
            else:
                result, _ = await self._jobs.end(job, change)
                applied = isinstance(result, Applied)
            if applied:
                return await self._read(job_id, caller_id)
        raise StoreUnavailable("The job changes faster than it can be canceled; try again.")

    async def _read(self, job_id: str, caller_id: str | None) -> Job:
        record = await self._store.get_job(job_id, caller_id)
        if record is None:
            raise NotFound("job", job_id)
        return record.job
