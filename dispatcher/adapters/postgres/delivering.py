"""Changes of deliveries besides what attempts tell: each compares state and lease, then sets."""

from __future__ import annotations

from dispatcher.adapters.postgres import chains, destinations
from dispatcher.adapters.postgres.aftermath import after_deaths
from dispatcher.adapters.postgres.destinations import where_of
from dispatcher.adapters.postgres.freeing import Freed, came_free
from dispatcher.adapters.postgres.freeing_gated import GatedSlot, came_free_gated
from dispatcher.adapters.postgres.locking import Locked
from dispatcher.adapters.postgres.rows import DELIVERY_LEASE, Row
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.changes import AskCancelDelivery, EndDelivery, ReleaseDelivery
from dispatcher.core.lifecycle import PENDING_ENDS, settled
from dispatcher.core.model import DeliveryState, Instant
from dispatcher.core.ordering import OnDead
from dispatcher.ports.records import Applied, ApplyResult, DeliveryTerms, Stale

_RELEASE = statement("delivery_release")
_END = statement("delivery_end")
_ASK_CANCEL = statement("delivery_ask_cancel")


async def change_delivery(
    session: Session,
    change: ReleaseDelivery | EndDelivery | AskCancelDelivery,
    locked: Locked,
    terms: DeliveryTerms,
) -> ApplyResult:
    """The changes besides an attempt's: see each of them."""
    row = locked.deliveries.get(change.delivery_id)
    if row is None:
        return Stale()
    locked.forget_deliveries((change.delivery_id,))
    match change:
        case ReleaseDelivery():
            return await _release(session, change, row, terms)
        case EndDelivery():
            return await _end(session, change, row, terms)
        case AskCancelDelivery():
            return await _ask_cancel(session, change, row)


async def _end(
    session: Session, change: EndDelivery, row: Row, terms: DeliveryTerms
) -> ApplyResult:
    """End a delivery that waits, or is dead and keeps others waiting; see `EndDelivery`."""
    if change.to not in PENDING_ENDS:
        raise ValueError(f"a pending delivery can't end as {change.to}")
    blocks = row["state"] == DeliveryState.DEAD and row["on_dead"] == OnDead.BLOCK
    lets_go = blocks and change.to is DeliveryState.CANCELED
    fits = row["state"] == DeliveryState.PENDING or lets_go
    if not fits or change.round not in (None, row["round"]):
        return Stale()
    await session.execute(_END, row[0], change.to.value, change.at)
    ready_at: Instant | None = None
    if change.to is DeliveryState.DEAD:
        (ready_at,) = await after_deaths(session, ((change.delivery_id, change.at),), terms)
    if row["chain"] is not None:
        let_go = await chains.advance(session, {row["chain"]})
        ready_at = destinations.earliest(ready_at, *let_go.values())
    return Applied(delivery_ready_at=ready_at)


async def _ask_cancel(session: Session, change: AskCancelDelivery, row: Row) -> ApplyResult:
    """Note that a delivery is not to be tried again; see `AskCancelDelivery`."""
    if row["state"] != DeliveryState.SENDING:
        return Stale()
    if row["cancel_requested_at"] is None:
        await session.execute(_ASK_CANCEL, row[0], change.at)
    return Applied()


async def _release(
    session: Session, change: ReleaseDelivery, row: Row, terms: DeliveryTerms
) -> ApplyResult:
    """Give a leased delivery back unsent; see `ReleaseDelivery`."""
    if row[DELIVERY_LEASE] != change.lease:
        return Stale()
    to = settled(DeliveryState.PENDING, cancel_requested=row["cancel_requested_at"] is not None)
    canceled = to is DeliveryState.CANCELED
    finished_at = session.now if canceled else None
    await session.execute(_RELEASE, row[0], to.value, change.due_at, finished_at)
    freed = Freed(
        seq=row[0],
        held=row["lease_until"] > session.now,
        place=row["destination_seq"],
        where=where_of(row),
        due_at=None if canceled else change.due_at,
        canceled=canceled,
        hand_off=False,
    )
    place = (await destinations.look(session, (freed.where,)))[freed.where]
    if not place.plain or row["chain"] is not None or terms.rate_per_second is not None:
        slot = GatedSlot(freed, None, row["url"], row["target_seq"], row["chain"])
        (applied,) = await came_free_gated(session, (slot,), terms)
        return applied
    before = {freed.where: place.ready_at}
    (applied,) = await came_free(session, (freed,), before, terms)
    return applied
