"""The audit log in the store: what operators did, kept for a time that is set."""

from __future__ import annotations

from typing import Final, Protocol

from msgspec import Struct

from dispatcher.core.audit import AuditEntry
from dispatcher.core.model import Instant

AUDIT_KEPT_SECONDS: Final = 365 * 86_400.0
"""An entry is kept this long, unless the store is told otherwise; `JobStore.prune` erases it."""


class AuditFilter(Struct, frozen=True, kw_only=True):
    """Which entries to list; None: any. `caller_id` is whose thing it was, `actor_id` who did it.

    Compared with an entry's `at`, `created_after` and `created_before` are in neither.
    """

    caller_id: str | None = None
    actor_id: str | None = None
    action: str | None = None
    target: str | None = None
    created_after: Instant | None = None
    created_before: Instant | None = None

    def admits(self, entry: AuditEntry) -> bool:
        """Whether an entry is one of them."""
        return (
            self.caller_id in (None, entry.caller_id)
            and self.actor_id in (None, entry.actor.caller_id)
            and self.action in (None, entry.action)
            and self.target in (None, entry.target)
            and (self.created_after is None or entry.at > self.created_after)
            and (self.created_before is None or entry.at < self.created_before)
        )


class AuditPage(Struct, frozen=True):
    """A page of entries, newest first. `next` continues it (a sequence number); None: the end.

    A page may hold fewer than asked for and still be continued, as a page of jobs may.
    """

    items: tuple[AuditEntry, ...]
    next: int | None


class AuditStore(Protocol):
    """What was done by hand, in the order in which it was committed.

    Verbs that take an `entry` write it in the commit of what they do, and only if they do it; a
    change is given one by `Audited`. An entry whose id is there already is not written again.
    """

    async def add_audit(self, entry: AuditEntry) -> bool:
        """Write an entry by itself: before something is done that is no verb of the store.

        False: one of that id was there before.
        """
        ...

    async def list_audit(self, wanted: AuditFilter, *, limit: int, before: int | None) -> AuditPage:
        """Entries, newest first."""
        ...
