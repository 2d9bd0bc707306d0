"""Slots that come free where more than slots counts: a breaker, a rate, a pause, an order.

What a batch frees is looked at together, in a few statements for all of its destinations and some
more for each that has lines of URLs in trouble.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from dispatcher.adapters.postgres import breakers, chains, destinations, gates, lines
from dispatcher.adapters.postgres.breakers import Breakers
from dispatcher.adapters.postgres.freeing import Freed
from dispatcher.adapters.postgres.rows import columns
from dispatcher.adapters.postgres.sending import lease
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.changes import RecordAttempt
from dispatcher.ports.records import Applied, DeliveryTerms, LeasedDelivery

_LINE = statement("deliveries_line")


class GatedSlot(NamedTuple):
    """A slot that came free, and whose it was.

    `change` is the attempt that freed it; None: nothing was sent in it. `url` is where the delivery
    goes, `line` the one that it was of, and `chain` the order that it stands in, if any.
    """

    freed: Freed
    change: RecordAttempt | None
    url: str
    line: int
    chain: str | None


async def came_free_gated(
    session: Session, slots: Sequence[GatedSlot], terms: DeliveryTerms
) -> list[Applied]:
    """What follows from slots that came free, in the order given; the rows say so already."""
    if not slots:
        return []
    told = await Breakers.look(session, {(each.freed.place, each.url) for each in slots}, terms)
    for n, each in enumerate(slots):
        if each.change is not None:
            told.tell(n, each.freed.place, each.url, each.change)
    moved = await told.write()
    await _into_lines(session, slots, told, terms)
    over = {each.chain for each in slots if each.chain is not None and each.freed.due_at is None}
    let_go = await chains.advance(session, over)
    handed = await _hand_on(session, slots, told, terms)
    known = await destinations.look(session, {each.freed.where for each in slots})
    following = await lines.renew(session, known, told.here, terms)
    for where, place in known.items():
        place.set(*following[where])
    await destinations.write(session, known.values())
    answers = []
    for n, each in enumerate(slots):
        freed = each.freed
        stopped = told.here[freed.place].stopped
        ready_at = None if stopped else following[freed.where].at
        if each.chain is not None:
            ready_at = destinations.earliest(ready_at, let_go.get(each.chain))
        answers.append(
            Applied(
                (handed[n],) if n in handed else (),
                delivery_ready_at=ready_at,
                canceled=freed.canceled,
                breakers=moved.get(n, ()),
            )
        )
    return answers


async def _into_lines(
    session: Session, slots: Sequence[GatedSlot], told: Breakers, terms: DeliveryTerms
) -> None:
    """Let what is due again wait in the line of its URL, and look at the lines anew."""
    waiting = [
        (each.freed.seq, line)
        for each in slots
        if each.freed.due_at is not None
        and (line := told.line(each.freed.place, each.url)) != each.line
    ]
    if waiting:
        await session.execute(_LINE, *columns(waiting, 2))
    concerned = [told.lines(each.freed.place, each.url, each.line) for each in slots]
    await breakers.renew_lines(session, set().union(*concerned), terms)


async def _hand_on(
    session: Session, slots: Sequence[GatedSlot], told: Breakers, terms: DeliveryTerms
) -> dict[int, LeasedDelivery]:
    """Lease as many as may be sent now, in slots that are to go on at once, by their positions."""
    wanted = Counter(each.freed.place for each in slots if each.freed.hand_off)
    chosen = await lines.choose(session, wanted, told.here, terms)
    leased = await lease(session, [seq for several in chosen.values() for seq in several], terms)
    going = {
        place: [leased[seq] for seq in several if seq in leased]
        for place, several in chosen.items()
    }
    counts = {place: len(several) for place, several in going.items()}
    await gates.count_rates(session, told.here, counts, terms)
    served = {place: told.here[place] for place, several in going.items() if several}
    await lines.renew_ready(session, served, terms)
    handed: dict[int, LeasedDelivery] = {}
    for n, each in enumerate(slots):
        queue = going.get(each.freed.place)
        if each.freed.hand_off and queue:
            handed[n] = queue.pop(0)
    return handed
