"""A dead destination with a great backlog: what it costs the claims of the others.

In one database claims for a destination that is well are timed, then so many due deliveries are
written for another that never answers, and the claims are timed again: while its slots hang, and
while its breaker is open. `python -m scripts.benchmark.backlog --deliveries 1000000`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.adapters.system import SystemClock, Uuid7Ids
from dispatcher.core.breaker import BreakerTerms, Sign
from dispatcher.core.changes import FinishJob, RecordAttempt
from dispatcher.core.model import (
    Attempt,
    Callback,
    DeliveryState,
    Job,
    JobError,
    JobState,
)
from dispatcher.ports.records import DeliveryTerms, LeasedDelivery, NewJob
from scripts.outside.ending import end_by_signals

BREAKER: Final = BreakerTerms(failures=5, first_seconds=600.0)
TERMS: Final = DeliveryTerms(slots=16, lease_seconds=600.0, breaker=BREAKER)
DEAD: Final = "https://dead.example"
WELL: Final = "https://well.example"
ROUNDS: Final = 60

_MANY: Final = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO delivery (
  id, destination_seq, job_seq, event_seq, url, origin, state, created_at, due_at, attempt_count,
  entries_used, unknown_count, caller_id
)
SELECT 'dlv_many' || i, d.destination_seq, d.job_seq, d.event_seq, d.url, d.origin, 'pending',
  d.created_at, d.due_at, 0, 0, 0, d.caller_id
FROM n, (SELECT * FROM delivery WHERE origin = ? LIMIT 1) AS d
"""


class Found(Struct, frozen=True, kw_only=True):
    """Milliseconds of a claim and a record for the destination that is well."""

    deliveries: int
    alone_p50_ms: float
    alone_p99_ms: float
    hanging_p50_ms: float
    hanging_p99_ms: float
    open_p50_ms: float
    open_p99_ms: float


class _Bench:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock, self.ids = SystemClock(), Uuid7Ids()
        self.store = SqliteStore(path, clock=self.clock, ids=self.ids)

    async def owe(self, origin: str, count: int) -> None:
        """Jobs that have ended and owe a callback there."""
        now = self.clock.now()
        jobs = [
            Job(
                id=self.ids.new("job"),
                caller_id="clr_a",
                type="t",
                queue="q",
                priority=5,
                state=JobState.WAITING,
                attempt_count=0,
                max_attempts=1,
                timeout_seconds=1.0,
                retention_seconds=3600.0,
                created_at=now,
                due_at=now,
                callback=Callback(url=f"{origin}/hook", origin=origin),
            )
            for _ in range(count)
        ]
        await self.store.add_jobs([NewJob(job, b"{}") for job in jobs])
        changes = [
            FinishJob(
                job_id=job.id,
                from_state=JobState.WAITING,
                lease=None,
                to=JobState.CANCELED,
                at=now,
                event_id=self.ids.new("evt"),
                error=JobError("canceled", "", 0),
            )
            for job in jobs
        ]
        await self.store.apply(changes, TERMS)

    async def record(self, leased: LeasedDelivery, to: DeliveryState, sign: Sign) -> None:
        now = self.clock.now()
        number = leased.delivery.attempt_count + 1
        change = RecordAttempt(
            delivery_id=leased.delivery.id,
            lease=leased.lease,
            attempt=Attempt(number=number, at=now, duration_ms=1, status_code=204),
            to=to,
            due_at=now,
            uses_entry=True,
            at=now,
            sign=sign,
        )
        await self.store.apply([change], TERMS)

    async def rounds(self) -> list[float]:
        """Seconds of each claim with its record."""
        taken = []
        for _ in range(ROUNDS):
            await self.owe(WELL, 1)
            began = time.perf_counter()
            claimed = await self.store.claim_deliveries(128, TERMS)
            for leased in claimed.deliveries:
                if leased.delivery.origin == WELL:
                    await self.record(leased, DeliveryState.DELIVERED, Sign.ANSWERED)
            taken.append(time.perf_counter() - began)
        return sorted(taken)


async def measure(folder: Path, deliveries: int) -> Found:
    """Time the claims before and after."""
    bench = _Bench(folder / "backlog.db")
    await bench.store.open()
    try:
        alone = await bench.rounds()
        await bench.owe(DEAD, TERMS.slots + 1)
        with contextlib.closing(sqlite3.connect(bench.path, timeout=60)) as beside, beside:
            beside.execute(_MANY, (deliveries, DEAD))
        sending = (await bench.store.claim_deliveries(128, TERMS)).deliveries
        hanging = await bench.rounds()
        for leased in sending:
            await bench.record(leased, DeliveryState.PENDING, Sign.NO_CONNECTION)
        opened = await bench.rounds()
    finally:
        await bench.store.close()
    return Found(
        deliveries=deliveries,
        alone_p50_ms=_at(alone, 0.5),
        alone_p99_ms=_at(alone, 0.99),
        hanging_p50_ms=_at(hanging, 0.5),
        hanging_p99_ms=_at(hanging, 0.99),
        open_p50_ms=_at(opened, 0.5),
        open_p99_ms=_at(opened, 0.99),
    )


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


def main() -> int:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(prog="scripts.benchmark.backlog", description=__doc__)
    parser.add_argument("--deliveries", type=int, default=1_000_000)
    parser.add_argument("--folder", default="/var/tmp", help="on a disk")  # noqa: S108  # on disk by convention
    given = parser.parse_args()
    end_by_signals()
    with tempfile.TemporaryDirectory(prefix="dispatcher-backlog-", dir=given.folder) as folder:
        found = asyncio.run(measure(Path(folder), given.deliveries))
    print(msgspec.json.encode(found).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
