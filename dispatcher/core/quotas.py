"""What one caller may use of the service, and what holds for its callbacks: set by operators."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from dispatcher.core.ratelimit import Rate
from dispatcher.core.retry import Schedule


class CallerLimits(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The limits of a caller; None: the default's, and as a default: none.

    - `rate`: of its submissions, whatever became of them.
    - `jobs_waiting`, `bytes_waiting`: of its jobs that wait for their turn, their time or their
      next attempt, and of their inputs.
    - `body_bytes`: of a submission's body.
    """

    rate: Rate | None = None
    jobs_waiting: int | None = None
    bytes_waiting: int | None = None
    body_bytes: int | None = None

    def over(self, default: CallerLimits) -> CallerLimits:
        """These, and the default's where there are none."""
        return CallerLimits(
            rate=default.rate if self.rate is None else self.rate,
            jobs_waiting=_or(self.jobs_waiting, default.jobs_waiting),
            bytes_waiting=_or(self.bytes_waiting, default.bytes_waiting),
            body_bytes=_or(self.body_bytes, default.body_bytes),
        )


NO_LIMITS = CallerLimits()


class CallerTerms(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is set for a caller: its limits, and the schedule of its callbacks.

    The schedule is in force for jobs submitted from then on that name none of their own.
    """

    limits: CallerLimits = NO_LIMITS
    schedule: Schedule | None = None


RATE = "rate"
"""The word for what keeps a submission out that came too soon, as those of `Full` are."""


class Full(StrEnum):
    """Why a job was not taken in: which limit what waits has reached."""

    JOBS = "jobs-waiting"
    BYTES = "bytes-waiting"
    QUEUE = "queue"


class WaitRoom(Struct, frozen=True, kw_only=True):
    """How much may wait together with a new job, itself included; None: any amount.

    `jobs` and `bytes` (of inputs) of its caller, `queue_jobs` in its queue, of all callers.
    """

    jobs: int | None = None
    bytes: int | None = None
    queue_jobs: int | None = None

    def full(self, *, jobs: int, bytes_: int, queue_jobs: int) -> Full | None:
        """The limit that is passed if so much waits, the new job counted in; None: none is."""
        if self.jobs is not None and jobs > self.jobs:
            return Full.JOBS
        if self.bytes is not None and bytes_ > self.bytes:
            return Full.BYTES
        if self.queue_jobs is not None and queue_jobs > self.queue_jobs:
            return Full.QUEUE
        return None

    def never_for(self, bytes_: int) -> bool:
        """Whether a job with an input that large could not wait even if nothing else did."""
        return self.full(jobs=1, bytes_=bytes_, queue_jobs=1) is not None


def room_for(limits: CallerLimits, queue_jobs: int | None) -> WaitRoom | None:
    """The room that limits leave; None: nothing needs to be counted."""
    if limits.jobs_waiting is None and limits.bytes_waiting is None and queue_jobs is None:
        return None
    return WaitRoom(jobs=limits.jobs_waiting, bytes=limits.bytes_waiting, queue_jobs=queue_jobs)


def _or(own: int | None, default: int | None) -> int | None:
    return default if own is None else own
