"""Claiming jobs: by ready lane, in turn; and taking back those whose holder has gone."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from math import ceil
from typing import Final, NamedTuple, TypeAlias

from dispatcher.adapters.postgres import lanes
from dispatcher.adapters.postgres.batching import Batcher, Entry
from dispatcher.adapters.postgres.registered import asked_in
from dispatcher.adapters.postgres.rows import JOB_LANE, JOB_LEASE, JOB_SEQ, JOB_WIDTH, Row, job_of
from dispatcher.adapters.postgres.session import Kind, Session, Witness
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.changes import LeasedJob
from dispatcher.core.errors import StoreError
from dispatcher.core.model import Instant
from dispatcher.ports.records import AGEING_MS, ClaimedJobs, JobClaim

_ENDED = statement("holders_ended")
_FORGET = statement("holders_forget")
_NEXT = statement("claim_next")
_LOST = statement("jobs_lost")
_TAKE_BACK = statement("jobs_take_back")
_READY = statement("lanes_ready")
_READY_LOCKED = statement("lanes_ready_locked")
_LOCK_READY = statement("lanes_lock_ready")
_LOCK_QUEUES = statement("lanes_lock_queues")
_HEADS = statement("lanes_heads")
_LEASE = statement("jobs_lease")
_ALIVE = statement("holders_alive")

TAKE_BACK_JOBS: Final = 500
"""How many jobs a claim takes back; the next one goes on."""

LOOK_LANES: Final = 1_000
"""A claim looks at no more lanes than this; the next one goes on. Most of them have something."""


class _Lane:
    """A locked lane that can be claimed from: its number, its type, what was taken from it."""

    __slots__ = ("input_bytes", "jobs", "seq", "served", "type")

    def __init__(self, seq: int, type_: str) -> None:
        self.seq = seq
        self.type = type_
        self.served = False
        self.jobs = 0
        self.input_bytes = 0


_Group: TypeAlias = list[_Lane]
"""The ready lanes of one caller and queue: priorities hold across its types."""


class _Head(NamedTuple):
    """A job that may be claimed: its rank (least first), its number, its lane."""

    rank: int
    seq: int
    lane: _Lane


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
    rest = JobClaim(claim.holder_id, types, claim.limit - len(claimed.jobs))
    try:
        more = await batcher.one(_each_waiting, rest)
    except StoreError:
        if not claimed.jobs:
            raise
        return claimed
    return ClaimedJobs(claimed.jobs + more.jobs, more.next_at)


async def _each_free(
    session: Session, entries: Sequence[Entry[JobClaim]]
) -> list[tuple[ClaimedJobs, bool]]:
    return [await _claim_free(session, entry.item) for entry in entries]


async def _each_waiting(session: Session, entries: Sequence[Entry[JobClaim]]) -> list[ClaimedJobs]:
    return [await _claim_waiting(session, entry.item) for entry in entries]


async def _claim_free(session: Session, claim: JobClaim) -> tuple[ClaimedJobs, bool]:
    """Lease due jobs of the lanes that nobody else has locked; see the port.

    The second answer tells that some were left out that might have more.
    """
    await session.look_at_clock()
    await _take_back(session)
    slots = {name: min(free, claim.limit) for name, free in claim.types.items() if free > 0}
    jobs: list[LeasedJob] = []
    looked: set[int] = set()
    alive = await session.one(_ALIVE, [claim.holder_id], session.now) is not None
    while alive and len(jobs) < claim.limit and len(looked) < LOOK_LANES:
        names = [name for name, free in slots.items() if free > 0]
        rows = await session.fetch(_READY, names, session.now, claim.limit, list(looked))
        if not rows:
            break
        if len(rows) >= claim.limit:  # a queue may have been cut in two
            pairs = sorted({(row[1], row[2]) for row in rows})
            wanted = ([p[0] for p in pairs], [p[1] for p in pairs], names, session.now)
            rows += await session.fetch(_LOCK_QUEUES, *wanted, [row[0] for row in rows])
        looked |= {row[0] for row in rows}
        jobs += await _serve(session, rows, slots, claim.limit - len(jobs), claim.holder_id)
    next_at = await _next_at(session, claim)
    left_out = False
    if alive and len(jobs) < claim.limit and next_at is not None and next_at <= session.now:
        names = [name for name, free in slots.items() if free > 0]
        left_out = bool(await session.fetch(_READY_LOCKED, names, session.now, 1, list(looked)))
    return ClaimedJobs(tuple(jobs), next_at), left_out


async def _claim_waiting(session: Session, claim: JobClaim) -> ClaimedJobs:
    """The same, of those that others had locked: waits for them, in the order of all locks."""
    await session.look_at_clock()
    slots = {name: min(free, claim.limit) for name, free in claim.types.items() if free > 0}
    rows = await session.fetch(_READY_LOCKED, list(slots), session.now, claim.limit, [])
    rows = await session.fetch(_LOCK_READY, [row[0] for row in rows], session.now)
    await session.look_at_clock()  # the wait may have been long
    jobs: list[LeasedJob] = []
    if await session.one(_ALIVE, [claim.holder_id], session.now) is not None:
        jobs = await _serve(session, rows, slots, claim.limit, claim.holder_id)
    return ClaimedJobs(tuple(jobs), await _next_at(session, claim))


async def _serve(
    session: Session, rows: Sequence[Row], slots: dict[str, int], left: int, holder_id: str
) -> list[LeasedJob]:
    """Take from locked lanes, and write when the next of each can be claimed."""
    groups: dict[tuple[str, str], _Group] = {}
    for seq, caller_id, queue, type_ in rows:
        groups.setdefault((caller_id, queue), []).append(_Lane(seq, type_))
    every = {lane.seq: lane for group in groups.values() for lane in group}
    rounds = await _rounds(session, list(groups.values()), slots, left, holder_id)
    jobs = []
    for lane_seq, leased in rounds:
        lane = every[lane_seq]
        lane.jobs += 1
        lane.input_bytes += len(leased.input)
        jobs.append(leased)
    next_at = await lanes.next_in(session, every)
    served = [
        lanes.Served(seq, next_at[seq], lane.jobs, lane.input_bytes)
        for seq, lane in every.items()
        if lane.served or next_at[seq] != session.now  # unserved, it keeps its place
    ]
    await lanes.serve(session, served)
    return jobs


async def _take_back(session: Session) -> None:
    """Put back what holders whose lease has ended still hold, and forget those who hold nothing."""
    if await session.one(_ENDED, session.now) is None:
        return
    lost = await session.fetch(_LOST, session.now, TAKE_BACK_JOBS)
    if lost:
        coming = lanes.Coming()
        for _, caller_id, queue, type_, size in lost:
            coming.add((caller_id, queue, type_), session.now, size)
        seqs = await coming.wait(session)
        back = [seqs[row[1], row[2], row[3]] for row in lost]
        await session.execute(_TAKE_BACK, [row[0] for row in lost], back, session.now)
    await session.execute(_FORGET, session.now)


async def _rounds(
    session: Session, groups: list[_Group], slots: dict[str, int], left: int, holder_id: str
) -> list[tuple[int, LeasedJob]]:
    """Take from each group in turn, until so many are taken or nothing is left.

    Each comes with the number of its lane.
    """
    taken: list[tuple[int, LeasedJob]] = []
    while groups and left > len(taken):
        share = ceil((left - len(taken)) / len(groups))
        heads = await _heads(session, groups, slots, share)
        more = [each for each, found in zip(groups, heads, strict=True) if len(found) == share]
        picked = _in_turn([deque(found) for found in heads], slots, left - len(taken))
        leased = await _lease(session, picked, holder_id)
        taken += leased
        groups = more
        if len(leased) < len(picked) or not picked:  # one left out is being changed just now
            break
    return taken


async def _heads(
    session: Session, groups: Sequence[_Group], slots: dict[str, int], share: int
) -> list[list[_Head]]:
    """Up to `share` jobs of each group, best first."""
    wanted = {
        lane.seq: (n, lane, min(share, slots[lane.type]))
        for n, group in enumerate(groups)
        for lane in group
        if slots[lane.type] > 0
    }
    found: list[list[_Head]] = [[] for _ in groups]
    if wanted:
        limits = [limit for _, _, limit in wanted.values()]
        rows = await session.fetch(_HEADS, list(wanted), limits, session.now, AGEING_MS)
        for lane_seq, rank, seq in rows:
            n, lane, _ = wanted[lane_seq]
            found[n].append(_Head(rank, seq, lane))
    return [sorted(heads, key=lambda head: head[:2])[:share] for heads in found]


def _in_turn(heads: list[deque[_Head]], slots: dict[str, int], left: int) -> list[int]:
    """One from each group after another, as far as slots of their types are free."""
    picked: list[int] = []
    while heads:
        waiting = []
        for queue in heads:
            while queue and len(picked) < left:
                head = queue.popleft()
                if slots[head.lane.type] > 0:
                    slots[head.lane.type] -= 1
                    head.lane.served = True
                    picked.append(head.seq)
                    break
            if queue:
                waiting.append(queue)
        if len(picked) == left:
            break
        heads = waiting
    return picked


async def _lease(
    session: Session, picked: Sequence[int], holder_id: str
) -> list[tuple[int, LeasedJob]]:
    if not picked:
        return []
    tokens = [session.ids.new("lse") for _ in picked]
    rows = await session.fetch(_LEASE, picked, tokens, holder_id, session.now)
    leased = {
        row[JOB_SEQ]: (
            row[JOB_LANE],
            LeasedJob(job_of(row), row[JOB_LEASE], row[JOB_WIDTH], asked_in(row["asked"])),
        )
        for row in rows
    }
    for _, each in list(leased.values())[:1]:
        session.witnesses.append(Witness(Kind.JOB_LEASE, each.job.id, each.lease))
    return [leased[seq] for seq in picked if seq in leased]


async def _next_at(session: Session, claim: JobClaim) -> Instant | None:
    """When a claim of the same types could find more, never later than it truly could."""
    wanted = [name for name, free in claim.types.items() if free > 0]
    row = await session.one(_NEXT, wanted, claim.holder_id)
    if row is None:
        return None
    session.xid = row[2]
    known = [at for at in (row[0], row[1]) if at is not None]
    return max(min(known), session.now) if known else None
