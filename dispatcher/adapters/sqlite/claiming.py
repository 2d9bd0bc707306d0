"""Claiming jobs: by ready lane, in turn; and taking back those whose holder has gone."""

from __future__ import annotations

from collections import deque
from math import ceil
from typing import Final, TypeAlias

import msgspec

from dispatcher.adapters.sqlite.fanout import asked_of
from dispatcher.adapters.sqlite.lanes import count_waiting, next_in_lane, set_ready, wait_in_lane
from dispatcher.adapters.sqlite.rows import JOB_LANE, JOB_LEASE, JOB_SEQ, JOB_WIDTH, Row, job_of
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.changes import LeasedJob
from dispatcher.core.model import Instant
from dispatcher.ports.records import AGEING_MS, ClaimedJobs, JobClaim

_ENDED = statement("holders_ended")
_FORGET = statement("holders_forget")
_NEXT_HOLDER = statement("holders_next")
_LOST = statement("jobs_lost")
_TAKE_BACK = statement("job_take_back")
_READY = statement("lanes_ready")
_OF_QUEUE = statement("lanes_of_queue")
_NEXT_LANE = statement("lanes_next")
_HEADS = statement("lane_heads")
_LEASE = statement("job_lease")
_LEASED = statement("jobs_leased")

TAKE_BACK_JOBS: Final = 500
"""How many jobs of one holder a claim takes back; the next one goes on."""

LOOK_LANES: Final = 1_000
"""A claim looks at no more lanes than this; the next one goes on. Most of them have something."""

_encode: Final = msgspec.json.encode


class _Lane:
    """A lane that can be claimed from: its number, its type, whether it was served."""

    __slots__ = ("seq", "served", "type")

    def __init__(self, seq: int, type_: str) -> None:
        self.seq = seq
        self.type = type_
        self.served = False


_Head: TypeAlias = tuple[int, int, _Lane]
"""A job that may be claimed: its rank (least first), its number, its lane."""


def claim_jobs(session: Session, claim: JobClaim) -> ClaimedJobs:
    """Lease due jobs; see the port."""
    _take_back(session)
    slots = {name: min(free, claim.limit) for name, free in claim.types.items() if free > 0}
    jobs: list[LeasedJob] = []
    looked = 0
    if session.holder_lives(claim.holder_id):
        while len(jobs) < claim.limit and looked < LOOK_LANES:
            groups = _ready_groups(session, slots, claim.limit)
            if not groups:
                break
            left = claim.limit - len(jobs)
            jobs += _rounds(session, groups, slots, left, claim.holder_id)
            looked += _settle(session, groups)
    return ClaimedJobs(tuple(jobs), _next_at(session, claim))


def _settle(session: Session, groups: list[list[_Lane]]) -> int:
    """Write when the next of each lane can be claimed; gives how many lanes there were."""
    lanes = [lane for group in groups for lane in group]
    for lane in lanes:
        next_at = next_in_lane(session, lane.seq)
        if lane.served or next_at != session.now:  # unserved, it keeps its place
            set_ready(session, lane.seq, next_at)
    return len(lanes)


def _take_back(session: Session) -> None:
    """Put back what holders whose lease has ended still hold, and forget those who hold nothing."""
    ended = session.execute(_ENDED, (session.now,)).fetchall()
    for (holder_id,) in ended:
        lost = session.execute(_LOST, {"holder_id": holder_id, "limit": TAKE_BACK_JOBS}).fetchall()
        for seq, caller_id, queue, type_ in lost:
            lane_seq = wait_in_lane(session, seq, caller_id, queue, type_, session.now)
            session.execute(_TAKE_BACK, {"seq": seq, "lane_seq": lane_seq, "now": session.now})
    if ended:
        session.execute(_FORGET, (session.now,))
        session.forget_holders()


