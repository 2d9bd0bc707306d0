"""Leases of remote workers, and what operators have paused; see `ports/store.py` for the whole."""

from __future__ import annotations

from typing import Protocol

from dispatcher.core.audit import AuditEntry
from dispatcher.core.model import Instant
from dispatcher.ports.records import RemoteLease, Renewed
from dispatcher.ports.views import Pauses


class LeaseStore(Protocol):
    """Leases of remote workers, which `claim_jobs` gives with `remote`.

    Such a lease is no process's: `end_other_leases` leaves it alone. When it ends its job is taken
    back, or found by the sweep, as one of a process that died.
    """

    async def renew_lease(self, lease: str, owner: str) -> Renewed | None:
        """Make a lease last from now on.

        None, and nothing is changed, if it has ended or is not `owner`'s: who had it must stop.
        """
        ...

    async def find_lease(self, lease: str, owner: str) -> RemoteLease | None:
        """A lease and its job; None if it was lost, is not `owner`'s, or its job is gone.

        Whose a lease was that has ended is not kept: it is told to whoever knows its token.
        """
        ...


class PauseStore(Protocol):
    """Queues that are paused, for every caller: nothing of them is claimed or handed off.

    Jobs are still added, and what runs goes on. It lasts over restarts, and holds for callers and
    types that come later. A queue and all are paused independently of each other: what is resumed
    stays paused by the other.
    """

    async def pause(self, queue: str | None, at: Instant, entry: AuditEntry | None = None) -> None:
        """Pause a queue, or all; one that is paused stays paused since it was.

        `entry` is written to the audit log in the same commit.
        """
        ...

    async def resume(self, queue: str | None, entry: AuditEntry | None = None) -> None:
        """Resume a queue, or end the pause of all; if there is none only `entry` is written."""
        ...

    async def pauses(self) -> Pauses:
        """What is paused."""
        ...
