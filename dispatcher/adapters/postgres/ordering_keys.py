"""The order of jobs with the same key of one caller: one of them at most can be claimed.

Of the open jobs of a key one is the *front*: the one that has begun, or else the first received of
those that have joined. What stands behind it is in no index that claims look at. A scheduled job
joins when a claim meets it due; a front that has not begun gives way to one that was received
before it.

Whoever changes the order of a key locks its row first, before the rows of its jobs, in the order of
(caller, key); a claim, which has locked lanes by then, passes over keys that somebody else has
locked. Of whoever ends the front of a key the next is the front in the same commit, so that what is
behind always has one before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

from dispatcher.adapters.postgres.lanes import Lane
from dispatcher.adapters.postgres.rows import JOB_KEY_PLACE, Row, columns
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.model import Instant, Job
from dispatcher.core.ordering import KeyPlace
from dispatcher.ports.portions import JOIN_JOBS

_LOCK = statement("keys_lock")
_STAND = statement("keys_stand")
_OF_HEADS = statement("keys_of_heads")
_LOCK_FREE = statement("keys_lock_free")
_LOOK = statement("keys_look")
_MOVE = statement("keys_move")
_ADVANCE = statement("keys_advance")
_FORGET = statement("keys_forget")
_NEXT_LANES = statement("keys_next_lanes")

Key: TypeAlias = tuple[str, str]
"""A caller's id, and an ordering key."""


OPEN_PLACES: Final = (KeyPlace.FRONT, KeyPlace.SCHEDULED, KeyPlace.BEHIND)


def key_of(row: Row) -> Key:
    """The key of a job that has one."""
    return row["caller_id"], row["ordering_key"]


# --- jobs that come ----------------------------------------------------------------------------


async def hold(session: Session, jobs: Iterable[Job]) -> list[Key]:
    """Lock the keys of jobs that are about to be added, made if they are not there; gives them.

    Who locks more than that does so before; and forgets those of which no job was added.
    """
    wanted = sorted(
        {(job.caller_id, job.ordering_key) for job in jobs if job.ordering_key is not None}
    )
    if wanted:
        await session.execute(_LOCK, *columns(wanted, 2))
    return wanted


class Keys:
    """Where jobs that are about to be added will stand; their keys are locked."""

    def __init__(self) -> None:
        self._next: dict[Key, KeyPlace] = {}
        self._unused: set[Key] = set()

    @classmethod
    async def lock(cls, session: Session, jobs: Iterable[Job]) -> Keys:
        """Lock the keys of jobs, and see how they stand; nothing if none has a key."""
        keys = cls()
        wanted = await hold(session, jobs)
        keys._unused.update(wanted)
        if wanted:
            await session.look_at_clock()  # the wait may have been long
            rows = await session.fetch(_STAND, *columns(wanted, 2), session.now)
            for caller_id, key, has_front, has_due in rows:
                # Behind one that is due and has not joined, only a claim can tell whose turn it is.
                place = KeyPlace.SCHEDULED if has_due else KeyPlace.FRONT
                keys._next[caller_id, key] = KeyPlace.BEHIND if has_front else place
        return keys

    def place(self, job: Job, now: Instant) -> KeyPlace:
        """Where this job would stand."""
        if job.ordering_key is None:
            return KeyPlace.NO_KEY
        return (
            KeyPlace.SCHEDULED if job.due_at > now else self._next[job.caller_id, job.ordering_key]
        )

    def take(self, job: Job, place: KeyPlace) -> None:
        """The job is added there."""
        if job.ordering_key is not None:
            self._unused.discard((job.caller_id, job.ordering_key))
            if place is KeyPlace.FRONT:
                self._next[job.caller_id, job.ordering_key] = KeyPlace.BEHIND

    async def forget(self, session: Session) -> None:
        """Leave no key of what was not taken in."""
        await forget(session, sorted(self._unused))


# --- jobs that are claimed ---------------------------------------------------------------------


class Fronts(NamedTuple):
    """Which of some jobs with keys may be claimed; and those that stand behind by now."""

    free: frozenset[int]
    behind: frozenset[int]


async def renew_fronts(session: Session, seqs: Sequence[int]) -> Fronts:
    """Let the front of each key be who it should be now; of jobs that wait and are due.

    Those of keys that somebody else has locked are neither free nor behind.
    """
    heads = await session.fetch(_OF_HEADS, seqs)
    free = {seq for seq, _, _, begun in heads if begun}
    wanted = {(caller_id, key) for _, caller_id, key, begun in heads if not begun}
    if not wanted:
        return Fronts(frozenset(free), frozenset())
    locked = await session.fetch(_LOCK_FREE, *columns(wanted, 2))
    rows = await session.fetch(_LOOK, *columns(locked, 2), session.now, JOIN_JOBS)
    fronts: dict[Key, Row] = {}
    for row in rows:
        front = fronts.setdefault((row[0], row[1]), row)
        if row["begun"] or (row["seq"] < front["seq"] and not front["begun"]):
            fronts[row[0], row[1]] = row
    free |= {row["seq"] for row in fronts.values() if not row["begun"]}
    behind = [row["seq"] for row in rows if row["seq"] != fronts[row[0], row[1]]["seq"]]
    new = [row["seq"] for row in fronts.values() if not row["is_front"]]
    if behind:  # before another is the front: of a key there is one at most
        await session.execute(_MOVE, behind, KeyPlace.BEHIND)
    if new:
        await session.execute(_MOVE, new, KeyPlace.FRONT)
    return Fronts(frozenset(free), frozenset(behind))


# --- jobs that end -----------------------------------------------------------------------------


class Next(NamedTuple):
    """A job that has become the front of its key: its id, and its lane, which is to be ready."""

    job_id: str
    lane_seq: int


async def advance(session: Session, ended: Sequence[Row]) -> dict[Key, Next]:
    """After the end of jobs, whose rows stand as before: who is the front because of it, by key.

    Keys of which nothing is open any more are forgotten.
    """
    keyed = [row for row in ended if row[JOB_KEY_PLACE] in OPEN_PLACES]
    if not keyed:
        return {}
    fronts = sorted({key_of(row) for row in keyed if row[JOB_KEY_PLACE] == KeyPlace.FRONT})
    following: dict[Key, Next] = {}
    if fronts:
        rows = await session.fetch(_ADVANCE, *columns(fronts, 2), session.now, JOIN_JOBS)
        following = {key_of(row): Next(row["id"], row["lane_seq"]) for row in rows}
    over = sorted({key_of(row) for row in keyed} - following.keys())
    await forget(session, over)
    return following


async def forget(session: Session, keys: Sequence[Key]) -> None:
    """Forget those of them, which are locked, of which no job is open."""
    if keys:
        await session.execute(_FORGET, *columns(keys, 2))


async def next_lanes(session: Session, ending: Sequence[Row]) -> set[Lane]:
    """The lanes that have to be ready once jobs, which are locked, have ended."""
    counts: dict[Key, int] = {}
    for row in ending:
        if row[JOB_KEY_PLACE] in (KeyPlace.FRONT, KeyPlace.BEHIND):
            counts[key_of(row)] = counts.get(key_of(row), 0) + 1
    if not counts:
        return set()
    wanted = [(*key, count) for key, count in sorted(counts.items())]
    rows = await session.fetch(_NEXT_LANES, *columns(wanted, 3))
    return {(row[0], row[1], row[2]) for row in rows}
