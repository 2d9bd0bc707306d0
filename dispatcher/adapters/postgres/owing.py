"""Events, and the deliveries that they owe to the job's callback URL: a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from dispatcher.adapters.postgres import gates, places
from dispatcher.adapters.postgres.breakers import line_of
from dispatcher.adapters.postgres.chains import must_wait
from dispatcher.adapters.postgres.gates import OWN_LINE
from dispatcher.adapters.postgres.places import Place, Where
from dispatcher.adapters.postgres.rows import columns
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.lifecycle import wants
from dispatcher.core.model import (
    Callback,
    Delivery,
    DeliveryState,
    Event,
    EventType,
    Instant,
    Job,
)
from dispatcher.core.ordering import chain_of
from dispatcher.ports.records import Applied, DeliveryTerms, LeasedDelivery

_EVENTS_ADD = statement("events_add")
_EVENTS_OWE = statement("events_owe")
_DROP = statement("deliveries_drop")


class Told(Struct, frozen=True, kw_only=True):
    """An event to write. `data` None: it is the job's last; `sent` False: nobody is sent it."""

    job_seq: int
    job: Job
    event_id: str
    type: EventType
    at: Instant
    data: bytes | None = None
    result: bytes | None = None
    hand_off: bool = False
    sent: bool = True

    def event(self, links_base: str) -> Event:
        """The event itself; its `sequence` is the job's latest."""
        return Event(
            id=self.event_id,
            job_id=self.job.id,
            caller_id=self.job.caller_id,
            type=self.type,
            sequence=self.job.event_count,
            at=self.at,
            links_base=links_base,
            data=self.data,
        )


async def drop_best_effort(session: Session, jobs: Sequence[tuple[int, Instant]]) -> None:
    """Jobs have ended: what is pending of their earlier events is no longer sent."""
    await session.execute(_DROP, *columns(jobs, 2))


async def add_events(session: Session, told: Sequence[Told], terms: DeliveryTerms) -> list[Applied]:
    """Write events with the deliveries that they owe; their destinations are locked.

    Where nothing but slots counts they are written together, elsewhere one after another.
    """
    owed = [each for each in told if _owes(each) is not None]
    known = await places.look(session, {_where(each) for each in owed})
    slow = {where for where, place in known.items() if not place.plain}
    if terms.rate_per_second is not None:
        slow = set(known)
    slow |= {_where(each) for each in owed if _chain(each) is not None}
    fast = [each for each in told if _owes(each) is None or _where(each) not in slow]
    rows: list[_Row] = []
    applied: dict[str, Applied] = {}
    for each in fast:
        if _owes(each) is not None:
            row, applied[each.event_id] = _owe(session, each, known[_where(each)], terms)
            rows.append(row)
    await _write(session, fast, rows)
    await places.write(session, known.values())
    for each in told:
        if _owes(each) is not None and _where(each) in slow:
            applied[each.event_id] = await _owe_slowly(session, each, terms)
    return [applied.get(each.event_id, Applied()) for each in told]


_Row: TypeAlias = tuple[object, ...]


async def _write(session: Session, told: Sequence[Told], rows: Sequence[_Row]) -> None:
    events = [
        (
            each.event_id,
            each.job.caller_id,
            each.job_seq,
            each.type.value,
            each.job.event_count,
            each.at,
            each.data,
        )
        for each in told
    ]
    if rows:
        deliveries = columns(rows, 15)
        await session.execute(_EVENTS_OWE, *columns(events, 7), session.links_base, *deliveries)
    elif events:
        await session.execute(_EVENTS_ADD, *columns(events, 7), session.links_base)


def _owes(told: Told) -> Callback | None:
    """Where an event is to go, if it is."""
    return told.job.callback if told.sent and wants(told.job, told.type) else None


def _callback(told: Told) -> Callback:
    if told.job.callback is None:
        raise AssertionError("nothing is owed without a callback")
    return told.job.callback


def _where(told: Told) -> Where:
    return told.job.caller_id, _callback(told).origin, ""


def _chain(told: Told) -> str | None:
    """The chain that the delivery of an event stands in: those of last events, if asked."""
    callback, job = _callback(told), told.job
    if callback.ordered is None or told.data is not None:
        return None
    return chain_of(job.caller_id, callback.url, job.ordering_key, job.id)


