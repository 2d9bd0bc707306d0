"""Changes of deliveries: each compares state and lease, then sets; records a batch at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from dispatcher.adapters.postgres import places
from dispatcher.adapters.postgres.locking import Locked
from dispatcher.adapters.postgres.places import Place, Where, where_of
from dispatcher.adapters.postgres.rows import (
    DELIVERY_LEASE,
    Row,
    attempt_row,
    columns,
)
from dispatcher.adapters.postgres.sending import heads, lease
from dispatcher.adapters.postgres.session import Kind, Session, Witness
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.changes import (
    AskCancelDelivery,
    EndDelivery,
    RecordAttempt,
    Redeliver,
    ReleaseDelivery,
)
from dispatcher.core.lifecycle import DELIVERY_TRANSITIONS, FINAL_DELIVERY_STATES, settled
from dispatcher.core.model import DeliveryState, Instant
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


async def record_attempts(
    session: Session, changes: Sequence[RecordAttempt], locked: Locked, terms: DeliveryTerms
) -> list[ApplyResult]:
    """Record what came of attempts, each delivery named once; see `RecordAttempt`."""
    answers: dict[int, ApplyResult] = {}
    freed: dict[int, _Freed] = {}
    first: list[Row] = []
    later: list[Row] = []
    attempts: list[Row] = []
    late: list[tuple[int, Row, RecordAttempt]] = []
    for n, change in enumerate(changes):
        row = locked.deliveries.get(change.delivery_id)
        if row is None:
            answers[n] = Stale()
            continue
        if row[DELIVERY_LEASE] != change.lease:
            late.append((n, row, change))
            continue
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
        freed[n] = _Freed(
            seq=row[0],
            held=row["lease_until"] > session.now,
            where=where_of(row),
            due_at=change.due_at if to is DeliveryState.PENDING else None,
            canceled=to is not change.to,
            hand_off=change.hand_off,
        )
    if first:
        await session.execute(_RECORD_FIRST, *columns(first, 11))
    if later:
        await session.execute(_RECORD, *columns(later, 6))
    if attempts:
        await session.execute(_ATTEMPTS_ADD, *columns(attempts, 8))
    answers.update(await _again(session, late))
    answers.update(zip(freed, await _came_free(session, list(freed.values()), terms), strict=True))
    locked.forget_deliveries(changes[n].delivery_id for n in freed)
    return [answers[n] for n in range(len(changes))]


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
            return await _end(session, change, row)
        case AskCancelDelivery():
            return await _ask_cancel(session, change, row)
        case Redeliver():
            return await _redeliver(session, change, row, terms)


async def _end(session: Session, change: EndDelivery, row: Row) -> ApplyResult:
    """End a delivery that waits; see `EndDelivery`."""
    if change.to not in DELIVERY_TRANSITIONS[DeliveryState.PENDING] & FINAL_DELIVERY_STATES:
        raise ValueError(f"a pending delivery can't end as {change.to}")
    if row["state"] != DeliveryState.PENDING or change.round not in (None, row["round"]):
        return Stale()
    await session.execute(_END, row[0], change.to.value, change.at)
    return Applied()


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
    freed = _Freed(
        seq=row[0],
        held=row["lease_until"] > session.now,
        where=where_of(row),
        due_at=None if canceled else change.due_at,
        canceled=canceled,
        hand_off=False,
    )
    (applied,) = await _came_free(session, (freed,), terms)
    return applied


async def _redeliver(
    session: Session, change: Redeliver, row: Row, terms: DeliveryTerms
) -> ApplyResult:
    """Begin a new round; see `Redeliver`."""
    if row["round"] >= change.round:
        return Applied()
    if row["round"] + 1 != change.round or row["state"] not in FINAL_DELIVERY_STATES:
        return Stale()
    where = where_of(row)
    place = (await places.look(session, (where,)))[where]
    await session.execute(_REDELIVER, row[0], place.seq, session.now, change.round, change.at)
    place.pending_at = places.earliest(place.pending_at, session.now)
    ready_at, full_slots = place.next_at(session.now, terms.slots)
    place.be_ready_by(ready_at, full_slots)
    await places.write(session, (place,))
    return Applied(delivery_ready_at=ready_at)


# --- slots that came free ----------------------------------------------------------------------


class _Freed(NamedTuple):
    """A slot that came free: which delivery had it, and where.

    `held`: its lease had not ended. `due_at` is when that delivery is due again; it is not if it
    was `canceled`. `hand_off`: the slot is to go on at once.
    """

    seq: int
    held: bool
    where: Where
    due_at: Instant | None
    canceled: bool
    hand_off: bool


async def _came_free(
    session: Session, freed: Sequence[_Freed], terms: DeliveryTerms
) -> list[Applied]:
    """Hand slots on where that is asked, and tell from when others are of use.

    Those that wait count if they can be claimed before the destination was to be ready: then it was
    full, and they wait for this slot.
    """
    known = await places.look(session, {each.where for each in freed})
    before = {where: place.ready_at for where, place in known.items()}
    handed = await _hand_on(session, known, freed, terms)
    if handed:
        served = {freed[n].where for n in handed}
        known.update(await places.look(session, served))
    following: dict[Where, Instant | None] = {}
    for where, place in known.items():
        next_at, full_slots = place.next_at(session.now, terms.slots)
        place.be_ready_by(next_at, full_slots)
        was = before[where]
        following[where] = next_at if was is None or (next_at or was) < was else None
    await places.write(session, known.values())
    again = {seq for seq, _ in handed.values()}
    answers = []
    for n, each in enumerate(freed):
        mine = (handed[n][1],) if n in handed else ()
        own = None if each.due_at is None or each.seq in again else max(each.due_at, session.now)
        ready_at = places.earliest(own, following[each.where])
        answers.append(Applied(mine, delivery_ready_at=ready_at, canceled=each.canceled))
    return answers


async def _hand_on(
    session: Session, known: dict[Where, Place], freed: Sequence[_Freed], terms: DeliveryTerms
) -> dict[int, tuple[int, LeasedDelivery]]:
    """Lease what is due in the slots that came free, by their positions: see `_choose`."""
    count = Counter(each.where for each in freed)
    limits: dict[int, int] = {}
    for where in {each.where for each in freed if each.hand_off}:
        place = known[where]
        due_at = places.earliest(place.pending_at, place.lost_at)
        if due_at is not None and due_at <= session.now and place.sending < terms.slots:
            limits[place.seq] = 2 * count[where]
    if not limits:
        return {}
    found = await heads(session, limits)
    chosen: dict[int, int] = {}
    at: dict[Where, list[tuple[int, _Freed]]] = {}
    for n, each in enumerate(freed):
        at.setdefault(each.where, []).append((n, each))
    for where, here in at.items():
        place = known[where]
        chosen.update(_choose(here, found.get(place.seq, []), terms.slots - place.sending))
    leased = await lease(session, list(chosen.values()), terms)
    return {n: (seq, leased[seq]) for n, seq in chosen.items() if seq in leased}


def _choose(here: Sequence[tuple[int, _Freed]], due: list[int], free: int) -> dict[int, int]:
    """Which delivery goes on in which slot, as if the changes came one after another.

    So a delivery that a later one frees is still being sent, and has its slot, until then.
    """
    later = {each.seq: n for n, each in here}
    free -= sum(each.held for _, each in here)
    waiting = list(due)
    chosen: dict[int, int] = {}
    for n, each in here:
        free += each.held
        if not each.hand_off or free <= 0:
            continue
        best = next((seq for seq in waiting if later.get(seq, n) <= n), None)
        if best is not None:
            waiting.remove(best)
            chosen[n] = best
            free -= 1
    return chosen
