"""Jobs that were running at two crashes run alone the next time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import pytest

from dispatcher.core.changes import LeasedJob
from dispatcher.core.facts import JobAttemptEnded, JobEnded, RunsAlone
from dispatcher.core.model import Callback, EventType, Job, JobState
from dispatcher.core.outcome import JobOutcome, Succeeded
from dispatcher.engine.alone import AGAIN_SECONDS, PATIENCE_SECONDS
from dispatcher.ports.runner import RunReport
from tests.databases import Database
from tests.engine.stage import ScriptedRunner, Stage, a_callback


class Hall:
    """A handler that waits for its door; who is inside at once is kept."""

    def __init__(self) -> None:
        self.doors: dict[bytes, asyncio.Event] = {}
        self.inside: set[bytes] = set()
        self.beside: dict[bytes, set[bytes]] = {}
        self._changed = asyncio.Event()

    async def handle(self, leased: LeasedJob, report: RunReport) -> JobOutcome:
        self.inside.add(leased.input)
        for each in self.inside:
            self.beside.setdefault(each, set()).update(self.inside - {each})
        self._changed.set()
        try:
            await self.doors.setdefault(leased.input, asyncio.Event()).wait()
        finally:
            self.inside.discard(leased.input)
            self._changed.set()
        return Succeeded(b"{}")

    def let_go(self, *names: bytes) -> None:
        for name in names:
            self.doors.setdefault(name, asyncio.Event()).set()

    async def until(self, *names: bytes) -> None:
        async with asyncio.timeout(60):
            while self.inside != set(names):
                self._changed.clear()
                await self._changed.wait()


class InProcessRunner(ScriptedRunner):
    """As those of Python handlers."""

    shares_process = True


def a_stage(database: Database, hall: Hall, beside: Stage | None = None) -> Stage:
    return Stage(database, InProcessRunner(hall.handle), beside=beside)


async def eventually(stage: Stage, wanted: Awaitable[object]) -> None:
    """Wait for it. On PostgreSQL a claim leaves out what is locked, and looks again a moment later.

    That never comes where the clock stands still, so there the loops are told to look.
    """
    await (wanted if isinstance(stage.database, Path) else stage.looks_until(wanted))


async def crash(
    stage: Stage, *names: bytes, times: int = 2, callback: Callback | None = None
) -> list[Job]:
    """Jobs that were claimed by a process that died, so many times."""
    hall = Hall()
    jobs: list[Job] = []
    for crashed in range(times):
        dead = a_stage(stage.database, hall, beside=stage)
        await dead.open()
        await dead.engine.holder.start()
        if not crashed:
            jobs = [await dead.submit(name, callback=callback) for name in names]
        else:
            await dead.engine.jobs._claim()
        await hall.until(*names)
        for run in dead.engine.jobs._all():
            assert run.task is not None
            run.task.cancel()
        await asyncio.gather(
            *(run.task for run in dead.engine.jobs._all() if run.task), return_exceptions=True
        )
        await dead.engine.holder.stop(release=True)
        await dead.store.close()
    return jobs


async def test_suspects_run_one_by_one_and_others_after_them(database: Database) -> None:
    hall = Hall()
    stage = await a_stage(database, hall).open()
    try:
        jobs = await crash(stage, b"1", b"2")
        assert [(await stage.job(job)).crash_count for job in jobs] == [1, 1]
        await stage.start()
        await hall.until(b"1")
        await stage.submit(b"3")
        await stage.turns()
        assert hall.inside == {b"1"}
        hall.let_go(b"1")
        await eventually(stage, hall.until(b"2"))
        hall.let_go(b"2")
        await eventually(stage, hall.until(b"3"))
        hall.let_go(b"3")
        await eventually(stage, stage.seen(JobEnded, count=3))
        assert hall.beside == {b"1": set(), b"2": set(), b"3": set()}
        assert [fact.job.crash_count for fact in stage.observer.all(RunsAlone)] == [2, 2]
    finally:
        hall.let_go(b"1", b"2", b"3")
        await stage.close()


@pytest.mark.parametrize("at_once", [256, 2])
async def test_a_suspect_begins_when_those_claimed_with_it_have_been_given_back(
    database: Database, at_once: int
) -> None:
    """If it crashes the process they lose no attempt by it.

    Where two run at once, the second is being claimed when the first is to begin.
    """
    hall = Hall()
    suspects: list[Job] = []
    beside: dict[bytes, list[tuple[JobState, int]]] = {}

    async def handle(leased: LeasedJob, report: RunReport) -> JobOutcome:
        others = [await stage.job(job) for job in suspects if job.id != leased.job.id]
        beside[leased.input] = [(job.state, job.attempt_count) for job in others]
        return await hall.handle(leased, report)

    stage = await Stage(database, InProcessRunner(handle), jobs_at_once=at_once).open()
    try:
        suspects += await crash(stage, b"1", b"2", b"3")
        await stage.start()
        for name in (b"1", b"2", b"3"):
            await eventually(stage, hall.until(name))
            hall.let_go(name)
        await eventually(stage, stage.seen(JobEnded, count=3))
        waiting, done = (JobState.WAITING, 2), (JobState.SUCCEEDED, 3)
        assert beside == {
            b"1": [waiting, waiting],
            b"2": [done, waiting],
            b"3": [done, done],
        }
    finally:
        hall.let_go(b"1", b"2", b"3")
        await stage.close()


async def test_a_suspect_begins_after_who_is_being_added_was_given_back(
    database: Database,
) -> None:
    """The store may have leased it to this process already."""
    hall = Hall()
    stage = await a_stage(database, hall).open()
    try:
        await crash(stage, b"1")
        await stage.store.pause("default", stage.clock.now())
        await stage.start()
        gate = stage.faults.hold("add_jobs")
        adding = asyncio.ensure_future(stage.submit(b"3", queue="other"))
        await gate.reached()
        await stage.store.resume("default")
        await stage.rest()
        assert hall.inside == set()
        gate.open()
        added = await adding
        await hall.until(b"1")
        job = await stage.job(added)
        assert (job.state, job.attempt_count) == (JobState.WAITING, 0)
        hall.let_go(b"1", b"3")
        await stage.seen(JobEnded, count=2)
        assert hall.beside == {b"1": set(), b"3": set()}
    finally:
        hall.let_go(b"1", b"3")
        await stage.close()


async def test_that_a_job_has_started_is_told_when_it_begins(database: Database) -> None:
    """Not when it is given back, since a suspect is to run."""
    hall = Hall()
    asked = a_callback(events=(EventType.JOB_STARTED, EventType.JOB_SUCCEEDED))
    names = (b"1", b"2", b"3", b"4")
    stage = await a_stage(database, hall).open()
    try:
        jobs = await crash(stage, *names, callback=asked)
        await stage.start()
        hall.let_go(*names)
        await eventually(stage, stage.seen(JobEnded, count=4))
        given_back = [
            each for each in stage.observer.all(JobAttemptEnded) if each.outcome == "GivenBack"
        ]
        assert given_back
        for job in jobs:
            events = [each.delivery.event_type for each in await stage.deliveries(job)]
            assert events.count(EventType.JOB_STARTED) == 3, events
    finally:
        hall.let_go(*names)
        await stage.close()


async def test_of_many_suspects_few_are_claimed_and_given_back(database: Database) -> None:
    hall = Hall()
    names = [b"%d" % n for n in range(12)]
    stage = await a_stage(database, hall).open()
    try:
        await crash(stage, *names)
        hall.let_go(*names)
        await stage.start()
        await eventually(stage, stage.seen(JobEnded, count=12))
        told = [each.outcome for each in stage.observer.all(JobAttemptEnded)]
        assert told.count("Succeeded") == 12
        assert told.count("GivenBack") <= 11 + 2 * 12  # not one for each two of them: 66
        await stage.submit(b"a")
        await stage.submit(b"b")
        await hall.until(b"a", b"b")
    finally:
        hall.let_go(*names, b"a", b"b")
        await stage.close()


async def test_after_one_crash_jobs_run_side_by_side(database: Database) -> None:
    hall = Hall()
    stage = await a_stage(database, hall).open()
    try:
        await crash(stage, b"1", b"2", times=1)
        await stage.start()
        await hall.until(b"1", b"2")
        assert stage.observer.all(RunsAlone) == []
    finally:
        hall.let_go(b"1", b"2")
        await stage.close()


async def test_a_suspect_gives_way_to_a_job_that_does_not_end(database: Database) -> None:
    hall = Hall()
    stage = await a_stage(database, hall).open()
    try:
        (suspect,) = await crash(stage, b"1")
        await stage.store.pause("default", stage.clock.now())
        await stage.start()
        await stage.submit(b"long", queue="other")
        await hall.until(b"long")
        await stage.store.resume("default")
        stage.engine.jobs.wake()
        await stage.passes_until(_waits(stage, suspect))
        job = await stage.job(suspect)
        assert job.attempt_count == 2
        assert job.due_at > stage.clock.now()
        assert job.due_at <= stage.clock.now() + AGAIN_SECONDS * 1000
        assert hall.inside == {b"long"}
        await stage.submit(b"3", queue="other")
        await hall.until(b"long", b"3")
        hall.let_go(b"long", b"3")
        await stage.seen(JobEnded, count=2)
        stage.advance(AGAIN_SECONDS)
        # A claim that was under way meanwhile, and found nothing due, looks again a moment later.
        await stage.passes_until(hall.until(b"1"))
    finally:
        hall.let_go(b"1", b"long", b"3")
        await stage.close()


async def test_suspects_that_can_not_run_alone_keep_the_others_out_for_a_while_only(
    database: Database,
) -> None:
    """Each waits for its turn in vain; one after another they would keep them out for good."""
    hall = Hall()
    stage = await a_stage(database, hall).open()
    try:
        suspects = await crash(stage, b"1", b"2", b"3")
        await stage.store.pause("default", stage.clock.now())
        await stage.start()
        await stage.submit(b"long", queue="other")
        await hall.until(b"long")
        await stage.store.resume("default")
        since = stage.clock.now()
        stage.engine.jobs.wake()
        snoozed = stage.seen(JobAttemptEnded, lambda each: each.outcome == "Snoozed", count=3)
        told = await stage.passes_until(snoozed)
        assert stage.clock.now() < since + 2 * PATIENCE_SECONDS * 1000
        assert sorted(each.job.id for each in told) == sorted(each.id for each in suspects)
        last = await stage.job(told[-1].job)
        assert last.state is JobState.WAITING
        assert last.due_at > stage.clock.now()
        assert hall.inside == {b"long"}
        await stage.submit(b"4", queue="other")
        await hall.until(b"long", b"4")
    finally:
        hall.let_go(b"1", b"2", b"3", b"4", b"long")
        await stage.close()


async def _waits(stage: Stage, job: Job) -> None:
    while True:
        now = await stage.job(job)
        if now.state is JobState.WAITING and now.due_at > stage.clock.now():
            return
