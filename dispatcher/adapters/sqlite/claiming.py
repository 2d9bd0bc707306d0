"""Claiming jobs: by ready lane, in turn; and taking back those whose holder has gone."""

from __future__ import annotations

from collections import deque
from math import ceil
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import replace

from dispatcher.adapters.sqlite.fanout import asked_of
from dispatcher.adapters.sqlite.lanes import count_waiting, next_in_lane, set_ready, wait_in_lane
from dispatcher.adapters.sqlite.ordering_keys import renew_front
from dispatcher.adapters.sqlite.pausing import room_of_queue, room_of_type
from dispatcher.adapters.sqlite.rows import JOB_LANE, JOB_LEASE, JOB_SEQ, JOB_WIDTH, Row, job_of
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.changes import LeasedJob
from dispatcher.core.model import Instant
from dispatcher.core.ordering import KeyPlace
from dispatcher.ports.portions import LOOK_IN_VAIN, LOOK_LANES, TAKE_BACK_JOBS
from dispatcher.ports.records import AGEING_MS, ClaimedJobs, JobClaim, RemoteTerms

_ENDED = statement("holders_ended")
_KEY_OF_JOB = statement("key_of_job")
_FORGET = statement("holders_forget")
_NEXT_HOLDER = statement("holders_next")
_LOST = statement("jobs_lost")
_TAKE_BACK = statement("job_take_back")
_READY = statement("lanes_ready")
_READY_ELSEWHERE = statement("lanes_ready_elsewhere")
_OF_QUEUE = statement("lanes_of_queue")
_NEXT_LANE = statement("lanes_next")
_NEXT_LANE_ELSEWHERE = statement("lanes_next_elsewhere")
_HEADS = statement("lane_heads")
_LEASE = statement("job_lease")
_LEASED = statement("jobs_leased")
_LEASE_ADD = statement("lease_add")

END_HOLDERS: Final = 500
"""Of how many holders it does so."""

_encode: Final = msgspec.json.encode


class _Lane:
    """A lane that can be claimed from: its number, queue and type, and whether it was served."""

    __slots__ = ("queue", "seq", "served", "type")

    def __init__(self, seq: int, queue: str, type_: str) -> None:
        self.seq = seq
        self.queue = queue
        self.type = type_
        self.served = False


_Head: TypeAlias = tuple[int, int, _Lane]
"""A job that may be claimed: its rank (least first), its number, its lane."""


class ClaimRoom:
    """How much a claim may still take: of each type, and where all processes together are bounded.

    `fronts` are those of the keys that this claim has looked at: what follows in it changes a front
    by leasing it alone.
    """

    __slots__ = ("fronts", "passed_over", "queues", "slots", "types")

    def __init__(self, session: Session, claim: JobClaim) -> None:
        most = claim.concurrency
        self.queues = {name: room_of_queue(session, name, most) or 0 for name in most.queues}
        self.types = {
            name: room_of_type(session, name, most) or 0
            for name in most.types.keys() & claim.types.keys()
        }
        self.slots = {
            name: min(free, claim.limit, self.types.get(name, free))
            for name, free in claim.types.items()
            if free > 0
        }
        self.fronts: dict[tuple[str, str], int | None] = {}
        self.passed_over = 0

    @property
    def full(self) -> list[str]:
        """The queues of which no more may run."""
        return [queue for queue, left in self.queues.items() if left <= 0]

    @property
    def held_back(self) -> bool:
        """Whether of something as many run as may."""
        return 0 in self.queues.values() or 0 in self.types.values()

    def open(self, claim: JobClaim) -> list[str]:
        """The types asked for of which more may run."""
        return [
            name for name, free in claim.types.items() if free > 0 and self.types.get(name, 1) > 0
        ]

    def is_front(self, session: Session, seq: int) -> bool:
        """Whether a job with a key is the one that may be claimed; counts those that are not."""
        caller_id, key = session.one(_KEY_OF_JOB, (seq,))
        if (caller_id, key) not in self.fronts:
            self.fronts[caller_id, key] = renew_front(session, caller_id, key)
        if self.fronts[caller_id, key] == seq:
            return True
        self.passed_over += 1
        return False

    def take(self, lane: _Lane) -> bool:
        """Take a place for a job of this lane, if there is one."""
        left = self.queues.get(lane.queue)
        if self.slots[lane.type] <= 0 or (left is not None and left <= 0):
            return False
        self.slots[lane.type] -= 1
        if lane.type in self.types:
            self.types[lane.type] -= 1
        if left is not None:
            self.queues[lane.queue] = left - 1
        return True


