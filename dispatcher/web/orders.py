"""The orders of bulk operations, checked when they are submitted."""

from __future__ import annotations

from typing import Final

from msgspec import Raw

from dispatcher.core.audit import Actor, AuditAction
from dispatcher.core.bulk import BulkKind, read_order
from dispatcher.core.errors import FieldError, Forbidden, InvalidFields
from dispatcher.engine.audit import Entries
from dispatcher.web.auth import Identity
from dispatcher.web.services import Services

_KINDS: Final = {kind.value: kind for kind in BulkKind}

ORDERS: Final = frozenset(_KINDS)
"""The types of jobs that order something: nothing is to be checked of the others."""


class Orders:
    """What a submission may order beyond what the schema of its type says."""

    def __init__(self, services: Services) -> None:
        self._store = services.store
        self._audit = Entries(services.clock, services.ids)

    async def check(
        self, type_: str, body: bytes, caller_id: str, who: Identity, actor: Actor
    ) -> None:
        """Pass what is no bulk operation, or one that `who` may order as a job of that caller.

        Whoever runs it later believes its `callerId`: so each way in comes through here. An order
        about another's things stands in the audit log, before the job is there.

        Raises:
            InvalidFields: it names a time or a caller that there is not.
            Forbidden: it names another caller, and `who` is no operator.
        """
        kind = _KINDS.get(type_)
        if kind is None:
            return
        named = read_order(kind, body).caller_id
        if named is None or named == caller_id:
            return
        if not who.sees_all:
            raise Forbidden("Only a key with the role operator may name another callerId.")
        if await self._store.find_caller(named) is None:
            fault = FieldError("/input/callerId", "unknown-caller", "There is no such caller.")
            raise InvalidFields((fault,))
        order = AuditAction.BULK_ORDER
        told = self._audit.of(actor, order, named, caller_id=named, type=type_, input=Raw(body))
        await self._store.add_audit(told)
