"""Erasing a job that is done, with all that is its own."""

from __future__ import annotations

from typing import assert_never

from dispatcher.core.audit import Actor, AuditAction
from dispatcher.core.errors import DeliveriesOpen, DeliveriesSending, JobNotDone, NotFound
from dispatcher.core.facts import ActionAudited, JobErased
from dispatcher.engine.audit import Entries
from dispatcher.engine.deliver import Deliveries
from dispatcher.engine.terms import System
from dispatcher.ports.erasing import Erasure
from dispatcher.ports.records import DeliveryTerms
from dispatcher.ports.store import Store


class Erase:
    """Erases jobs at their caller's word; the sweep erases those past their time."""

    def __init__(
        self, store: Store, deliveries: Deliveries, terms: DeliveryTerms, system: System
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._terms = terms
        self._observer = system.observer
        self._audit = Entries(system.clock, system.ids)

    async def erase(
        self,
        job_id: str,
        caller_id: str | None,
        actor: Actor | None = None,
        *,
        cancel_deliveries: bool = False,
    ) -> None:
        """Erase a job; one that was erased before stays so.

        If `actor` is another than its caller it stands in the audit log. Raises `NotFound`,
        `JobNotDone`, `DeliveriesOpen` while it owes deliveries, which `cancel_deliveries` cancels,
        `DeliveriesSending` while one of them is under way all the same, `StoreUnavailable`.
        """
        told = None
        if caller_id is None and (record := await self._store.get_job(job_id, None)) is not None:
            job = record.job
            told = self._audit.of_another(
                actor, AuditAction.JOB_DELETE, job.id, job.caller_id, type=job.type
            )
        erasure = await self._store.erase_job(
            job_id, caller_id, self._terms, cancel_deliveries=cancel_deliveries, entry=told
        )
        if erasure in {Erasure.ERASED, Erasure.SENDING}:
            self._deliveries.wake()  # one that waited behind its own may go now
        match erasure:
            case Erasure.ERASED:
                if told is not None:
                    self._observer.saw(ActionAudited(told))
                self._observer.saw(JobErased(job_id, caller_id))
            case Erasure.NO_JOB:
                raise NotFound("job", job_id)
            case Erasure.NOT_DONE:
                raise JobNotDone("The job is not done yet: cancel it first, or wait for its end.")
            case Erasure.OWES:
                raise DeliveriesOpen(
                    "The job owes deliveries that have not ended: wait for them, or repeat this "
                    "with ?cancelDeliveries=true."
                )
            case Erasure.SENDING:
                raise DeliveriesSending(
                    "The job's deliveries are canceled, but one is being sent at this moment: "
                    "repeat this when its attempt has ended."
                )
            case _:
                assert_never(erasure)
