"""Leases of remote workers: each is a holder of its own, whose id is the token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from msgspec.structs import replace

from dispatcher.adapters.postgres.batching import Entry
from dispatcher.adapters.postgres.registered import asked_in
from dispatcher.adapters.postgres.rows import JOB_HOLDER, JOB_LEASE, Row, columns, job_of
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.changes import LeasedJob
from dispatcher.ports.records import RemoteLease, RemoteTerms, Renewed

_ADD = statement("leases_add")
_DROP = statement("leases_drop")
_RENEW = statement("leases_renew")
_JOB_OF_LEASE = statement("job_of_lease")
_JOB_OF_LAST_LEASE = statement("job_of_last_lease")

Asked: TypeAlias = tuple[str, str]
"""A lease, and whose it is said to be."""


async def leases_of_their_own(
    session: Session, leased: Sequence[LeasedJob], remote: RemoteTerms
) -> list[LeasedJob]:
    """Write the leases of a remote worker: no beat makes one outlast its job's timeout."""
    lease_ms = round(remote.lease_seconds * 1000)
    rows = []
    for each in leased:
        ends_at = session.now + max(round(each.job.timeout_seconds * 1000), 1)
        until = min(session.now + lease_ms, ends_at)
        rows.append((each.lease, remote.owner, until, lease_ms, ends_at))
    if rows:
        await session.execute(_ADD, *columns(rows, 5))
    return [replace(each, until=row[2]) for each, row in zip(leased, rows, strict=True)]


async def drop_remote(session: Session, rows: Sequence[Row]) -> None:
    """Forget the leases of jobs that were held by a remote worker: the token stays with the job.

    `rows` are those of the jobs, locked, as they were.
    """
    remote = [
        row[JOB_LEASE]
        for row in rows
        if row[JOB_LEASE] is not None and row[JOB_HOLDER] == row[JOB_LEASE]
    ]
    if remote:
        await session.execute(_DROP, remote)


async def renew(session: Session, entries: Sequence[Entry[Asked]]) -> list[Renewed | None]:
    """Make leases last from now on; None for one that has ended."""
    await session.began()
    asked = [entry.item for entry in entries]
    rows = await session.fetch(_RENEW, *columns(asked, 2), session.told)
    found = {(row[0], row[1]): Renewed(row[2], row[3]) for row in rows if row[3] is not None}
    return [found.get(each) for each in asked]


async def find_lease(session: Session, lease: str, owner: str) -> RemoteLease | None:
    """A lease and its job; None if it was lost."""
    row = await session.one(_JOB_OF_LEASE, lease, owner)
    if row is not None:
        job = job_of(row)
        began_at = row["ends_at"] - round(job.timeout_seconds * 1000)
        return RemoteLease(job, row["lease_until"], began_at, asked_in(row["asked"]))
    row = await session.one(_JOB_OF_LAST_LEASE, lease)
    return None if row is None else RemoteLease(job_of(row), None)
