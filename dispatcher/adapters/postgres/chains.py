"""Chains: deliveries that are sent one at a time, in the order in which they were owed.

All of a chain go to one destination, whose lock they share.
"""

from __future__ import annotations

from collections.abc import Sequence

from dispatcher.adapters.postgres import gates, places
from dispatcher.adapters.postgres.breakers import line_of
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.model import DeliveryState, Instant

_HEAD = statement("chain_head")
_ACTIVE = statement("chain_active")
_RUNNING = statement("chain_running")
_BLOCKED_BY_JOBS = statement("chains_blocked_by_jobs")
_LOWER = statement("destination_lower")
_TARGET_LOWER = statement("target_lower")
_UNBLOCK = statement("delivery_unblock")


async def must_wait(session: Session, chain: str) -> bool:
    """Whether a new delivery of a chain waits behind another."""
    return await session.one(_ACTIVE, chain) is not None


async def must_wait_again(session: Session, chain: str, seq: int) -> bool:
    """Whether one that begins a new round has to wait: only for one that is under way.

    It is older than those that wait for their turn, and so the next of them.
    """
    return await session.one(_RUNNING, chain, seq) is not None


async def advance(session: Session, chain: str) -> Instant | None:
    """One of a chain has ended: let the next go; from when it may, if one does.

    Whatever else holds its destination back is found by whoever looks there.
    """
    row = await session.one(_HEAD, chain)
    if row is None:
        return None
    seq, place, state, blocked, due_at, url = row
    waits = state == DeliveryState.PENDING and blocked
    if not waits or await must_wait_again(session, chain, seq):
        return None
    line = await line_of(session, place, url)
    await session.execute(_UNBLOCK, seq, line)
    at: Instant = max(due_at, session.now)
    if line != gates.OWN_LINE:
        await session.execute(_TARGET_LOWER, line, at)
    await session.execute(_LOWER, place, at)
    return at


async def blocked_by(session: Session, jobs: Sequence[int]) -> list[str]:
    """The chains that these jobs' dead deliveries keep waiting; their destinations are locked."""
    rows = await session.fetch(_BLOCKED_BY_JOBS, jobs)
    await places.lock(session, {(row[1], row[2], row[3]) for row in rows})
    return [row[0] for row in rows]
