"""What both stores have alike: names that stand in rows, and rows to values.

Rows are read by position, as the queries of both name the columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from dispatcher.core.audit import Actor, AuditEntry, Via
from dispatcher.core.breaker import Breaker, state_of
from dispatcher.core.model import Instant
from dispatcher.ports.views import DestinationRecord

ENCRYPTION_KEY: Final = "encryption key"
"""The row of `meta` that proves which key has sealed what the store holds."""

CHECKED: Final = "checked"
"""The row of `meta` that is written to see whether writing works."""

ALL_QUEUES: Final = ""
"""The name under which all queues are paused together."""

breaker_of: Final = msgspec.json.Decoder(Breaker).decode


def audit_entry_of(row: Iterable[Any]) -> AuditEntry:
    """An entry of the audit log from the columns of `audit.*`."""
    _, id_, at, action, target, caller_id, via, actor_id, key_id, address, request_id, detail = row
    actor = Actor(
        via=Via(via), caller_id=actor_id, key_id=key_id, address=address, request_id=request_id
    )
    return AuditEntry(
        id=id_,
        at=at,
        action=action,
        target=target,
        actor=actor,
        caller_id=caller_id,
        detail=detail.encode(),
    )


def destination_record_of(row: Iterable[Any], now: Instant) -> DestinationRecord:
    """A destination as operators see it, as `list_destinations` and `destination_found` read it."""
    _, id_, caller_id, origin, endpoint_id, text, paused_at, held_at, *counts = row
    sending, waiting, due, oldest_at, urls_in_trouble = counts
    breaker = None if text is None else breaker_of(text)
    return DestinationRecord(
        id=id_,
        caller_id=caller_id,
        origin=origin,
        endpoint_id=endpoint_id or None,
        breaker=state_of(breaker),
        open_until=None if breaker is None else breaker.open_until,
        paused_at=paused_at,
        held_at=held_at,
        sending=sending,
        waiting=waiting,
        due=due,
        oldest_due_at=oldest_at if oldest_at is not None and oldest_at <= now else None,
        urls_in_trouble=urls_in_trouble,
    )
