"""A bulk redelivery of a thousand callbacks whose service is killed in the middle, and again."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from dispatcher.adapters.postgres import PostgresStore
from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.adapters.system import SystemClock, Uuid7Ids
from dispatcher.core.changes import FinishJob, RecordAttempt
from dispatcher.core.model import Attempt, Callback, DeliveryState, Job, JobState
from dispatcher.ports.records import Added, Applied, DeliveryTerms, NewJob
from dispatcher.ports.store import Store
from dispatcher.settings import Settings
from scripts.outside.process import TRIAL_STORE
from tests.whole.rig import SECONDS, Rig, rig

pytestmark = pytest.mark.whole

COUNT = 1_500
KILLS = 3
HOW_FAR = """\
SELECT changed, total, ended, (SELECT count(*) FROM delivery WHERE round = 2) FROM bulk
"""


class Past:
    """Fills the database of a service that does not run with callbacks that have died."""

    def __init__(self, here: Rig, caller_id: str) -> None:
        self.clock = SystemClock()
        self.ids = Uuid7Ids()
        self.here = here
        self.caller_id = caller_id
        self.store = self._opened()

    def _opened(self) -> Store:
        if TRIAL_STORE in os.environ:
            return PostgresStore(os.environ[TRIAL_STORE], ids=self.ids)
        return SqliteStore(self.here.service.database, clock=self.clock, ids=self.ids)

    def _new(self) -> NewJob:
        now = self.clock.now()
        receiver = self.here.receiver
        job = Job(
            id=self.ids.new("job"),
            caller_id=self.caller_id,
            type="dispatcher.echo",
            queue="default",
            priority=5,
            state=JobState.WAITING,
            attempt_count=0,
            max_attempts=1,
            timeout_seconds=60.0,
            retention_seconds=86_400.0,
            created_at=now,
            due_at=now,
            callback=Callback(url=receiver.url, origin=receiver.origin),
        )
        return NewJob(job, b"1")

    async def fill(self, count: int) -> None:
        terms = DeliveryTerms(slots=count, lease_seconds=60)
        await self.store.open()
        try:
            added = await self.store.add_jobs([self._new() for _ in range(count)])
            ends = [self._end(each.job) for each in added if isinstance(each, Added)]
            assert len(ends) == count
            for answer in await self.store.apply(ends, terms):
                assert isinstance(answer, Applied)
            claimed = await self.store.claim_deliveries(count, terms)
            dead = [self._dead(each.delivery.id, each.lease) for each in claimed.deliveries]
            assert len(dead) == count
            for answer in await self.store.apply(dead, terms):
                assert isinstance(answer, Applied)
        finally:
            await self.store.close()

    def _end(self, job: Job) -> FinishJob:
        return FinishJob(
            job_id=job.id,
            from_state=JobState.WAITING,
            lease=None,
            to=JobState.CANCELED,
            at=self.clock.now(),
            event_id=self.ids.new("evt"),
        )

    def _dead(self, delivery_id: str, lease: str) -> RecordAttempt:
        now = self.clock.now()
        return RecordAttempt(
            delivery_id=delivery_id,
            lease=lease,
            attempt=Attempt(number=1, at=now, duration_ms=1, status_code=500),
            to=DeliveryState.DEAD,
            due_at=now,
            uses_entry=True,
            at=now,
        )


async def rows(here: Rig, sql: str) -> list[Any]:
    if TRIAL_STORE in os.environ:
        within = {"search_path": "dispatcher"}
        connection = await asyncpg.connect(os.environ[TRIAL_STORE], server_settings=within)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    def read() -> list[Any]:
        with closing(sqlite3.connect(here.service.database)) as database:
            return database.execute(sql).fetchall()

    return await asyncio.to_thread(read)


async def further(here: Rig, than: int, arrived: int) -> None:
    """Wait until more has been redelivered, and, on a file, has arrived.

    On PostgreSQL the job's lease ends first; and those of deliveries later, when all is done.
    """
    arrived = 0 if TRIAL_STORE in os.environ else arrived
    async with asyncio.timeout(SECONDS):
        while True:
            found = await rows(here, HOW_FAR)
            more = [row for row in found if row[0] > than or row[2]]
            if more and len(here.receiver.arrivals) >= arrived:
                return


async def test_killed_in_the_middle_it_redelivers_each_once(tmp_path: Path) -> None:
    async with rig(tmp_path) as here:
        ((caller_id,),) = await rows(here, "SELECT id FROM caller WHERE name = 'whole'")
        assert await here.service.stop() == 0
        await Past(here, caller_id).fill(COUNT)
        await here.service.start()

        answer = await here.api.submit({"type": "dispatcher.redeliver", "input": {}})
        assert answer.status == 202, answer
        job_id = answer.json["id"]
        reached = [0]
        for _ in range(KILLS):
            await further(here, reached[-1], len(here.receiver.arrivals) + 1)
            here.service.kill()
            # In one statement: what was asked of PostgreSQL may be committed after its asker's end.
            ((changed, total, ended, counted),) = await rows(here, HOW_FAR)
            assert total == COUNT
            assert changed == counted
            reached.append(changed)
            await here.service.start()
            if ended:
                break
        assert 0 < reached[1] < COUNT, "it was not killed in the middle"
        assert reached == sorted(reached)

        async with asyncio.timeout(SECONDS):
            while not (job := await here.api.job(job_id))["done"]:
                pass
        assert job["status"] == "succeeded", job
        assert job["result"] == {
            "matched": COUNT,
            "redelivered": COUNT,
            "skipped": 0,
            "dryRun": False,
        }
        assert job["progress"] == {"current": COUNT, "total": COUNT}
        # What was being sent when its node was killed is leased for a while yet, on PostgreSQL.
        patience = 3 * SECONDS if TRIAL_STORE in os.environ else SECONDS
        assert await here.receiver.until(lambda: len(here.receiver.accepted) == COUNT, patience)
        async with asyncio.timeout(patience):
            for status in ("pending", "sending"):
                while (await here.api.call("GET", f"/v1/deliveries?status={status}")).json["items"]:
                    pass
        assert await rows(here, "SELECT DISTINCT round FROM delivery") == [(2,)]
        # More than one attempt came only of what was being sent when it was killed.
        assert len(here.receiver.arrivals) - COUNT <= KILLS * Settings().delivery_slots
