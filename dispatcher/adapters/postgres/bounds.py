"""Types and queues of which only so many jobs may run at once, over all processes.

Whoever leases jobs of such a type or queue locks its name first, in one order, and counts only
then. So the count holds until the commit; that others end jobs meanwhile only makes room.
"""

from __future__ import annotations

from collections.abc import Iterable

from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.model import Job
from dispatcher.ports.records import Concurrency

_LOCK = statement("bounds_lock")
_COUNT = statement("bounds_count")


async def lock_bounds(session: Session, asked: Iterable[Concurrency]) -> None:
    """Lock all that is named there until the commit."""
    types, queues = _names(asked)
    names = [f"type {name}" for name in types] + [f"queue {name}" for name in queues]
    if names:
        await session.fetch(_LOCK, names)
        await session.look_at_clock()  # the wait may have been long


class Running:
    """How many jobs run of what is bounded, counted under the locks."""

    def __init__(self) -> None:
        self._types: dict[str, int] = {}
        self._queues: dict[str, int] = {}

    @classmethod
    async def count(cls, session: Session, asked: Iterable[Concurrency]) -> Running:
        """Count what is named there, which is locked; nothing if nothing is."""
        running = cls()
        types, queues = _names(asked)
        if types or queues:
            for kind, name, count in await session.fetch(_COUNT, types, queues):
                (running._types if kind == "type" else running._queues)[name] = count
        return running

    def room_of_type(self, name: str, concurrency: Concurrency) -> int | None:
        """How many more of a type may run; None: it is not bounded."""
        most = concurrency.types.get(name)
        return None if most is None else max(most - self._types.get(name, 0), 0)

    def room_of_queue(self, name: str, concurrency: Concurrency) -> int | None:
        """How many more of a queue may run; None: it is not bounded."""
        most = concurrency.queues.get(name)
        return None if most is None else max(most - self._queues.get(name, 0), 0)

    def has_room(self, job: Job, concurrency: Concurrency) -> bool:
        """Whether one more may run, of its type and of its queue."""
        rooms = (
            self.room_of_type(job.type, concurrency),
            self.room_of_queue(job.queue, concurrency),
        )
        return 0 not in rooms

    def begins(self, job: Job) -> None:
        """One more runs."""
        self._types[job.type] = self._types.get(job.type, 0) + 1
        self._queues[job.queue] = self._queues.get(job.queue, 0) + 1


def _names(asked: Iterable[Concurrency]) -> tuple[list[str], list[str]]:
    """The types and the queues that are named there."""
    each = list(asked)
    types = {name for concurrency in each for name in concurrency.types}
    queues = {name for concurrency in each for name in concurrency.queues}
    return sorted(types), sorted(queues)
