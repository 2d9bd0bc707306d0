"""Events, and the deliveries that they owe."""

from __future__ import annotations

from dispatcher.adapters.sqlite import chains, destinations
from dispatcher.adapters.sqlite.breakers import line_of
from dispatcher.adapters.sqlite.sending import lease_until
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.endpoints import Endpoint
from dispatcher.core.gate import OWN_LINE
from dispatcher.core.lifecycle import TERMINAL_EVENT
from dispatcher.core.model import Delivery, DeliveryState, Event, EventType, Instant, Job
from dispatcher.core.ordering import OnDead, chain_of
from dispatcher.core.payload import is_terminal
from dispatcher.ports.records import Applied, DeliveryTerms, LeasedDelivery

_EVENT_ADD = statement("event_add")
_DELIVERY_ADD = statement("delivery_add")
_DELIVERY_ADD_PLAIN = statement("delivery_add_plain")


def add_event(
    session: Session,
    job_seq: int,
    job: Job,
    event_id: str,
    at: Instant,
    note: tuple[EventType, bytes] | None,
) -> tuple[Event, int]:
    """Write an event; without `note` it is the job's last. Gives it and its number."""
    type_, data = (TERMINAL_EVENT[job.state], None) if note is None else note
    event = Event(
        id=event_id,
        job_id=job.id,
        caller_id=job.caller_id,
        type=type_,
        sequence=job.event_count,
        at=at,
        links_base=session.links_base,
        data=data,
    )
    return event, write_event(session, event, job_seq)


def write_event(session: Session, event: Event, job_seq: int | None) -> int:
    """Write an event as it is; gives its number."""
    row = (
        event.id,
        event.caller_id,
        job_seq,
        event.type._value_,
        event.sequence,
        event.at,
        event.links_base,
        event.data,
    )
    event_seq = session.write(_EVENT_ADD, row).lastrowid
    if event_seq is None:
        raise AssertionError("an insert has a row id")
    return event_seq


class Owed:
    """The delivery that an event owes: to the job's callback URL, or to a registered endpoint."""

    __slots__ = (
        "blocked",
        "chain",
        "delivery_id",
        "endpoint_id",
        "event",
        "event_seq",
        "job",
        "job_seq",
        "line",
        "on_dead",
        "session",
        "to",
    )

    def __init__(
        self,
        session: Session,
        job_seq: int | None,
        event_seq: int,
        job: Job | None,
        event: Event,
        endpoint: Endpoint | None = None,
    ) -> None:
        callback = None if job is None else job.callback
        to = callback if endpoint is None else endpoint
        if to is None:
            raise AssertionError("nothing is owed without a callback")
        ordered = None if callback is None else callback.ordered
        if endpoint is not None:
            ordered = OnDead.SKIP if endpoint.ordered else None
        self.session = session
        self.to = to
        # What a dead one does to the later ones of its chain; None: it is in no order.
        self.on_dead = ordered if is_terminal(event) else None
        self.endpoint_id = None if endpoint is None else endpoint.id
        self.delivery_id = session.ids.new("dlv")
        self.job_seq = job_seq
        self.event_seq = event_seq
        self.job = job
        self.event = event
        self.line = OWN_LINE
        self.chain: str | None = None
        self.blocked = False

    def add(self, terms: DeliveryTerms, *, hand_off: bool, result: bytes | None) -> Applied:
        """Owe the event by the schedule, and lease it at once if that is asked and may be."""
        session = self.session
        schedule = self.to.own_schedule
        wait_seconds = terms.first_wait_seconds if schedule is None else schedule.seconds[0]
        due_at = session.now + round(wait_seconds * 1000)
        place = self._place()
        if self.on_dead is not None and self.job is not None:
            whose = self.endpoint_id or self.to.url
            job = self.job
            self.chain = chain_of(job.caller_id, whose, job.ordering_key, job.id)
            self.blocked = chains.must_wait(session, self.chain)
        asked = hand_off and due_at == session.now and not place.due and not self.blocked
        if not (asked and self._may_go(place, terms)):
            return self._wait(place, due_at, terms, result)
        lease = session.ids.new("lse")
        until = lease_until(session.now, terms)
        delivery = self._add(place.seq, due_at, DeliveryState.SENDING, lease, until)
        if place.plain:
            destinations.ready_by(session, place.seq, place.ready_at, until)
        else:
            destinations.renew(session, place.seq, terms)
        return Applied((LeasedDelivery(delivery, lease, self.event, self.job, result),))

    def _may_go(self, place: destinations.Destination, terms: DeliveryTerms) -> bool:
        """Whether one more may be sent to the destination now; what a rate allows is taken."""
        if place.plain and terms.rate_per_second is None:
            return place.sending < terms.slots
        here = destinations.gate(self.session, place.seq)
        room = 0 if here.stopped else here.room(terms, self.session.now).free
        if self.line != OWN_LINE or room == 0:
            return False
        destinations.count_rate(self.session, place.seq, here, terms, 1)
        return True

    def add_at_once(self, terms: DeliveryTerms) -> Applied:
        """Owe the event whatever the schedule says: due at once, leased to nobody yet."""
        return self._wait(self._place(), self.session.now, terms, None)

    def _place(self) -> destinations.Destination:
        """The destination; it decides in which line of it the delivery waits."""
        caller_id, origin = self.event.caller_id, self.to.origin
        place = destinations.destination(self.session, caller_id, origin, self.endpoint_id)
        if not place.plain:
            self.line = line_of(self.session, place.seq, self.to.url)
        return place

    def _wait(
        self,
        place: destinations.Destination,
        due_at: Instant,
        terms: DeliveryTerms,
        result: bytes | None,
    ) -> Applied:
        delivery = self._add(place.seq, due_at, DeliveryState.PENDING, None, None)
        if self.blocked:
            return Applied()
        # What an endpoint is owed is read back: the endpoint may be another by then.
        if place.sending >= terms.slots and is_terminal(self.event) and self.endpoint_id is None:
            made_of = LeasedDelivery(delivery, "", self.event, self.job, result)
            self.session.waiting.keep(made_of)
        ready_at = destinations.wait(self.session, place, self.line, due_at, terms)
        return Applied(delivery_ready_at=ready_at)

    def _add(
        self,
        destination_seq: int,
        due_at: Instant,
        state: DeliveryState,
        lease: str | None,
        until: Instant | None,
    ) -> Delivery:
        """Write the delivery, pending or leased."""
        delivery = Delivery(
            id=self.delivery_id,
            event_id=self.event.id,
            event_type=self.event.type,
            job_id=self.event.job_id,
            caller_id=self.event.caller_id,
            url=self.to.url,
            origin=self.to.origin,
            state=state,
            created_at=self.event.at,
            due_at=due_at,
            endpoint_id=self.endpoint_id,
            ordered=None if self.chain is None else self.on_dead,
            blocked=self.blocked,
        )
        row = (
            delivery.id,
            destination_seq,
            self.job_seq,
            self.event_seq,
            delivery.url,
            delivery.origin,
            state._value_,
            lease,
            until,
            delivery.created_at,
            due_at,
            delivery.caller_id,
        )
        if self.endpoint_id is None and self.chain is None and self.line == OWN_LINE:
            seq = self.session.write(_DELIVERY_ADD_PLAIN, row).lastrowid
        else:
            ordered = delivery.ordered
            more = (delivery.endpoint_id, self.line, self.chain, ordered, self.blocked)
            seq = self.session.write(_DELIVERY_ADD, (*row, *more)).lastrowid
        if lease is not None and seq is not None:
            self.session.remembered.leased_delivery(lease, seq, destination_seq, delivery)
        return delivery
