"""Chains: deliveries that are sent one at a time, in the order in which they were owed.

All of a chain go to one destination, whose lock they share.
"""

from __future__ import annotations

from dispatcher.adapters.postgres import gates
from dispatcher.adapters.postgres.breakers import line_of
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.model import DeliveryState, Instant
from dispatcher.ports.records import DeliveryTerms

_HEAD = statement("chain_head")
_ACTIVE = statement("chain_active")
_RUNNING = statement("chain_running")
_UNBLOCK = statement("delivery_unblock")


async def must_wait(session: Session, chain: str) -> bool:
    """Whether a new delivery of a chain waits behind another."""
    return await session.one(_ACTIVE, chain) is not None


async def must_wait_again(session: Session, chain: str, seq: int) -> bool:
    """Whether one that begins a new round has to wait: only for one that is under way.

    It is older than those that wait for their turn, and so the next of them.
    """
    return await session.one(_RUNNING, chain, seq) is not None


async def advance(session: Session, chain: str, terms: DeliveryTerms) -> Instant | None:
    """One of a chain has ended: let the next go; from when it can be claimed, if one goes."""
    row = await session.one(_HEAD, chain)
    if row is None:
        return None
    seq, place, state, blocked, due_at, url = row
    waits = state == DeliveryState.PENDING and blocked
    if not waits or await must_wait_again(session, chain, seq):
        return None
    line = await line_of(session, place, url)
    await session.execute(_UNBLOCK, seq, line)
    if line != gates.OWN_LINE:
        await gates.renew_line(session, place, line, terms)
    ready_at = await gates.renew(session, place, terms)
    return None if ready_at is None else max(ready_at, due_at)
