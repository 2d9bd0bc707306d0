"""What came of attempts, a batch at a time, and what follows from each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dispatcher.adapters.postgres import destinations
from dispatcher.adapters.postgres.aftermath import NOTHING, Aftermath, Tried, after_attempts
from dispatcher.adapters.postgres.destinations import Where, where_of
from dispatcher.adapters.postgres.freeing import Freed, came_free
from dispatcher.adapters.postgres.freeing_gated import GatedSlot, came_free_gated
from dispatcher.adapters.postgres.known import Recorded
from dispatcher.adapters.postgres.locking import Locked
from dispatcher.adapters.postgres.rows import DELIVERY_LEASE, Row, attempt_row, columns
from dispatcher.adapters.postgres.session import Kind, Session, Witness
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.breaker import TROUBLE
from dispatcher.core.changes import RecordAttempt
from dispatcher.core.gate import OWN_LINE
from dispatcher.core.lifecycle import FINAL_DELIVERY_STATES, settled
from dispatcher.core.model import DeliveryState
from dispatcher.ports.records import Applied, ApplyResult, DeliveryTerms, Stale

_RECORD = statement("deliveries_record")
_RECORD_FIRST = statement("deliveries_record_first")
_ATTEMPTS_FIND = statement("attempts_find")
_ATTEMPTS_ADD = statement("attempts_add")
_URLS = statement("deliveries_urls")


class _Batch:
    """A batch of attempts, by position: those of rows that were read, and those written already."""

    def __init__(self, changes: Sequence[RecordAttempt], locked: Locked) -> None:
        self.held: dict[int, tuple[RecordAttempt, Row]] = {}
        self.known: dict[int, tuple[RecordAttempt, Recorded]] = {}
        self.late: list[tuple[int, Row, RecordAttempt]] = []
        for n, change in enumerate(changes):
            recorded = locked.recorded.get(change.delivery_id)
            row = locked.deliveries.get(change.delivery_id)
            if recorded is not None:
                self.known[n] = (change, recorded)
            elif row is not None and row[DELIVERY_LEASE] == change.lease:
                self.held[n] = (change, row)
            elif row is not None:
                self.late.append((n, row, change))

    def wheres(self) -> set[Where]:
        """Where they went."""
        read = {where_of(row) for _, row in self.held.values()}
        return read | {each.sending.where for _, each in self.known.values()}

    def troubled(self, terms: DeliveryTerms) -> set[Where]:
        """Where more than slots counts, because of them: a breaker, an order, a rate."""
        if terms.rate_per_second is not None:
            return self.wheres()
        read = {
            where_of(row)
            for change, row in self.held.values()
            if change.sign in TROUBLE or row["chain"] is not None or row["target_seq"] != OWN_LINE
        }
        known = self.known.values()
        return read | {each.sending.where for change, each in known if change.sign in TROUBLE}


async def record_attempts(
    session: Session, changes: Sequence[RecordAttempt], locked: Locked, terms: DeliveryTerms
) -> list[ApplyResult]:
    """Record what came of attempts, each delivery named once; see `RecordAttempt`.

    What follows is found in one way where nothing but slots counts, and in another elsewhere.
    """
    batch = _Batch(changes, locked)
    answers: dict[int, ApplyResult] = await _again(session, batch.late)
    stand = await destinations.stand(session, batch.wheres())
    slow = {
        where for where, place in stand.items() if not place.plain or where[2] in locked.resting
    }
    slow |= batch.troubled(terms)
    freed = {n: _freed_known(session, *each) for n, each in batch.known.items()}
    written, tried = await _record(session, list(batch.held.values()))
    follows = dict(zip(batch.held, await _follow(session, tried, locked, terms), strict=True))
    freed.update(zip(batch.held, written, strict=True))
    free = sorted(n for n, each in freed.items() if each.where not in slow)
    before = {where: place.ready_at for where, place in stand.items()}
    went_on = await came_free(session, [freed[n] for n in free], before, terms)
    gated = sorted(freed.keys() - set(free))
    went_on += await came_free_gated(
        session, await _gated_slots(session, batch, freed, gated), terms
    )
    for n, applied in zip((*free, *gated), went_on, strict=True):
        answers[n] = follows.get(n, NOTHING).told(applied)
    locked.forget_deliveries(change.delivery_id for change, _ in batch.held.values())
    # A lease that had ended may be one that this batch has yet to record: it is another's now.
    locked.forget_deliveries(each.delivery.id for applied in went_on for each in applied.handed)
    return [answers.get(n, Stale()) for n in range(len(changes))]


async def _gated_slots(
    session: Session, batch: _Batch, freed: Mapping[int, Freed], gated: Sequence[int]
) -> list[GatedSlot]:
    """The slots that came free where more than slots counts."""
    unread = [freed[n].seq for n in gated if n in batch.known]
    urls = {row[0]: row[1] for row in await session.fetch(_URLS, unread)} if unread else {}
    slots = []
    for n in gated:
        if n in batch.known:  # written without being read: in its place's own line, in no order
            change, _ = batch.known[n]
            slots.append(GatedSlot(freed[n], change, urls[freed[n].seq], OWN_LINE, None))
        else:
            change, row = batch.held[n]
            slots.append(GatedSlot(freed[n], change, row["url"], row["target_seq"], row["chain"]))
    return slots


async def _follow(
    session: Session, tried: Sequence[Tried], locked: Locked, terms: DeliveryTerms
) -> list[Aftermath]:
    """What else follows from attempts; without endpoints, and deaths, that is nothing."""
    if any(each.row["endpoint_id"] or each.to is DeliveryState.DEAD for each in tried):
        return await after_attempts(session, tried, locked.resting, terms)
    return [NOTHING for _ in tried]


def _freed_known(session: Session, change: RecordAttempt, recorded: Recorded) -> Freed:
    """The slot that comes free by an attempt that is recorded already."""
    sending = recorded.sending
    session.witnesses.append(Witness(Kind.ATTEMPT, change.delivery_id, change.lease))
    return Freed(
        seq=recorded.seq,
        held=sending.until > session.now,
        place=sending.place_seq,
        where=sending.where,
        due_at=change.due_at if change.to is DeliveryState.PENDING else None,
        canceled=False,
        hand_off=change.hand_off,
    )


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