def claim_jobs(session: Session, claim: JobClaim) -> ClaimedJobs:
    """Lease due jobs; see the port."""
    _take_back(session)
    room = ClaimRoom(session, claim)
    jobs: list[LeasedJob] = []
    looked = in_vain = 0
    if claim.remote is not None or session.holder_lives(claim.holder_id):
        while len(jobs) < claim.limit and looked < LOOK_LANES and in_vain < LOOK_IN_VAIN:
            groups = _ready_groups(session, room, claim.limit)
            if not groups:
                break
            taken = _rounds(session, groups, room, claim, claim.limit - len(jobs))
            jobs += taken
            looked += _settle(session, groups)
            in_vain += room.passed_over > 0 and not taken
    return ClaimedJobs(tuple(jobs), _next_at(session, claim, room), room.held_back)


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
    ended = session.execute(_ENDED, {"now": session.now, "limit": END_HOLDERS}).fetchall()
    for (holder_id,) in ended:
        lost = session.execute(_LOST, {"holder_id": holder_id, "limit": TAKE_BACK_JOBS}).fetchall()
        for seq, caller_id, queue, type_ in lost:
            lane_seq = wait_in_lane(session, seq, caller_id, queue, type_, session.now)
            session.execute(_TAKE_BACK, {"seq": seq, "lane_seq": lane_seq, "now": session.now})
    if ended:
        session.execute(_FORGET, (session.now,))
        session.forget_holders()


def _ready_groups(session: Session, room: ClaimRoom, limit: int) -> list[list[_Lane]]:
    """The ready lanes of the types asked for, by caller and queue, the longest unserved first.

    Priorities hold across the types of a queue, so all its ready lanes are looked at together.
    """
    found = []
    cut = False
    for name, free in room.slots.items():
        if free > 0:
            lanes = _ready_lanes(session, name, room.full, limit)
            cut = cut or len(lanes) == limit
            found += lanes
    found.sort()
    groups: dict[tuple[str, str], list[_Lane]] = {}
    for _, seq, caller_id, queue, type_ in found:
        group = groups.setdefault((caller_id, queue), [])
        if not cut:
            group.append(_Lane(seq, queue, type_))
        elif len(groups) == limit:
            break
    if cut:
        for (caller_id, queue), group in groups.items():
            for seq, type_, ready_at, paused_at in session.execute(_OF_QUEUE, (caller_id, queue)):
                ready = ready_at is not None and ready_at <= session.now
                if ready and paused_at is None and room.slots.get(type_, 0) > 0:
                    group.append(_Lane(seq, queue, type_))
    return list(groups.values())


def _ready_lanes(session: Session, type_: str, full: list[str], limit: int) -> list[Row]:
    """The ready lanes of a type in queues of which more may run."""
    wanted: dict[str, object] = {"type": type_, "now": session.now, "limit": limit}
    if not full:
        return session.execute(_READY, wanted).fetchall()
    wanted["full"] = _encode(full).decode()
    return session.execute(_READY_ELSEWHERE, wanted).fetchall()


def _rounds(
    session: Session, groups: list[list[_Lane]], room: ClaimRoom, claim: JobClaim, left: int
) -> list[LeasedJob]:
    """Take from each group in turn, until so many are taken or nothing is left."""
    taken: list[LeasedJob] = []
    while groups and left > len(taken):
        share = ceil((left - len(taken)) / len(groups))
        heads = [deque(_heads(session, group, room, share)) for group in groups]
        groups = [each for each, found in zip(groups, heads, strict=True) if len(found) == share]
        picked = _in_turn(heads, room, left - len(taken))
        if not picked:
            break
        taken += _lease(session, picked, claim)
    return taken


