"""Chains: deliveries that are sent one at a time, in the order in which they were owed.

All of a chain go to one destination, whose lock they share.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from dispatcher.adapters.postgres import destinations
from dispatcher.adapters.postgres.breakers import lines_of
from dispatcher.adapters.postgres.errors import RowHeld
from dispatcher.adapters.postgres.rows import columns
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.gate import OWN_LINE
from dispatcher.core.model import DeliveryState, Instant

_HEADS = statement("chains_heads")
_ACTIVE = statement("chains_active")
_RUNNING = statement("chains_running")
_BLOCKED_BY_JOBS = statement("chains_blocked_by_jobs")
_LOWER = statement("destinations_lower")
_TARGETS_LOWER = statement("targets_lower")
_UNBLOCK = statement("deliveries_unblock")


async def active(session: Session, chains: Sequence[str]) -> set[str]:
    """Those of chains in which a new delivery waits behind another."""
    return {row[0] for row in await session.fetch(_ACTIVE, chains)}


async def running(session: Session, heads: Sequence[tuple[str, int]]) -> set[str]:
    """Those of chains of which one is under way, besides a delivery of each that is named.

    Only for such a one has to wait what begins a new round: it is older than those that wait for
    their turn, and so the next of them.
    """
    return {row[0] for row in await session.fetch(_RUNNING, *columns(heads, 2))}


async def advance(session: Session, chains: AbstractSet[str]) -> dict[str, Instant]:
    """One of each chain has ended: let the next go; from when it may, of those of which one does.

    Whatever else holds its destination back is found by whoever looks there.

    Raises `RowHeld` if somebody changes the next one, who may be waiting for its destination.
    """
    if not chains:
        return {}
    heads = {
        chain: head
        for chain, *head in await session.fetch(_HEADS, sorted(chains))
        if head[2] == DeliveryState.PENDING and head[3]  # it waits behind the one that has ended
    }
    if heads:
        others = await running(session, [(chain, head[0]) for chain, head in heads.items()])
        heads = {chain: head for chain, head in heads.items() if chain not in others}
    if not heads:
        return {}
    wanted = {(place, url) for _, place, _, _, _, url in heads.values()}
    lines = await lines_of(session, wanted)
    unblocked: list[tuple[int, int]] = []
    at: dict[str, Instant] = {}
    places_at: dict[int, Instant] = {}
    lines_at: dict[int, Instant] = {}
    for chain, (seq, place, _, _, due_at, url) in heads.items():
        at[chain] = max(due_at, session.now)
        places_at[place] = min(at[chain], places_at.get(place, at[chain]))
        line = lines[place, url].number if (place, url) in lines else OWN_LINE
        unblocked.append((seq, line))
        if line != OWN_LINE:
            lines_at[line] = min(at[chain], lines_at.get(line, at[chain]))
    if len(await session.fetch(_UNBLOCK, *columns(unblocked, 2))) < len(unblocked):
        raise RowHeld("Somebody changes the next delivery of an order.")
    if lines_at:
        await session.execute(_TARGETS_LOWER, *columns(list(lines_at.items()), 2))
    await session.execute(_LOWER, *columns(list(places_at.items()), 2))
    return at


async def blocked_by(session: Session, jobs: Sequence[int]) -> set[str]:
    """The chains that these jobs' dead deliveries keep waiting; their destinations are locked."""
    rows = await session.fetch(_BLOCKED_BY_JOBS, jobs)
    await destinations.lock(session, {(row[1], row[2], row[3]) for row in rows})
    return {row[0] for row in rows}
