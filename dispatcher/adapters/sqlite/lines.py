"""Lines: what a destination has to send now, URLs in trouble apart from the others."""

from __future__ import annotations

from typing import NamedTuple

from dispatcher.adapters.sqlite import destinations
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.gate import OWN_LINE, Gate, NextSend
from dispatcher.core.turns import in_turn
from dispatcher.ports.portions import LOOK_LINES, MOST_MOVED
from dispatcher.ports.records import DeliveryTerms

_DUE = statement("deliveries_due")
_DUE_LINED = statement("deliveries_due_lined")
_UNKNOWN = statement("deliveries_unknown")
_LOST_AWAY = statement("deliveries_lost_lined")
_LINE = statement("delivery_line")
_TARGETS_READY = statement("targets_ready")


class Chosen(NamedTuple):
    """What may be sent to a destination now, and how that stood before."""

    here: Gate
    deliveries: list[int]


def choose(session: Session, seq: int, limit: int, terms: DeliveryTerms) -> Chosen:
    """Up to `limit` deliveries of a destination to be sent now, paused or not."""
    here = destinations.gate(session, seq)
    limit = min(limit, 0 if here.stopped else here.room(terms, session.now).free)
    if limit == 0:
        return Chosen(here, [])
    if not here.lined:
        return Chosen(here, _of_line(session, seq, OWN_LINE, limit))
    _move(session, seq, limit, terms)
    queues = [_of_line(session, seq, OWN_LINE, limit)]
    for target in _ready_targets(session, seq):
        room = destinations.room_in_line(session, seq, target, terms).free
        queues.append(_of_line(session, seq, target, min(room, limit)) if room else [])
    chosen: list[int] = []
    for turn in range(limit):
        chosen += [queue[turn] for queue in queues if turn < len(queue)]
    return Chosen(here, chosen[:limit])


def next_for(session: Session, seq: int, terms: DeliveryTerms) -> NextSend:
    """When the next can be claimed, after a look at a destination and at those of its lines."""
    here = destinations.gate(session, seq)
    if here.lined:
        for target in _ready_targets(session, seq):
            destinations.renew_line(session, seq, target, terms)
    return destinations.next_for(session, seq, terms, here)


def _ready_targets(session: Session, seq: int) -> list[int]:
    wanted = {"seq": seq, "now": session.now, "limit": LOOK_LINES}
    return [target for (target,) in session.execute(_TARGETS_READY, wanted)]


def _of_line(session: Session, seq: int, line: int, limit: int) -> list[int]:
    """Up to `limit` of a line, first attempts and retries in turn, each the oldest due first."""
    wanted = {"seq": seq, "line": line, "now": session.now, "limit": limit}
    fresh = session.execute(_DUE, {**wanted, "retried": 0}).fetchall()
    retried = session.execute(_DUE, {**wanted, "retried": 1}).fetchall()
    lost = session.execute(_UNKNOWN, wanted).fetchall()
    if lost:
        fresh = sorted(fresh + [(due_at, seq) for due_at, seq, again in lost if not again])
        retried = sorted(retried + [(due_at, seq) for due_at, seq, again in lost if again])
    if fresh and retried:
        chosen = in_turn(fresh, retried, limit, session.turns.take(seq, limit))
    else:
        chosen = (fresh or retried)[:limit]
    return [number for _, number in chosen]


def _move(session: Session, seq: int, limit: int, terms: DeliveryTerms) -> None:
    """Move the first that are due into the lines of their URLs, if those are in trouble.

    Until as many as are wanted stay, or so many were moved; each is moved once.
    """
    moved: set[int] = set()
    left = MOST_MOVED
    for retried in (0, 1):
        stay = 0
        while stay < limit and left > 0:
            look = min(limit, left)
            wanted = {"seq": seq, "retried": retried, "now": session.now, "limit": look}
            rows = session.execute(_DUE_LINED, wanted).fetchall()
            away = [{"seq": number, "line": line} for _, number, line in rows if line is not None]
            session.connection.executemany(_LINE, away)
            moved.update(each["line"] for each in away)
            left -= len(away)
            stay = len(rows) - len(away)
            if not away:
                break
    for number, line in _lost_away(session, seq, limit):
        session.execute(_LINE, {"seq": number, "line": line})
        moved.add(line)
    for line in moved:
        destinations.renew_line(session, seq, line, terms)


def _lost_away(session: Session, seq: int, limit: int) -> list[tuple[int, int]]:
    """Deliveries whose lease has ended and whose URL has opened its breaker meanwhile."""
    wanted = {"seq": seq, "now": session.now, "limit": limit}
    return session.execute(_LOST_AWAY, wanted).fetchall()