def _due_at(told: Told, now: Instant, terms: DeliveryTerms) -> Instant:
    """A job's last event goes by its schedule, any other is due at once."""
    if told.data is not None:
        return now
    schedule = _callback(told).own_schedule
    wait_seconds = terms.first_wait_seconds if schedule is None else schedule.seconds[0]
    return now + round(wait_seconds * 1000)


def _owe(session: Session, told: Told, place: Place, terms: DeliveryTerms) -> tuple[_Row, Applied]:
    """One delivery to a plain destination, leased at once if that is asked and may be."""
    now = session.now
    due_at = _due_at(told, now, terms)
    free = place.sending < terms.slots and (place.fresh_at is None or place.fresh_at > now)
    if told.data is None and told.hand_off and free and due_at == now:
        made = _Made(session, told, place, due_at, terms, leased=True)
        place.lease(made.until or now)
        place.be_ready_by(made.until, None)
        return made.row(), Applied((made.handed(),))
    made = _Made(session, told, place, due_at, terms)
    return made.row(), Applied(delivery_ready_at=place.wait(due_at, now, terms.slots))


async def _owe_slowly(session: Session, told: Told, terms: DeliveryTerms) -> Applied:
    """One delivery where more than slots counts: a breaker, a rate, a pause, an order."""
    where, chain = _where(told), _chain(told)
    place = (await places.look(session, (where,)))[where]
    due_at = _due_at(told, session.now, terms)
    blocked = chain is not None and await must_wait(session, chain)
    line = OWN_LINE
    if not place.plain:
        line = await line_of(session, place.seq, _callback(told).url)
    due = place.fresh_at is not None and place.fresh_at <= session.now
    asked = told.data is None and told.hand_off and due_at == session.now
    goes = asked and not due and not blocked and line == OWN_LINE
    leased = goes and await _may_go(session, place, terms)
    made = _Made(session, told, place, due_at, terms, leased=leased)
    made.stand(line, chain, blocked=blocked)
    await _write(session, (told,), (made.row(),))
    if leased:
        await gates.renew(session, place.seq, terms)
        return Applied((made.handed(),))
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


class _Made:
    """A delivery that is made, with its row."""

    def __init__(
        self,
        session: Session,
        told: Told,
        place: Place,
        due_at: Instant,
        terms: DeliveryTerms,
        *,
        leased: bool = False,
    ) -> None:
        callback = _callback(told)
        self._told = told
        self._place = place
        self._event = told.event(session.links_base)
        self.lease = session.ids.new("lse") if leased else None
        self.until = session.now + round(terms.lease_seconds * 1000) if leased else None
        self._line = OWN_LINE
        self._chain: str | None = None
        self.delivery = Delivery(
            id=session.ids.new("dlv"),
            event_id=told.event_id,
            event_type=told.type,
            job_id=told.job.id,
            caller_id=told.job.caller_id,
            url=callback.url,
            origin=callback.origin,
            state=DeliveryState.SENDING if leased else DeliveryState.PENDING,
            created_at=told.at,
            due_at=due_at,
        )

    def stand(self, line: int, chain: str | None, *, blocked: bool) -> None:
        """Say in which line and chain it stands."""
        self._line, self._chain = line, chain
        ordered = None if chain is None else _callback(self._told).ordered
        self.delivery = replace(self.delivery, ordered=ordered, blocked=blocked)

    def handed(self) -> LeasedDelivery:
        """It, to whoever may send it at once."""
        told = self._told
        return LeasedDelivery(self.delivery, self.lease or "", self._event, told.job, told.result)

    def row(self) -> _Row:
        """Its row, as `events_owe.sql` takes it."""
        delivery = self.delivery
        return (
            delivery.id,
            self._place.seq,
            self._told.job_seq,
            delivery.event_id,
            delivery.url,
            delivery.origin,
            delivery.state.value,
            self.lease,
            self.until,
            delivery.due_at,
            delivery.caller_id,
            self._line,
            self._chain,
            delivery.ordered,
            delivery.blocked,
        )
