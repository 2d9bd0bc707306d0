"""Redelivering and canceling one delivery: the use-cases that callers drive."""

from __future__ import annotations

from typing import Final, Protocol

from dispatcher.core.audit import Actor, AuditAction
from dispatcher.core.changes import EndDelivery
from dispatcher.core.errors import DeliveryPending, EndpointDeleted, NotFound, StoreUnavailable
from dispatcher.core.facts import DeliveryCancelAsked, Redelivered
from dispatcher.core.lifecycle import decide_cancel_delivery, decide_redeliver
from dispatcher.core.model import DeliveryState, Job
from dispatcher.engine.audit import Entries
from dispatcher.engine.commit import Commit
from dispatcher.engine.deliver import Deliveries
from dispatcher.engine.terms import System
from dispatcher.ports.endpoints import EndpointStore
from dispatcher.ports.readers import JobReader
from dispatcher.ports.records import Applied
from dispatcher.ports.views import DeliveryRecord

TRIES: Final = 5
"""How often a decision is made anew because the delivery moved on meanwhile."""


class RedeliveryStore(JobReader, EndpointStore, Protocol):
    """Of the store, what redelivering asks."""


class Redeliver:
    """Begins a new round of attempts for a delivery that has ended, however it ended."""

    def __init__(
        self, store: RedeliveryStore, deliveries: Deliveries, commit: Commit, system: System
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._commit = commit
        self._clock = system.clock
        self._observer = system.observer
        self._audit = Entries(system.clock, system.ids)

    async def redeliver(
        self, delivery_id: str, caller_id: str | None, actor: Actor | None = None
    ) -> DeliveryRecord:
        """Begin a new round, and give the delivery as it is now.

        The same event goes to the same URL: `webhook-id` and body are as before, and the attempts
        count on. Two requests at the same time begin one round. If `actor` is another than its
        caller it stands in the audit log. Raises `NotFound`, `DeliveryPending` while a round is
        under way, `EndpointDeleted`, `StoreUnavailable`.
        """
        for _ in range(TRIES):
            record = await _read(self._store, delivery_id, caller_id)
            change = decide_redeliver(record.delivery, now=self._clock.now())
            if change is None:
                raise DeliveryPending(
                    f"The delivery is {record.delivery.state}: its attempts are under way. Wait "
                    "for their end, or cancel it first."
                )
            await self._check_endpoint(record.delivery.endpoint_id)
            told = self._audit.of_another(
                actor, AuditAction.DELIVERY_REDELIVER, delivery_id, record.delivery.caller_id
            )
            job = await _job_of(self._store, record)
            result = await self._commit.by_hand(change, told)
            if isinstance(result, Applied):
                self._observer.saw(Redelivered(record.delivery, job))
                if result.delivery_ready_at is not None:  # else its endpoint is disabled
                    self._deliveries.wake(result.delivery_ready_at)
                return await _read(self._store, delivery_id, caller_id)
        raise StoreUnavailable("The delivery changes faster than it can be redelivered; try again.")

    async def _check_endpoint(self, endpoint_id: str | None) -> None:
        if endpoint_id is not None and await self._store.get_endpoint(endpoint_id, None) is None:
            raise EndpointDeleted(
                "The registered endpoint that it went to was deleted, and its secrets with it. "
                "Register the URL anew; its events from then on go there."
            )


class CancelDelivery:
    """Cancels deliveries: idempotent, and the first committed end wins."""

    def __init__(
        self, store: JobReader, deliveries: Deliveries, commit: Commit, system: System
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._commit = commit
        self._clock = system.clock
        self._observer = system.observer
        self._audit = Entries(system.clock, system.ids)

    async def cancel(
        self, delivery_id: str, caller_id: str | None, actor: Actor | None = None
    ) -> DeliveryRecord:
        """Cancel, and give the delivery as it is now.

        One that waits has ended. One that is being sent is noted, and ends with the attempt under
        way: delivered if that lands, else canceled. One that had ended is as it was. `actor` as in
        `Redeliver`. Raises `NotFound`, `StoreUnavailable`.
        """
        for _ in range(TRIES):
            record = await _read(self._store, delivery_id, caller_id)
            change = decide_cancel_delivery(record.delivery, now=self._clock.now())
            if change is None:
                return record
            told = self._audit.of_another(
                actor, AuditAction.DELIVERY_CANCEL, delivery_id, record.delivery.caller_id
            )
            job = await _job_of(self._store, record)
            result = await self._commit.by_hand(change, told)
            if isinstance(result, Applied):
                if result.delivery_ready_at is not None:  # the next in its order may go
                    self._deliveries.wake(result.delivery_ready_at)
                to = change.to if isinstance(change, EndDelivery) else DeliveryState.SENDING
                self._observer.saw(DeliveryCancelAsked(record.delivery, to, job))
                return await _read(self._store, delivery_id, caller_id)
        raise StoreUnavailable("The delivery changes faster than it can be canceled; try again.")


async def _read(store: JobReader, delivery_id: str, caller_id: str | None) -> DeliveryRecord:
    record = await store.get_delivery(delivery_id, caller_id)
    if record is None:
        raise NotFound("delivery", delivery_id)
    return record


async def _job_of(store: JobReader, record: DeliveryRecord) -> Job | None:
    """The delivery's job, so that what is told has its trace and correlation id."""
    job_id = record.delivery.job_id
    found = None if job_id is None else await store.get_job(job_id, None)
    return None if found is None else found.job
