"""The orders of bulk operations, checked when they are submitted."""

from __future__ import annotations

import hashlib
from typing import Final

from msgspec import Raw
from msgspec.structs import replace

from dispatcher.core.audit import Actor, AuditAction, AuditEntry
from dispatcher.core.bulk import BulkKind, read_order
from dispatcher.core.errors import FieldError, Forbidden, InvalidFields
from dispatcher.engine.audit import Entries
from dispatcher.ports.records import Added, Taken
from dispatcher.web.auth import Identity
from dispatcher.web.services import Services

_KINDS: Final = {kind.value: kind for kind in BulkKind}

ORDERS: Final = frozenset(_KINDS)
"""The types of jobs that order something: nothing is to be checked of the others."""


class Orders:
    """What a submission may order beyond what the schema of its type says."""

    def __init__(self, services: Services) -> None:
        self._store = services.store
        self._ids = services.ids
        self._audit = Entries(services.clock, services.ids)

    async def check(
        self,
        type_: str,
        body: bytes,
        caller_id: str,
        who: Identity,
        actor: Actor,
        *,
        key: str | None,
    ) -> AuditEntry | None:
        """Pass what is no bulk operation, or one that `who` may order as a job of that caller.

        Whoever runs it later believes its `callerId`: so each way in comes through here. An order
        about another's things stands in the audit log, before the job is there; but one with an
        Idempotency-Key stands there once, however often it is sent. Such a one, sent before, is
        given back, for `taken` to be told of.

        Raises:
            InvalidFields: it names a time or a caller that there is not.
            Forbidden: it names another caller, and `who` is no operator.
        """
        kind = _KINDS.get(type_)
        if kind is None:
            return None
        named = read_order(kind, body).caller_id
        if named is None or named == caller_id:
            return None
        if not who.sees_all:
            raise Forbidden("Only a key with the role operator may name another callerId.")
        if await self._store.find_caller(named) is None:
            fault = FieldError("/input/callerId", "unknown-caller", "There is no such caller.")
            raise InvalidFields((fault,))
        order = AuditAction.BULK_ORDER
        told = self._audit.of(actor, order, named, caller_id=named, type=type_, input=Raw(body))
        if key is not None:
            told = replace(told, id=_id_of(caller_id, key))
        return None if await self._store.add_audit(told) else told

    async def taken(self, told: AuditEntry | None, result: Taken) -> None:
        """Tell what came of an order that was sent before, as `check` gave it.

        If it is a job of its own all the same (the first was refused, or is long ago), it stands in
        the audit log as one.
        """
        if told is not None and isinstance(result, Added):
            await self._store.add_audit(replace(told, id=self._ids.new("aud")))


def _id_of(caller_id: str, key: str) -> str:
    """The same for the same key of the same caller, in the form of ids (RFC 9562, 5.8)."""
    digits = hashlib.sha256(f"{AuditAction.BULK_ORDER} {caller_id} {key}".encode()).hexdigest()
    return f"aud_{digits[:12]}8{digits[13:16]}8{digits[17:32]}"
