"""What this process has seen of each type's durations, from which jobs' ends are estimated."""

from __future__ import annotations

from collections import deque

from dispatcher.core.estimate import RECENT, Recent, finish_at
from dispatcher.core.facts import Fact, JobAttemptEnded
from dispatcher.core.model import Instant, Job, JobState

_NOTHING = Recent()


class _Seen:
    """The latest successful attempts of one type, in the order in which they ended."""

    __slots__ = ("ran", "recent", "waited")

    def __init__(self) -> None:
        self.ran: deque[int] = deque(maxlen=RECENT)
        self.waited: deque[int] = deque(maxlen=RECENT)
        self.recent: Recent | None = None


class Estimates:
    """Implements `ports.observer.Observer`: learns from what it is told, in memory alone.

    After a start nothing is known of a type until a job of it has succeeded here.
    """

    def __init__(self) -> None:
        self._types: dict[str, _Seen] = {}

    def saw(self, fact: Fact) -> None:
        """See `Observer.saw`."""
        if type(fact) is not JobAttemptEnded or fact.to is not JobState.SUCCEEDED or fact.stale:
            return
        seen = self._types.get(fact.job.type)
        if seen is None:
            seen = self._types[fact.job.type] = _Seen()
        seen.ran.append(fact.duration_ms)
        seen.waited.append(fact.waited_ms)
        seen.recent = None  # sorted when somebody asks

    def finish_at(self, job: Job, now: Instant) -> Instant | None:
        """When the job will probably be done; None: it is, or nobody can tell."""
        if job.done:
            return None
        return finish_at(job, self._recent(job.type), now)

    def _recent(self, type_name: str) -> Recent:
        seen = self._types.get(type_name)
        if seen is None:
            return _NOTHING
        if seen.recent is None:
            seen.recent = Recent(tuple(sorted(seen.ran)), tuple(sorted(seen.waited)))
        return seen.recent
