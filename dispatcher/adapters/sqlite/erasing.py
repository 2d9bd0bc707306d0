"""Erasing jobs, and remembering for a while what was erased."""

from __future__ import annotations

import sqlite3
from typing import Final

from dispatcher.adapters.sqlite import chains
from dispatcher.adapters.sqlite.audit import add_audit
from dispatcher.adapters.sqlite.delivering import change_delivery
from dispatcher.adapters.sqlite.rows import JOB_SEQ, job_of
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.changes import AskCancelDelivery, EndDelivery
from dispatcher.core.model import DeliveryState, Instant
from dispatcher.ports.asked import ErasedJob
from dispatcher.ports.erasing import Erasure

_JOB_BY_ID: Final = statement("job_by_id")
_OPEN: Final = statement("deliveries_open_of_job")
_ERASED_ADD: Final = statement("erased_add")
_ERASED_ADD_ALONE: Final = statement("erased_add_alone")
_ALONE_DELIVERIES: Final = statement("prune_alone_deliveries")
_ALONE_EVENT: Final = statement("prune_alone")
_ERASED_FIND: Final = statement("erased_find")
_ERASED_FORGET: Final = statement("prune_erased")


class Eraser:
    """Erases jobs, and knows of what was erased in the last `kept_seconds`."""

    def __init__(self, kept_seconds: float) -> None:
        self._kept_ms = round(kept_seconds * 1000)

    def erase_job(self, session: Session, wanted: ErasedJob) -> Erasure:
        """Erase a job, if it is done and owes nothing."""
        row = session.one(_JOB_BY_ID, (wanted.job_id,))
        if row is None:
            known = self.was_erased(
                session.connection, wanted.job_id, wanted.caller_id, session.now
            )
            return Erasure.ERASED if known else Erasure.NO_JOB
        job, seq = job_of(row), row[JOB_SEQ]
        if wanted.caller_id not in (None, job.caller_id):
            return Erasure.NO_JOB
        if not job.done:
            return Erasure.NOT_DONE
        owed = session.execute(_OPEN, (seq,)).fetchall()
        if owed and not wanted.cancel_deliveries:
            return Erasure.OWES
        sending = any(state == DeliveryState.SENDING for _, state, _ in owed)
        open_ = [(delivery_id, state) for delivery_id, state, asked in owed if not asked]
        if open_ or not sending:  # else this was asked before, and changes nothing
            add_audit(session, wanted.entry)
        for delivery_id, state in open_:
            if state == DeliveryState.SENDING:
                change_delivery(session, AskCancelDelivery(delivery_id, session.now), wanted.terms)
            else:
                end = EndDelivery(delivery_id, DeliveryState.CANCELED, session.now)
                change_delivery(session, end, wanted.terms)
        if sending:
            return Erasure.SENDING
        self.erase(session, seq)
        return Erasure.ERASED

    def erase(self, session: Session, seq: int) -> int:
        """Erase a job with all of its own, and remember that it was there; gives 1."""
        if self._kept_ms:
            session.execute(_ERASED_ADD, {"seq": seq, "now": session.now})
        chains.erase_job(session, seq)
        return 1

    def erase_alone(self, session: Session, event_seq: int) -> int:
        """Erase an event of no job with its deliveries, and remember that they were there."""
        if self._kept_ms:
            session.execute(_ERASED_ADD_ALONE, {"seq": event_seq, "now": session.now})
        session.execute(_ALONE_DELIVERIES, (event_seq,))
        return session.execute(_ALONE_EVENT, (event_seq,)).rowcount

    def forget(self, session: Session, limit: int) -> int:
        """Forget up to `limit` of what was erased long ago; gives how many."""
        bound = {"since": session.now - self._kept_ms, "limit": limit}
        return session.execute(_ERASED_FORGET, bound).rowcount

    def was_erased(
        self, read: sqlite3.Connection, id_: str, caller_id: str | None, now: Instant
    ) -> bool:
        """Whether something of that id and caller was erased."""
        row = read.execute(_ERASED_FIND, {"id": id_, "since": now - self._kept_ms}).fetchone()
        return row is not None and caller_id in (None, row[0])
