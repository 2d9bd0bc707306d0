"""The audit log: what operators did, to what, and from where."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from dispatcher.core.model import Instant


class AuditAction(StrEnum):
    """What can be done that is kept in the log."""

    CALLER_CREATE = "caller.create"
    CALLER_CHANGE = "caller.change"
    KEY_CREATE = "key.create"
    KEY_REVOKE = "key.revoke"
    SECRET_ROTATE = "secret.rotate"  # noqa: S105  # a word for what was done
    SERVICE_KEY_ROTATE = "service-key.rotate"
    JOB_CANCEL = "job.cancel"
    JOB_DELETE = "job.delete"
    BULK_ORDER = "bulk.order"
    DELIVERY_REDELIVER = "delivery.redeliver"
    DELIVERY_CANCEL = "delivery.cancel"
    QUEUE_PAUSE = "queue.pause"
    QUEUE_RESUME = "queue.resume"
    ENDPOINT_CREATE = "endpoint.create"
    ENDPOINT_CHANGE = "endpoint.change"
    ENDPOINT_DELETE = "endpoint.delete"
    ENDPOINT_ENABLE = "endpoint.enable"
    ENDPOINT_DISABLE = "endpoint.disable"
    ENDPOINT_PING = "endpoint.ping"
    ENDPOINT_SECRET_ROTATE = "endpoint-secret.rotate"  # noqa: S105  # a word for what was done
    DESTINATION_PAUSE = "destination.pause"
    DESTINATION_RESUME = "destination.resume"


class Via(StrEnum):
    """The way by which something was done: over HTTP, or by a command in the store itself."""

    API = "api"
    CLI = "cli"


class Actor(Struct, frozen=True, kw_only=True):
    """Who does something.

    `caller_id` and `key_id` are of the API key (the key None: `--dev` without one), `address` is
    where its connection comes from. A command has none of them.
    """

    via: Via
    caller_id: str | None = None
    key_id: str | None = None
    address: str | None = None
    request_id: str | None = None


CLI = Actor(via=Via.CLI)


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One thing that was done.

    `target` is the id of what it was done to, `caller_id` whose that is (None: the service's).
    `detail` is a JSON object with what else is to be known of it, never a secret or a key.
    """

    id: str
    at: Instant
    action: str
    target: str
    actor: Actor
    caller_id: str | None = None
    detail: bytes = b"{}"


def entry(
    actor: Actor,
    action: AuditAction,
    target: str,
    *,
    id: str,  # noqa: A002  # the field's own word
    at: Instant,
    caller_id: str | None = None,
    **detail: Any,
) -> AuditEntry:
    """An entry; members of `detail` that are None are left out."""
    told = {name: value for name, value in detail.items() if value is not None}
    return AuditEntry(
        id=id,
        at=at,
        action=action.value,
        target=target,
        actor=actor,
        caller_id=caller_id,
        detail=msgspec.json.encode(told),
    )
