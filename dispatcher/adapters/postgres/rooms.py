"""How much may wait: quotas of callers and bounds of queues, looked up in the lanes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.quotas import Full
from dispatcher.ports.records import NewJob

_OF_CALLERS = statement("waiting_of_callers")
_IN_QUEUES = statement("waiting_in_queues")


class WaitRooms:
    """What waits, as of the batch; it grows with the jobs of the batch that come to wait."""

    def __init__(self) -> None:
        self._jobs: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._in_queue: Counter[str] = Counter()

    @classmethod
    async def look(cls, session: Session, news: Sequence[NewJob]) -> WaitRooms:
        """Look up what is asked for; nothing if nothing is."""
        rooms = cls()
        callers = {new.job.caller_id for new in news if new.room is not None}
        if callers:
            for caller_id, jobs, input_bytes in await session.fetch(_OF_CALLERS, list(callers)):
                rooms._jobs[caller_id] = jobs
                rooms._bytes[caller_id] = input_bytes
        queues = {
            new.job.queue
            for new in news
            if new.room is not None and new.room.queue_jobs is not None
        }
        if queues:
            for queue, jobs in await session.fetch(_IN_QUEUES, list(queues)):
                rooms._in_queue[queue] = jobs
        return rooms

    def full(self, new: NewJob) -> Full | None:
        """Whether what waits leaves no room for a job too, and why; see `NewJob`."""
        if new.room is None:
            return None
        caller_id, queue = new.job.caller_id, new.job.queue
        return new.room.full(
            jobs=self._jobs[caller_id] + 1,
            bytes_=self._bytes[caller_id] + len(new.input),
            queue_jobs=self._in_queue[queue] + 1,
        )

    def take(self, new: NewJob) -> None:
        """A job comes to wait."""
        self._jobs[new.job.caller_id] += 1
        self._bytes[new.job.caller_id] += len(new.input)
        self._in_queue[new.job.queue] += 1
