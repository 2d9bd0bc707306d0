"""Changes of deliveries: each compares state and lease, then sets."""

from __future__ import annotations

from typing import NamedTuple, assert_never

from dispatcher.adapters.sqlite import breakers, chains, destinations
from dispatcher.adapters.sqlite.aftermath import NOTHING, after_attempt, after_death
from dispatcher.adapters.sqlite.destinations import Heads
from dispatcher.adapters.sqlite.fanout import earlier
from dispatcher.adapters.sqlite.remembered import KnownDelivery
from dispatcher.adapters.sqlite.rows import Row, attempt_row
from dispatcher.adapters.sqlite.sending import lease_next, lease_until, take_free_slot
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.breaker import TROUBLE
from dispatcher.core.changes import (
    AskCancelDelivery,
    EndDelivery,
    RecordAttempt,
    Redeliver,
    ReleaseDelivery,
)
from dispatcher.core.gate import OWN_LINE
from dispatcher.core.lifecycle import FINAL_DELIVERY_STATES, PENDING_ENDS, settled
from dispatcher.core.model import Attempt, DeliveryState, Instant
from dispatcher.ports.records import Applied, ApplyResult, DeliveryTerms, LeasedDelivery, Stale

_BY_ID = statement("delivery_by_id")
_RECORD = statement("delivery_record")
_RECORD_FIRST = statement("delivery_record_first")
_RECORD_KNOWN = statement("delivery_record_known")
_ATTEMPT_FIND = statement("attempt_find")
_ATTEMPT_ADD = statement("attempt_add")
_WHERE = statement("delivery_where")
_FREED = statement("destination_freed")
_LINE = statement("delivery_line")
_RELEASE = statement("delivery_release")
_END = statement("delivery_end")
_STATE = statement("delivery_state")
_ASK_CANCEL = statement("delivery_ask_cancel")
_ROUND = statement("delivery_round")
_REDELIVER = statement("delivery_redeliver")
_ENDPOINT_EXISTS = statement("endpoint_exists")


def record_attempt(session: Session, change: RecordAttempt, terms: DeliveryTerms) -> ApplyResult:
    """Record what came of an attempt; see `RecordAttempt`."""
    known = session.remembered.delivery(change.lease)
    if known is not None and change.attempt is not None:
        recorded = _record_known(session, change, change.attempt, known, terms)
        if recorded is not None:
            return recorded
    row = session.one(_BY_ID, (change.delivery_id,))
    if row is None:
        return Stale()
    seq, lease, attempt_count, first_lease, first_number, place, ready_at, cancel_at = row[:8]
    chain, plain, endpoint_id = row[8:]
    attempt = change.attempt
    if lease != change.lease:
        if attempt is None:
            return Stale()
        first = (first_lease, first_number) == (change.lease, attempt.number)
        return Applied() if first or _is_later(session, change, attempt, row) else Stale()
    to = settled(change.to, cancel_requested=cancel_at is not None)
    finished_at = change.at if to in FINAL_DELIVERY_STATES else None
    stands = (to.value, change.due_at, finished_at)
    if attempt is not None and attempt_count == 0:
        row = (*stands, change.uses_entry, *attempt_row(attempt), seq, lease)
        session.execute(_RECORD_FIRST, row)
    else:
        row = (*stands, attempt is not None, change.uses_entry, seq, lease)
        session.execute(_RECORD, row)
        if attempt is not None:
            session.execute(_ATTEMPT_ADD, (seq, lease, *attempt_row(attempt)))
    after = NOTHING
    if endpoint_id is not None or to is DeliveryState.DEAD:
        after = after_attempt(session, change, to, endpoint_id, terms)
    due_at = change.due_at if to is DeliveryState.PENDING else None
    freed = _Freed(seq, place, ready_at, due_at, canceled=to is not change.to)
    simple = plain and not chain and after.disabled is None
    if simple and change.sign not in TROUBLE and terms.rate_per_second is None:
        heads = destinations.heads(session, place, besides=seq)
        return after.told(_went_on(session, freed, change, terms, heads))
    return after.told(_settle(session, freed, change, terms, chain))


