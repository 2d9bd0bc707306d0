"""Events, and the deliveries that they owe."""

from __future__ import annotations

from dispatcher.adapters.sqlite import chains, destinations
from dispatcher.adapters.sqlite.breakers import line_of
from dispatcher.adapters.sqlite.destinations import OWN_LINE
from dispatcher.adapters.sqlite.sending import lease_until
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.lifecycle import TERMINAL_EVENT
from dispatcher.core.model import Delivery, DeliveryState, Event, EventType, Instant, Job
from dispatcher.core.ordering import chain_of
from dispatcher.core.payload import is_terminal
from dispatcher.ports.records import Applied, DeliveryTerms, LeasedDelivery

_EVENT_ADD = statement("event_add")
_DELIVERY_ADD = statement("delivery_add")


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
    row = (
        event_id,
        job.caller_id,
        job_seq,
        type_.value,
        event.sequence,
        at,
        session.links_base,
        data,
    )
    event_seq = session.execute(_EVENT_ADD, row).lastrowid
    if event_seq is None:
        raise AssertionError("an insert has a row id")
    return event, event_seq


class Owed:
    """The delivery that an event owes to the job's callback URL."""

    def __init__(
        self, session: Session, job_seq: int, event_seq: int, job: Job, event: Event
    ) -> None:
        if job.callback is None:
            raise AssertionError("nothing is owed without a callback")
        self.session = session
        self.callback = job.callback
        self.job_seq = job_seq
        self.event_seq = event_seq
        self.job = job
        self.event = event
        self.line = OWN_LINE
        self.chain: str | None = None
        self.blocked = False

    def add(self, terms: DeliveryTerms, *, hand_off: bool, result: bytes | None) -> Applied:
        """Owe the last event by the schedule, and lease it at once if that is asked and may be."""
        session = self.session
        schedule = self.callback.own_schedule
        wait_seconds = terms.first_wait_seconds if schedule is None else schedule.seconds[0]
        due_at = session.now + round(wait_seconds * 1000)
        place = destinations.destination(session, self.job.caller_id, self.callback.origin)
        if self.callback.ordered is not None:
            self.chain = chain_of(
                self.job.caller_id, self.callback.url, self.job.ordering_key, self.job.id
            )
            self.blocked = chains.must_wait(session, self.chain)
        if not place.plain:
            self.line = line_of(session, place.seq, self.callback.url)
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

    def add_best_effort(self, terms: DeliveryTerms) -> Applied:
        """Owe an event that is not the last: due at once."""
        place = destinations.destination(self.session, self.job.caller_id, self.callback.origin)
        if not place.plain:
            self.line = line_of(self.session, place.seq, self.callback.url)
        return self._wait(place, self.session.now, terms, None)

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
        if place.sending >= terms.slots and is_terminal(self.event):
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
        delivery = Delivery(
            id=self.session.ids.new("dlv"),
            event_id=self.event.id,
            event_type=self.event.type,
            job_id=self.job.id,
            caller_id=self.job.caller_id,
            url=self.callback.url,
            origin=self.callback.origin,
            state=state,
            created_at=self.event.at,
            due_at=due_at,
            ordered=None if self.chain is None else self.callback.ordered,
            blocked=self.blocked,
        )
        self.session.execute(
            _DELIVERY_ADD,
            (
                delivery.id,
                destination_seq,
                self.job_seq,
                self.event_seq,
                delivery.url,
                delivery.origin,
                state.value,
                lease,
                until,
                delivery.created_at,
                due_at,
                delivery.caller_id,
                self.line,
                self.chain,
                None if self.chain is None else self.callback.ordered,
                self.blocked,
            ),
        )
        return delivery
