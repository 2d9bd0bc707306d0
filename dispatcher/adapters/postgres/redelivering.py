"""New rounds of deliveries that have ended, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dispatcher.adapters.postgres import chains, destinations
from dispatcher.adapters.postgres.destinations import where_of
from dispatcher.adapters.postgres.gated import Gated
from dispatcher.adapters.postgres.locking import Locked
from dispatcher.adapters.postgres.rows import Row, columns
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.changes import Redeliver
from dispatcher.core.gate import OWN_LINE
from dispatcher.core.lifecycle import FINAL_DELIVERY_STATES
from dispatcher.ports.records import Applied, ApplyResult, DeliveryTerms, Stale

_REDELIVER = statement("deliveries_redeliver")


class _Begun(NamedTuple):
    """One that begins a new round: its position, and its row as it was."""

    n: int
    change: Redeliver
    row: Row


async def redeliver(
    session: Session, changes: Sequence[Redeliver], locked: Locked, terms: DeliveryTerms
) -> list[ApplyResult]:
    """Begin new rounds, each delivery named once; see `Redeliver`."""
    answers: dict[int, ApplyResult] = {}
    begun: list[_Begun] = []
    for n, change in enumerate(changes):
        row = locked.deliveries.get(change.delivery_id)
        if row is not None and row["round"] >= change.round:
            answers[n] = Applied()
        elif row is not None and _may(session, change, row):
            begun.append(_Begun(n, change, row))
    if begun:
        again = await _begin(session, begun, terms)
        answers.update(zip([each.n for each in begun], again, strict=True))
        locked.forget_deliveries(each.change.delivery_id for each in begun)
    return [answers.get(n, Stale()) for n in range(len(changes))]


def _may(session: Session, change: Redeliver, row: Row) -> bool:
    """Whether it has ended in the round before, and its endpoint, if it has one, is still there."""
    if row["round"] + 1 != change.round or row["state"] not in FINAL_DELIVERY_STATES:
        return False
    endpoint_id = row["endpoint_id"]
    return endpoint_id is None or session.registered.find(endpoint_id) is not None


async def _begin(
    session: Session, begun: Sequence[_Begun], terms: DeliveryTerms
) -> list[ApplyResult]:
    """What each is answered, once all are written; as if they had come one after another."""
    known = await destinations.look(session, {where_of(each.row) for each in begun})
    urls = [(known[where_of(each.row)].seq, each.row["url"]) for each in begun]
    gated = await Gated.look(session, known.values(), urls, (), terms)
    # One of a chain goes at a time: the first of the batch, unless another is under way already.
    heads = {row["chain"]: row[0] for _, _, row in begun if row["chain"] is not None}
    going = await chains.running(session, list(heads.items())) if heads else set()
    answers: list[ApplyResult] = []
    rows: list[tuple[object, ...]] = []
    for _, change, row in begun:
        place, chain = known[where_of(row)], row["chain"]
        blocked = chain in going
        if chain is not None:
            going.add(chain)
        line = gated.line(place, row["url"])
        number = OWN_LINE if line is None else line.number
        rows.append((row[0], place.seq, number, blocked, change.round, change.at))
        ready_at = None if blocked else gated.wait(place, line, session.now)
        answers.append(Applied(delivery_ready_at=ready_at))
    await session.execute(_REDELIVER, *columns(rows, 6), session.now)
    await destinations.write(session, known.values())
    await gated.write()
    return answers
