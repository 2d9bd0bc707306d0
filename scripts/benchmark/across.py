"""A wait across nodes: one process takes the job and its caller waits there, another does it.

Two processes on one PostgreSQL, `--role api` and `--role jobs`; told is the time from submission
with `Prefer: wait` to the answer that holds the result, first for 20 jobs a second, then at a fixed
rate. `python -m scripts.benchmark.across --seconds 10 --rate 200`, on a PostgreSQL that is started
for it, or with `--store postgresql://…` on one that is there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
from msgspec import Struct

from scripts.benchmark.figures import percentile
from scripts.benchmark.postgres import new_database, own_server
from scripts.benchmark.terms import BenchmarkFailed
from scripts.outside.ending import end_by_signals
from scripts.outside.process import Service, on_postgres

PREFER: Final = {"Prefer": "wait=4"}
"""Shorter than the 5 s after which each looks by itself: only a hint ends the wait in time."""

IDLE_RATE: Final = 20.0


class Found(Struct, frozen=True, kw_only=True):
    """Latencies in milliseconds, from submission to the answer that holds the result.

    `unfinished` had no result: their wait was over before their job was, or it failed.
    """

    jobs: int
    unfinished: int
    idle_p50_ms: float
    idle_p99_ms: float
    busy_p50_ms: float
    busy_p99_ms: float


async def measure(folder: Path, store: str, *, rate: float, seconds: float) -> Found:
    """Start both processes, wait in both ways, and tell what was seen."""
    settings = on_postgres(store) | {"DISPATCHER_LOG_LEVEL": "error"}
    api, jobs = (
        Service(
            folder,
            environment=settings,
            options=["--role", role],
            log_file=folder / f"{role}.log",
        )
        for role in ("api", "jobs")
    )
    with contextlib.ExitStack() as ends:
        caller = await api.create_caller("benchmark")
        for each in (jobs, api):
            ends.callback(each.end)
            await each.start()
        headers = PREFER | {"Authorization": f"Bearer {caller.api_key}"}
        async with aiohttp.ClientSession(api.url, headers=headers) as session:
            await _at_a_rate(session, IDLE_RATE, 1.0)  # to warm up
            idle = await _at_a_rate(session, IDLE_RATE, seconds)
            busy = await _at_a_rate(session, rate, seconds)
        for each in (api, jobs):
            await each.stop(30)
    return Found(
        jobs=len(idle) + len(busy),
        unfinished=sum(1 for each in idle + busy if each is None),
        idle_p50_ms=percentile(idle, 0.5),
        idle_p99_ms=percentile(idle, 0.99),
        busy_p50_ms=percentile(busy, 0.5),
        busy_p99_ms=percentile(busy, 0.99),
    )


async def _at_a_rate(
    session: aiohttp.ClientSession, rate: float, seconds: float
) -> list[float | None]:
    """Submit at a rate that does not depend on the answers; seconds since each was due."""
    began = time.monotonic()
    tasks = []
    for number in range(round(rate * seconds)):
        at = began + number / rate
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        tasks.append(asyncio.create_task(_wait(session, at)))
    return list(await asyncio.gather(*tasks))


async def _wait(session: aiohttp.ClientSession, began: float) -> float | None:
    """Submit a job and wait for its result: seconds since then; None if there was none."""
    body = {"type": "dispatcher.echo", "input": {}}
    async with session.post("/v1/jobs", json=body) as answer:
        answer.raise_for_status()
        status = (await answer.json())["status"]
    return time.monotonic() - began if status == "succeeded" else None


def main() -> int:
    """Measure, print JSON; the exit status is 1 if a wait ended without a result.

    It is 2 if nothing could be measured.
    """
    parser = argparse.ArgumentParser(prog="scripts.benchmark.across", description=__doc__)
    parser.add_argument(
        "--store",
        metavar="URL",
        help="a PostgreSQL with an empty database; without it one is started for this run",
    )
    parser.add_argument("--seconds", type=float, default=10, help="of each of the two ways")
    parser.add_argument("--rate", type=float, default=200, help="jobs a second, when busy")
    given = parser.parse_args()
    end_by_signals()
    try:
        found = measured_in_a_folder(given)
    except BenchmarkFailed as error:
        print(error, file=sys.stderr)
        return 2
    print(msgspec.json.encode(found).decode())
    return 1 if found.unfinished else 0


def measured_in_a_folder(given: argparse.Namespace) -> Found:
    """Measure in a folder, and mostly on a server, that is gone afterwards."""
    with contextlib.ExitStack() as ends:
        folder = Path(
            # On disk by convention, where /tmp may be in memory.
            ends.enter_context(tempfile.TemporaryDirectory(prefix="dispatcher-", dir="/var/tmp"))
        )
        store = given.store or new_database(ends.enter_context(own_server(folder)))
        return asyncio.run(measure(folder, store, rate=given.rate, seconds=given.seconds))


if __name__ == "__main__":
    sys.exit(main())
