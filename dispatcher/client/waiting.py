"""Waiting for a job, by whatever the service offers: held answers, or looks that grow apart."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from dispatcher.client.answers import HELD_SECONDS, QUICK_SECONDS, UNCHANGED, Pace
from dispatcher.client.errors import WaitTimedOut
from dispatcher.client.transport import Transport
from dispatcher.client.values import Job, job_of


async def wait_for(
    transport: Transport,
    path: str,
    *,
    timeout_seconds: float | None,
    on_change: Callable[[Job], object] | None,
) -> Job:
    """The job at `path` once it is done. Raises `WaitTimedOut`, `Refused`, `Unreachable`.

    Each answer is asked to be held (`Prefer: wait`, RFC 7240). One that was not, by a service that
    does not know it or has no room for more waiters, is asked for again after a pause.
    """
    clock = transport.around.monotonic
    until = inf if timeout_seconds is None else clock() + timeout_seconds
    pace = Pace()
    job: Job | None = None
    known: str | None = None
    while True:
        began = clock()
        # Changes are told by their tag, and the first look is there to learn it.
        first = on_change is not None and job is None
        held = 0 if first else int(max(0.0, min(HELD_SECONDS, until - began)))
        headers = {"Prefer": f"wait={held}"} if held else {}
        if known is not None and on_change is not None:
            headers["If-None-Match"] = known
        answer = await transport.call("GET", path, headers=headers, held_seconds=held)
        changed = answer.status != UNCHANGED
        if changed or job is None:
            job = job_of(answer)
            known = answer.headers.get("etag")
            if on_change is not None:
                on_change(job)
        if job.done:
            return job
        now = clock()
        if now >= until:
            raise WaitTimedOut(job, timeout_seconds or 0.0)
        news = changed and on_change is not None
        if first and known is not None:
            continue
        if answer.waited and (news or now - began >= QUICK_SECONDS):
            pace.again()
            continue
        pause = pace.pause(None if answer.waited else answer.retry_after_seconds)
        await transport.around.sleep(min(pause, until - now))
