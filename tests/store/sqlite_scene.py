"""What the tests of the SQLite adapter share: a store on a fresh file, and jobs to put in it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.core.changes import FinishJob, LeasedJob, RecordAttempt
from dispatcher.core.model import Attempt, Callback, DeliveryState, Job, JobState
from dispatcher.ports.records import Added, Applied, DeliveryTerms, HandOff, LeasedDelivery, NewJob
from dispatcher.testing.clock import CountingIds, ManualClock

TERMS = DeliveryTerms(slots=4, lease_seconds=20.0)
CALLER = "clr_00000000000070008000000000000a11"
ORIGIN = "https://receiver.example"
HOLDER = "hld_1"

Answer = TypeVar("Answer")


class SqliteScene:
    """A store on a file of its own, with a holder that has beaten."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = ManualClock()
        self.ids = CountingIds()
        self.store = self.another()

    def another(self) -> SqliteStore:
        """One more store on the same file; it is not open yet."""
        return SqliteStore(
            self.path, clock=self.clock, ids=self.ids, links_base="https://x.example"
        )

    @property
    def writing(self) -> sqlite3.Connection:
        """The writer's own connection, to look at between its transactions."""
        connection = self.store._writer._transactions.connection
        assert connection is not None
        return connection

    def wait_for_locks(self, milliseconds: int) -> None:
        """Let a write wait so long while another process holds the lock."""
        self.store._writer._transactions.lock_seconds = milliseconds / 1000
        self.writing.execute(f"PRAGMA busy_timeout = {milliseconds}")

    async def hold(self, holder: str = HOLDER, seconds: float = 3600) -> None:
        heart = self.store.heart(holder, "a test", seconds)
        await asyncio.to_thread(heart.beat)

    def job(self, origin: str | None = None, **members: object) -> Job:
        job = Job(
            id=self.ids.new("job"),
            caller_id=CALLER,
            type="mail.send",
            queue="default",
            priority=5,
            state=JobState.WAITING,
            attempt_count=0,
            max_attempts=3,
            timeout_seconds=60.0,
            retention_seconds=3600.0,
            created_at=self.clock.now(),
            due_at=self.clock.now(),
            callback=None if origin is None else Callback(url=f"{origin}/hook", origin=origin),
        )
        return replace(job, **members)

    def new(self, job: Job, *, holder: str | None = None, body: bytes = b"{}") -> NewJob:
        hand_off = None if holder is None else HandOff(holder, self.ids.new("lse"))
        return NewJob(job, body, None, hand_off)

    async def add(self, jobs: Sequence[Job], *, holder: str | None = None) -> list[Added]:
        answers = await self.store.add_jobs([self.new(job, holder=holder) for job in jobs])
        return [each for each in answers if isinstance(each, Added)]

    async def leased(self, origin: str | None = None, count: int = 1) -> list[LeasedJob]:
        """Jobs handed off to the holder."""
        added = await self.add([self.job(origin) for _ in range(count)], holder=HOLDER)
        return [each.leased for each in added if each.leased is not None]

    def finish(self, leased: LeasedJob, **members: object) -> FinishJob:
        change = FinishJob(
            job_id=leased.job.id,
            from_state=JobState.RUNNING,
            lease=leased.lease,
            to=JobState.SUCCEEDED,
            at=self.clock.now(),
            event_id=self.ids.new("evt"),
            result=b"{}",
        )
        return replace(change, **members)

    def delivered(self, leased: LeasedDelivery) -> RecordAttempt:
        now = self.clock.now()
        return RecordAttempt(
            delivery_id=leased.delivery.id,
            lease=leased.lease,
            attempt=Attempt(number=1, at=now, duration_ms=3, status_code=204),
            to=DeliveryState.DELIVERED,
            due_at=now,
            uses_entry=True,
            at=now,
        )

    async def ended(self, count: int, origin: str | None = None, **members: object) -> None:
        """Jobs that were done at once."""
        done = await self.leased(origin, count)
        for answer in await self.store.apply(
            [self.finish(each, **members) for each in done], TERMS
        ):
            assert isinstance(answer, Applied)


@asynccontextmanager
async def sqlite_scene(directory: Path) -> AsyncIterator[SqliteScene]:
    """A scene in that directory, closed at the end."""
    scene = SqliteScene(directory / "store.db")
    await scene.store.open()
    await scene.hold()
    try:
        yield scene
    finally:
        await scene.store.close()
