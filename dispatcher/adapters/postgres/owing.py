"""Events, and the deliveries that they owe: a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dispatcher.adapters.postgres import gates, places
from dispatcher.adapters.postgres.breakers import line_of
from dispatcher.adapters.postgres.chains import must_wait
from dispatcher.adapters.postgres.debts import (
    DELIVERY_WIDTH,
    EVENT_WIDTH,
    Debt,
    Row,
    Told,
    debts_of,
)
from dispatcher.adapters.postgres.gates import OWN_LINE
from dispatcher.adapters.postgres.places import Place
from dispatcher.adapters.postgres.rows import columns
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.model import Instant
from dispatcher.ports.records import Applied, DeliveryTerms

__all__ = ["Told", "add_events", "drop_best_effort", "owe", "wait_at"]

_EVENTS_ADD = statement("events_add")
_EVENTS_OWE = statement("events_owe")
_OWE = statement("deliveries_owe")
_DROP = statement("deliveries_drop")

_EVENT_ID: Final = 3
"""Where the row of a debt's delivery names its event."""


async def drop_best_effort(session: Session, jobs: Sequence[tuple[int, Instant]]) -> None:
    """Jobs have ended: what is pending of their earlier events is no longer sent."""
    await session.execute(_DROP, *columns(jobs, 2))


async def add_events(session: Session, told: Sequence[Told], terms: DeliveryTerms) -> list[Applied]:
    """Write events with the deliveries that they owe; their destinations are locked.

    The endpoints that they are owed to are those of `session.registered`.
    """
    debts = [debt for each in told for debt in debts_of(session, each)]
    applied = await owe(session, told, debts, terms)
    answers: dict[str, list[Applied]] = {}
    for debt, answer in zip(debts, applied, strict=True):
        answers.setdefault(debt.told.event_id, []).append(answer)
    return [_together(answers.get(each.event_id, ())) for each in told]


def _together(several: Sequence[Applied]) -> Applied:
    """What is answered of all that one event owes."""
    if len(several) == 1:
        return several[0]
    handed = tuple([leased for each in several for leased in each.handed])
    ready_at = places.earliest(*(each.delivery_ready_at for each in several))
    return Applied(handed, delivery_ready_at=ready_at)


async def owe(
    session: Session, told: Sequence[Told], debts: Sequence[Debt], terms: DeliveryTerms
) -> list[Applied]:
    """Write events, and what they owe; the destinations are locked.

    Where nothing but slots counts deliveries are written together, elsewhere one after another.
    """
    known = await places.stand(session, {debt.where for debt in debts})
    mark = places.mark(session)
    slow = {where for where, place in known.items() if not place.plain}
    if terms.rate_per_second is not None:
        slow = set(known)
    slow |= {debt.where for debt in debts if debt.chain is not None}
    applied: dict[str, Applied] = {}
    rows: list[tuple[Debt, Row]] = []
    for debt in debts:
        if debt.where not in slow:
            row, applied[debt.delivery_id] = _owe(session, debt, known[debt.where], terms)
            rows.append((debt, row))
    for debt, seq in await _write(session, told, rows):
        if debt.told.data is None and not applied[debt.delivery_id].handed:  # its job has ended
            waiting = debt.waiting(session, known[debt.where].seq, debt.due_at(session.now, terms))
            session.remembered.keep_waiting(seq, waiting)
    await places.write(session, known.values())
    if not slow:
        places.still(session, mark)
    for debt in debts:
        if debt.where in slow:
            applied[debt.delivery_id] = await _owe_slowly(session, debt, terms)
    return [applied[debt.delivery_id] for debt in debts]


async def _write(
    session: Session, told: Sequence[Told], rows: Sequence[tuple[Debt, Row]]
) -> list[tuple[Debt, int]]:
    """Write events, with the deliveries of `rows` in the same statement; gives their numbers."""
    events = [each.row() for each in told]
    if rows:
        written = (*columns(events, EVENT_WIDTH), session.links_base)
        owed = columns([row for _, row in rows], DELIVERY_WIDTH)
        places_of = {each.event_id: n for n, each in enumerate(told, start=1)}
        owed[_EVENT_ID] = [places_of[event_id] for event_id in owed[_EVENT_ID]]
        debts = {debt.delivery_id: debt for debt, _ in rows}
        return [(debts[id_], seq) for id_, seq in await session.fetch(_EVENTS_OWE, *written, *owed)]
    if events:
        await session.execute(_EVENTS_ADD, *columns(events, EVENT_WIDTH), session.links_base)
    return []


def _owe(session: Session, debt: Debt, place: Place, terms: DeliveryTerms) -> tuple[Row, Applied]:
    """One delivery to a plain destination, leased at once if that is asked and may be."""
    now = session.now
    due_at = debt.due_at(now, terms)
    free = place.sending < terms.slots and (place.fresh_at is None or place.fresh_at > now)
    if debt.hand_off and free and due_at == now:
        lease, until = session.ids.new("lse"), places.lease_until(session, terms)
        place.lease(until)
        place.be_ready_by(until, None)
        row = debt.row(place, due_at, lease=lease, until=until)
        handed = debt.handed(session, due_at, lease)
        session.remembered.keep_sending(handed, place.seq, until)
        return row, Applied((handed,))
    row = debt.row(place, due_at)
    return row, Applied(delivery_ready_at=place.wait(due_at, now, terms.slots))


async def _owe_slowly(session: Session, debt: Debt, terms: DeliveryTerms) -> Applied:
    """One delivery where more than slots counts: a breaker, a rate, a pause, an order."""
    place = (await places.look(session, (debt.where,)))[debt.where]
    due_at = debt.due_at(session.now, terms)
    blocked = debt.chain is not None and await must_wait(session, debt.chain)
    line = OWN_LINE
    if not place.plain:
        line = await line_of(session, place.seq, debt.url)
    due = place.fresh_at is not None and place.fresh_at <= session.now
    goes = debt.hand_off and due_at == session.now and not due and not blocked
    if goes and line == OWN_LINE and await _may_go(session, place, terms):
        lease, until = session.ids.new("lse"), places.lease_until(session, terms)
        row = debt.row(place, due_at, lease=lease, until=until, line=line)
        await session.execute(_OWE, *columns((row,), DELIVERY_WIDTH))
        await gates.renew(session, place.seq, terms)
        return Applied((debt.handed(session, due_at, lease),))
    row = debt.row(place, due_at, line=line, blocked=blocked)
    await session.execute(_OWE, *columns((row,), DELIVERY_WIDTH))
    if blocked:
        return Applied()
    return Applied(delivery_ready_at=await wait_at(session, place, line, due_at, terms))


async def _may_go(session: Session, place: Place, terms: DeliveryTerms) -> bool:
    """Whether one more may be sent to the destination now; what a rate allows is taken."""
    here = await gates.gate(session, place.seq)
    if here.stopped or here.room(terms, session.now).free == 0:
        return False
    await gates.count_rate(session, place.seq, here, terms, 1)
    return True


async def wait_at(
    session: Session, place: Place, line: int, due_at: Instant, terms: DeliveryTerms
) -> Instant | None:
    """See to it that a delivery that waits there is claimed in time; from when it can be.

    None: never, as it stands (the destination is paused, say).
    """
    if not place.plain or terms.rate_per_second is not None:
        if line != OWN_LINE:
            await gates.renew_line(session, place.seq, line, terms)
        return await gates.renew(session, place.seq, terms)
    ready_at = place.wait(due_at, session.now, terms.slots)
    await places.write(session, (place,))
    return ready_at
