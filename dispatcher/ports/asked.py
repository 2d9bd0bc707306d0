"""What some verbs of the store are asked, as one value each, for stores that gather calls.

Each is the arguments of one verb, and means what its port says of them.
"""

from __future__ import annotations

from msgspec import Struct

from dispatcher.core.audit import AuditEntry
from dispatcher.core.model import ApiKey, Caller, Instant, ServiceKey
from dispatcher.core.quotas import CallerTerms
from dispatcher.ports.records import DeliveryTerms


class NewCaller(Struct, frozen=True):
    """A caller to add, with its first key and secret: `CallerStore.add_caller`."""

    caller: Caller
    key: ApiKey
    digest: bytes
    sealed: bytes
    entry: AuditEntry | None


class NewTerms(Struct, frozen=True):
    """What is to be set for a caller, if what is set is still as `before`."""

    caller_id: str
    before: CallerTerms
    after: CallerTerms
    entry: AuditEntry | None


class NewKey(Struct, frozen=True):
    """An API key to add."""

    key: ApiKey
    digest: bytes
    entry: AuditEntry | None = None


class EndedKey(Struct, frozen=True):
    """An API key to revoke."""

    caller_id: str
    id: str
    entry: AuditEntry | None


class NewSecret(Struct, frozen=True):
    """A signing secret to add in the place of those that are there."""

    caller_id: str
    sealed: bytes
    created_at: Instant
    overlap_seconds: float
    entry: AuditEntry | None


class NewServiceKey(Struct, frozen=True):
    """A key of the service to add; None as overlap: only as the first."""

    key: ServiceKey
    sealed: bytes
    overlap_seconds: float | None
    entry: AuditEntry | None = None


class Pause(Struct, frozen=True):
    """A queue (None: all) to pause, as of `at`; or (None) to resume."""

    queue: str | None
    at: Instant | None
    entry: AuditEntry | None


class ErasedJob(Struct, frozen=True):
    """Which job to erase: `EraseStore.erase_job`."""

    job_id: str
    caller_id: str | None
    terms: DeliveryTerms
    cancel_deliveries: bool
    entry: AuditEntry | None
