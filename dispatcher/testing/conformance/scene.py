"""The scene of each test: an empty database, two stores open on it, and short verbs."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import msgspec
import pytest

from dispatcher.core.changes import Change, FinishJob, LeasedJob, RecordAttempt, ReleaseJob
from dispatcher.core.model import (
    ApiKey,
    Caller,
    Delivery,
    DeliveryState,
    Event,
    Instant,
    Job,
    JobError,
    JobState,
    JobType,
    Role,
)
from dispatcher.ports.records import (
    Added,
    AddResult,
    Applied,
    ApplyResult,
    ClaimedDeliveries,
    ClaimedJobs,
    DeliveryTerms,
    HandOff,
    Idempotency,
    JobClaim,
    LeasedDelivery,
    NewJob,
)
from dispatcher.ports.store import Store
from dispatcher.ports.views import DeliveryFilter, DeliveryRecord, JobFilter, JobRecord
from dispatcher.testing.conformance.backend import Backend, ShuffledIds
from dispatcher.testing.conformance.values import (
    ANN,
    BEN,
    EVERY_TYPE,
    LEASE_SECONDS,
    MAIL,
    ORIGIN,
    TERMS,
    a_callback,
    an_attempt,
    raise_first,
)

_MOST_PAGES: Final = 1_000


class Scene:
    """An empty database with two callers and two types, and two stores open on it.

    `store` is the one that verbs go through unless told otherwise.
    """

    def __init__(self, backend: Backend, store: Store, other: Store) -> None:
        self.backend = backend
        self.store = store
        self.other = other
        self.ids = ShuffledIds("scene")

    @property
    def now(self) -> Instant:
        """The stores' now."""
        return self.backend.now()

    async def advance(self, seconds: float) -> None:
        """Move the stores' clock."""
        await self.backend.advance(seconds)

    async def populate(self) -> None:
        """Add the callers and types."""
        for caller_id, name in ((ANN, "ann"), (BEN, "ben")):
            key = ApiKey(
                id=self.ids.new("key"), caller_id=caller_id, role=Role.CALLER, created_at=self.now
            )
            digest = hashlib.sha256(name.encode()).digest()
            caller = Caller(caller_id, name, self.now)
            assert await self.store.add_caller(caller, key, digest, b"sealed " + name.encode())
        await self.store.put_types([JobType(name=name, runner="python") for name in EVERY_TYPE])

    # --- jobs ----------------------------------------------------------------------------------

    def job(self, **members: Any) -> Job:
        """A waiting job of Ann's, due now; `members` are the ones to differ."""
        job = Job(
            id=self.ids.new("job"),
            caller_id=ANN,
            type=MAIL,
            queue="default",
            priority=5,
            state=JobState.WAITING,
            attempt_count=0,
            max_attempts=3,
            timeout_seconds=60.0,
            retention_seconds=3600.0,
            created_at=self.now,
            due_at=self.now,
        )
        return msgspec.structs.replace(job, **members)

    def new(
        self,
        job: Job | None = None,
        *,
        key: Idempotency | None = None,
        holder: str | None = None,
        body: bytes = b"{}",
    ) -> NewJob:
        """A job to add; with `holder`, to be handed off to it."""
        hand_off = None if holder is None else HandOff(holder, self.ids.new("lse"))
        return NewJob(job or self.job(), body, key, hand_off)

    async def add_all(self, *news: NewJob, store: Store | None = None) -> list[AddResult]:
        """Add; an exception among the answers is raised."""
        return raise_first(await (store or self.store).add_jobs(news))

    async def add(self, *, count: int = 1, **members: Any) -> list[Job]:
        """Add `count` jobs alike, one call each, so that the order received is the list's."""
        jobs = [self.job(**members) for _ in range(count)]
        for job in jobs:
            (result,) = await self.add_all(self.new(job))
            assert isinstance(result, Added)
        return jobs

    async def hold(self, *, seconds: float = LEASE_SECONDS, store: Store | None = None) -> str:
        """A new holder whose first beat stands."""
        holder = self.ids.new("hld")
        heart = (store or self.store).heart(holder, "a test", seconds)
        try:
            await asyncio.to_thread(heart.beat)
        finally:
            heart.close()
        return holder

    async def claim(
        self,
        holder: str | None = None,
        *,
        limit: int = 100,
        types: Mapping[str, int] = EVERY_TYPE,
        store: Store | None = None,
        **members: Any,
    ) -> ClaimedJobs:
        """Claim jobs, for a new holder unless told otherwise."""
        holder = holder or await self.hold()
        return await (store or self.store).claim_jobs(JobClaim(holder, types, limit, **members))

    async def running(self, holder: str | None = None, **members: Any) -> LeasedJob:
        """A job that was added and claimed; nothing else may be due."""
        (job,) = await self.add(**members)
        claimed = await self.claim(holder)
        assert [leased.job.id for leased in claimed.jobs] == [job.id]
        return claimed.jobs[0]

    def finish(
        self, leased: LeasedJob, to: JobState = JobState.SUCCEEDED, **members: Any
    ) -> FinishJob:
        """The change that ends a running job."""
        change = FinishJob(
            job_id=leased.job.id,
            from_state=JobState.RUNNING,
            lease=leased.lease,
            to=to,
            at=self.now,
            event_id=self.ids.new("evt"),
            result=b'{"ok":true}' if to is JobState.SUCCEEDED else None,
            error=None if to is JobState.SUCCEEDED else JobError(to.value, "said the test", 1),
        )
        return msgspec.structs.replace(change, **members)

    def back(
        self, leased: LeasedJob, *, after_seconds: float = 0, retrying: bool = True, **members: Any
    ) -> ReleaseJob:
        """The change that puts a running job back: to be retried, or with its attempt refunded."""
        change = ReleaseJob(
            job_id=leased.job.id,
            lease=leased.lease,
            due_at=self.now + round(after_seconds * 1000),
            retrying=retrying,
            refund=not retrying,
        )
        return msgspec.structs.replace(change, **members)

    def end_waiting(self, job: Job, to: JobState = JobState.CANCELED) -> FinishJob:
        """The change that ends a waiting job."""
        return FinishJob(
            job_id=job.id,
            from_state=JobState.WAITING,
            lease=None,
            to=to,
            at=self.now,
            event_id=self.ids.new("evt"),
            error=JobError(to.value, "said the test", 0),
        )

    async def apply_all(
        self, *changes: Change, terms: DeliveryTerms = TERMS, store: Store | None = None
    ) -> list[ApplyResult]:
        """Apply in one call; an exception among the answers is raised."""
        return raise_first(await (store or self.store).apply(changes, terms))

    async def apply(
        self, change: Change, *, terms: DeliveryTerms = TERMS, store: Store | None = None
    ) -> Applied:
        """Apply a change that must be applied."""
        (result,) = await self.apply_all(change, terms=terms, store=store)
        assert isinstance(result, Applied), f"{change} was answered {result}"
        return result

    async def end(self, to: JobState = JobState.SUCCEEDED, **members: Any) -> Job:
        """A job that was added, claimed and ended; nothing else may be due."""
        leased = await self.running(**members)
        await self.apply(self.finish(leased, to))
        return (await self.record(leased.job.id)).job

    # --- deliveries ----------------------------------------------------------------------------

    async def owed(self, *origins: str, caller_id: str = ANN) -> list[str]:
        """End a job for each origin, one after another; the ids of the pending deliveries."""
        owed = []
        for origin in origins or (ORIGIN,):
            job = await self.end(callback=a_callback(origin), caller_id=caller_id)
            owed += [delivery.id for delivery in await self.deliveries(job.id)]
        return owed

    async def lease(
        self, *, limit: int = 100, terms: DeliveryTerms = TERMS, store: Store | None = None
    ) -> ClaimedDeliveries:
        """Claim deliveries."""
        return await (store or self.store).claim_deliveries(limit, terms)

    async def sending(self, **members: Any) -> LeasedDelivery:
        """A delivery that was owed and claimed; no other may be due."""
        await self.end(**{"callback": a_callback(), **members})
        claimed = await self.lease()
        assert len(claimed.deliveries) == 1
        return claimed.deliveries[0]

    def tried(
        self,
        leased: LeasedDelivery,
        to: DeliveryState = DeliveryState.PENDING,
        *,
        after_seconds: float = 5,
        **members: Any,
    ) -> RecordAttempt:
        """The change that records an attempt; pending again after `after_seconds`."""
        status = 204 if to is DeliveryState.DELIVERED else 500
        change = RecordAttempt(
            delivery_id=leased.delivery.id,
            lease=leased.lease,
            attempt=an_attempt(leased.delivery.attempt_count + 1, self.now, status=status),
            to=to,
            due_at=self.now + round(after_seconds * 1000),
            uses_entry=True,
            at=self.now,
        )
        return msgspec.structs.replace(change, **members)

    # --- reading -------------------------------------------------------------------------------

    async def record(self, job_id: str | None, *, store: Store | None = None) -> JobRecord:
        """A job that must be there, with its input."""
        record = await (store or self.other).get_job(job_id or "", None, with_input=True)
        assert record is not None, f"{job_id} is lost"
        return record

    async def state(self, job_id: str) -> JobState:
        """The state of a job that must be there."""
        return (await self.record(job_id)).job.state

    async def jobs(self, wanted: JobFilter | None = None, *, limit: int = 100) -> list[Job]:
        """Every job of a filter, newest first, through all pages."""
        found: list[Job] = []
        before: int | None = None
        for _ in range(_MOST_PAGES):
            page = await self.other.list_jobs(wanted or JobFilter(), limit=limit, before=before)
            assert len(page.items) <= limit
            assert page.next is None or before is None or page.next < before
            found += [record.job for record in page.items]
            before = page.next
            if before is None:
                return found
        raise AssertionError(f"a list of jobs goes on after {_MOST_PAGES} pages")

    async def delivery_records(
        self, job_id: str | None = None, *, limit: int = 100, **members: Any
    ) -> list[DeliveryRecord]:
        """Every delivery (of a job; of a filter's `members`), newest first, through all pages."""
        wanted = DeliveryFilter(job_id=job_id, **members)
        found: list[DeliveryRecord] = []
        before: int | None = None
        for _ in range(_MOST_PAGES):
            page = await self.other.list_deliveries(wanted, limit=limit, before=before)
            assert len(page.items) <= limit
            found += page.items
            before = page.next
            if before is None:
                return found
        raise AssertionError(f"a list of deliveries goes on after {_MOST_PAGES} pages")

    async def deliveries(self, job_id: str | None = None) -> list[Delivery]:
        """As `delivery_records`, without their attempts."""
        return [record.delivery for record in await self.delivery_records(job_id)]

    async def delivery(self, delivery_id: str) -> Delivery:
        """A delivery that must be there."""
        found = [d for d in await self.deliveries() if d.id == delivery_id]
        assert len(found) == 1, f"{delivery_id} is there {len(found)} times"
        return found[0]

    async def events(self, job_id: str | None, *, after: int = 0) -> list[Event]:
        """The events of a job that must be there, oldest first."""
        answer = await self.other.list_events(job_id or "", None, limit=100, after=after)
        assert answer is not None, f"{job_id} is lost"
        return [event for event, _ in answer[1]]


@pytest.fixture
async def scene(backend: Backend) -> AsyncIterator[Scene]:
    """An empty database of the `backend` fixture, and two stores open on it."""
    await backend.create()
    scene = Scene(backend, await backend.open(), await backend.open())
    await scene.populate()
    yield scene
    await backend.drop()
