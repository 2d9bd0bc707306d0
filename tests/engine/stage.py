"""The engine on a real store, in a time and with receivers and handlers that a test decides."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from msgspec.structs import replace

from dispatcher.adapters.observers import Fanout
from dispatcher.adapters.postgres import PostgresStore
from dispatcher.adapters.secrets import AesVault
from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.core.breaker import BreakerTerms
from dispatcher.core.changes import LeasedJob
from dispatcher.core.facts import Fact, LoopIdle
from dispatcher.core.model import (
    ApiKey,
    Callback,
    Caller,
    Delivery,
    Job,
    JobType,
    Role,
    Submission,
)
from dispatcher.core.outcome import Answered, JobOutcome, SendResult, Succeeded
from dispatcher.core.retry import JobBackoff, Schedule
from dispatcher.engine.leases import RemoteKind
from dispatcher.engine.loop import ClaimLoop
from dispatcher.engine.supervisor import Engine
from dispatcher.engine.terms import EngineTerms, System
from dispatcher.engine.waiters import Places, Waiters
from dispatcher.ports.records import Added
from dispatcher.ports.runner import RunReport
from dispatcher.ports.sender import Callout
from dispatcher.ports.store import Store
from dispatcher.ports.views import DeliveryFilter, DeliveryRecord, JobRecord
from dispatcher.testing.clock import CountingIds, ManualClock
from dispatcher.testing.observer import RecordingObserver
from dispatcher.testing.timers import ManualTimers
from tests.databases import Database
from tests.engine.faults import FaultyStore
from tests.engine.watches import LookUps, Watch

SECRET = b"a secret of the caller, 32 bytes"
KEY = bytes(range(32))
BASE = "https://jobs.example"
URL = "https://receiver.example/hook"
LONG = 1e7
"""A lease that no test outlives; its beat, in real time, never comes."""

OK = Answered(status_code=200, duration_ms=3)
FAILS = Answered(status_code=500, duration_ms=3)

Handler: TypeAlias = Callable[[LeasedJob, RunReport], Awaitable[JobOutcome]]
F = TypeVar("F", bound=Fact)
T = TypeVar("T")


async def echo(leased: LeasedJob, report: RunReport) -> JobOutcome:
    return Succeeded(leased.input)


class ScriptedRunner:
    """A type of job whose handler a test wrote."""

    def __init__(
        self,
        handler: Handler,
        name: str = "work",
        *,
        concurrency: int | None = None,
        backoff: JobBackoff | None = None,
    ) -> None:
        self.handler = handler
        self.type = JobType(name=name, runner="scripted", concurrency=concurrency)
        self.backoff = JobBackoff() if backoff is None else backoff
        self.at_once = 0
        self.most_at_once = 0
        self.begun: list[LeasedJob] = []

    async def run(self, leased: LeasedJob, report: RunReport) -> JobOutcome:
        self.begun.append(leased)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self.handler(leased, report)
        finally:
            self.at_once -= 1


class ScriptedSender:
    """A receiver for each URL: the answers that were set for it in turn, then 200."""

    def __init__(self) -> None:
        self.sent: list[Callout] = []
        self.answers: dict[str, list[SendResult]] = {}
        self.closed_doors: dict[str, asyncio.Event] = {}
        self.on_answer: Callable[[], object] = lambda: None
        self.at_once = 0
        self.most_at_once = 0
        self._arrived = asyncio.Event()

    async def send(self, callout: Callout) -> SendResult:
        self.sent.append(callout)
        self._arrived.set()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            door = self.closed_doors.get(callout.url)
            if door is not None:
                await door.wait()
            else:
                await asyncio.sleep(0)
        finally:
            self.at_once -= 1
        self.on_answer()
        answers = self.answers.get(callout.url)
        return answers.pop(0) if answers else OK

    def hang(self, url: str = URL) -> asyncio.Event:
        """Answer nothing at `url` until the event is set."""
        return self.closed_doors.setdefault(url, asyncio.Event())

    async def until(self, count: int, url: str | None = None) -> list[Callout]:
        """Wait until so many callbacks have come (to `url`, or in all)."""
        async with asyncio.timeout(60):
            while True:
                found = [each for each in self.sent if url in (None, each.url)]
                if len(found) >= count:
                    return found
                self._arrived.clear()
                await self._arrived.wait()

    async def close(self) -> None: ...


class Steady:
    """No jitter, so that instants are exact."""

    def unit(self) -> float:
        return 0.0

    def token(self, size: int) -> bytes:
        return bytes(size)


class Stage:
    """One process of the service, started by `start` and drained by `close`."""

    def __init__(
        self,
        database: Database,
        *runners: ScriptedRunner,
        beside: Stage | None = None,
        remote: tuple[str, ...] = (),
        **terms: Any,
    ) -> None:
        """`beside` has the same database, and shares its time and ids, as a second process would.
        `remote` are types that remote workers do.
        """
        self.database = database
        self.clock: ManualClock = ManualClock() if beside is None else beside.clock
        self.timers = ManualTimers(self.clock)
        self.ids: CountingIds = CountingIds() if beside is None else beside.ids
        self.observer = RecordingObserver()
        self.waiters = Waiters(
            self.timers, waits=Places(1_000, 1_000), streams=Places(1_000, 1_000)
        )
        told = Fanout(self.observer, self.waiters)
        self.sender = ScriptedSender()
        self.caller = Caller("clr_00000000000070008000000000000a11", "ann", self.clock.now())
        self.faults = FaultyStore(self._a_store())
        self.store: Store = self.faults.store
        self.vault = AesVault(KEY)
        self.runners = {each.type.name: each for each in runners or (ScriptedRunner(echo),)}
        wanted: dict[str, Any] = {
            "schedule": Schedule((0.0, 5.0, 300.0)),
            "lease_seconds": LONG,
            "grace_seconds": 0.05,
            "breaker": BreakerTerms(failures=5, first_seconds=30.0),
            **terms,
        }
        self.engine = Engine(
            self.store,
            self.runners,
            self.sender,
            self.vault,
            name="test",
            user_agent="dispatcher/test",
            terms=EngineTerms(**wanted),
            system=System(self.clock, self.timers, Steady(), self.ids, told),
            remote={name: RemoteKind(JobBackoff(), 1_000_000) for name in remote},
        )
        self.jobs_watch = Watch(self.engine.jobs.loop)
        self.deliveries_watch = Watch(self.engine.deliveries.loop)
        self.look_ups = LookUps(self.engine.deliveries._secrets)
        self.opened = False
        self.started = False

    def _a_store(self) -> Store:
        if isinstance(self.database, Path):
            return SqliteStore(self.database, clock=self.clock, ids=self.ids, links_base=BASE)
        return PostgresStore(
            self.database, ids=self.ids, links_base=BASE, injected_now=self.clock.now
        )

    @property
    def runner(self) -> ScriptedRunner:
        """The first of the runners."""
        return next(iter(self.runners.values()))

    async def open(self) -> Stage:
        """Open the store, with a caller in it; the engine does not run yet."""
        if self.opened:
            return self
        await self.store.open()
        self.opened = True
        if await self.store.find_caller(self.caller.id) is None:
            await self.add_caller(self.caller)
        return self

    async def add_caller(self, caller: Caller, secret: bytes = SECRET) -> None:
        key = ApiKey(id=self.ids.new("key"), caller_id=caller.id, role=Role.CALLER, created_at=0)
        digest = hashlib.sha256(caller.id.encode()).digest()
        sealed = self.vault.seal(secret, caller.id)
        assert await self.store.add_caller(caller, key, digest, sealed)

    async def start(self) -> Stage:
        """Open and run, and wait until both loops have looked once."""
        await self.open()
        await self.engine.start()
        self.started = True
        await self.seen(LoopIdle, lambda fact: fact.loop == "jobs")
        await self.seen(LoopIdle, lambda fact: fact.loop == "deliveries")
        return self

    async def close(self) -> None:
        self.faults.heal()
        if self.started:
            await self.engine.stop()
        await self.store.close()

    # --- asking and waiting --------------------------------------------------------------------

    async def submit(
        self,
        body: bytes = b"{}",
        *,
        kind: str | None = None,
        caller: Caller | None = None,
        callback: Callback | None = None,
        **changes: Any,
    ) -> Job:
        """Submit with a callback to `URL` unless told otherwise; the job as it was added."""
        wanted = a_submission(
            type=self.runner.type.name if kind is None else kind,
            input=body,
            callback=a_callback() if callback is None else callback,
            **changes,
        )
        added = await self.engine.accept.submit(caller or self.caller, wanted)
        assert isinstance(added, Added)
        return added.job

    async def seen(
        self, kind: type[F], matches: Callable[[F], bool] = lambda _: True, *, count: int = 1
    ) -> list[F]:
        return await self.observer.until(kind, matches, count=count)

    async def rest(self) -> None:
        """Have both loops look twice from now on, so that what could be claimed has been.

        Then neither claims any more, unless somebody wakes it, what was claimed is being sent, and
        the store has taken what was to be said of it by then.
        """
        await self._look("jobs", self.engine.jobs.loop)
        await self._look("deliveries", self.engine.deliveries.loop)
        while True:
            await self.jobs_watch.until_it_rests()
            await self.deliveries_watch.until_it_rests()
            await self.turns()  # what was claimed last begins
            await self.look_ups.until_done()
            await self.turns()
            await self.faults.until_applied()
            await self.turns()
            if self.jobs_watch.rests and self.deliveries_watch.rests and not self.faults.applying:
                return

    async def rest_out_of_touch(self) -> None:
        """The same of a process that has lost its lease: it claims deliveries, but no jobs."""
        self.engine.jobs.loop.wake()
        await self._look("deliveries", self.engine.deliveries.loop)

    async def _look(self, name: str, loop: ClaimLoop) -> None:
        for _ in range(2):
            count = len([fact for fact in self.observer.all(LoopIdle) if fact.loop == name])
            loop.wake()
            await self.seen(LoopIdle, lambda fact: fact.loop == name, count=count + 1)

    async def sweep(self) -> None:
        """Sweep once more, between the sweeps that time brings."""
        await self.engine.sweep.once()
        await self.engine.sweep.held()
        await self.engine.prune.all()

    def advance(self, seconds: float) -> None:
        self.timers.advance(seconds)

    async def passes_until(self, wanted: Awaitable[T]) -> T:
        """Let time pass, as slowly as the store works, until something has happened."""
        task = asyncio.ensure_future(wanted)
        try:
            async with asyncio.timeout(60):
                while not (await asyncio.wait((task,), timeout=0.001))[0]:
                    self.advance(0.05)
            return await task
        finally:
            task.cancel()

    async def looks_until(self, wanted: Awaitable[T]) -> T:
        """Have the loops look until something has happened, while no time passes.

        A claim may leave out what another transaction has locked just now. The loop then looks
        again a moment later, which never comes here.
        """
        task = asyncio.ensure_future(wanted)
        async with asyncio.timeout(60):
            while not (await asyncio.wait((task,), timeout=0.01))[0]:
                await self.rest()
        return await task

    async def turns(self) -> None:
        """Let the event loop do all that it can do without the store."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def read(self, job: Job) -> JobRecord:
        record = await self.store.get_job(job.id, None)
        assert record is not None
        return record

    async def job(self, job: Job) -> Job:
        return (await self.read(job)).job

    async def deliveries(self, job: Job) -> tuple[DeliveryRecord, ...]:
        page = await self.store.list_deliveries(
            DeliveryFilter(job_id=job.id), limit=100, before=None
        )
        return page.items

    async def delivery(self, job: Job) -> Delivery:
        """The only one of a job."""
        (record,) = await self.deliveries(job)
        return record.delivery


def a_callback(url: str = URL, **changes: Any) -> Callback:
    origin = "/".join(url.split("/")[:3])
    return replace(Callback(url=url, origin=origin), **changes)


def a_submission(**changes: Any) -> Submission:
    usual = Submission(
        type="work",
        input=b"{}",
        queue="default",
        priority=5,
        timeout_seconds=600.0,
        max_attempts=3,
        retention_seconds=604_800.0,
        callback=a_callback(),
    )
    return replace(usual, **changes)
