"""Lanes: where jobs of one caller, queue and type wait, and how many do.

Whoever puts a job into a lane, or takes one from it, locks its row first, in the order of (caller,
queue, type). So when it is ready never becomes later than the truth, and the counts are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from dispatcher.adapters.postgres.rows import columns
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.model import Instant, Job

_WAIT = statement("lanes_wait")
_NEXT = statement("lanes_next_in")
_SERVE = statement("lanes_serve")
_COUNT = statement("lanes_count")
_SIZES = statement("input_sizes")
_LOCK = statement("lanes_lock")

Lane: TypeAlias = tuple[str, str, str]
"""A caller's id, a queue, a type."""


def lane_of(job: Job) -> Lane:
    """The lane in which a job waits."""
    return job.caller_id, job.queue, job.type


class Waiting(Struct):
    """What comes to wait in a lane: from when on, how many jobs, how many bytes of input.

    `due_at` None: nothing of it can be claimed, whenever it is due.
    """

    due_at: Instant | None
    jobs: int = 0
    input_bytes: int = 0

    def add(self, due_at: Instant | None, input_bytes: int) -> None:
        """One more job."""
        if due_at is not None:
            self.due_at = due_at if self.due_at is None else min(self.due_at, due_at)
        self.jobs += 1
        self.input_bytes += input_bytes


class Coming:
    """Jobs that are about to wait, by lane."""

    def __init__(self) -> None:
        self.lanes: dict[Lane, Waiting] = {}

    def add(self, lane: Lane, due_at: Instant | None, input_bytes: int) -> None:
        """One more job."""
        self.lanes.setdefault(lane, Waiting(due_at)).add(due_at, input_bytes)

    async def wait(self, session: Session) -> dict[Lane, int]:
        """Lock the lanes, made if they are not there, and count; gives their numbers."""
        if not self.lanes:
            return {}
        rows = [
            (*lane, waiting.due_at, waiting.jobs, waiting.input_bytes)
            for lane, waiting in sorted(self.lanes.items(), key=lambda item: item[0])
        ]
        found = await session.fetch(_WAIT, *columns(rows, 6))
        return {(row[1], row[2], row[3]): row[0] for row in found}


async def lock(session: Session, wanted: Iterable[Lane]) -> None:
    """Lock those of them that are there."""
    found = sorted(set(wanted))
    if found:
        await session.execute(_LOCK, *columns(found, 3))


class Served(NamedTuple):
    """A lane from which jobs were taken: when the next can be claimed, and what left it."""

    seq: int
    ready_at: Instant | None
    jobs: int
    input_bytes: int


async def serve(session: Session, served: Sequence[Served]) -> None:
    """Write what has become of locked lanes."""
    if served:
        await session.execute(_SERVE, *columns(served, 4))


async def wait_no_more(
    session: Session, jobs: Mapping[int, int], ready: Iterable[int] = ()
) -> None:
    """Jobs that waited do so no more, and were not claimed: their numbers, and their lanes'.

    In lanes that are `ready` something can be claimed now.
    """
    sizes = await input_sizes(session, jobs) if jobs else {}
    at_once = set(ready)
    gone: dict[int, tuple[int, int]] = dict.fromkeys(at_once, (0, 0))
    for seq, lane_seq in jobs.items():
        count, size = gone.get(lane_seq, (0, 0))
        gone[lane_seq] = (count + 1, size + sizes.get(seq, 0))
    rows = [
        (lane_seq, count, size, session.now if lane_seq in at_once else None)
        for lane_seq, (count, size) in gone.items()
    ]
    if rows:
        await session.execute(_COUNT, *columns(rows, 4))


async def input_sizes(session: Session, jobs: Iterable[int]) -> dict[int, int]:
    """How many bytes the inputs of jobs have, by the jobs' numbers."""
    return {row[0]: row[1] for row in await session.fetch(_SIZES, list(jobs))}


async def next_in(session: Session, seqs: Iterable[int]) -> dict[int, Instant | None]:
    """When the next of each lane can be claimed: now if it is due; None: none waits in time.

    Whoever is served has "now" written, which puts it behind those that have waited since before.
    """
    wanted = list(seqs)
    if not wanted:
        return {}
    rows = await session.fetch(_NEXT, wanted, session.now)
    return {seq: None if at is None else max(at, session.now) for seq, at in rows}
