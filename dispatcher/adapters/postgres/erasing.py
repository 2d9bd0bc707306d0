"""Erasing jobs, and remembering for a while what was erased."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dispatcher.adapters.postgres import chains, destinations
from dispatcher.adapters.postgres.applying import apply_locked
from dispatcher.adapters.postgres.audit import add_audit
from dispatcher.adapters.postgres.batching import Entry
from dispatcher.adapters.postgres.locking import Locked
from dispatcher.adapters.postgres.rows import JOB_SEQ, Row, job_of
from dispatcher.adapters.postgres.session import Kind, Session, Witness
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.changes import AskCancelDelivery, Audited, Change, EndDelivery
from dispatcher.core.model import DeliveryState, Instant
from dispatcher.ports.asked import ErasedJob
from dispatcher.ports.erasing import Erasure

_JOBS_LOCK: Final = statement("jobs_lock")
_DELIVERIES_LOCK: Final = statement("deliveries_lock_to_erase")
_ERASE: Final = statement("prune_jobs")
_ERASE_ALONE: Final = statement("prune_alone")
_ERASED_FIND: Final = statement("erased_find")
_ERASED_FORGET: Final = statement("prune_erased")

_OPEN: Final = frozenset({DeliveryState.PENDING.value, DeliveryState.SENDING.value})
_NONE_KEPT: Final = 2**63 - 1
"""Deliveries that are dead since before then keep no job: none does."""


class Eraser:
    """Erases jobs, and knows of what was erased in the last `kept_seconds`."""

    def __init__(self, kept_seconds: float) -> None:
        self._kept_ms = round(kept_seconds * 1000)

    async def erase_jobs(
        self, session: Session, entries: Sequence[Entry[ErasedJob]]
    ) -> list[Erasure]:
        """Erase jobs, each if it is done and owes nothing."""
        rows = await session.fetch(_JOBS_LOCK, list({entry.item.job_id for entry in entries}))
        there = {row["id"]: row for row in rows}
        ended = {row[JOB_SEQ] for row in rows if job_of(row).done}
        locked = await _lock_deliveries(session, sorted(ended))
        await session.began()
        answers = []
        for entry in entries:
            wanted = entry.item
            answer = await self._erase_job(session, wanted, there.get(wanted.job_id), locked)
            if answer is Erasure.ERASED:
                there.pop(wanted.job_id, None)
            answers.append(answer)
        return answers

    async def _erase_job(
        self, session: Session, wanted: ErasedJob, row: Row | None, locked: Locked
    ) -> Erasure:
        if row is None:
            known = await self._was_erased(session, wanted.job_id, wanted.caller_id)
            return Erasure.ERASED if known else Erasure.NO_JOB
        job, seq = job_of(row), row[JOB_SEQ]
        if wanted.caller_id not in (None, job.caller_id):
            return Erasure.NO_JOB
        if not job.done:
            return Erasure.NOT_DONE
        owed = [
            each
            for each in locked.deliveries.values()
            if each["job_seq"] == seq and each["state"] in _OPEN
        ]
        if owed and not wanted.cancel_deliveries:
            return Erasure.OWES
        sending = any(each["state"] == DeliveryState.SENDING for each in owed)
        open_ = [each for each in owed if each["cancel_requested_at"] is None]
        if open_ or not sending:  # else this was asked before, and changes nothing
            await add_audit(session, wanted.entry)
        ends: list[Entry[Change | Audited]] = [Entry(0, _end(each, session.now)) for each in open_]
        await apply_locked(session, ends, locked, wanted.terms)
        if sending:
            return Erasure.SENDING
        blocked = await chains.blocked_by(session, [seq])
        await self.erase(session, [seq], _NONE_KEPT)
        await chains.advance(session, blocked)
        if self._kept_ms:
            session.witnesses.append(Witness(Kind.ERASED, wanted.job_id))
        return Erasure.ERASED

    async def erase(self, session: Session, seqs: Sequence[int], dead_since: Instant) -> int:
        """Erase jobs with all of their own, and remember that they were there; gives how many.

        One stays that owes a delivery, that has one which is dead since `dead_since` or later, or
        that somebody has locked.
        """
        at = session.now if self._kept_ms else None
        return len(await session.fetch(_ERASE, seqs, dead_since, at))

    async def erase_alone(
        self, session: Session, event_seqs: Sequence[int], dead_since: Instant
    ) -> None:
        """Erase events of no job with their deliveries, and remember that these were there.

        One stays as a job does in `erase`.
        """
        at = session.now if self._kept_ms else None
        await session.execute(_ERASE_ALONE, event_seqs, dead_since, at)

    async def forget(self, session: Session, limit: int) -> None:
        """Forget up to `limit` of what was erased long ago."""
        await session.execute(_ERASED_FORGET, session.now - self._kept_ms, limit)

    async def was_erased(self, session: Session, id_: str, caller_id: str | None) -> bool:
        """Whether something of that id and caller was erased."""
        await session.look_at_clock()
        return await self._was_erased(session, id_, caller_id)

    async def _was_erased(self, session: Session, id_: str, caller_id: str | None) -> bool:
        row = await session.one(_ERASED_FIND, id_, session.now - self._kept_ms)
        return row is not None and caller_id in (None, row[0])


def _end(row: Row, now: Instant) -> Change:
    if row["state"] == DeliveryState.SENDING:
        return AskCancelDelivery(row["id"], now)
    return EndDelivery(row["id"], DeliveryState.CANCELED, now)


async def _lock_deliveries(session: Session, jobs: Sequence[int]) -> Locked:
    """Lock the deliveries of locked jobs, then their destinations.

    One that is recorded meanwhile may leave another behind (that it is dead, to an endpoint): what
    is there is read until it is the same.
    """
    locked = Locked()
    while jobs:
        rows = await session.fetch(_DELIVERIES_LOCK, jobs)
        known, locked.deliveries = locked.deliveries, {row["id"]: row for row in rows}
        if known.keys() == locked.deliveries.keys():
            break
    await destinations.lock(
        session, {destinations.where_of(row) for row in locked.deliveries.values()}
    )
    return locked
