"""Bulk operations: built-in jobs that redeliver, cancel or replay many things of one caller.

Their input is read here, and what each of their members may say stands here as JSON Schema.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import Struct

from dispatcher.core.errors import FieldError, InvalidFields
from dispatcher.core.lifecycle import FINAL_DELIVERY_STATES, FINAL_JOB_STATES
from dispatcher.core.model import DeliveryState, EventType, Instant, JobStatus
from dispatcher.core.submission import TIME_EXAMPLE, parse_rfc3339

BUILT_IN_PREFIX: Final = "dispatcher."
"""Types of this service itself begin so. No bulk operation cancels or replays jobs of them."""


class BulkKind(StrEnum):
    """What a bulk operation does with each thing that it selects; its type of job."""

    REDELIVER = "dispatcher.redeliver"
    REPLAY = "dispatcher.replay"
    CANCEL = "dispatcher.cancel"


ENDED_STATUSES: Final = tuple(JobStatus(s.value) for s in sorted(FINAL_JOB_STATES))
OPEN_STATUSES: Final = tuple(s for s in JobStatus if s not in ENDED_STATUSES)

STATUSES: Final[dict[BulkKind, tuple[str, ...]]] = {
    BulkKind.REDELIVER: tuple(sorted(FINAL_DELIVERY_STATES)),
    BulkKind.REPLAY: ENDED_STATUSES,
    BulkKind.CANCEL: OPEN_STATUSES,
}
"""What `status` may say: what is redelivered or replayed has ended, what is canceled has not."""

DEFAULT_STATUS: Final[dict[BulkKind, str | None]] = {
    BulkKind.REDELIVER: DeliveryState.DEAD,
    BulkKind.REPLAY: JobStatus.FAILED,
    BulkKind.CANCEL: None,
}
"""What is meant without `status`; None: all that have not ended."""


class BulkOrder(Struct, frozen=True, kw_only=True):
    """What a bulk operation is asked to do: which things, and whether they are only counted.

    None is any. `state` is that of deliveries, `status` that of jobs (None: all that are open).
    `caller_id` is named by operators alone; None: whose job it is.
    """

    kind: BulkKind
    state: DeliveryState | None = None
    status: JobStatus | None = None
    event_type: EventType | None = None
    url: str | None = None
    type: str | None = None
    queue: str | None = None
    created_after: Instant | None = None
    created_before: Instant | None = None
    caller_id: str | None = None
    dry_run: bool = False


def schema_of(kind: BulkKind) -> bytes:
    """The JSON Schema of its input: each member is optional, and no other is taken."""
    time = {
        "type": "string",
        "format": "date-time",
        "pattern": r"^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$",
        "description": f"Leaves out what was made at that very instant. {TIME_EXAMPLE}.",
    }
    members: dict[str, Any] = {
        "status": {"enum": list(STATUSES[kind])},
        "createdAfter": time,
        "createdBefore": time,
        "callerId": {
            "type": "string",
            "pattern": "^clr_[0-9a-f]{32}$",
            "description": "For operators: whose things, instead of one's own.",
        },
        "dryRun": {"type": "boolean", "default": False, "description": "Count, change nothing."},
    }
    default = DEFAULT_STATUS[kind]
    if default is not None:
        members["status"]["default"] = default
    name = {"type": "string", "minLength": 1}
    if kind is BulkKind.REDELIVER:
        members["eventType"] = {"enum": list(EventType)}
        members["url"] = name | {"description": "To exactly this URL."}
    else:
        members["type"] = name
        members["queue"] = name
    return msgspec.json.encode(
        {"type": "object", "properties": members, "additionalProperties": False}
    )


class _Asked(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    status: str | None = None
    event_type: EventType | None = None
    url: str | None = None
    type: str | None = None
    queue: str | None = None
    created_after: str | None = None
    created_before: str | None = None
    caller_id: str | None = None
    dry_run: bool = False


_read: Final = msgspec.json.Decoder(_Asked).decode


def read_order(kind: BulkKind, body: bytes) -> BulkOrder:
    """The order in an input that fits `schema_of(kind)`.

    Raises:
        InvalidFields: it does not fit, or names a time that there is not (31 February).
    """
    try:
        asked = _read(body)
    except msgspec.DecodeError as error:
        raise InvalidFields((FieldError("/input", "bad-input", str(error)),)) from None
    faults: list[FieldError] = []
    after = _instant("createdAfter", asked.created_after, faults)
    before = _instant("createdBefore", asked.created_before, faults)
    status = DEFAULT_STATUS[kind] if asked.status is None else asked.status
    if status is not None and status not in STATUSES[kind]:
        allowed = ", ".join(STATUSES[kind])
        faults.append(FieldError("/input/status", "bad-status", f"It must be one of: {allowed}."))
    if faults:
        raise InvalidFields(tuple(faults))
    of_deliveries = kind is BulkKind.REDELIVER
    return BulkOrder(
        kind=kind,
        state=DeliveryState(status) if of_deliveries and status is not None else None,
        status=None if of_deliveries or status is None else JobStatus(status),
        event_type=asked.event_type,
        url=asked.url,
        type=asked.type,
        queue=asked.queue,
        created_after=after,
        created_before=before,
        caller_id=asked.caller_id,
        dry_run=asked.dry_run,
    )


def _instant(member: str, text: str | None, faults: list[FieldError]) -> Instant | None:
    if text is None:
        return None
    instant = parse_rfc3339(text)
    if instant is None:
        faults.append(FieldError(f"/input/{member}", "bad-time", f"It must be {TIME_EXAMPLE}."))
    return instant
