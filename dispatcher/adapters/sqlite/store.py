"""The store on SQLite: what the port asks, handed to the writer and the readers."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import assert_never

from dispatcher.adapters.sqlite import catalog, checks, holders, pausing, pruning, sweeping
from dispatcher.adapters.sqlite.adding import add_job
from dispatcher.adapters.sqlite.answers import Answers
from dispatcher.adapters.sqlite.audit import AuditKept, add_audit
from dispatcher.adapters.sqlite.bulk import advance_bulk
from dispatcher.adapters.sqlite.callers_kept import CallersKept
from dispatcher.adapters.sqlite.changing import (
    ask_cancel,
    finish_job,
    note_output,
    note_progress,
    note_started,
    release_job,
)
from dispatcher.adapters.sqlite.checkpoint import Checkpointer
from dispatcher.adapters.sqlite.claiming import claim_jobs
from dispatcher.adapters.sqlite.connection import LOCK_SECONDS, Use, connect
from dispatcher.adapters.sqlite.delivering import change_delivery, record_attempt
from dispatcher.adapters.sqlite.destinations_kept import change_destination
from dispatcher.adapters.sqlite.endpoints_kept import EndpointsKept
from dispatcher.adapters.sqlite.erasing import Eraser
from dispatcher.adapters.sqlite.errors import whole_store
from dispatcher.adapters.sqlite.leaving import refuse_moved
from dispatcher.adapters.sqlite.quick import are_quick_to_add, are_quick_to_apply
from dispatcher.adapters.sqlite.reader import Readers
from dispatcher.adapters.sqlite.remembered import Remembered
from dispatcher.adapters.sqlite.schema import prepare
from dispatcher.adapters.sqlite.sending import DeliveryClaim, claim_deliveries
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.adapters.sqlite.turns import Turns
from dispatcher.adapters.sqlite.waiting import Waiting
from dispatcher.adapters.sqlite.writer import Writer
from dispatcher.core.audit import AuditEntry
from dispatcher.core.changes import (
    AskCancel,
    AskCancelDelivery,
    Audited,
    Change,
    EndDelivery,
    FinishJob,
    NoteOutput,
    NoteProgress,
    NoteStarted,
    PauseDestination,
    RecordAttempt,
    Redeliver,
    ReleaseDelivery,
    ReleaseJob,
    ResumeDestination,
)
from dispatcher.core.model import Instant, JobType
from dispatcher.ports.asked import ErasedJob, Pause
from dispatcher.ports.audit import AUDIT_KEPT_SECONDS
from dispatcher.ports.bulk import BulkStep, BulkStepped
from dispatcher.ports.erasing import ERASED_KEPT_SECONDS, Erasure
from dispatcher.ports.observer import CommitTold, tell_nobody
from dispatcher.ports.records import (
    DEAD_KEPT_SECONDS,
    EVERYBODY,
    AddResult,
    Applied,
    ApplyResult,
    ClaimedDeliveries,
    ClaimedJobs,
    DeliveryTerms,
    HeldJob,
    JobClaim,
    NewJob,
    NoRoom,
    Overdue,
    RemoteLease,
    Renewed,
    Stale,
)
from dispatcher.ports.store import Heart
from dispatcher.ports.system import Clock, Ids
from dispatcher.ports.views import Pauses

_HELD = statement("jobs_held")


class SqliteStore(Answers, CallersKept, EndpointsKept, AuditKept):
    """Implements `dispatcher.ports.store.Store` on one SQLite file.

    All that is written goes through one connection and is batched there; a few threads read.
    Another process may open the same file beside it. A wait that is cancelled does not cancel the
    work.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        ids: Ids,
        links_base: str = "",
        dead_kept_seconds: float = DEAD_KEPT_SECONDS,
        audit_kept_seconds: float = AUDIT_KEPT_SECONDS,
        erased_kept_seconds: float = ERASED_KEPT_SECONDS,
        readers: int = 2,
        lock_seconds: float = LOCK_SECONDS,
        on_commit: CommitTold = tell_nobody,
    ) -> None:
        """Make a store; `open` it before use.

        Args:
            path: of the database.
            clock: decides what is due and which lease has ended; read from other threads.
            ids: for leases and deliveries; asked from other threads too.
            links_base: the public URL, which events keep.
            dead_kept_seconds: how long a dead delivery keeps its job.
            audit_kept_seconds: how long an entry of the audit log is kept.
            erased_kept_seconds: how long it is known of what was erased that it was there.
            readers: how many threads read.
            lock_seconds: how long a write waits while another process holds the lock. A service
                answers 503 after it; a tool beside a busy service needs more patience.
            on_commit: told of each commit, in the writing thread.
        """
        # The log lies beside the file itself, not beside a link to it.
        self._path = path = path.resolve()
        self._clock = clock
        self._ids = ids
        self._links_base = links_base
        self._checkpointer = Checkpointer(path)
        self._lock_seconds = lock_seconds
        self._writer = Writer(
            path,
            self._session,
            self._checkpointer.after_commit,
            lock_seconds=lock_seconds,
            monotonic=clock.monotonic,
            on_commit=on_commit,
        )
        self._waiting = Waiting()
        self._turns = Turns()
        self._remembered = Remembered()
        self._readers = Readers(path, readers)
        self._eraser = Eraser(erased_kept_seconds)
        self._pruning = pruning.Pruning(dead_kept_seconds, audit_kept_seconds, self._eraser)

    def _session(self, connection: sqlite3.Connection) -> Session:
        return Session(
            connection,
            now=self._clock.now(),
            ids=self._ids,
            links_base=self._links_base,
            waiting=self._waiting,
            turns=self._turns,
            remembered=self._remembered,
        )

    # --- opening and closing -------------------------------------------------------------------

    async def open(self) -> None:
        """Create or migrate the database, and begin to serve. Raises `StoreError`."""
        await asyncio.to_thread(self._open)
        self._writer.start(asyncio.get_running_loop())
        self._checkpointer.start()

    def _open(self) -> None:
        try:
            prepare(self._path, lock_seconds=self._lock_seconds)
            with closing(connect(self._path, Use.READ)) as connection:
                refuse_moved(connection, self._path)
        except sqlite3.Error as error:
            failure = whole_store(error, self._path)
            if failure is None:
                raise
            raise failure from error

    async def close(self) -> None:
        """Finish what was asked, then let go of the file."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.close()
        self._readers.close()
        self._checkpointer.close()

    async def check(self) -> None:
        """Write and read once. Raises `StoreError`."""
        await self._writer.one(checks.write_check, None)
        await self._readers.ask(checks.read_check)

    # --- jobs and deliveries -------------------------------------------------------------------

    async def add_jobs(self, jobs: Sequence[NewJob]) -> list[AddResult | Exception]:
        """See `JobStore.add_jobs`."""
        quick = are_quick_to_add(jobs)
        return await self._writer.each(add_job, jobs, quick=quick) if jobs else []

    async def claim_jobs(self, claim: JobClaim) -> ClaimedJobs:
        """See `JobStore.claim_jobs`."""
        return await self._writer.one(claim_jobs, claim)

    async def claim_deliveries(
        self, limit: int, terms: DeliveryTerms, room: Mapping[str, int] = EVERYBODY
    ) -> ClaimedDeliveries:
        """See `JobStore.claim_deliveries`."""
        claim = DeliveryClaim(limit, terms, room)
        return await self._writer.one(claim_deliveries, claim)

    async def apply(
        self, changes: Sequence[Change | Audited], terms: DeliveryTerms
    ) -> list[ApplyResult | Exception]:
        """See `JobStore.apply`."""

        def apply(session: Session, change: Change | Audited) -> ApplyResult:
            if isinstance(change, Audited):
                result = _apply(session, change.change, terms)
                if isinstance(result, Applied):
                    add_audit(session, change.entry)
                return result
            return _apply(session, change, terms)

        quick = are_quick_to_apply(changes)
        return await self._writer.each(apply, changes, quick=quick) if changes else []

    async def now(self) -> Instant:
        """See `Store.now`."""
        return self._clock.now()

    async def sweep(self, limit: int) -> Overdue:
        """See `JobStore.sweep`."""
        return await self._readers.ask(sweeping.sweep, self._clock.now(), limit)

    async def held_jobs(self, holder_id: str) -> list[HeldJob]:
        """See `JobStore.held_jobs`."""
        return await self._readers.ask(_held, holder_id)

    async def prune(self, limit: int) -> int:
        """See `JobStore.prune`."""
        return await self._pruning.prune(self._writer, limit)

    async def advance_bulk(
        self, step: BulkStep, terms: DeliveryTerms
    ) -> BulkStepped | Stale | NoRoom:
        """See `BulkStore.advance_bulk`."""

        def apply(session: Session, change: Change) -> ApplyResult:
            return _apply(session, change, terms)

        def advance(session: Session, step: BulkStep) -> BulkStepped | Stale | NoRoom:
            return advance_bulk(session, step, apply)

        return await self._writer.one(advance, step)

    async def erase_job(
        self,
        job_id: str,
        caller_id: str | None,
        terms: DeliveryTerms,
        *,
        cancel_deliveries: bool,
        entry: AuditEntry | None = None,
    ) -> Erasure:
        """See `EraseStore.erase_job`."""
        wanted = ErasedJob(job_id, caller_id, terms, cancel_deliveries, entry)
        return await self._writer.one(self._eraser.erase_job, wanted)

    # --- holders -------------------------------------------------------------------------------

    def heart(self, holder_id: str, name: str, lease_seconds: float) -> Heart:
        """See `Store.heart`."""
        return holders.SqliteHeart(self._writer, holder_id, name, lease_seconds)

    async def release_holder(self, holder_id: str) -> None:
        """See `Store.release_holder`."""
        await self._writer.one(holders.release_holder, holder_id)

    async def end_other_leases(self, holder_id: str) -> None:
        """See `Store.end_other_leases`."""
        await self._writer.one(holders.end_other_leases, holder_id)

    async def renew_lease(self, lease: str, owner: str) -> Renewed | None:
        """See `LeaseStore.renew_lease`."""
        return await self._writer.one(holders.renew_lease, (lease, owner))

    async def find_lease(self, lease: str, owner: str) -> RemoteLease | None:
        """See `LeaseStore.find_lease`."""
        return await self._readers.ask(holders.find_lease, lease, owner)

    # --- pauses --------------------------------------------------------------------------------

    async def pause(self, queue: str | None, at: Instant, entry: AuditEntry | None = None) -> None:
        """See `PauseStore.pause`."""
        await self._writer.one(pausing.pause, Pause(queue, at, entry))

    async def resume(self, queue: str | None, entry: AuditEntry | None = None) -> None:
        """See `PauseStore.resume`."""
        await self._writer.one(pausing.pause, Pause(queue, None, entry))

    async def pauses(self) -> Pauses:
        """See `PauseStore.pauses`."""
        return await self._readers.ask(pausing.pauses)

    # --- types and the encryption key -----------------------------------------------------------

    async def put_types(self, types: Sequence[JobType]) -> None:
        """See `Store.put_types`."""
        for answer in await self._writer.each(catalog.put_type, types) if types else ():
            if answer is not None:
                raise answer

    async def list_types(self) -> list[JobType]:
        """See `Store.list_types`."""
        return await self._readers.ask(catalog.list_types)

    async def key_check(self, token: bytes | None) -> bytes | None:
        """See `Store.key_check`."""
        if token is None:
            return await self._readers.ask(checks.find_key_check)
        return await self._writer.one(checks.keep_key_check, token)


def _held(read: sqlite3.Connection, holder_id: str) -> list[HeldJob]:
    rows = read.execute(_HELD, (holder_id,))
    return [HeldJob(job_id, lease, asked == 1) for job_id, lease, asked in rows]


def _apply(session: Session, change: Change, terms: DeliveryTerms) -> ApplyResult:
    match change:
        case FinishJob():
            return finish_job(session, change, terms)
        case RecordAttempt():
            return record_attempt(session, change, terms)
        case NoteProgress():
            return note_progress(session, change, terms)
        case NoteOutput():
            return note_output(session, change, terms)
        case NoteStarted():
            return note_started(session, change, terms)
        case ReleaseJob():
            return release_job(session, change)
        case AskCancel():
            return ask_cancel(session, change)
        case ReleaseDelivery() | EndDelivery() | AskCancelDelivery() | Redeliver():
            return change_delivery(session, change, terms)
        case PauseDestination() | ResumeDestination():
            return change_destination(session, change)
        case _:
            assert_never(change)
