"""Lines: what a destination has to send now, URLs in trouble apart from the others."""

from __future__ import annotations

from typing import Final, NamedTuple

from dispatcher.adapters.postgres import gates
from dispatcher.adapters.postgres.gates import OWN_LINE
from dispatcher.adapters.postgres.rows import columns
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.turns import in_turn
from dispatcher.ports.records import DeliveryTerms

_HEADS = statement("line_heads")
_DUE_LINED = statement("deliveries_due_lined")
_LOST_AWAY = statement("deliveries_lost_lined")
_LINE = statement("deliveries_line")
_TARGETS_READY = statement("targets_ready")

MOST_MOVED: Final = 1_000
"""A look at a destination moves no more deliveries than this into the lines of their URLs."""

LOOK_LINES: Final = 100
"""and looks at no more of these lines."""


class Chosen(NamedTuple):
    """What may be sent to a destination now, and how that stood before."""

    here: gates.Gate
    deliveries: list[int]


async def choose(session: Session, seq: int, limit: int, terms: DeliveryTerms) -> Chosen:
    """Up to `limit` deliveries of a destination to be sent now, paused or not."""
    here = await gates.gate(session, seq)
    limit = min(limit, 0 if here.stopped else here.room(terms, session.now).free)
    if limit == 0:
        return Chosen(here, [])
    if not here.lined:
        return Chosen(here, await _of_line(session, seq, OWN_LINE, limit))
    await _move(session, seq, limit, terms)
    queues = [await _of_line(session, seq, OWN_LINE, limit)]
    for target in await _ready_targets(session, seq):
        room = (await gates.line_room(session, seq, target, terms)).free
        queues.append(await _of_line(session, seq, target, min(room, limit)) if room else [])
    chosen: list[int] = []
    for turn in range(limit):
        chosen += [queue[turn] for queue in queues if turn < len(queue)]
    return Chosen(here, chosen[:limit])


async def next_for(session: Session, seq: int, terms: DeliveryTerms) -> gates.Next:
    """When the next can be claimed, after a look at a destination and at those of its lines."""
    here = await gates.gate(session, seq)
    if here.lined:
        for target in await _ready_targets(session, seq):
            await gates.renew_line(session, seq, target, terms)
    return await gates.next_for(session, seq, terms, here)


def take_turns(
    session: Session, seq: int, fresh: list[int], retried: list[int], limit: int
) -> list[int]:
    """Up to `limit` of both: first attempts and retries in turn, if there are both."""
    if fresh and retried:
        return in_turn(fresh, retried, limit, session.turns.take(seq, limit))
    return (fresh or retried)[:limit]


async def _ready_targets(session: Session, seq: int) -> list[int]:
    return [row[0] for row in await session.fetch(_TARGETS_READY, seq, session.now, LOOK_LINES)]


async def _of_line(session: Session, seq: int, line: int, limit: int) -> list[int]:
    """Up to `limit` of a line, first attempts and retries in turn, each the oldest due first."""
    rows = await session.fetch(_HEADS, seq, line, session.now, limit)
    fresh = [number for number, retried in rows if not retried]
    again = [number for number, retried in rows if retried]
    return take_turns(session, seq, fresh, again, limit)


async def _move(session: Session, seq: int, limit: int, terms: DeliveryTerms) -> None:
    """Move the first that are due into the lines of their URLs, if those are in trouble.

    Until as many as are wanted stay, or so many were moved; each is moved once.
    """
    moved: set[int] = set()
    left = MOST_MOVED
    for retried in (False, True):
        stay = 0
        while stay < limit and left > 0:
            rows = await session.fetch(_DUE_LINED, seq, retried, session.now, min(limit, left))
            away = [(number, line) for number, line in rows if line is not None]
            stay = len(rows) - len(away)
            if not away:
                break
            await session.execute(_LINE, *columns(away, 2))
            moved.update(line for _, line in away)
            left -= len(away)
    lost = await session.fetch(_LOST_AWAY, seq, session.now, limit)
    if lost:
        await session.execute(_LINE, *columns(lost, 2))
        moved.update(line for _, line in lost)
    for line in moved:
        await gates.renew_line(session, seq, line, terms)
