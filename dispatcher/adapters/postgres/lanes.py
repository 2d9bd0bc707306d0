"""Lanes: where jobs of one caller, queue and type wait.

Whoever puts a job into a lane, or serves it, locks its row first, in the order of (caller, queue,
type), so that when it is ready never becomes later than the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.model import Instant

_WAIT = statement("lanes_wait")
_FIND = statement("lanes_find")
_NEXT = statement("lanes_next_in")
_SET = statement("lanes_set")

Lane: TypeAlias = tuple[str, str, str]
"""A caller's id, a queue, a type."""


async def wait_in(session: Session, wanted: Mapping[Lane, Instant]) -> dict[Lane, int]:
    """The numbers of lanes in which jobs are to wait, locked; each is ready by the instant given.

    Those that are not there are made.
    """
    if not wanted:
        return {}
    lanes = sorted(wanted)
    parts = [[lane[n] for lane in lanes] for n in range(3)]
    await session.execute(_WAIT, *parts, [wanted[lane] for lane in lanes])
    rows = await session.fetch(_FIND, *parts)
    return {(row[1], row[2], row[3]): row[0] for row in rows}


async def next_in(session: Session, seqs: Iterable[int]) -> dict[int, Instant | None]:
    """When the next of each lane can be claimed: now if it is due; None: none waits in time.

    Whoever is served has "now" written, which puts it behind those that have waited since before.
    """
    wanted = list(seqs)
    if not wanted:
        return {}
    rows = await session.fetch(_NEXT, wanted, session.now)
    return {seq: None if at is None else max(at, session.now) for seq, at in rows}


async def set_ready(session: Session, wanted: Mapping[int, Instant | None]) -> None:
    """Say when the next of each lane can be claimed."""
    if wanted:
        await session.execute(_SET, list(wanted), list(wanted.values()))
