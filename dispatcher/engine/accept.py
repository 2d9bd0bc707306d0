"""Accepting and canceling: the use-cases that callers drive."""

from __future__ import annotations

from dispatcher.core.model import Caller, Job, Submission
from dispatcher.ports.store import AddResult, Idempotency


class Accept:
    """Takes submissions in."""

    async def submit(
        self, caller: Caller, submission: Submission, idempotency: Idempotency | None = None
    ) -> AddResult:
        """Add the job durably.

        Raises `StoreUnavailable`, or `Stopping` during shutdown.
        """
        raise NotImplementedError


class Cancel:
    """Cancels jobs."""

    async def cancel(self, job_id: str, caller_id: str | None) -> Job:
        """Cancel and give the job as it is now.

        Ended at once, ended before, or still running and asked to stop. Raises `NotFound`,
        `StoreUnavailable`.
        """
        raise NotImplementedError
