"""One attempt at a job under way in this process, and why it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from enum import StrEnum
from typing import Final, assert_never

from dispatcher.core.changes import LeasedJob
from dispatcher.core.outcome import AttemptFailed, Canceled, GivenBack, JobOutcome
from dispatcher.engine.report import Report
from dispatcher.ports.system import Timers

CANCELED: Final = Canceled("canceled by request")

INSIST_SECONDS: Final = 30.0
"""A handler that goes on so long after it was cancelled is cancelled again."""


class StopReason(StrEnum):
    """Why a run is stopped before its handler returned."""

    TIMEOUT = "timeout"
    CANCEL = "cancel"
    DRAIN = "drain"
    LOST = "lost"


class Run:
    """One attempt under way in this process."""

    __slots__ = (
        "_timers",
        "in_handler",
        "leased",
        "left",
        "recorded",
        "report",
        "stopped",
        "task",
        "waited_ms",
    )

    def __init__(
        self,
        leased: LeasedJob,
        make_report: Callable[[Run], Report],
        timers: Timers,
    ) -> None:
        self.leased = leased
        self.report = make_report(self)
        self._timers = timers
        self.task: asyncio.Task[None] | None = None
        self.stopped: StopReason | None = None
        self.in_handler = False
        self.left = False  # its place: what is left to do is to write
        self.recorded = False
        self.waited_ms = 0

    def stop(self, reason: StopReason) -> None:
        """Stop the handler. The first reason holds, but a lost lease overrules it.

        The task is cancelled only while the handler runs: what is written before and after it must
        be written. A handler that swallowed that is cancelled once more when it has to end now.
        """
        first = self.stopped is None
        if first or reason is StopReason.LOST:
            self.stopped = reason
        self.report.stop()
        if first:
            self._insist()
        elif reason in {StopReason.DRAIN, StopReason.LOST} and self.in_handler and self.task:
            self.task.cancel()

    def _insist(self) -> None:
        """Cancel again and again a handler that swallows it; what never ends keeps its slot."""
        if self.in_handler and self.task is not None:
            self.task.cancel()
            self._timers.after(INSIST_SECONDS, self._insist)

    def was_stopped(self) -> bool:
        """Whether somebody stopped it."""
        return self.stopped is not None

    def cut_short(self) -> JobOutcome | None:
        """How an attempt came out that was stopped; None if nothing is to be said of it."""
        match self.stopped:
            case StopReason.TIMEOUT:
                took = f"The attempt took longer than {self.leased.job.timeout_seconds:g} s."
                return AttemptFailed("timeout", took)
            case StopReason.CANCEL:
                return CANCELED
            case StopReason.DRAIN:
                return GivenBack()
            case StopReason.LOST | None:
                return None
            case _:
                assert_never(self.stopped)


def is_being_cancelled() -> bool:
    """Whether somebody cancelled this task: a handler may raise `CancelledError` by itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def take_cancellation(task: asyncio.Task[None] | None) -> None:
    """Let a cancellation come out that the handler of this task called for as it returned."""
    if task is not None and task.cancelling():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
