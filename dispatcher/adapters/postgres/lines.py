"""Lines: what a destination has to send now, URLs in trouble apart from the others."""

from __future__ import annotations

from collections.abc import Mapping

from dispatcher.adapters.postgres import gates
from dispatcher.adapters.postgres.destinations import Destination, Where, earliest
from dispatcher.adapters.postgres.rows import columns
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.gate import OWN_LINE, Gate, NextSend
from dispatcher.core.turns import in_turn
from dispatcher.ports.portions import LOOK_LINES, MOST_MOVED
from dispatcher.ports.records import DeliveryTerms

_HEADS = statement("deliveries_heads")
_LINE_HEADS = statement("line_heads")
_DUE_LINED = statement("deliveries_due_lined")
_LOST_AWAY = statement("deliveries_lost_lined")
_MOVE = statement("deliveries_move")
_TARGETS_READY = statement("targets_ready")


async def choose(
    session: Session, wanted: Mapping[int, int], here: Mapping[int, Gate], terms: DeliveryTerms
) -> dict[int, list[int]]:
    """Deliveries to be sent now, up to so many of each destination, by its number.

    `here` tells how the destinations stand.
    """
    chosen: dict[int, list[int]] = {}
    own: dict[int, int] = {}
    for seq, most in wanted.items():
        gate = here[seq]
        limit = min(most, 0 if gate.stopped else gate.room(terms, session.now).free)
        if limit > 0 and gate.lined:
            chosen[seq] = await _of_lines(session, seq, limit, terms)
        elif limit > 0:
            own[seq] = limit
    for seq, (fresh, retried) in (await heads(session, own)).items():
        chosen[seq] = take_turns(session, seq, fresh, retried, own[seq])
    return chosen


async def heads(
    session: Session, limits: Mapping[int, int]
) -> dict[int, tuple[list[int], list[int]]]:
    """Up to so many of the own line of each destination to be sent now, the oldest due first.

    First those that were never tried, then the retries.
    """
    if not limits:
        return {}
    rows = await session.fetch(_HEADS, list(limits), list(limits.values()), session.now)
    found: dict[int, tuple[list[int], list[int]]] = {}
    for place, seq, retried in rows:
        found.setdefault(place, ([], []))[1 if retried else 0].append(seq)
    return found


async def _of_lines(session: Session, seq: int, limit: int, terms: DeliveryTerms) -> list[int]:
    """Up to `limit` of a destination that has lines besides its own, from each in turn."""
    await _move(session, seq, limit, terms)
    queues = [await _of_line(session, seq, OWN_LINE, limit)]
    for target in await _ready_targets(session, seq):
        room = (await gates.room_in_line(session, seq, target, terms)).free
        queues.append(await _of_line(session, seq, target, min(room, limit)) if room else [])
    chosen: list[int] = []
    for turn in range(limit):
        chosen += [queue[turn] for queue in queues if turn < len(queue)]
    return chosen[:limit]


async def renew(
    session: Session,
    known: Mapping[Where, Destination],
    here: Mapping[int, Gate],
    terms: DeliveryTerms,
) -> dict[Where, NextSend]:
    """When the next of destinations can be claimed, as they stand now, paused or not.

    They were looked at just now (`known`); so were their gates, but for what is being sent.
    """
    lined = [place.seq for place in known.values() if here[place.seq].lined]
    targets = await gates.targets_next(session, lined)
    following: dict[Where, NextSend] = {}
    for where, place in known.items():
        due_at = earliest(place.due_at, targets.get(place.seq))
        gate = here[place.seq]._replace(sending=place.sending, first_until=place.first_until)
        following[where] = gate.next_send(due_at, terms, session.now)
    return following


async def renew_ready(session: Session, here: Mapping[int, Gate], terms: DeliveryTerms) -> None:
    """Work out anew when the next of lines can be claimed, after a look at those that are ready."""
    for seq, gate in here.items():
        if gate.lined:
            for target in await _ready_targets(session, seq):
                await gates.renew_line(session, seq, target, terms)


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
    rows = await session.fetch(_LINE_HEADS, seq, line, session.now, limit)
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
            gone = await session.fetch(_MOVE, *columns(away, 2)) if away else ()
            stay = len(rows) - len(gone)
            if not gone:
                break
            moved.update(line for (line,) in gone)
            left -= len(gone)
    lost = await session.fetch(_LOST_AWAY, seq, session.now, limit)
    if lost:
        moved.update(line for (line,) in await session.fetch(_MOVE, *columns(lost, 2)))
    for line in moved:
        await gates.renew_line(session, seq, line, terms)
