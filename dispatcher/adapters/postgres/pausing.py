"""Queues that operators pause and resume.

What is paused is a name in a table, which claims and hand-offs read. That the lanes of a queue are
marked too is for their cost alone: what waits there is met by no claim. A lane that is made later
has no mark, and is left out by name.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dispatcher.adapters.postgres.audit import add_audit
from dispatcher.adapters.postgres.batching import Entry
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.adapters.stored import ALL_QUEUES
from dispatcher.ports.asked import Pause
from dispatcher.ports.views import Pauses

_LOCK = statement("pauses_lock")
_PAUSE = statement("queue_pause")
_RESUME = statement("queue_resume")
_FOLLOW = statement("lanes_follow_pause")
_PAUSED = statement("queues_paused")
_STANDING = statement("alive_and_paused")


async def pause(session: Session, entries: Sequence[Entry[Pause]]) -> list[None]:
    """Pause or resume queues, or all."""
    await session.began()
    await session.execute(_LOCK)
    for entry in entries:
        asked = entry.item
        queue = asked.queue or ALL_QUEUES
        if asked.at is None:
            await session.execute(_RESUME, queue)
        else:
            await session.execute(_PAUSE, queue, asked.at)
        if queue != ALL_QUEUES:
            await session.execute(_FOLLOW, queue)
        await add_audit(session, asked.entry)
    return [None for _ in entries]


async def pauses(session: Session) -> Pauses:
    """What is paused."""
    found = {row[0]: row[1] for row in await session.fetch(_PAUSED)}
    all_at = found.pop(ALL_QUEUES, None)
    return Pauses(all_at, found)


class Standing:
    """Which holders' leases last, and what is paused, as of now."""

    def __init__(self, alive: Collection[str], paused: Collection[str]) -> None:
        self.alive = frozenset(alive)
        self.all_paused = ALL_QUEUES in paused
        self.queues_paused = frozenset(paused) - {ALL_QUEUES}

    @classmethod
    async def look(cls, session: Session, holders: Collection[str]) -> Standing:
        """Look it up, of so many holders."""
        rows = await session.fetch(_STANDING, list(holders), session.now)
        return cls(
            [row[0] for row in rows if row[0] is not None],
            [row[1] for row in rows if row[0] is None],
        )

    def is_paused(self, queue: str) -> bool:
        """Whether a queue is paused, by itself or with all."""
        return self.all_paused or queue in self.queues_paused
