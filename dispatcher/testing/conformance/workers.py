"""Remote workers and operators, as steps of the state machine."""

from __future__ import annotations

from collections.abc import Mapping

from dispatcher.core.model import Instant
from dispatcher.ports.records import RemoteLease, RemoteTerms
from dispatcher.ports.views import Pauses
from dispatcher.testing.conformance.agreement import same_job
from dispatcher.testing.conformance.run import Run


async def lease_remotely(
    run: Run, which: int, terms: RemoteTerms, types: Mapping[str, int], limit: int
) -> None:
    """A remote worker leases jobs, each under a lease of its own."""
    claimed = await run.claim(which, "", types, limit, terms)
    for leased in claimed.jobs:
        ends_at = run.now + round(leased.job.timeout_seconds * 1000)
        assert leased.until == min(run.now + round(terms.lease_seconds * 1000), ends_at)
        run.remote.append((leased, terms, ends_at))


async def renew(run: Run, which: int, pick: int, *, stranger: bool) -> None:
    """A remote worker beats, in time or too late, or another uses its lease."""
    if not run.remote:
        return
    leased, terms, ends_at = run.remote[-1 - pick % len(run.remote)]
    owner = "clr_stranger" if stranger else terms.owner
    held = run.model.jobs.get(leased.job.id)
    in_force = held is not None and held.lease == leased.lease and not stranger
    in_time = in_force and run.model.holders[leased.lease] > run.now
    renewed = await run.stores[which].renew_lease(leased.lease, owner)
    if not in_time or held is None:
        assert renewed is None, "a lease that ended, or is another's, was renewed"
        return
    assert renewed is not None, "a lease that lasts is not renewed"
    until: Instant = min(run.now + round(terms.lease_seconds * 1000), ends_at)
    assert renewed.until == until
    assert renewed.cancel_requested == (held.job.cancel_requested_at is not None)
    run.model.holders[leased.lease] = until


async def find(run: Run, which: int, pick: int) -> None:
    """A lease is known as long as it is the job's, or was the last that ended or put it back."""
    if not run.remote:
        return
    leased, terms, _ = run.remote[-1 - pick % len(run.remote)]
    held = run.model.jobs.get(leased.job.id)
    found = await run.stores[which].find_lease(leased.lease, terms.owner)
    if held is not None and held.lease == leased.lease:
        assert isinstance(found, RemoteLease)
        assert found.until == run.model.holders[leased.lease]
        assert same_job(found.job, held.job)
    elif held is not None and held.last_lease == leased.lease:
        assert isinstance(found, RemoteLease)
        assert found.until is None
        assert same_job(found.job, held.job)
    else:
        assert found is None, "a lost lease is taken for one in force"


async def steer_queue(run: Run, which: int, queue: str | None, *, paused: bool) -> None:
    """An operator pauses or resumes a queue, or all."""
    store = run.stores[which]
    if paused:
        await store.pause(queue, run.now)
        run.model.queues_paused.setdefault(queue, run.now)
    else:
        await store.resume(queue)
        run.model.queues_paused.pop(queue, None)
    queues = {name: at for name, at in run.model.queues_paused.items() if name is not None}
    assert await run.stores[1 - which].pauses() == Pauses(run.model.queues_paused.get(None), queues)
