"""The audit log."""

from __future__ import annotations

from collections.abc import Sequence

from dispatcher.adapters.postgres.batching import Batcher, Entry
from dispatcher.adapters.postgres.reader import Readers
from dispatcher.adapters.postgres.reading import page_of
from dispatcher.adapters.postgres.rows import Row
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.adapters.stored import audit_entry_of
from dispatcher.core.audit import AuditEntry
from dispatcher.ports.audit import AuditFilter, AuditPage

_ADD = statement("audit_add")
_LIST = statement("audit_before")
_LIST_OF_CALLER = statement("audit_of_caller")
_LIST_OF_TARGET = statement("audit_of_target")


class AuditKept:
    """The part of the store that keeps the audit log: implements `ports.audit.AuditStore`."""

    _readers: Readers
    _rest: Batcher

    async def add_audit(self, entry: AuditEntry) -> bool:
        """See `AuditStore.add_audit`."""
        return await self._rest.one(_add_all, entry)

    async def list_audit(self, wanted: AuditFilter, *, limit: int, before: int | None) -> AuditPage:
        """See `AuditStore.list_audit`."""
        return await self._readers.ask(list_audit, wanted, limit=limit, before=before)


async def _add_all(session: Session, entries: Sequence[Entry[AuditEntry]]) -> list[bool]:
    await session.began()
    return [await add_audit(session, entry.item) for entry in entries]


async def add_audit(session: Session, entry: AuditEntry | None) -> bool:
    """Write an entry, if there is one; whether it was not there before."""
    if entry is None:
        return False
    actor = entry.actor
    done: str = await session.execute(
        _ADD,
        entry.id,
        entry.at,
        entry.action,
        entry.target,
        entry.caller_id,
        actor.via.value,
        actor.caller_id,
        actor.key_id,
        actor.address,
        actor.request_id,
        entry.detail.decode(),
    )
    return done == "INSERT 0 1"


async def list_audit(
    session: Session, wanted: AuditFilter, *, limit: int, before: int | None
) -> AuditPage:
    """Entries, newest first."""
    sql, given = _LIST, []
    if wanted.target is not None:
        sql, given = _LIST_OF_TARGET, [wanted.target]
    elif wanted.caller_id is not None:
        sql, given = _LIST_OF_CALLER, [wanted.caller_id]

    async def rows(before: int, look: int) -> Sequence[Row]:
        return await session.fetch(sql, before, look, *given)

    def fitting(row: Row) -> AuditEntry | None:
        entry = audit_entry_of(row)
        return entry if wanted.admits(entry) else None

    found, following = await page_of(rows, fitting, limit, before)
    return AuditPage(tuple(entry for _, entry in found), following)
