"""Changes of deliveries: each compares state and lease, then sets; records a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dispatcher.adapters.postgres import breakers, chains, gates, places
from dispatcher.adapters.postgres.aftermath import (
    NOTHING,
    Aftermath,
    Tried,
    after_attempts,
    after_deaths,
)
from dispatcher.adapters.postgres.freeing import Freed, came_free
from dispatcher.adapters.postgres.gates import OWN_LINE
from dispatcher.adapters.postgres.locking import Locked
from dispatcher.adapters.postgres.owing import wait_at
from dispatcher.adapters.postgres.places import where_of
from dispatcher.adapters.postgres.rows import (
    DELIVERY_LEASE,
    Row,
    attempt_row,
    columns,
)
from dispatcher.adapters.postgres.sending import lease_next
from dispatcher.adapters.postgres.session import Kind, Session, Witness
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.breaker import Sign
from dispatcher.core.changes import (
    AskCancelDelivery,
    EndDelivery,
    RecordAttempt,
    Redeliver,
    ReleaseDelivery,
)
from dispatcher.core.lifecycle import DELIVERY_TRANSITIONS, FINAL_DELIVERY_STATES, settled
from dispatcher.core.model import DeliveryState, Instant
from dispatcher.core.ordering import OnDead
from dispatcher.ports.records import (
    Applied,
    ApplyResult,
    DeliveryTerms,
    LeasedDelivery,
    Stale,
)

_RECORD = statement("deliveries_record")
_RECORD_FIRST = statement("deliveries_record_first")
_ATTEMPTS_FIND = statement("attempts_find")
_ATTEMPTS_ADD = statement("attempts_add")
_RELEASE = statement("delivery_release")
_END = statement("delivery_end")
_ASK_CANCEL = statement("delivery_ask_cancel")
_REDELIVER = statement("delivery_redeliver")
_WHERE = statement("delivery_where")
_LINE = statement("deliveries_line")

_TROUBLE: Final = frozenset({Sign.NO_SERVICE, Sign.NO_CONNECTION})


async def record_attempts(
    session: Session, changes: Sequence[RecordAttempt], locked: Locked, terms: DeliveryTerms
) -> list[ApplyResult]:
    """Record what came of attempts, each delivery named once; see `RecordAttempt`.

    Where nothing but slots counts they are recorded together, elsewhere one after another.
    """
    answers: dict[int, ApplyResult] = {}
    held: dict[int, tuple[RecordAttempt, Row]] = {}
    late: list[tuple[int, Row, RecordAttempt]] = []
    for n, change in enumerate(changes):
        row = locked.deliveries.get(change.delivery_id)
        if row is None:
            answers[n] = Stale()
        elif row[DELIVERY_LEASE] != change.lease:
            late.append((n, row, change))
        else:
            held[n] = (change, row)
    answers.update(await _again(session, late))
    known = await places.look(session, {where_of(row) for _, row in held.values()})
    slow = {where for where, place in known.items() if not place.plain}
    slow |= {where_of(row) for change, row in held.values() if _troubled(change, row, terms)}
    slow |= {where for where in known if where[2] in locked.resting}
    fast = {n: each for n, each in held.items() if where_of(each[1]) not in slow}
    freed, tried = await _record(session, list(fast.values()))
    after = await _follow(session, tried, locked, terms)
    before = {where: place.ready_at for where, place in known.items()}
    went_on = await came_free(session, freed, before, terms)
    answers.update({n: after[at].told(went_on[at]) for at, n in enumerate(fast)})
    for n, (change, row) in held.items():
        if n not in fast:
            (one,), tried = await _record(session, ((change, row),))
            (follows,) = await _follow(session, tried, locked, terms)
            settled_so = await _settle(session, one, change, row["chain"], terms)
            answers[n] = follows.told(settled_so)
    locked.forget_deliveries(change.delivery_id for change, _ in held.values())
    return [answers[n] for n in range(len(changes))]


def _troubled(change: RecordAttempt, row: Row, terms: DeliveryTerms) -> bool:
    """Whether more than slots counts for an attempt: a breaker, an order, a rate."""
    told = change.sign in _TROUBLE or row["chain"] is not None or row["target_seq"] != OWN_LINE
    return told or terms.rate_per_second is not None


async def _follow(
    session: Session, tried: Sequence[Tried], locked: Locked, terms: DeliveryTerms
) -> list[Aftermath]:
    """What else follows from attempts; without endpoints, and deaths, that is nothing."""
    if any(each.row["endpoint_id"] or each.to is DeliveryState.DEAD for each in tried):
        return await after_attempts(session, tried, locked.resting, terms)
    return [NOTHING for _ in tried]


async def _record(
    session: Session, held: Sequence[tuple[RecordAttempt, Row]]
) -> tuple[list[Freed], list[Tried]]:
    """Write what came of attempts; the slots that come free, and where the deliveries stand."""
    freed: list[Freed] = []
    tried: list[Tried] = []
    first: list[Row] = []
    later: list[Row] = []
    attempts: list[Row] = []
    for change, row in held:
        to = settled(change.to, cancel_requested=row["cancel_requested_at"] is not None)
        finished_at = change.at if to in FINAL_DELIVERY_STATES else None
        stands = (row[0], to.value, change.due_at, finished_at, int(change.uses_entry))
        attempt = change.attempt
        if attempt is not None and row["attempt_count"] == 0:
            first.append((*stands, *attempt_row(attempt)))
        else:
            later.append((*stands, int(attempt is not None)))
            if attempt is not None:
                attempts.append((row[0], change.lease, *attempt_row(attempt)))
        if attempt is not None:
            session.witnesses.append(Witness(Kind.ATTEMPT, change.delivery_id, change.lease))
        tried.append(Tried(change, to, row))
        freed.append(
            Freed(
                seq=row[0],
                held=row["lease_until"] > session.now,
                place=row["destination_seq"],
                where=where_of(row),
                due_at=change.due_at if to is DeliveryState.PENDING else None,
                canceled=to is not change.to,
                hand_off=change.hand_off,
            )
        )
    if first:
        await session.execute(_RECORD_FIRST, *columns(first, 11))
    if later:
        await session.execute(_RECORD, *columns(later, 6))
    if attempts:
        await session.execute(_ATTEMPTS_ADD, *columns(attempts, 8))
    return freed, tried


async def _again(
    session: Session, late: Sequence[tuple[int, Row, RecordAttempt]]
) -> dict[int, ApplyResult]:
    """What changes are answered whose lease is not the row's: they may have been applied before."""
    answers: dict[int, ApplyResult] = {}
    unsure: list[tuple[int, int, int, str]] = []
    for n, row, change in late:
        attempt = change.attempt
        answers[n] = Stale()
        if attempt is None:
            continue
        if (row["first_lease"], row["first_number"]) == (change.lease, attempt.number):
            answers[n] = Applied()
        elif row["attempt_count"] > 1:
            unsure.append((n, row[0], attempt.number, change.lease))
    if unsure:
        rows = await session.fetch(_ATTEMPTS_FIND, *columns([each[1:] for each in unsure], 3))
        found = {(row[0], row[1], row[2]) for row in rows}
        answers.update({each[0]: Applied() for each in unsure if each[1:] in found})
    return answers


