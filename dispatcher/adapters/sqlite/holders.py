"""Holders: their beat, and the end of their leases. A remote worker's lease is one of its own."""

from __future__ import annotations

import sqlite3

from msgspec import Struct

from dispatcher.adapters.sqlite.fanout import read_asked
from dispatcher.adapters.sqlite.rows import JOB_WIDTH, job_of
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.adapters.sqlite.writer import Writer
from dispatcher.core.errors import Stopping, StoreUnavailable
from dispatcher.ports.records import RemoteLease, Renewed

_FIND = statement("holder_find")
_BEAT = statement("holder_beat")
_END = statement("holder_end")
_END_OTHERS = statement("holders_end_others")
_END_DELIVERIES = statement("deliveries_end_leases")
_WAKE = statement("destinations_wake")
_RENEW = statement("lease_renew")
_JOB_OF_LEASE = statement("job_of_lease")
_JOB_OF_LAST_LEASE = statement("job_of_last_lease")
_WAKE_LINES = statement("targets_wake")


class _Beat(Struct, frozen=True):
    """What one beat asks. `known`: the holder has beaten before, so that its row must be there."""

    holder_id: str
    name: str
    lease_ms: int
    known: bool


def _beat(session: Session, beat: _Beat) -> bool:
    """Make a holder's lease last; False if it had ended."""
    row = session.one(_FIND, (beat.holder_id,))
    if beat.known if row is None else row[0] <= session.now:
        return False
    expires_at = session.now + beat.lease_ms
    session.execute(_BEAT, {"id": beat.holder_id, "name": beat.name, "expires_at": expires_at})
    session.forget_holders()
    return True


class SqliteHeart:
    """A holder's beat. It asks the writing thread itself, so the event loop need not run."""

    def __init__(self, writer: Writer, holder_id: str, name: str, lease_seconds: float) -> None:
        self._writer = writer
        self._holder_id = holder_id
        self._name = name
        self._lease_ms = round(lease_seconds * 1000)
        self._known = False
        self._closed = False

    def beat(self) -> None:
        """Make the lease last from now on; raises `StoreUnavailable`, or `Stopping` if it ended."""
        if self._closed:
            raise StoreUnavailable("This heart is closed.")
        beat = _Beat(self._holder_id, self._name, self._lease_ms, self._known)
        if not self._writer.one_blocking(_beat, beat):
            raise Stopping(
                f"The lease of {self._holder_id} had ended before this beat: what it held may be "
                "another's, so stop it and hold anew."
            )
        self._known = True

    def close(self) -> None:
        """Beat no more; the lease stays."""
        self._closed = True


def release_holder(session: Session, holder_id: str) -> None:
    """End a holder's lease now."""
    session.execute(_END, {"id": holder_id, "now": session.now})
    session.forget_holders()


def end_other_leases(session: Session, holder_id: str) -> None:
    """End the leases of every other holder and of every delivery."""
    session.execute(_END_OTHERS, {"id": holder_id, "now": session.now})
    session.execute(_END_DELIVERIES, {"now": session.now})
    session.execute(_WAKE_LINES, {"now": session.now})
    session.execute(_WAKE, {"now": session.now})
    session.forget_holders()


# --- leases of remote workers ------------------------------------------------------------------


def renew_lease(session: Session, asked: tuple[str, str]) -> Renewed | None:
    """Make the lease (its token, whose it is) last from now on; None if it has ended."""
    lease, owner = asked
    rows = session.execute(_RENEW, {"lease": lease, "owner": owner, "now": session.now}).fetchall()
    row = session.one(_JOB_OF_LEASE, {"lease": lease, "owner": owner}) if rows else None
    if row is None:
        return None
    return Renewed(rows[0][0], job_of(row).cancel_requested_at is not None)


def find_lease(read: sqlite3.Connection, lease: str, owner: str) -> RemoteLease | None:
    """A lease and its job; None if it was lost."""
    row = read.execute(_JOB_OF_LEASE, {"lease": lease, "owner": owner}).fetchone()
    if row is not None:
        job, (until, ends_at) = job_of(row), row[JOB_WIDTH:]
        began_at = ends_at - round(job.timeout_seconds * 1000)
        return RemoteLease(job, until, began_at, read_asked(read, job.caller_id))
    row = read.execute(_JOB_OF_LAST_LEASE, (lease,)).fetchone()
    return None if row is None else RemoteLease(job_of(row), None)