def _record_known(
    session: Session,
    change: RecordAttempt,
    attempt: Attempt,
    known: KnownDelivery,
    terms: DeliveryTerms,
) -> Applied | None:
    """Record a first attempt in as few statements as can be; None: it must be looked at first.

    That is so if it is dead, or tells of trouble, since more follows from that; or if something
    has happened to the delivery since it was leased. Then nothing was written.
    """
    if change.to is DeliveryState.DEAD or change.sign in TROUBLE:
        return None
    due_at = change.due_at if change.to is DeliveryState.PENDING else None
    finished_at = None if due_at is not None else change.at
    stands = (change.to._value_, change.due_at, finished_at, change.uses_entry)
    row = (*stands, *attempt_row(attempt), known.seq, change.delivery_id, change.lease)
    if session.write(_RECORD_KNOWN, row).rowcount != 1:
        return None
    rated = terms.rate_per_second is not None
    looks = change.hand_off and due_at is None and not rated
    looked = looks and known.place in session.turns.busy
    if looked:
        taken = take_free_slot(session, known.place, terms)
        if taken is not None:  # as in `_hand_on`
            return Applied((taken,))
        session.turns.busy.discard(known.place)
    ready_at, plain, *heads = session.one(_FREED, {"seq": known.place, "besides": known.seq})
    freed = _Freed(known.seq, known.place, ready_at, due_at, canceled=False)
    if rated or not plain:
        return _settle(session, freed, change, terms, None)
    return _went_on(session, freed, change, terms, Heads(*heads), looked=looked)


def _went_on(
    session: Session,
    freed: _Freed,
    change: RecordAttempt,
    terms: DeliveryTerms,
    heads: Heads,
    *,
    looked: bool = False,
) -> Applied:
    """Hand the slot on, if that is asked and something is due; else tell that it is free.

    `heads`: what comes next there, besides this one. `looked`: `take_free_slot` has found nothing.
    """
    first_at = heads.first_at
    if change.hand_off and first_at is not None and first_at <= session.now:
        handed = _hand_on(session, freed, change, terms, looked=looked)
        if handed is not None:
            return handed
    return _came_free(session, freed, first_at)


def _is_later(session: Session, change: RecordAttempt, attempt: Attempt, row: Row) -> bool:
    """Whether the attempt stands already, and is not the delivery's first."""
    seq, _, attempt_count, *_ = row
    if attempt_count <= 1:
        return False
    return session.one(_ATTEMPT_FIND, (seq, attempt.number, change.lease)) is not None


def change_delivery(
    session: Session,
    change: ReleaseDelivery | EndDelivery | AskCancelDelivery | Redeliver,
    terms: DeliveryTerms,
) -> ApplyResult:
    """The changes besides an attempt's: see each of them."""
    match change:
        case ReleaseDelivery():
            return _release(session, change, terms)
        case EndDelivery():
            return _end(session, change, terms)
        case AskCancelDelivery():
            return _ask_cancel(session, change)
        case Redeliver():
            return _redeliver(session, change, terms)
        case _:
            assert_never(change)


def _release(session: Session, change: ReleaseDelivery, terms: DeliveryTerms) -> ApplyResult:
    """Give a leased delivery back unsent; see `ReleaseDelivery`."""
    row = session.one(_BY_ID, (change.delivery_id,))
    if row is None or row[1] != change.lease:
        return Stale()
    seq = row[0]
    place, ready_at, cancel_at, chain, plain, _ = row[5:]
    to = settled(DeliveryState.PENDING, cancel_requested=cancel_at is not None)
    canceled = to is DeliveryState.CANCELED
    session.execute(
        _RELEASE,
        {
            "seq": seq,
            "lease": change.lease,
            "to": to.value,
            "due_at": change.due_at,
            "finished_at": session.now if canceled else None,
        },
    )
    due_at = None if canceled else change.due_at
    freed = _Freed(seq, place, ready_at, due_at, canceled=canceled)
    if not plain or chain or terms.rate_per_second is not None:
        return _settle(session, freed, None, terms, chain)
    return _came_free(session, freed, destinations.heads(session, place, besides=seq).first_at)


def _settle(
    session: Session,
    freed: _Freed,
    change: RecordAttempt | None,
    terms: DeliveryTerms,
    chain: str | None,
) -> Applied:
    """What follows where more than slots counts: a breaker, a rate, a pause, an order.

    `change` is the attempt that freed the slot; None: nothing was sent in it.
    """
    seq, place = freed.seq, freed.place
    url, line = session.one(_WHERE, (seq,))
    moved = () if change is None else breakers.tell(session, place, url, change, terms)
    if freed.due_at is not None:
        now_in = breakers.line_of(session, place, url)
        if now_in != line:
            session.execute(_LINE, {"seq": seq, "line": now_in})
    breakers.renew_lines(session, place, url, line, terms)
    other_at = None
    if chain is not None and freed.due_at is None:
        other_at = chains.advance(session, chain)
    handed: tuple[LeasedDelivery, ...] = ()
    if change is not None and change.hand_off:
        leased = lease_next(session, place, terms)
        handed = () if leased is None else (leased,)
        if leased is not None:
            breakers.renew_lines(session, place, leased.delivery.url, line, terms)
    ready_at = destinations.renew(session, place, terms)
    if other_at is not None:
        ready_at = other_at if ready_at is None else min(ready_at, other_at)
    return Applied(handed, delivery_ready_at=ready_at, canceled=freed.canceled, breakers=moved)


