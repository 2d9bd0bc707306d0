"""Events, and the deliveries that they owe: a batch at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from dispatcher.adapters.postgres import destinations
from dispatcher.adapters.postgres.debts import EVENT_WIDTH, Debt, Row, Told, debts_of
from dispatcher.adapters.postgres.destinations import Destination, Where
from dispatcher.adapters.postgres.gated import Gated
from dispatcher.adapters.postgres.rows import columns
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.model import Instant
from dispatcher.ports.records import Applied, DeliveryTerms

__all__ = ["Told", "add_events", "drop_best_effort", "owe"]

_EVENTS_ADD = statement("events_add")
_EVENTS_OWE = statement("events_owe")
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
    ready_at = destinations.earliest(*(each.delivery_ready_at for each in several))
    return Applied(handed, delivery_ready_at=ready_at)


async def owe(
    session: Session, told: Sequence[Told], debts: Sequence[Debt], terms: DeliveryTerms
) -> list[Applied]:
    """Write events, and what they owe; the destinations are locked.

    What is remembered of a delivery, so that it is sent without being read, is of those where
    nothing but slots counts.
    """
    known = await destinations.stand(session, {debt.where for debt in debts})
    mark = destinations.mark(session)
    rated = terms.rate_per_second is not None
    slow = {where for where, place in known.items() if rated or not place.plain}
    slow |= {debt.where for debt in debts if debt.chain is not None}
    gated = await _look(session, [d for d in debts if d.where in slow], known, terms)
    applied: dict[str, Applied] = {}
    rows: list[tuple[Debt, Row]] = []
    for debt in debts:
        place = known[debt.where]
        if debt.where in slow:
            row, answer = gated.owe(debt, place)
        else:
            row, answer = _owe(session, debt, place, terms)
        rows.append((debt, row))
        applied[debt.delivery_id] = answer
    for debt, seq in await _write(session, told, rows):
        if debt.where in slow or debt.told.data is not None:
            continue
        if not applied[debt.delivery_id].handed:  # its job has ended
            waiting = debt.waiting(session, known[debt.where].seq, debt.due_at(session.now, terms))
            session.remembered.keep_waiting(seq, waiting)
    await destinations.write(session, known.values())
    await gated.write()
    destinations.still(session, mark)
    return [applied[debt.delivery_id] for debt in debts]


async def _look(
    session: Session,
    debts: Sequence[Debt],
    known: Mapping[Where, Destination],
    terms: DeliveryTerms,
) -> Gated:
    """What decides over debts where more than slots counts."""
    found = {debt.where: known[debt.where] for debt in debts}
    urls = [(known[debt.where].seq, debt.url) for debt in debts]
    orders = [debt.chain for debt in debts if debt.chain is not None]
    return await Gated.look(session, found.values(), urls, orders, terms)


async def _write(
    session: Session, told: Sequence[Told], rows: Sequence[tuple[Debt, Row]]
) -> list[tuple[Debt, int]]:
    """Write events, with the deliveries of `rows` in the same statement; gives their numbers."""
    events = [each.row() for each in told]
    if rows:
        places_of = {each.event_id: n for n, each in enumerate(told, start=1)}
        owed = [
            (*row[:_EVENT_ID], places_of[debt.told.event_id], *row[_EVENT_ID + 1 :])
            for debt, row in rows
        ]
        debts = {debt.delivery_id: debt for debt, _ in rows}
        written = await session.fetch(_EVENTS_OWE, events, session.links_base, owed)
        return [(debts[id_], seq) for id_, seq in written]
    if events:
        await session.execute(_EVENTS_ADD, *columns(events, EVENT_WIDTH), session.links_base)
    return []


def _owe(
    session: Session, debt: Debt, place: Destination, terms: DeliveryTerms
) -> tuple[Row, Applied]:
    """One delivery to a plain destination, leased at once if that is asked and may be."""
    now = session.now
    due_at = debt.due_at(now, terms)
    free = place.sending < terms.slots and (place.fresh_at is None or place.fresh_at > now)
    if debt.hand_off and free and due_at == now:
        lease, until = session.ids.new("lse"), destinations.lease_until(session, terms)
        place.lease(until)
        place.be_ready_by(until, None)
        row = debt.row(place, due_at, lease=lease, until=until)
        handed = debt.handed(session, due_at, lease)
        session.remembered.keep_sending(handed, place.seq, until)
        return row, Applied((handed,))
    row = debt.row(place, due_at)
    return row, Applied(delivery_ready_at=place.wait(due_at, now, terms.slots))
