"""What a batch of new jobs has to know before any of them may be handed off: one statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dispatcher.adapters.postgres.pausing import Standing
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.model import Instant
from dispatcher.ports.records import NewJob

_BEGIN = statement("adding_begin")


class Lane(NamedTuple):
    """A lane: its number, whose it is, and from when something in it may be claimed."""

    seq: int
    caller_id: str
    queue: str
    ready_at: Instant | None


class Opening(NamedTuple):
    """Who holds, what is paused, and the lanes of the callers' queues, as of `asked` statements."""

    standing: Standing
    lanes: list[Lane]
    asked: int


async def begin(session: Session, news: Sequence[NewJob]) -> Opening:
    """Read the clock, and what concerns those of them that ask to be handed off."""
    offers = [new.hand_off for new in news if new.hand_off is not None]
    holders = {offer.holder_id for offer in offers}
    pairs = sorted({(new.job.caller_id, new.job.queue) for new in news}) if offers else []
    rows = await session.fetch(
        _BEGIN, session.told, list(holders), [pair[0] for pair in pairs], [p[1] for p in pairs]
    )
    alive: list[str] = []
    paused: list[str] = []
    lanes: list[Lane] = []
    for kind, name, queue, number, ready_at, xid in rows:
        match kind:
            case "clock":
                session.now, session.xid = number, xid
            case "alive":
                alive.append(name)
            case "paused":
                paused.append(queue)
            case _:
                lanes.append(Lane(number, name, queue, ready_at))
    return Opening(Standing(alive, paused), lanes, session.asked)
