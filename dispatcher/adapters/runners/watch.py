"""Watches the event loop, and names the handler that blocks it."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from typing import Final

from dispatcher.adapters.runners.endings import ids_of, logger
from dispatcher.adapters.runners.python import at_work, job_at_hand
from dispatcher.core.model import Job

BLOCKED_SECONDS: Final = 1.0
"""Nothing else is served while the loop is blocked; it is told of from here on."""

_LOOKS_A_BLOCK: Final = 4


class LoopWatch:
    """Asks the event loop for a sign of life from a thread of its own.

    If none comes for `blocked_seconds` it logs what the loop is at, and whose job that is: an
    `async def` handler that computes, or waits without `await`. The job goes on and keeps its
    lease, for the heartbeat has a thread too; but no other job, callback or request does.
    """

    def __init__(self, *, blocked_seconds: float = BLOCKED_SECONDS) -> None:
        self._blocked_seconds = blocked_seconds
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._answered = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dispatcher-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopping.set()
        self._answered.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._blocked_seconds / _LOOKS_A_BLOCK):
            self._answered.clear()
            asked = time.monotonic()
            try:
                self._loop.call_soon_threadsafe(self._answered.set)
            except RuntimeError:  # the loop is closed
                return
            if self._answered.wait(self._blocked_seconds) or self._stopping.is_set():
                continue
            job = self._tell()
            self._answered.wait()
            if not self._stopping.is_set():
                self._tell_end(job, time.monotonic() - asked)

    def _tell(self) -> Job | None:
        """Say what the loop is at; answers whose job that is, if it is a job's."""
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001  # what debuggers and profilers use
        if frame is None:
            return None
        at = traceback.extract_stack(frame)[-1]
        job = self._job()
        logger.warning(
            "%s has blocked the event loop for %.1f s, and goes on: %s, line %s, in %s. Nothing "
            "else is served meanwhile. Write the handler as `def`, or with process=True; or await.",
            "Something" if job is None else f"The handler of job {job.id} ({job.type})",
            self._blocked_seconds,
            at.filename,
            at.lineno,
            at.name,
            extra={} if job is None else ids_of(job),
        )
        return job

    def _tell_end(self, job: Job | None, seconds: float) -> None:
        logger.warning(
            "%s blocked the event loop for %.1f s.",
            "Something" if job is None else f"The handler of job {job.id} ({job.type})",
            seconds,
            extra={} if job is None else ids_of(job),
        )

    def _job(self) -> Job | None:
        """Whose task runs: the handler's own, or one that it has started."""
        task = asyncio.current_task(self._loop)
        if task is None:
            return None
        job = at_work.get(task)
        if job is None and sys.version_info >= (3, 12):  # before it, a task keeps its context
            job = task.get_context().get(job_at_hand)
        return job
