"""The audit log."""

from __future__ import annotations

import sqlite3

from dispatcher.adapters.sqlite.reader import Readers
from dispatcher.adapters.sqlite.reading import LAST, page_of
from dispatcher.adapters.sqlite.rows import Row
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.adapters.sqlite.writer import Writer
from dispatcher.adapters.stored import audit_entry_of
from dispatcher.core.audit import AuditEntry
from dispatcher.ports.audit import AuditFilter, AuditPage
from dispatcher.ports.portions import LOOK_ROWS

_ADD = statement("audit_add")
_LIST = statement("audit_before")
_LIST_OF_CALLER = statement("audit_of_caller")
_LIST_OF_TARGET = statement("audit_of_target")


class AuditKept:
    """The part of the store that keeps the audit log: implements `ports.audit.AuditStore`."""

    _readers: Readers
    _writer: Writer

    async def add_audit(self, entry: AuditEntry) -> bool:
        """See `AuditStore.add_audit`."""
        return await self._writer.one(add_audit, entry)

    async def list_audit(self, wanted: AuditFilter, *, limit: int, before: int | None) -> AuditPage:
        """See `AuditStore.list_audit`."""
        return await self._readers.ask(list_audit, wanted, limit=limit, before=before)


def add_audit(session: Session, entry: AuditEntry | None) -> bool:
    """Write an entry, if there is one; whether it was not there before."""
    if entry is None:
        return False
    actor = entry.actor
    written = session.execute(
        _ADD,
        {
            "id": entry.id,
            "at": entry.at,
            "action": entry.action,
            "target": entry.target,
            "caller_id": entry.caller_id,
            "via": actor.via.value,
            "actor_id": actor.caller_id,
            "key_id": actor.key_id,
            "address": actor.address,
            "request_id": actor.request_id,
            "detail": entry.detail.decode(),
        },
    )
    return written.rowcount == 1


def list_audit(
    read: sqlite3.Connection, wanted: AuditFilter, *, limit: int, before: int | None
) -> AuditPage:
    """Entries, newest first."""
    parameters = {
        "before": LAST if before is None else before,
        "look": LOOK_ROWS,
        "caller_id": wanted.caller_id,
        "target": wanted.target,
    }
    sql = _LIST
    if wanted.target is not None:
        sql = _LIST_OF_TARGET
    elif wanted.caller_id is not None:
        sql = _LIST_OF_CALLER

    def fitting(row: Row) -> AuditEntry | None:
        entry = audit_entry_of(row)
        return entry if wanted.admits(entry) else None

    found, following = page_of(read.execute(sql, parameters), fitting, limit)
    return AuditPage(tuple(entry for _, entry in found), following)
