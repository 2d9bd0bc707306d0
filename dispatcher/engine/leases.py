"""Remote workers: programs that lease jobs over HTTP, and say what came of them.

A lease is one job's. It lasts as long as its worker renews it; when it ends the job is another's,
and what is said under it changes nothing. Until then it counts, however late.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from dispatcher.core.changes import Change, LeasedJob, NoteOutput, NoteProgress, NoteStarted
from dispatcher.core.errors import LeaseEnded, Stopping
from dispatcher.core.facts import JobAttemptEnded, JobMoved
from dispatcher.core.lifecycle import decide_job, wants
from dispatcher.core.model import EventType, Instant, Job, JobState, Progress
from dispatcher.core.outcome import AttemptFailed, Failed, JobOutcome, Snoozed, Succeeded
from dispatcher.core.retry import DEFAULT_JOB_BACKOFF, JobBackoff
from dispatcher.engine.commit import Commit
from dispatcher.engine.jobs import Jobs
from dispatcher.engine.lines import Line
from dispatcher.engine.loop import SPIN_MS
from dispatcher.engine.terms import EngineTerms, System
from dispatcher.ports.records import (
    Applied,
    ClaimedJobs,
    JobClaim,
    RemoteLease,
    RemoteTerms,
    Renewed,
)
from dispatcher.ports.store import Store

POLL_SECONDS: Final = 1.0
"""Of those who wait one looks at least so often: work may come in over another process."""

_LEASES_KEPT: Final = 10_000

TRIES: Final = 3
"""How often it is looked again what became of a job that was changed meanwhile."""


class RemoteKind(Struct, frozen=True):
    """A type that remote workers do: its waits between attempts, and the bytes of a result."""

    backoff: JobBackoff
    result_bytes: int


class RemoteWork:
    """Gives jobs to remote workers, and takes what they say of them."""

    def __init__(
        self,
        store: Store,
        jobs: Jobs,
        commit: Commit,
        kinds: Mapping[str, RemoteKind],
        *,
        terms: EngineTerms,
        system: System,
    ) -> None:
        """`kinds` are the types that remote workers do, by name."""
        self._store = store
        self._jobs = jobs
        self._commit = commit
        self._kinds = kinds
        self._concurrency = terms.concurrency
        self._quiet_seconds = terms.progress_seconds
        self._clock = system.clock
        self._timers = system.timers
        self._random = system.random
        self._ids = system.ids
        self._observer = system.observer
        self._lines: dict[frozenset[str], Line] = {}
        self._quiet_until: OrderedDict[tuple[str, EventType], float] = OrderedDict()
        self._closed = False
        jobs.on_ready = self._ring

    @property
    def types(self) -> frozenset[str]:
        """The types that remote workers do."""
        return frozenset(self._kinds)

    def most_bytes(self, type_: str) -> int | None:
        """How large a result of this type may be; None: it is no type of theirs any more."""
        kind = self._kinds.get(type_)
        return None if kind is None else kind.result_bytes

    def close(self) -> None:
        """Give out no more, and let go of those who wait. What is leased may still be ended."""
        self._closed = True
        for line in self._lines.values():
            line.ring_all()

    def _ring(self, at: Instant | None) -> None:
        for line in self._lines.values():
            line.ring(at)

    # --- giving out ------------------------------------------------------------------------

    async def lease(
        self, types: Sequence[str], limit: int, terms: RemoteTerms, *, wait_seconds: float = 0.0
    ) -> tuple[LeasedJob, ...]:
        """Up to `limit` due jobs of these types, each under a lease of its own.

        If there is none it waits until there is, `wait_seconds` at most. Raises `StoreUnavailable`,
        or `Stopping` during shutdown.
        """
        claim = JobClaim("", dict.fromkeys(types, limit), limit, self._concurrency, terms)
        if wait_seconds > 0:
            until = self._clock.now() + round(wait_seconds * 1000)
            claimed = await self._wait(claim, until)
        else:
            claimed = await self._look(claim)
        for leased in claimed.jobs:
            self._observer.saw(JobMoved(leased.job.id, leased.job.caller_id))
            kind = EventType.JOB_STARTED
            if wants(leased.job, kind) or kind in leased.asked:
                await self._note(
                    leased.job,
                    NoteStarted(
                        job_id=leased.job.id,
                        lease=leased.lease,
                        at=self._clock.now(),
                        event_id=self._ids.new("evt"),
                    ),
                )
        return claimed.jobs

    async def _look(self, claim: JobClaim) -> ClaimedJobs:
        if self._closed:
            raise Stopping("The service is shutting down; ask again in a moment.")
        return await self._store.claim_jobs(claim)

    async def _wait(self, claim: JobClaim, until: Instant) -> ClaimedJobs:
        """Look at once, and then in turn with the others who wait for jobs of the same types."""
        types = frozenset(claim.types)
        line = self._lines.setdefault(types, Line(self._clock, self._timers))
        waiting = line.join()
        try:
            while True:
                claimed = await self._look(claim)
                now = self._clock.now()
                if claimed.jobs and claimed.next_at is not None and claimed.next_at <= now:
                    line.ring()  # there are more: two go on, here and by leaving
                if claimed.jobs or now >= until:
                    return claimed
                look_at = now + round(POLL_SECONDS * 1000)
                if claimed.next_at is not None:
                    look_at = min(look_at, max(claimed.next_at, now + SPIN_MS))
                line.ring(look_at)
                await waiting.rest(until)
                if waiting is not line.first and self._clock.now() >= until:
                    return claimed  # the others look
        finally:
            line.leave(waiting)
            if not line:
                del self._lines[types]

    # --- what workers say ------------------------------------------------------------------

    async def heartbeat(
        self, lease: str, owner: str, *, progress: Progress | None, output: bytes | None
    ) -> Renewed:
        """Make a lease last, and keep what the worker tells: how far it is, an intermediate result.

        Raises `LeaseEnded` if the lease is lost; `StoreUnavailable`.
        """
        renewed = await self._store.renew_lease(lease, owner)
        if renewed is None:
            raise LeaseEnded
        if progress is None and output is None:
            return renewed
        found = await self._store.find_lease(lease, owner)
        if found is None or found.until is None:
            raise LeaseEnded
        job, now = found.job, self._clock.now()
        if output is not None:
            change: NoteOutput | NoteProgress = NoteOutput(
                job_id=job.id,
                lease=lease,
                at=now,
                event_id=self._ids.new("evt"),
                output=output,
                progress=progress,
                deliver=self._may_tell(lease, EventType.JOB_OUTPUT),
            )
        else:
            assert progress is not None  # noqa: S101  # tells mypy what was asked above
            kind = EventType.JOB_PROGRESS
            told = (wants(job, kind) or kind in found.asked) and self._may_tell(lease, kind)
            event_id = self._ids.new("evt") if told else None
            change = NoteProgress(
                job_id=job.id, lease=lease, at=now, progress=progress, event_id=event_id
            )
        if not await self._note(job, change):
            raise LeaseEnded
        return renewed

    async def complete(self, lease: str, owner: str, result: bytes) -> None:
        """The job is done. The same said again changes nothing.

        Raises `LeaseEnded` if the lease was lost, or something else was said; `StoreUnavailable`.
        """

        async def stands(job: Job) -> bool:
            found = await self._store.get_result(job.id, None)
            return job.state is JobState.SUCCEEDED and found is not None and found[1] == result

        await self._end(lease, owner, Succeeded(result), stands)

    async def fail(self, lease: str, owner: str, outcome: Failed | AttemptFailed) -> None:
        """The attempt failed, for good or to be tried again. Otherwise as `complete`."""

        async def stands(job: Job) -> bool:
            if job.state in {JobState.CANCELED, JobState.EXPIRED}:  # what became of the failure
                return True
            if isinstance(outcome, Failed) and job.state is not JobState.FAILED:
                return False  # what was said is that it may be tried again
            error = job.error
            said = (outcome.code, outcome.detail)
            return error is not None and (error.code, error.detail) == said

        await self._end(lease, owner, outcome, stands)

    async def snooze(self, lease: str, owner: str, seconds: float) -> None:
        """Not now: the job runs again in `seconds`, its attempt given back. As `complete`.

        Said again it stands whatever its seconds, which nobody keeps.
        """

        async def stands(job: Job) -> bool:
            return _was_given_back(job)

        await self._end(lease, owner, Snoozed(seconds), stands)

    async def find(self, lease: str, owner: str) -> RemoteLease:
        """The lease and its job, also if it was ended under it; raises `LeaseEnded`."""
        found = await self._store.find_lease(lease, owner)
        if found is None:
            raise LeaseEnded
        return found

    async def _end(
        self,
        lease: str,
        owner: str,
        outcome: JobOutcome,
        stands: Callable[[Job], Awaitable[bool]],
    ) -> None:
        for _ in range(TRIES):
            found = await self.find(lease, owner)
            if found.until is None:
                if await stands(found.job):
                    return
                break
            if await self._apply(found, lease, outcome):
                return
        raise LeaseEnded

    async def _apply(self, found: RemoteLease, lease: str, outcome: JobOutcome) -> bool:
        job, now = found.job, self._clock.now()
        kind = self._kinds.get(job.type)
        change = decide_job(
            job,
            lease,
            outcome,
            DEFAULT_JOB_BACKOFF if kind is None else kind.backoff,
            now=now,
            jitter=self._random.unit(),
            event_id=self._ids.new("evt"),
        )
        result, to = await self._jobs.end(job, change)
        if not isinstance(result, Applied):
            return False
        error = change.error if to is not JobState.SUCCEEDED else None
        self._observer.saw(
            JobAttemptEnded(
                job=job,
                attempt=job.attempt_count,
                outcome=type(outcome).__name__,
                to=to,
                duration_ms=max(now - (found.began_at or now), 0),
                error_code=None if error is None else error.code,
                error_detail=None if error is None else error.detail,
            )
        )
        return True

    async def _note(self, job: Job, change: Change) -> bool:
        result = await self._commit.apply_once(change)
        if not isinstance(result, Applied):
            return False
        self._jobs.wake_for(result)
        live = None
        if isinstance(change, NoteProgress) and change.event_id is None:
            live = replace(job, progress=change.progress)
        self._observer.saw(JobMoved(job.id, job.caller_id, live))
        return True

    def _may_tell(self, lease: str, kind: EventType) -> bool:
        """At most one callback of a kind in `progress_seconds`; beyond that it is stored alone."""
        now = self._clock.monotonic()
        if now < self._quiet_until.get((lease, kind), now):
            return False
        self._quiet_until[lease, kind] = now + self._quiet_seconds
        self._quiet_until.move_to_end((lease, kind))
        if len(self._quiet_until) > _LEASES_KEPT:
            self._quiet_until.popitem(last=False)
        return True


def _was_given_back(job: Job) -> bool:
    """Whether a job may have been snoozed under the lease that it was put back under.

    A lease that was lost, or that ended by a failure, puts it back too, with its attempt used up:
    then a snooze came too late. While another has the job that shows by the attempt before; where
    that may have failed earlier nobody can tell, and the worker is told to stop.
    """
    match job.state:
        case JobState.WAITING:
            return not job.retrying
        case JobState.RUNNING:
            return job.error is None or job.error.attempt < job.attempt_count - 1
        case _:
            return job.state in {JobState.CANCELED, JobState.EXPIRED}
