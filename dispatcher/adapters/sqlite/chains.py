"""Chains: deliveries that are sent one at a time, in the order in which they were owed."""

from __future__ import annotations

from dispatcher.adapters.sqlite.breakers import line_of
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.gate import OWN_LINE
from dispatcher.core.model import DeliveryState, Instant

_HEAD = statement("chain_head")
_ACTIVE = statement("chain_active")
_RUNNING = statement("chain_running")
_BLOCKED_BY_JOB = statement("chains_blocked_by_job")
_PRUNE_JOB = statement("prune_job")
_LOWER = statement("destination_lower")
_TARGET_LOWER = statement("target_lower")
_UNBLOCK = statement("delivery_unblock")

_NOBODY = -1


def must_wait(session: Session, chain: str) -> bool:
    """Whether a new delivery of a chain waits behind another."""
    return session.one(_ACTIVE, {"chain": chain, "besides": _NOBODY}) is not None


def must_wait_again(session: Session, chain: str, seq: int) -> bool:
    """Whether one that begins a new round has to wait: only for one that is under way.

    It is older than those that wait for their turn, and so the next of them.
    """
    return session.one(_RUNNING, {"chain": chain, "besides": seq}) is not None


def advance(session: Session, chain: str) -> Instant | None:
    """One of a chain has ended: let the next go; from when it may, if one does.

    Whatever else holds its destination back is found by whoever looks there.
    """
    row = session.one(_HEAD, {"chain": chain})
    if row is None:
        return None
    seq, place, state, blocked, due_at, url = row
    if state != DeliveryState.PENDING or not blocked or must_wait_again(session, chain, seq):
        return None
    line = line_of(session, place, url)
    session.execute(_UNBLOCK, {"seq": seq, "line": line})
    at: Instant = max(due_at, session.now)
    if line != OWN_LINE:
        session.execute(_TARGET_LOWER, {"target": line, "at": at})
    session.execute(_LOWER, {"seq": place, "at": at})
    return at


def erase_job(session: Session, seq: int) -> None:
    """Erase a job with all of theirs; what its dead deliveries kept waiting may go."""
    blocked = session.execute(_BLOCKED_BY_JOB, (seq,)).fetchall()
    session.execute(_PRUNE_JOB, (seq,))
    for (chain,) in blocked:
        advance(session, chain)
