"""Events, and the deliveries that they owe to the job's callback URL: a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from dispatcher.adapters.postgres import places
from dispatcher.adapters.postgres.places import Place
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
    """Write events with the deliveries that they owe; their destinations are locked."""
    owed = [
        (each, each.job.callback)
        for each in told
        if each.sent and each.job.callback is not None and wants(each.job, each.type)
    ]
    known = await places.look(session, {(t.job.caller_id, c.origin, "") for t, c in owed})
    applied: dict[str, Applied] = {}
    deliveries = []
    for each, callback in owed:
        place = known[each.job.caller_id, callback.origin, ""]
        row, applied[each.event_id] = _owe(session, each, callback, place, terms)
        deliveries.append(row)
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
    if deliveries:
        await session.execute(
            _EVENTS_OWE, *columns(events, 7), session.links_base, *columns(deliveries, 11)
        )
        await places.write(session, known.values())
    else:
        await session.execute(_EVENTS_ADD, *columns(events, 7), session.links_base)
    return [applied.get(each.event_id, Applied()) for each in told]


def _owe(
    session: Session, told: Told, callback: Callback, place: Place, terms: DeliveryTerms
) -> tuple[tuple[object, ...], Applied]:
    """The row of one delivery, leased at once if that is asked and may be; and what it answers.

    A job's last event goes by its schedule, any other is due at once.
    """
    now = session.now
    due_at = now
    if told.data is None:
        schedule = callback.own_schedule
        wait_seconds = terms.first_wait_seconds if schedule is None else schedule.seconds[0]
        due_at = now + round(wait_seconds * 1000)
    free = place.sending < terms.slots and (place.pending_at is None or place.pending_at > now)
    handed = told.data is None and told.hand_off and free and due_at == now
    lease = session.ids.new("lse") if handed else None
    until = now + round(terms.lease_seconds * 1000) if handed else None
    delivery = Delivery(
        id=session.ids.new("dlv"),
        event_id=told.event_id,
        event_type=told.type,
        job_id=told.job.id,
        caller_id=told.job.caller_id,
        url=callback.url,
        origin=callback.origin,
        state=DeliveryState.SENDING if handed else DeliveryState.PENDING,
        created_at=told.at,
        due_at=due_at,
    )
    if lease is not None and until is not None:
        place.lease(until)
        place.be_ready_by(until, None)
        event = told.event(session.links_base)
        leased = LeasedDelivery(delivery, lease, event, told.job, told.result)
        applied = Applied((leased,))
    else:
        applied = Applied(delivery_ready_at=_wait(place, due_at, now, terms.slots))
    row = (
        delivery.id,
        place.seq,
        told.job_seq,
        told.event_id,
        delivery.url,
        delivery.origin,
        delivery.state.value,
        lease,
        until,
        due_at,
        delivery.caller_id,
    )
    return row, applied


def _wait(place: Place, due_at: Instant, now: Instant, slots: int) -> Instant:
    """One more waits there; gives when it can be claimed: at a full one, when a lease ends.

    Sooner, if a slot comes free: whoever frees it sees to that.
    """
    place.pending_at = places.earliest(place.pending_at, due_at)
    until = place.first_until
    if place.sending >= slots and until is not None and until > due_at:
        place.be_ready_by(until, slots)
        return max(until if place.ready_at is None else min(until, place.ready_at), now)
    place.be_ready_by(due_at, None)
    return due_at
