"""When a job will probably be done, from how its type did of late. Pure; facts are arguments."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from msgspec import Struct

from dispatcher.core.model import Instant, Job, JobState

RECENT: Final = 32
"""How many of a type's latest successful attempts are looked at."""

SHORTEST_POLL_SECONDS: Final = 1
LONGEST_POLL_SECONDS: Final = 300


class Recent(Struct, frozen=True):
    """The latest successful attempts of a type, each list in milliseconds and rising.

    `ran`: how long they took; `waited`: how long each was due before it began.
    """

    ran: tuple[int, ...] = ()
    waited: tuple[int, ...] = ()


def finish_at(job: Job, recent: Recent, now: Instant) -> Instant | None:
    """When the job will probably be done; None: it is, or nobody can tell.

    - One that runs: its start and the median of those durations that are longer than it has run
      already; None once it has outrun all of them. Only a first attempt's start is known: a later
      one counts as begun now.
    - One that waits: the instant that it is due and the median of those waits that are longer than
      it has waited since (none: now), and then the median duration.

    Attempts that fail, and the tries after them, are not reckoned with.
    """
    if job.done or not recent.ran:
        return None
    if job.state is JobState.RUNNING:
        began_at = now
        if job.attempt_count == 1 and job.started_at is not None:
            began_at = min(job.started_at, now)
        ran = _median_beyond(recent.ran, now - began_at)
        return None if ran is None else began_at + ran
    due_at = job.due_at
    begins_at = max(due_at, now)
    waited = _median_beyond(recent.waited, begins_at - due_at)
    if waited is not None:
        begins_at = due_at + waited
    return begins_at + recent.ran[len(recent.ran) // 2]


def _median_beyond(rising: tuple[int, ...], least: int) -> int | None:
    """The median (the upper of two) of the numbers above `least`; all of them if it is 0."""
    first = bisect_right(rising, least) if least > 0 else 0
    left = len(rising) - first
    return rising[first + left // 2] if left else None


def poll_seconds(job: Job, estimated_at: Instant | None, now: Instant) -> int | None:
    """In how many seconds to ask again how a job is: 1 to 300; None: it is done.

    That is when it is estimated to be done; without an estimate, when it is due.
    """
    if job.done:
        return None
    at = estimated_at
    if at is None:
        at = job.due_at if job.state is JobState.WAITING else now
    seconds = -((now - at) // 1000)  # rounded up: no sooner than then
    return min(max(seconds, SHORTEST_POLL_SECONDS), LONGEST_POLL_SECONDS)