async def change_delivery(
    session: Session,
    change: ReleaseDelivery | EndDelivery | AskCancelDelivery | Redeliver,
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
        case Redeliver():
            return await _redeliver(session, change, row, terms)


async def _end(
    session: Session, change: EndDelivery, row: Row, terms: DeliveryTerms
) -> ApplyResult:
    """End a delivery that waits, or is dead and keeps others waiting; see `EndDelivery`."""
    if change.to not in DELIVERY_TRANSITIONS[DeliveryState.PENDING] & FINAL_DELIVERY_STATES:
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
        ready_at = places.earliest(ready_at, await chains.advance(session, row["chain"]))
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
    place = (await places.look(session, (freed.where,)))[freed.where]
    if not place.plain or row["chain"] is not None or terms.rate_per_second is not None:
        return await _settle(session, freed, None, row["chain"], terms)
    before = {freed.where: place.ready_at}
    (applied,) = await came_free(session, (freed,), before, terms)
    return applied


async def _redeliver(
    session: Session, change: Redeliver, row: Row, terms: DeliveryTerms
) -> ApplyResult:
    """Begin a new round; see `Redeliver`."""
    if row["round"] >= change.round:
        return Applied()
    if row["round"] + 1 != change.round or row["state"] not in FINAL_DELIVERY_STATES:
        return Stale()
    endpoint_id = row["endpoint_id"]
    if endpoint_id is not None and session.registered.find(endpoint_id) is None:
        return Stale()  # it was deleted
    where, chain = where_of(row), row["chain"]
    place = (await places.look(session, (where,)))[where]
    line = OWN_LINE if place.plain else await breakers.line_of(session, place.seq, row["url"])
    blocked = chain is not None and await chains.must_wait_again(session, chain, row[0])
    due_at = session.now
    stands = (due_at, change.round, change.at, line, blocked)
    await session.execute(_REDELIVER, row[0], place.seq, *stands)
    if blocked:
        return Applied()
    return Applied(delivery_ready_at=await wait_at(session, place, line, due_at, terms))


async def _settle(
    session: Session,
    freed: Freed,
    change: RecordAttempt | None,
    chain: str | None,
    terms: DeliveryTerms,
) -> Applied:
    """What follows where more than slots counts: a breaker, a rate, a pause, an order.

    `change` is the attempt that freed the slot; None: nothing was sent in it.
    """
    seq, place = freed.seq, freed.place
    url, line = await session.one(_WHERE, seq) or ("", OWN_LINE)
    moved = () if change is None else await breakers.tell(session, place, url, change, terms)
    if freed.due_at is not None:
        now_in = await breakers.line_of(session, place, url)
        if now_in != line:
            await session.execute(_LINE, [seq], [now_in])
    await breakers.renew_lines(session, place, url, line, terms)
    other_at = None
    if chain is not None and freed.due_at is None:
        other_at = await chains.advance(session, chain)
    handed: tuple[LeasedDelivery, ...] = ()
    if change is not None and change.hand_off:
        leased = await lease_next(session, place, terms)
        if leased is not None:
            handed = (leased,)
            await breakers.renew_lines(session, place, leased.delivery.url, line, terms)
    ready_at = places.earliest(await gates.renew(session, place, terms), other_at)
    return Applied(handed, delivery_ready_at=ready_at, canceled=freed.canceled, breakers=moved)