def _heads(session: Session, group: list[_Lane], room: ClaimRoom, share: int) -> list[_Head]:
    """Up to `share` jobs of a group, best first, without those that wait for their key."""
    found: list[_Head] = []
    for lane in group:
        limit = min(share, room.slots[lane.type])
        if limit > 0:
            rows = session.execute(
                _HEADS,
                {
                    "lane_seq": lane.seq,
                    "now": session.now,
                    "limit": limit,
                    "ageing_ms": AGEING_MS,
                },
            ).fetchall()  # all of them first: to settle a key writes to what is read here
            found += [
                (rank, seq, lane)
                for rank, seq, key_place in rows
                if key_place == KeyPlace.NO_KEY or room.is_front(session, seq)
            ]
    found.sort()
    return found[:share]


def _in_turn(heads: list[deque[_Head]], room: ClaimRoom, left: int) -> list[int]:
    """One from each group after another, as far as there is room for them."""
    picked: list[int] = []
    while heads:
        waiting = []
        for queue in heads:
            while queue and len(picked) < left:
                _, seq, lane = queue.popleft()
                if room.take(lane):
                    lane.served = True
                    picked.append(seq)
                    break
            if queue:
                waiting.append(queue)
        if len(picked) == left:
            break
        heads = waiting
    return picked


def _lease(session: Session, picked: list[int], claim: JobClaim) -> list[LeasedJob]:
    now, new = session.now, session.ids.new
    leases = [(seq, new("lse")) for seq in picked]
    remote = claim.remote
    session.connection.executemany(
        _LEASE,
        [
            {
                "seq": seq,
                "lease": lease,
                "holder_id": claim.holder_id if remote is None else lease,
                "now": now,
            }
            for seq, lease in leases
        ],
    )
    leased: dict[int, LeasedJob] = {}
    gone: dict[int, list[int]] = {}
    for row in session.execute(_LEASED, (_encode(picked).decode(),)).fetchall():
        leased[row[JOB_SEQ]] = found = _leased_of(session, row)
        if remote is None:
            session.remembered.leased_job(found.lease, row[JOB_SEQ], found.job)
        gone.setdefault(row[JOB_LANE], []).append(len(found.input))
    for lane_seq, sizes in gone.items():
        count_waiting(session, lane_seq, -len(sizes), -sum(sizes))
    if remote is not None:
        return [_lease_of_its_own(session, leased[seq], remote) for seq in picked]
    return [leased[seq] for seq in picked]


def _leased_of(session: Session, row: Row) -> LeasedJob:
    job = job_of(row)
    return LeasedJob(job, row[JOB_LEASE], row[JOB_WIDTH], asked_of(session, job.caller_id))


def _lease_of_its_own(session: Session, leased: LeasedJob, remote: RemoteTerms) -> LeasedJob:
    """Write the lease of a remote worker: no beat makes it outlast the job's timeout."""
    lease_ms = round(remote.lease_seconds * 1000)
    ends_at = session.now + max(round(leased.job.timeout_seconds * 1000), 1)
    until = min(session.now + lease_ms, ends_at)
    session.execute(
        _LEASE_ADD,
        {
            "id": leased.lease,
            "name": remote.owner,
            "expires_at": until,
            "lease_ms": lease_ms,
            "ends_at": ends_at,
        },
    )
    return replace(leased, until=until)


def _next_at(session: Session, claim: JobClaim, room: ClaimRoom) -> Instant | None:
    """When a claim of the same types could find more, never later than it truly could.

    What there is no room for is left out: it can be claimed when something of it ends.
    """
    types, full = _encode(room.open(claim)).decode(), room.full
    if full:
        query = {"types": types, "full": _encode(full).decode()}
        (lane_at,) = session.one(_NEXT_LANE_ELSEWHERE, query)
    else:
        (lane_at,) = session.one(_NEXT_LANE, (types,))
    holder = session.one(_NEXT_HOLDER, {"id": claim.holder_id})
    known = [at for at in (lane_at, None if holder is None else holder[0]) if at is not None]
    return max(min(known), session.now) if known else None
