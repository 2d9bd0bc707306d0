"""Taking jobs from locked lanes: from each caller and queue in turn, as far as there is room."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Sequence
from math import ceil
from typing import NamedTuple, TypeAlias

from dispatcher.adapters.postgres import lanes
from dispatcher.adapters.postgres.bounds import Running
from dispatcher.adapters.postgres.leases import leases_of_their_own
from dispatcher.adapters.postgres.ordering_keys import Fronts, renew_fronts
from dispatcher.adapters.postgres.pausing import Standing
from dispatcher.adapters.postgres.registered import asked_in
from dispatcher.adapters.postgres.rows import JOB_LANE, JOB_LEASE, JOB_SEQ, Row, job_of
from dispatcher.adapters.postgres.session import Kind, Session, Witness
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.changes import LeasedJob
from dispatcher.core.ordering import KeyPlace
from dispatcher.ports.portions import LOOK_IN_VAIN
from dispatcher.ports.records import AGEING_MS, Concurrency, JobClaim

_HEADS = statement("lanes_heads")
_LEASE = statement("jobs_lease")


class ClaimRoom:
    """How much a claim may still take: of each type, and of what all processes share a bound.

    Of types that are `idle` it takes nothing: their bounds are not locked, so that what was counted
    of them may be no longer true.
    """

    def __init__(
        self,
        claim: JobClaim,
        most: Concurrency,
        running: Running,
        standing: Standing,
        idle: Container[str] = (),
    ) -> None:
        self.claim = claim
        self._paused = sorted(standing.queues_paused)
        self._all_paused = standing.all_paused
        self.may_lease = claim.remote is not None or claim.holder_id in standing.alive
        self._queues = {name: running.room_of_queue(name, most) or 0 for name in most.queues}
        self._types = {name: running.room_of_type(name, most) or 0 for name in most.types}
        self.slots = {
            name: min(free, claim.limit, self._types.get(name, free))
            for name, free in claim.types.items()
            if free > 0 and name not in idle
        }

    @property
    def shut(self) -> list[str]:
        """The queues of which nothing may be taken: they are paused, or as many run as may."""
        return self._paused + [queue for queue, left in self._queues.items() if left <= 0]

    @property
    def held_back(self) -> bool:
        """Whether of something as many run as may."""
        return 0 in self._queues.values() or 0 in self._types.values()

    @property
    def open(self) -> list[str]:
        """The types asked for of which more may run."""
        if self._all_paused:
            return []
        return [
            name
            for name, free in self.claim.types.items()
            if free > 0 and self._types.get(name, 1) > 0
        ]

    @property
    def types_left(self) -> list[str]:
        """Those of them of which this claim may still take some."""
        return [] if self._all_paused else [name for name, free in self.slots.items() if free > 0]

    def take(self, lane: _Lane) -> bool:
        """Take a place for a job of this lane, if there is one."""
        left = self._queues.get(lane.queue)
        if self.slots[lane.type] <= 0 or (left is not None and left <= 0):
            return False
        self.slots[lane.type] -= 1
        if lane.type in self._types:
            self._types[lane.type] -= 1
        if left is not None:
            self._queues[lane.queue] = left - 1
        return True


class _Lane:
    """A locked lane that can be claimed from, and what was taken from it."""

    __slots__ = ("input_bytes", "jobs", "queue", "seq", "served", "type")

    def __init__(self, seq: int, queue: str, type_: str) -> None:
        self.seq = seq
        self.queue = queue
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


class _Heads(NamedTuple):
    """The heads of a group; and whether others were looked at that stand behind by now."""

    heads: list[_Head]
    passed_over: bool


async def take(
    session: Session, rows: Sequence[Row], room: ClaimRoom, left: int
) -> list[LeasedJob]:
    """Lease up to `left` jobs of locked lanes (number, caller, queue, type of each).

    Also writes when the next of each lane can be claimed.
    """
    groups: dict[tuple[str, str], _Group] = {}
    for seq, caller_id, queue, type_ in rows:
        groups.setdefault((caller_id, queue), []).append(_Lane(seq, queue, type_))
    every = {lane.seq: lane for group in groups.values() for lane in group}
    jobs = []
    for lane_seq, leased in await _rounds(session, list(groups.values()), room, left):
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
    if room.claim.remote is None:
        return jobs
    return await leases_of_their_own(session, jobs, room.claim.remote)


async def _rounds(
    session: Session, groups: list[_Group], room: ClaimRoom, left: int
) -> list[tuple[int, LeasedJob]]:
    """Take from each group in turn, until so many are taken or nothing is left.

    Each comes with the number of its lane.
    """
    taken: list[tuple[int, LeasedJob]] = []
    in_vain = 0
    while groups and left > len(taken) and in_vain < LOOK_IN_VAIN:
        share = ceil((left - len(taken)) / len(groups))
        found = await _heads(session, groups, room, share)
        picked = _in_turn([deque(each.heads) for each in found], room, left - len(taken))
        leased = await _lease(session, picked, room)
        taken += leased
        if len(leased) < len(picked):  # one left out is being changed just now
            break
        if not picked:
            in_vain += 1
            if not any(each.passed_over for each in found):
                break
        groups = [
            group
            for group, each in zip(groups, found, strict=True)
            if each.passed_over or len(each.heads) == share
        ]
    return taken


async def _heads(
    session: Session, groups: Sequence[_Group], room: ClaimRoom, share: int
) -> list[_Heads]:
    """Up to `share` jobs of each group, best first, without those that wait for their key."""
    wanted = {
        lane.seq: (n, lane, min(share, room.slots[lane.type]))
        for n, group in enumerate(groups)
        for lane in group
        if room.slots[lane.type] > 0
    }
    found = [_Heads([], passed_over=False) for _ in groups]
    if not wanted:
        return found
    limits = [limit for _, _, limit in wanted.values()]
    rows = await session.fetch(_HEADS, list(wanted), limits, session.now, AGEING_MS)
    keyed = [row["seq"] for row in rows if row["key_place"] != KeyPlace.NO_KEY]
    fronts = await renew_fronts(session, keyed) if keyed else Fronts(frozenset(), frozenset())
    for lane_seq, rank, seq, key_place in rows:
        n, lane, _ = wanted[lane_seq]
        if key_place == KeyPlace.NO_KEY or seq in fronts.free:
            found[n].heads.append(_Head(rank, seq, lane))
        elif seq in fronts.behind:
            found[n] = found[n]._replace(passed_over=True)
    return [
        each._replace(heads=sorted(each.heads, key=lambda head: head[:2])[:share]) for each in found
    ]


def _in_turn(heads: list[deque[_Head]], room: ClaimRoom, left: int) -> list[int]:
    """One from each group after another, as far as there is room for them."""
    picked: list[int] = []
    while heads:
        waiting = []
        for queue in heads:
            while queue and len(picked) < left:
                head = queue.popleft()
                if room.take(head.lane):
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
    session: Session, picked: Sequence[int], room: ClaimRoom
) -> list[tuple[int, LeasedJob]]:
    """Lease these, held by the claim's holder or each by its own lease."""
    if not picked:
        return []
    tokens = [session.ids.new("lse") for _ in picked]
    holder_id = room.claim.holder_id if room.claim.remote is None else None
    rows = await session.fetch(_LEASE, picked, tokens, holder_id, session.now)
    leased = {
        row[JOB_SEQ]: (
            row[JOB_LANE],
            LeasedJob(job_of(row), row[JOB_LEASE], row["body"], asked_in(row["asked"])),
        )
        for row in rows
    }
    if holder_id is not None:
        for _, each in leased.values():
            session.remembered.keep_job(each)
    for _, each in list(leased.values())[:1]:
        session.witnesses.append(Witness(Kind.JOB_LEASE, each.job.id, each.lease))
    return [leased[seq] for seq in picked if seq in leased]
