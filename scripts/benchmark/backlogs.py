"""Deliver only: callbacks are made due while their destinations are paused, then let go."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from scripts.outside.api import Api
from scripts.outside.process import Service

from .generator import GeneratorOrder, Measured, cpu_seconds
from .processes import generate, named
from .terms import BenchmarkFailed, Terms

A_SECOND: Final = 2_000
"""So many callbacks are prepared for each second that is to be measured."""


async def deliver_backlog(
    service: Service, order: GeneratorOrder, receiver: int, terms: Terms
) -> Measured:
    """What was seen from the moment that the destinations were let go to the last callback.

    Raises:
        BenchmarkFailed: the backlog could not be prepared, or was not delivered in time.
    """
    if order.feedback is None:
        raise BenchmarkFailed("nobody tells of arrivals")
    count = max(200, round(terms.seconds * A_SECOND))
    operator = await service.create_caller(named("operator"), role="operator")
    async with (
        Api(service.url, operator.api_key) as calls,
        Api(service.url, order.api_key) as caller,
    ):
        # A job for each destination makes it known; their numbers follow those of the backlog.
        for number, url in enumerate(order.callback_urls, start=count):
            job = {"type": order.type, "input": None, "callbackUrl": url}
            await caller.submit(job | {"correlationId": f"{number:010d}"})
        await _arrivals(order.feedback, len(order.callback_urls))
        known = (await calls.call("GET", "/v1/destinations?limit=100")).json["items"]
        known = [x for x in known if any(u.startswith(x["origin"]) for u in order.callback_urls)]
        for each in known:
            await calls.call("POST", f"/v1/destinations/{each['id']}/pause")
        submitted = await generate(
            msgspec.structs.replace(order, feedback=None, total=count, pids={}),
            Path(order.measured).parent,
        )
        await _until_run(calls)
        pids = {"service": service.pid, "receiver": receiver}
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        begin_at = time.monotonic()
        for each in known:
            await calls.call("POST", f"/v1/destinations/{each['id']}/resume")
        await _arrivals(order.feedback, count)
        end_at = time.monotonic()
    used = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
    return msgspec.structs.replace(
        submitted,
        begin_at=begin_at,
        end_at=end_at,
        # A callback's latency counts from the moment that it might be sent.
        sent_at=[begin_at] * count,
        answered_at=[begin_at] * count,
        cpu_seconds=used,
    )


async def _until_run(calls: Api) -> None:
    """Until no queue has a job that is due and not over."""
    for _ in range(3_000):
        queues: list[dict[str, Any]] = (await calls.call("GET", "/v1/queues")).json["items"]
        if not any(each["depth"] or each["running"] for each in queues):
            return
        await asyncio.sleep(0.02)
    raise BenchmarkFailed("the jobs of the backlog were not run within a minute")


async def _arrivals(feedback: int, count: int) -> None:
    """Until so many more callbacks have come."""
    loop = asyncio.get_running_loop()
    seen = 0
    enough = asyncio.Event()

    def read() -> None:
        nonlocal seen
        seen += len(os.read(feedback, 65_536))
        if seen >= count:
            enough.set()

    loop.add_reader(feedback, read)
    try:
        await asyncio.wait_for(enough.wait(), 120)
    except TimeoutError:
        raise BenchmarkFailed(f"{seen} of {count} callbacks came within two minutes") from None
    finally:
        loop.remove_reader(feedback)
