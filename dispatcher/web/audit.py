"""`/v1/audit`: what operators did."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web
from msgspec import Raw

from dispatcher.core.audit import AuditAction, AuditEntry
from dispatcher.core.payload import rfc3339
from dispatcher.ports.audit import AuditFilter
from dispatcher.web.auth import Identity
from dispatcher.web.queries import (
    PAGE,
    number_cursor,
    page,
    read_caller_id,
    read_cursor,
    read_instant,
    read_limit,
    read_query,
    read_text,
    read_word,
)
from dispatcher.web.services import Services

_PARAMETERS: Final = PAGE | {
    "action",
    "target",
    "callerId",
    "actorId",
    "createdAfter",
    "createdBefore",
}


class AuditLog:
    """The handler of `/v1/audit`; for operators."""

    def __init__(self, services: Services) -> None:
        self._store = services.store
        self._limits = services.limits
        self._public_url = services.public_url

    async def list(self, request: web.Request, who: Identity) -> web.Response:  # noqa: ARG002  # the same for every operator
        """`GET /v1/audit`: newest first."""
        query = read_query(request, _PARAMETERS)
        action = read_word(query, "action", AuditAction)
        wanted = AuditFilter(
            caller_id=read_caller_id(query),
            actor_id=read_caller_id(query, "actorId"),
            action=None if action is None else action.value,
            target=read_text(query, "target", self._limits),
            created_after=read_instant(query, "createdAfter"),
            created_before=read_instant(query, "createdBefore"),
        )
        found = await self._store.list_audit(
            wanted, limit=read_limit(query, self._limits), before=read_cursor(query, "audit")
        )
        items = [entry_shown(each) for each in found.items]
        return page(request, self._public_url, query, items, number_cursor("audit", found.next))


def entry_shown(entry: AuditEntry) -> dict[str, Any]:
    """An entry as operators see it. `callerId` is whose the target is, `actor` who did it."""
    actor = entry.actor
    return {
        "id": entry.id,
        "at": rfc3339(entry.at),
        "action": entry.action,
        "target": entry.target,
        "callerId": entry.caller_id,
        "actor": {
            "via": actor.via,
            "callerId": actor.caller_id,
            "keyId": actor.key_id,
            "address": actor.address,
        },
        "requestId": actor.request_id,
        "detail": Raw(entry.detail),
    }
