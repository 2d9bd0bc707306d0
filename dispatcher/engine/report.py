"""What a running job tells: progress, coalesced, and intermediate results, each kept."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from msgspec.structs import replace

from dispatcher.core.changes import LeasedJob, NoteOutput, NoteProgress, NoteStarted
from dispatcher.core.facts import JobMoved
from dispatcher.core.lifecycle import wants
from dispatcher.core.model import EventType, Progress
from dispatcher.engine.commit import Commit
from dispatcher.engine.terms import EngineTerms, System
from dispatcher.ports.records import Applied
from dispatcher.ports.system import Alarm


class Report:
    """Implements `ports.runner.RunReport` for one attempt.

    The first progress is written at once and then one in `progress_seconds`, always the latest;
    writing it never holds the job up. `on_stale` is called when the store says that the lease is no
    longer ours.
    """

    __slots__ = (
        "_alarm",
        "_clock",
        "_closed",
        "_coalesce_seconds",
        "_commit",
        "_home",
        "_ids",
        "_leased",
        "_loop",
        "_most_output_bytes",
        "_no_output_before",
        "_not_before",
        "_observer",
        "_on_applied",
        "_on_stale",
        "_stopped",
        "_timers",
        "_unwritten",
        "_writing",
        "latest",
    )

    def __init__(
        self,
        leased: LeasedJob,
        commit: Commit,
        *,
        terms: EngineTerms,
        system: System,
        on_stale: Callable[[], None],
        on_applied: Callable[[Applied], None],
    ) -> None:
        self._leased = leased
        self._commit = commit
        self._coalesce_seconds = terms.progress_seconds
        self._most_output_bytes = terms.limits.output_bytes
        self._clock = system.clock
        self._timers = system.timers
        self._ids = system.ids
        self._observer = system.observer
        self._on_stale = on_stale
        self._on_applied = on_applied
        self._home = threading.get_ident()
        self._loop = asyncio.get_running_loop()
        self._alarm: Alarm | None = None
        self._writing: asyncio.Task[None] | None = None
        self._unwritten = False
        self._stopped = False
        self._closed = False
        self._not_before = 0.0
        self._no_output_before = 0.0
        self.latest: Progress | None = None

    # --- for runners -----------------------------------------------------------------------

    def progress(self, progress: Progress) -> None:
        """See `RunReport.progress`."""
        self.latest = progress
        if self._unwritten:
            return
        self._unwritten = True
        if threading.get_ident() == self._home:
            self._schedule()
        else:
            self._loop.call_soon_threadsafe(self._schedule)

    async def output(self, output: bytes) -> None:
        """See `RunReport.output`. Each is kept; as callbacks, one in `progress_seconds` is sent."""
        if len(output) > self._most_output_bytes:
            raise ValueError(too_large(len(output), self._most_output_bytes))
        now = self._clock.monotonic()
        deliver = now >= self._no_output_before
        if deliver:
            self._no_output_before = now + self._coalesce_seconds
        note = NoteOutput(
            job_id=self._leased.job.id,
            lease=self._leased.lease,
            at=self._clock.now(),
            event_id=self._ids.new("evt"),
            output=output,
            progress=self.latest,
            deliver=deliver,
        )
        await self._write(note)

    def cancel_requested(self) -> bool:
        """See `RunReport.cancel_requested`; true for whatever reason the attempt is to stop."""
        return self._stopped

    # --- for the engine --------------------------------------------------------------------

    def stop(self) -> None:
        """Tell code that asks that it is to stop."""
        self._stopped = True

    async def started(self) -> None:
        """Store and send `job.started`, if that is asked for."""
        if not self._is_asked(EventType.JOB_STARTED):
            return
        note = NoteStarted(
            job_id=self._leased.job.id,
            lease=self._leased.lease,
            at=self._clock.now(),
            event_id=self._ids.new("evt"),
        )
        await self._write(note)

    async def close(self) -> None:
        """Write no more; the last progress goes with the job's end.

        It lets go of whoever waits to be told of a lost lease, which holds this report: a ring of
        objects would stay until the next garbage collection, and each job would leave one behind.
        """
        self._closed = True
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._writing is not None:
            await asyncio.wait((self._writing,))
        self._on_stale = _nobody

    def _schedule(self) -> None:
        if self._closed or self._alarm is not None or self._writing is not None:
            return
        wait = self._not_before - self._clock.monotonic()
        if wait > 0:
            self._alarm = self._timers.after(wait, self._start_writing)
        else:
            self._start_writing()

    def _start_writing(self) -> None:
        self._alarm = None
        if not self._closed:
            self._writing = self._loop.create_task(self._write_progress())

    async def _write_progress(self) -> None:
        self._not_before = self._clock.monotonic() + self._coalesce_seconds
        self._unwritten = False
        try:
            await self._write_latest()
        finally:  # a defect with one must not keep the later ones from being written
            self._writing = None
            if self._unwritten:
                self._schedule()

    async def _write_latest(self) -> None:
        job = self._leased.job
        progress = self.latest
        if progress is not None:
            asked = self._is_asked(EventType.JOB_PROGRESS)
            note = NoteProgress(
                job_id=job.id,
                lease=self._leased.lease,
                at=self._clock.now(),
                progress=progress,
                event_id=self._ids.new("evt") if asked else None,
            )
            await self._write(note)

    def _is_asked(self, kind: EventType) -> bool:
        """Whether the job's callback or an endpoint wants to be told of such an event."""
        return wants(self._leased.job, kind) or kind in self._leased.asked

    async def _write(self, note: NoteProgress | NoteOutput | NoteStarted) -> None:
        result = await self._commit.apply(note)
        if isinstance(result, Applied):
            self._on_applied(result)
            self._tell(note)
        else:
            self._on_stale()

    def _tell(self, note: NoteProgress | NoteOutput | NoteStarted) -> None:
        """Tell those who look on: of progress that is stored nowhere else, with the progress."""
        job = self._leased.job
        live = None
        if isinstance(note, NoteProgress) and note.event_id is None:
            live = replace(job, progress=note.progress)
        self._observer.saw(JobMoved(job.id, job.caller_id, live))


def too_large(size: int, most: int) -> str:
    """What is told to whom an output was refused."""
    return (
        f"An output has at most {most:,} bytes as JSON (limit_output_bytes), not {size:,}: put "
        "what is large where it can be fetched, and tell where."
    )


def _nobody() -> None:
    """Whom a lost lease concerns once an attempt has ended: its record hears of it by itself."""
