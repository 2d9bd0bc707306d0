"""What is forgotten little by little: endpoints that were deleted, and events of no job.

Each is a transaction of its own, which takes its locks in the order of all: deliveries, endpoints,
destinations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from msgspec import Struct

from dispatcher.adapters.postgres import destinations, registered
from dispatcher.adapters.postgres.audit import add_audit
from dispatcher.adapters.postgres.batching import Batcher, Entry
from dispatcher.adapters.postgres.concerned import wheres
from dispatcher.adapters.postgres.erasing import Eraser
from dispatcher.adapters.postgres.passing import Passing
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.audit import AuditEntry
from dispatcher.core.model import DeliveryState, Instant
from dispatcher.ports.portions import END_AT_ONCE, LOOK_FACTOR

_DELETE = statement("endpoint_delete")
_DELETED = statement("endpoints_deleted")
_HOLD = statement("destinations_hold")
_CLEAR_LOCK = statement("clear_lock")
_CLEAR_END = statement("clear_end")
_CLEAR_DONE = statement("clear_done")
_HELD = statement("deliveries_held")
_LOCK_SEQS = statement("deliveries_lock_seqs")
_PUT_BACK = statement("deliveries_put_back")
_ALONE = statement("prune_alone_candidates")
_ALONE_LOCK = statement("prune_alone_lock")

_Cursor: TypeAlias = tuple[int, int]
_START: Final[_Cursor] = (-1, -1)


class Deletion(Struct, frozen=True):
    """An endpoint to delete."""

    endpoint_id: str
    at: Instant
    entry: AuditEntry | None


async def delete_endpoints(session: Session, entries: Sequence[Entry[Deletion]]) -> list[bool]:
    """Delete endpoints; False for one that is gone already."""
    ids = [entry.item.endpoint_id for entry in entries]
    open_ = [row[0] for row in await session.fetch(_CLEAR_LOCK, ids, END_AT_ONCE)]
    callers = await registered.callers_of(session, ids)
    await registered.lock(session, callers, exclusive=True)
    await destinations.lock(session, await wheres(session, {}, ids))
    await session.began()
    answers = []
    for entry in entries:
        asked = entry.item
        gone = await session.one(_DELETE, asked.endpoint_id, asked.at) is None
        if not gone:
            await session.execute(_HOLD, asked.endpoint_id, session.now)
            await add_audit(session, asked.entry)
        answers.append(not gone)
    await _clear(session, ids, open_)
    return answers


async def _clear(session: Session, endpoint_ids: Sequence[str], open_: Sequence[int]) -> int:
    """End deliveries of deleted endpoints, and erase those of which nothing is open any more."""
    ended = await session.fetch(_CLEAR_END, open_, session.now) if open_ else ()
    await session.execute(_CLEAR_DONE, endpoint_ids)
    return sum(row[0] == DeliveryState.CANCELED for row in ended)


async def clear_deleted(session: Session, entries: Sequence[Entry[int]]) -> list[int]:
    """Go on with endpoints that were deleted; gives how many deliveries have ended."""
    return [await _clear_deleted(session, entry.item) for entry in entries]


async def _clear_deleted(session: Session, limit: int) -> int:
    ids = [row[0] for row in await session.fetch(_DELETED, limit)]
    if not ids:
        return 0
    open_ = [row[0] for row in await session.fetch(_CLEAR_LOCK, ids, limit)]
    await destinations.lock(session, await wheres(session, {}, ids))
    await session.began()
    return await _clear(session, ids, open_)


async def put_back_held(session: Session, entries: Sequence[Entry[int]]) -> list[None]:
    """Have deliveries of disabled endpoints wait again whose sender has died."""
    limit = max(entry.item for entry in entries)
    now = await session.look_at_clock()
    lost = await session.fetch(_HELD, now, limit)
    if lost:
        seqs = [row[0] for row in lost]
        await session.fetch(_LOCK_SEQS, seqs)
        await destinations.lock(session, {(row[1], row[2], row[3]) for row in lost})
        await session.began()
        await session.execute(_PUT_BACK, seqs, session.now)
    return [None for _ in entries]


class Clearing:
    """Goes on with all of that, a little at a call.

    Of events of no job it remembers how far it has looked, as `pruning.Pruning` does of jobs.
    """

    def __init__(self, kept_seconds: float, eraser: Eraser) -> None:
        """How long events of no job are kept."""
        self._eraser = eraser
        self._kept_ms = round(kept_seconds * 1000)
        self._after = _START
        self._passing = Passing()

    async def clear(self, batcher: Batcher, limit: int) -> int:
        """End and erase up to `limit` of each; gives how many deliveries have ended."""
        # What is rolled back has not been looked at: the cursor moves once that is committed.
        self._after = await batcher.one(self._prune_alone, limit)
        self._passing.ended()
        await batcher.one(put_back_held, limit)
        return await batcher.one(clear_deleted, limit)

    async def _prune_alone(self, session: Session, entries: Sequence[Entry[int]]) -> list[_Cursor]:
        limit = max(entry.item for entry in entries)
        dead_since = await session.look_at_clock() - self._kept_ms
        look = limit * LOOK_FACTOR
        found = await session.fetch(_ALONE, dead_since, *self._after, look)
        going: list[int] = []
        after = _START
        for at, seq, stays in found:
            if len(going) == limit:
                break
            after = (at, seq)
            if not stays:
                going.append(seq)
        if going:  # under their locks no delivery begins a new round
            await session.fetch(_ALONE_LOCK, going)
            await session.began()

            async def erase(seqs: Sequence[int]) -> int:
                await self._eraser.erase_alone(session, seqs, dead_since)
                return len(seqs)

            await self._passing.each(session, going, erase, "row {} of `event`".format)
        more = len(going) == limit or len(found) == look
        return [after if more else _START for _ in entries]
