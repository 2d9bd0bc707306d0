"""What holds a destination back besides its slots: breakers, a rate, a pause.

What is read of it here, under the destination's lock, is judged by `core/gate.py`. Where nothing
speaks against a destination (it is *plain*) none of this is asked; see `destinations`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.adapters.stored import breaker_of
from dispatcher.core.gate import NO_LOAD, Gate, SendRoom, line_room
from dispatcher.core.model import Instant
from dispatcher.ports.records import DeliveryTerms

_GATES = statement("destinations_gates")
_RATES = statement("destinations_rates")
_LINE_NEXT = statement("line_next")
_LINE_LOAD = statement("line_load")
_TARGET_GATE = statement("target_gate")
_TARGET_SET = statement("target_set")
_TARGETS_NEXT = statement("targets_next")


async def gates_of(session: Session, seqs: Sequence[int]) -> dict[int, Gate]:
    """How destinations stand, read anew, by their numbers."""
    rows = await session.fetch(_GATES, seqs, session.now)
    return {
        seq: Gate(None if text is None else breaker_of(text), *rest) for seq, text, *rest in rows
    }


async def count_rates(
    session: Session, here: dict[int, Gate], counts: Mapping[int, int], terms: DeliveryTerms
) -> None:
    """Keep how many have gone to destinations, of those that have a rate."""
    taken: dict[int, int] = {}
    for seq, count in counts.items():
        rate_us = here[seq].rate_taken(terms, session.now, count)
        if rate_us is not None and count:
            taken[seq] = rate_us
            here[seq] = here[seq]._replace(rate_us=rate_us)
    if taken:
        await session.execute(_RATES, list(taken), list(taken.values()))


async def room_in_line(session: Session, seq: int, target: int, terms: DeliveryTerms) -> SendRoom:
    """How many more of a target's line its own breaker lets through."""
    row = await session.one(_TARGET_GATE, target)
    breaker = None if row is None or row[0] is None else breaker_of(row[0])
    load: tuple[int, Instant | None] = NO_LOAD
    if breaker is not None:
        load = await session.one(_LINE_LOAD, seq, target, session.now) or NO_LOAD
    return line_room(breaker, load, terms, session.now)


# --- When it is ready --------------------------------------------------------------------------


async def targets_next(session: Session, seqs: Sequence[int]) -> dict[int, Instant | None]:
    """When the next of the lines of destinations' targets can be claimed."""
    rows = await session.fetch(_TARGETS_NEXT, seqs) if seqs else ()
    return {row[0]: row[1] for row in rows}


async def renew_line(session: Session, seq: int, target: int, terms: DeliveryTerms) -> None:
    """Work out anew when the next of a target's line can be claimed."""
    (due_at,) = await session.one(_LINE_NEXT, seq, target) or (None,)
    at = None
    if due_at is not None:
        room = await room_in_line(session, seq, target, terms)
        at = max(due_at, session.now if room.free else room.at)
    await session.execute(_TARGET_SET, target, at)
