"""Runners do the work of a job: one protocol for every kind."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from dispatcher.core.changes import LeasedJob
from dispatcher.core.model import Job, JobType, Progress
from dispatcher.core.outcome import JobOutcome
from dispatcher.core.retry import JobBackoff


class RunReport(Protocol):
    """What a runner tells while the job runs; the engine coalesces and stores it."""

    def progress(self, progress: Progress) -> None:
        """How far it is. Cheap: may be called as often as one likes, from the loop or a thread."""
        ...

    async def output(self, output: bytes) -> None:
        """Keep an intermediate result (JSON); returns once it is durable.

        Raises `ValueError` if it is larger than outputs may be (the text says how large),
        `StoreUnavailable`, or `asyncio.CancelledError` if the lease was lost.
        """
        ...

    def cancel_requested(self) -> bool:
        """Whether the job was asked to stop; for code that can't be cancelled, such as threads."""
        ...


class Runner(Protocol):
    """Does the jobs of one type."""

    @property
    def type(self) -> JobType:
        """The type as declared."""
        ...

    @property
    def backoff(self) -> JobBackoff:
        """How long to wait between attempts."""
        ...

    async def run(self, leased: LeasedJob, report: RunReport) -> JobOutcome:
        """Do the job and say how it came out.

        The engine bounds it by the job's timeout and cancels the task when the job is to stop; a
        runner returns only when nothing of the job runs any more. It raises nothing but
        `asyncio.CancelledError`.
        """
        ...


@runtime_checkable
class SharesProcess(Protocol):
    """A runner whose handlers run within the service's own process: who kills it kills them all."""

    shares_process: bool


@runtime_checkable
class JudgesLoss(Protocol):
    """A runner that says more of a lost attempt than that its worker was lost."""

    def lost(self, job: Job) -> JobOutcome:
        """How the latest attempt came out, whose lease ended and of which nobody said anything."""
        ...
