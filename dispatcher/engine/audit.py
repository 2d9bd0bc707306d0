"""Making entries of the audit log, and what follows from them elsewhere."""

from __future__ import annotations

from typing import Any, Final

from dispatcher.core.audit import Actor, AuditAction, AuditEntry, entry
from dispatcher.ports.hints import Hint, Topic
from dispatcher.ports.system import Clock, Ids

_OF_CALLERS: Final = frozenset(
    {
        AuditAction.CALLER_CREATE,
        AuditAction.CALLER_CHANGE,
        AuditAction.KEY_CREATE,
        AuditAction.KEY_REVOKE,
        AuditAction.SECRET_ROTATE,
    }
)


class Entries:
    """Makes entries, with an id and the present instant."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids

    def of(
        self,
        actor: Actor,
        action: AuditAction,
        target: str,
        *,
        caller_id: str | None = None,
        **detail: Any,
    ) -> AuditEntry:
        """An entry. `caller_id` is whose the target is; what else is told must be no secret."""
        return entry(
            actor,
            action,
            target,
            id=self._ids.new("aud"),
            at=self._clock.now(),
            caller_id=caller_id,
            **detail,
        )

    def of_another(
        self, actor: Actor | None, action: AuditAction, target: str, caller_id: str, **detail: Any
    ) -> AuditEntry | None:
        """An entry, if somebody else than the caller whose the target is does it; else None.

        `actor` None: the service itself, or a caller who can do it with its own things alone.
        """
        if actor is None or actor.caller_id == caller_id:
            return None
        return self.of(actor, action, target, caller_id=caller_id, **detail)


def hint_of(entry: AuditEntry) -> Hint | None:
    """What others keep and have to read anew since this was done by hand; None: nothing."""
    if entry.action in _OF_CALLERS:
        return Hint(Topic.CALLER, entry.caller_id or entry.target)
    if entry.action == AuditAction.SERVICE_KEY_ROTATE:
        return Hint(Topic.SERVICE_KEYS)
    return None