def _ready_groups(session: Session, slots: dict[str, int], limit: int) -> list[list[_Lane]]:
    """The ready lanes of the types asked for, by caller and queue, the longest unserved first.

    Priorities hold across the types of a queue, so all its ready lanes are looked at together.
    """
    found = []
    cut = False
    for name, free in slots.items():
        if free > 0:
            wanted = {"type": name, "now": session.now, "limit": limit}
            lanes = session.execute(_READY, wanted).fetchall()
            cut = cut or len(lanes) == limit
            found += lanes
    found.sort()
    groups: dict[tuple[str, str], list[_Lane]] = {}
    for _, seq, caller_id, queue, type_ in found:
        group = groups.setdefault((caller_id, queue), [])
        if not cut:
            group.append(_Lane(seq, type_))
        elif len(groups) == limit:
            break
    if cut:
        for (caller_id, queue), group in groups.items():
            for seq, type_, ready_at, paused_at in session.execute(_OF_QUEUE, (caller_id, queue)):
                ready = ready_at is not None and ready_at <= session.now
                if ready and paused_at is None and slots.get(type_, 0) > 0:
                    group.append(_Lane(seq, type_))
    return list(groups.values())


def _rounds(
    session: Session, groups: list[list[_Lane]], slots: dict[str, int], left: int, holder_id: str
) -> list[LeasedJob]:
    """Take from each group in turn, until so many are taken or nothing is left."""
    taken: list[LeasedJob] = []
    while groups and left > len(taken):
        share = ceil((left - len(taken)) / len(groups))
        heads = [deque(_heads(session, group, slots, share)) for group in groups]
        groups = [each for each, found in zip(groups, heads, strict=True) if len(found) == share]
        picked = _in_turn(heads, slots, left - len(taken))
        if not picked:
            break
        taken += _lease(session, picked, holder_id)
    return taken


def _heads(session: Session, group: list[_Lane], slots: dict[str, int], share: int) -> list[_Head]:
    """Up to `share` jobs of a group, best first."""
    found: list[_Head] = []
    for lane in group:
        limit = min(share, slots[lane.type])
        if limit > 0:
            rows = session.execute(
                _HEADS,
                {
                    "lane_seq": lane.seq,
                    "now": session.now,
                    "limit": limit,
                    "ageing_ms": AGEING_MS,
                },
            )
            found += [(rank, seq, lane) for rank, seq in rows]
    found.sort()
    return found[:share]


def _in_turn(heads: list[deque[_Head]], slots: dict[str, int], left: int) -> list[int]:
    """One from each group after another, as far as slots of their types are free."""
    picked: list[int] = []
    while heads:
        waiting = []
        for queue in heads:
            while queue and len(picked) < left:
                _, seq, lane = queue.popleft()
                if slots[lane.type] > 0:
                    slots[lane.type] -= 1
                    lane.served = True
                    picked.append(seq)
                    break
            if queue:
                waiting.append(queue)
        if len(picked) == left:
            break
        heads = waiting
    return picked


def _lease(session: Session, picked: list[int], holder_id: str) -> list[LeasedJob]:
    now, new = session.now, session.ids.new
    session.connection.executemany(
        _LEASE,
        [{"seq": seq, "lease": new("lse"), "holder_id": holder_id, "now": now} for seq in picked],
    )
    leased: dict[int, LeasedJob] = {}
    gone: dict[int, list[int]] = {}
    for row in session.execute(_LEASED, (_encode(picked).decode(),)).fetchall():
        leased[row[JOB_SEQ]] = found = _leased_of(session, row)
        gone.setdefault(row[JOB_LANE], []).append(len(found.input))
    for lane_seq, sizes in gone.items():
        count_waiting(session, lane_seq, -len(sizes), -sum(sizes))
    return [leased[seq] for seq in picked]


def _leased_of(session: Session, row: Row) -> LeasedJob:
    job = job_of(row)
    return LeasedJob(job, row[JOB_LEASE], row[JOB_WIDTH], asked_of(session, job.caller_id))


def _next_at(session: Session, claim: JobClaim) -> Instant | None:
    """When a claim of the same types could find more, never later than it truly could."""
    wanted = [name for name, free in claim.types.items() if free > 0]
    (lane_at,) = session.one(_NEXT_LANE, (_encode(wanted).decode(),))
    (holder_at,) = session.one(_NEXT_HOLDER, {"id": claim.holder_id})
    known = [at for at in (lane_at, holder_at) if at is not None]
    return max(min(known), session.now) if known else None