def _end(session: Session, change: EndDelivery, terms: DeliveryTerms) -> ApplyResult:
    """End a delivery that waits, or is dead and keeps others waiting; see `EndDelivery`."""
    if change.to not in PENDING_ENDS:
        raise ValueError(f"a pending delivery can't end as {change.to}")
    parameters = {
        "id": change.delivery_id,
        "to": change.to.value,
        "at": change.at,
        "round": change.round,
    }
    ended = session.execute(_END, parameters).fetchall()
    if not ended:
        return Stale()
    ((_, chain),) = ended
    ready_at: Instant | None = None
    if change.to is DeliveryState.DEAD:
        ready_at = after_death(session, change.delivery_id, change.at, terms)
    if chain is not None:
        ready_at = earlier(ready_at, chains.advance(session, chain))
    return Applied(delivery_ready_at=ready_at)


def _ask_cancel(session: Session, change: AskCancelDelivery) -> ApplyResult:
    """Note that a delivery is not to be tried again; see `AskCancelDelivery`."""
    parameters = {"id": change.delivery_id, "at": change.at}
    if session.execute(_ASK_CANCEL, parameters).rowcount:
        return Applied()
    row = session.one(_STATE, (change.delivery_id,))
    return Applied() if row is not None and row[0] == DeliveryState.SENDING else Stale()


def _redeliver(session: Session, change: Redeliver, terms: DeliveryTerms) -> ApplyResult:
    """Begin a new round; see `Redeliver`."""
    row = session.one(_ROUND, (change.delivery_id,))
    if row is None:
        return Stale()
    seq, stored, round_, url, chain, *whose = row
    if round_ >= change.round:
        return Applied()
    if round_ + 1 != change.round or DeliveryState(stored) not in FINAL_DELIVERY_STATES:
        return Stale()
    endpoint_id = whose[-1]
    if endpoint_id is not None and session.one(_ENDPOINT_EXISTS, (endpoint_id,)) is None:
        return Stale()
    place = destinations.destination(session, *whose)
    due_at = session.now
    line = OWN_LINE if place.plain else breakers.line_of(session, place.seq, url)
    blocked = chain is not None and chains.must_wait_again(session, chain, seq)
    parameters = {"seq": seq, "round": change.round, "at": change.at}
    parameters |= {"line": line, "blocked": blocked}
    session.execute(_REDELIVER, {**parameters, "destination_seq": place.seq, "due_at": due_at})
    if blocked:
        return Applied()
    return Applied(delivery_ready_at=destinations.wait(session, place, line, due_at, terms))


class _Freed(NamedTuple):
    """A slot that came free: of which delivery, at which destination, known to be ready when.

    `due_at` is when the delivery that had the slot is due again; it is not if it was `canceled`.
    """

    seq: int
    place: int
    ready_at: Instant | None
    due_at: Instant | None
    canceled: bool


def _came_free(session: Session, freed: _Freed, waiting_at: Instant | None) -> Applied:
    """Tell from when the slot is of use; `waiting_at`: when the first of the others is due.

    Others count if they are due before the destination was to be ready: then it was full, and they
    wait for this slot.
    """
    due_at, known, canceled = freed.due_at, freed.ready_at, freed.canceled
    if waiting_at is not None and (known is None or waiting_at < known):
        due_at = waiting_at if due_at is None else min(due_at, waiting_at)
    if due_at is None:
        return Applied(canceled=canceled)
    due_at = max(due_at, session.now)
    destinations.ready_by(session, freed.place, known, due_at)
    return Applied(delivery_ready_at=due_at, canceled=canceled)


def _hand_on(
    session: Session,
    freed: _Freed,
    change: RecordAttempt,
    terms: DeliveryTerms,
    *,
    looked: bool,
) -> Applied | None:
    """Lease what is due in the slot that came free; None if none is free."""
    _, place, known, due_at, canceled = freed
    if known is not None and known > session.now and not looked:
        taken = take_free_slot(session, place, terms)
        if taken is not None:
            session.turns.busy.add(place)
            # It was full and is so again: no other can be claimed sooner than was known before.
            again = taken.delivery.id == change.delivery_id or due_at is None
            ready_at = None if again else max(due_at or 0, session.now)
            return Applied((taken,), delivery_ready_at=ready_at, canceled=canceled)
    handed = lease_next(session, place, terms)
    if handed is None:
        return None
    free = terms.slots - destinations.gate(session, place).sending
    if handed.delivery.id == change.delivery_id:
        due_at = None
    if free <= 0:
        # It is full again: no other can be claimed sooner than was known before.
        destinations.ready_by(session, place, known, lease_until(session.now, terms))
    else:
        following = destinations.renew(session, place, terms)
        due_at = session.now if following == session.now else due_at
    ready_at = None if due_at is None else max(due_at, session.now)
    return Applied((handed,), delivery_ready_at=ready_at, canceled=canceled)
