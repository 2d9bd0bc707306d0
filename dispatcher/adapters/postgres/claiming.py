"""Claiming jobs: by ready lane, in turn; and taking back those whose holder has gone.

Of what is bounded over all processes a claim locks the names of those types alone in which there is
something to claim: else all claims of all processes would wait for each other, for a type that
hardly ever has any (docs/adr/0034).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from dispatcher.adapters.postgres import lanes
from dispatcher.adapters.postgres.batching import Batcher, Entry
from dispatcher.adapters.postgres.bounds import Running, lock_bounds
from dispatcher.adapters.postgres.holders import HOLDER_KEPT_MS
from dispatcher.adapters.postgres.pausing import Standing
from dispatcher.adapters.postgres.rows import Row
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.adapters.postgres.taking import ClaimRoom, take
from dispatcher.core.changes import LeasedJob
from dispatcher.core.errors import StoreError
from dispatcher.core.model import Instant
from dispatcher.ports.portions import LOOK_LANES, TAKE_BACK_JOBS
from dispatcher.ports.records import ClaimedJobs, Concurrency, JobClaim

_OPENS = statement("claim_opens")
_FORGET = statement("holders_forget")
_NEXT = statement("claim_next")
_LOST = statement("jobs_lost")
_TAKE_BACK = statement("jobs_take_back")
_READY = statement("lanes_ready")
_READY_LOCKED = statement("lanes_ready_locked")
_LOCK_READY = statement("lanes_lock_ready")
_LOCK_QUEUES = statement("lanes_lock_queues")


async def claim_jobs(batcher: Batcher, claim: JobClaim) -> ClaimedJobs:
    """Lease due jobs; see the port.

    First of the lanes that nobody else has locked. If others might have more, a second transaction
    waits for them: it holds nothing that another could wait for.
    """
    claimed, left_out = await batcher.one(_each_free, claim)
    if not left_out:
        return claimed
    taken = Counter(leased.job.type for leased in claimed.jobs)
    types = {name: min(n, claim.limit) - taken[name] for name, n in claim.types.items()}
    rest = replace(claim, types=types, limit=claim.limit - len(claimed.jobs))
    try:
        more = await batcher.one(_each_waiting, rest)
    except StoreError:
        if not claimed.jobs:
            raise
        return claimed
    return ClaimedJobs(claimed.jobs + more.jobs, more.next_at, more.held_back)


async def _each_free(
    session: Session, entries: Sequence[Entry[JobClaim]]
) -> list[tuple[ClaimedJobs, bool]]:
    opening = await _open(session, entries)
    if opening.ended:
        await _take_back(session)
    return [await _claim_free(session, entry.item, opening) for entry in entries]


async def _each_waiting(session: Session, entries: Sequence[Entry[JobClaim]]) -> list[ClaimedJobs]:
    """The same of lanes that others had locked: waits for them, in the order of all locks."""
    opening = await _open(session, entries)
    rooms = [await _room(session, entry.item, opening) for entry in entries]
    wanted: set[int] = set()
    for room in rooms:
        found = await session.fetch(
            _READY_LOCKED, room.types_left, session.now, room.claim.limit, [], room.shut
        )
        wanted |= {row[0] for row in found}
    rows = await session.fetch(_LOCK_READY, sorted(wanted), session.now)
    await session.look_at_clock()  # the wait may have been long
    return [await _claim_locked(session, entry.item, opening, rows) for entry in entries]


class _Opening(NamedTuple):
    """How a batch of claims begins. `ended`: a holder's lease has.

    `idle` are bounded types that the batch leaves alone: nothing of them can be claimed, and their
    names are not locked. Where a holder whose lease has ended holds a job none is: that may be of
    any type.
    """

    ended: bool
    idle: frozenset[str]

    def locked(self, claim: JobClaim) -> Concurrency:
        """What bounds a claim, and is locked."""
        most = _bounds(claim)
        types = {name: count for name, count in most.types.items() if name not in self.idle}
        return Concurrency(types, most.queues)


async def _open(session: Session, entries: Sequence[Entry[JobClaim]]) -> _Opening:
    """Read the clock, and lock what bounds these claims."""
    claims = [entry.item for entry in entries]
    bounded = {name for claim in claims for name in _bounds(claim).types}
    row = await session.one(_OPENS, session.told, sorted(bounded))
    session.now, ended, lost, ready = row
    idle = frozenset() if lost else frozenset(bounded.difference(ready))
    opening = _Opening(ended, idle)
    await lock_bounds(session, [opening.locked(claim) for claim in claims])
    return opening


def _bounds(claim: JobClaim) -> Concurrency:
    """What bounds a claim: of types those alone that it asks for."""
    most = claim.concurrency
    types = {name: most.types[name] for name in most.types.keys() & claim.types.keys()}
    return Concurrency(types, most.queues)


async def _room(session: Session, claim: JobClaim, opening: _Opening) -> ClaimRoom:
    """How much a claim may take, as it stands now. What is idle is counted, too, but not locked."""
    standing = await Standing.look(session, [claim.holder_id])
    most = _bounds(claim)
    running = await Running.count(session, [most])
    return ClaimRoom(claim, most, running, standing, opening.idle)


async def _claim_free(
    session: Session, claim: JobClaim, opening: _Opening
) -> tuple[ClaimedJobs, bool]:
    """Lease due jobs of the lanes that nobody else has locked; see the port.

    The second answer tells that some were left out that might have more.
    """
    room = await _room(session, claim, opening)
    jobs: list[LeasedJob] = []
    looked: set[int] = set()
    while room.may_lease and len(jobs) < claim.limit and len(looked) < LOOK_LANES:
        rows = await _free_lanes(session, room, looked)
        if not rows:
            break
        looked |= {row[0] for row in rows}
        jobs += await take(session, rows, room, claim.limit - len(jobs))
    next_at = await _next_at(session, room)
    left_out = False
    more = next_at is not None and next_at <= session.now
    if more and room.may_lease and len(jobs) < claim.limit:
        wanted = (room.types_left, session.now, 1, list(looked), room.shut)
        left_out = bool(await session.fetch(_READY_LOCKED, *wanted))
    return ClaimedJobs(tuple(jobs), next_at, room.held_back), left_out


async def _free_lanes(session: Session, room: ClaimRoom, looked: Iterable[int]) -> list[Row]:
    """Lock ready lanes that were not looked at, all of a caller and queue together."""
    names, limit = room.types_left, room.claim.limit
    if not names:
        return []
    rows = await session.fetch(_READY, names, session.now, limit, list(looked), room.shut)
    if rows and len(rows) >= limit:  # a queue may have been cut in two
        pairs = sorted({(row[1], row[2]) for row in rows})
        wanted = ([p[0] for p in pairs], [p[1] for p in pairs], names, session.now)
        known = [*looked, *(row[0] for row in rows)]
        rows += await session.fetch(_LOCK_QUEUES, *wanted, known)
    return list(rows)


async def _claim_locked(
    session: Session, claim: JobClaim, opening: _Opening, rows: Sequence[Row]
) -> ClaimedJobs:
    """Lease due jobs of those of locked lanes that the claim asks for."""
    room = await _room(session, claim, opening)
    names, shut = set(room.types_left), set(room.shut)
    own = [row for row in rows if row["type"] in names and row["queue"] not in shut]
    jobs = await take(session, own, room, claim.limit) if room.may_lease else []
    return ClaimedJobs(tuple(jobs), await _next_at(session, room), room.held_back)


async def _take_back(session: Session) -> None:
    """Put back what holders whose lease has ended still hold, and forget those who hold nothing."""
    lost = await session.fetch(_LOST, session.now, TAKE_BACK_JOBS)
    if lost:
        coming = lanes.Coming()
        for _, caller_id, queue, type_, size in lost:
            coming.add((caller_id, queue, type_), session.now, size)
        seqs = await coming.wait(session)
        back = [seqs[row[1], row[2], row[3]] for row in lost]
        await session.execute(_TAKE_BACK, [row[0] for row in lost], back, session.now)
    await session.execute(_FORGET, session.now, HOLDER_KEPT_MS)


async def _next_at(session: Session, room: ClaimRoom) -> Instant | None:
    """When a claim of the same types could find more, never later than it truly could.

    What there is no room for is left out: it can be claimed when something of it ends.
    """
    row = await session.one(_NEXT, room.open, room.claim.holder_id, room.shut)
    if row is None:
        return None
    session.xid = row[2]
    known = [at for at in (row[0], row[1]) if at is not None]
    return max(min(known), session.now) if known else None
