"""What an event owes: deliveries to the job's callback URL, and to its caller's endpoints."""

from __future__ import annotations

from typing import Final, TypeAlias

from msgspec import Struct

from dispatcher.adapters.postgres.destinations import Destination, Where
from dispatcher.adapters.postgres.remembered import Waiting
from dispatcher.adapters.postgres.session import Session
from dispatcher.core.endpoints import Endpoint
from dispatcher.core.gate import OWN_LINE
from dispatcher.core.lifecycle import BEST_EFFORT_EVENTS, TERMINAL_EVENTS, wants
from dispatcher.core.model import Callback, Delivery, DeliveryState, Event, EventType, Instant, Job
from dispatcher.core.ordering import OnDead, chain_of
from dispatcher.ports.records import DeliveryTerms, LeasedDelivery

_AT_ONCE: Final = BEST_EFFORT_EVENTS | {EventType.PING}
"""These are due at once, whatever the schedule says."""

Row: TypeAlias = tuple[object, ...]


class Told(Struct, frozen=True, kw_only=True):
    """An event to write; `data` None: it is the job's last.

    `job` is the one to whose course it belongs; None: to none, then `whose` is its caller. `sent`
    False: nobody is sent it; `to_endpoints` False: no registered endpoint is.
    """

    event_id: str
    type: EventType
    at: Instant
    job_seq: int | None = None
    job: Job | None = None
    whose: str = ""
    data: bytes | None = None
    result: bytes | None = None
    hand_off: bool = False
    sent: bool = True
    to_endpoints: bool = True

    @property
    def caller_id(self) -> str:
        """Whose event it is."""
        return self.whose if self.job is None else self.job.caller_id

    @property
    def sequence(self) -> int | None:
        """Its place in the course of its job: the job's latest."""
        return None if self.job is None else self.job.event_count

    def event(self, links_base: str) -> Event:
        """The event itself."""
        return Event(
            id=self.event_id,
            job_id=None if self.job is None else self.job.id,
            caller_id=self.caller_id,
            type=self.type,
            sequence=self.sequence,
            at=self.at,
            links_base=links_base,
            data=self.data,
        )

    def row(self) -> Row:
        """Its row, as `events_add.sql` takes it."""
        return (
            self.event_id,
            self.caller_id,
            self.job_seq,
            self.type.value,
            self.sequence,
            self.at,
            self.data,
        )


class Debt:
    """An event that is owed to one receiver; once it is made, with its delivery's row.

    `chain`: the order that it stands in, if any; only the last events of jobs stand in one.
    """

    __slots__ = ("_on_dead", "_to", "chain", "delivery_id", "endpoint_id", "told", "url", "where")

    def __init__(self, session: Session, told: Told, endpoint: Endpoint | None = None) -> None:
        callback = None if told.job is None else told.job.callback
        to: Callback | Endpoint | None = callback if endpoint is None else endpoint
        if to is None:
            raise AssertionError("nothing is owed without a callback")
        ordered = None if callback is None else callback.ordered
        if endpoint is not None:
            ordered = OnDead.SKIP if endpoint.ordered else None
        self.told = told
        self.delivery_id = session.ids.new("dlv")
        self.endpoint_id = None if endpoint is None else endpoint.id
        self.url = to.url
        self.where: Where = (told.caller_id, to.origin, self.endpoint_id or "")
        self.chain: str | None = None
        self._to = to
        self._on_dead = None
        if ordered is not None and told.job is not None and told.type in TERMINAL_EVENTS:
            job, whose = told.job, self.endpoint_id or to.url
            self.chain = chain_of(job.caller_id, whose, job.ordering_key, job.id)
            self._on_dead = ordered

    @property
    def hand_off(self) -> bool:
        """Whether it is to be leased at once, if it may be: a job's last event, to its callback."""
        return self.told.hand_off and self.told.data is None and self.endpoint_id is None

    def due_at(self, now: Instant, terms: DeliveryTerms) -> Instant:
        """By the receiver's schedule, but for what is best effort."""
        if self.told.type in _AT_ONCE:
            return now
        schedule = self._to.own_schedule
        wait_seconds = terms.first_wait_seconds if schedule is None else schedule.seconds[0]
        return now + round(wait_seconds * 1000)

    def row(
        self,
        place: Destination,
        due_at: Instant,
        *,
        lease: str | None = None,
        until: Instant | None = None,
        line: int = OWN_LINE,
        blocked: bool = False,
    ) -> Row:
        """The row of its delivery, as `events_owe.sql` takes it."""
        state = DeliveryState.PENDING if lease is None else DeliveryState.SENDING
        caller_id, origin, _ = self.where
        return (
            self.delivery_id,
            place.seq,
            self.told.job_seq,
            self.told.event_id,
            self.url,
            origin,
            state.value,
            lease,
            until,
            due_at,
            caller_id,
            line,
            self.chain,
            self._on_dead,
            blocked,
            self.endpoint_id,
        )

    def handed(self, session: Session, due_at: Instant, lease: str) -> LeasedDelivery:
        """It, leased, to whoever may send it at once."""
        told = self.told
        event = told.event(session.links_base)
        delivery = self._delivery(event, due_at)
        return LeasedDelivery(delivery, lease, event, told.job, told.result)

    def waiting(self, session: Session, place_seq: int, due_at: Instant) -> Waiting:
        """It, as it waits, with all that is sent of it."""
        told = self.told
        event = told.event(session.links_base)
        return Waiting(self._delivery(event, due_at), place_seq, event, told.job, told.result)

    def _delivery(self, event: Event, due_at: Instant) -> Delivery:
        """It, while it is sent."""
        told = self.told
        return Delivery(
            id=self.delivery_id,
            event_id=told.event_id,
            event_type=told.type,
            job_id=event.job_id,
            caller_id=told.caller_id,
            url=self.url,
            origin=self.where[1],
            state=DeliveryState.SENDING,
            created_at=told.at,
            due_at=due_at,
            ordered=self._on_dead,
            endpoint_id=self.endpoint_id,
        )


EVENT_WIDTH: Final = 7
"""So many columns has the row of an event."""


def debts_of(session: Session, told: Told) -> list[Debt]:
    """To whom an event is owed, as far as endpoints are locked: `session.registered`."""
    if not told.sent:
        return []
    debts = []
    if told.job is not None and wants(told.job, told.type):
        debts.append(Debt(session, told))
    if not told.to_endpoints:
        return debts
    owed = session.registered.owed(told.caller_id, told.type)
    return [*debts, *(Debt(session, told, endpoint) for endpoint in owed)]
