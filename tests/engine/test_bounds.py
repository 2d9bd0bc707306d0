"""How much of a queue runs at once, over all processes."""

from __future__ import annotations

import asyncio

from dispatcher.core.changes import LeasedJob
from dispatcher.core.facts import JobEnded
from dispatcher.core.outcome import JobOutcome, Succeeded
from dispatcher.ports.records import Concurrency
from dispatcher.ports.runner import RunReport
from tests.databases import Database
from tests.engine.conftest import Stages
from tests.engine.stage import ScriptedRunner, Stage

MOST = Concurrency(queues={"narrow": 2})


async def test_a_bounded_queue_is_never_exceeded_and_goes_on_by_itself(database: Database) -> None:
    door = asyncio.Event()
    inside: set[str] = set()
    most: list[int] = []

    async def wait(leased: LeasedJob, report: RunReport) -> JobOutcome:
        if leased.job.queue == "narrow":
            inside.add(leased.lease)
        most.append(len(inside))
        await door.wait()
        inside.discard(leased.lease)
        return Succeeded(b"{}")

    one = Stage(database, ScriptedRunner(wait), concurrency=MOST)
    other = Stage(database, ScriptedRunner(wait), beside=one, concurrency=MOST)
    try:
        await one.start()
        await other.start()
        for _ in range(3):
            await one.submit(queue="narrow")
            await other.submit(queue="narrow")
        for stage in (one, other):
            await stage.rest()
        assert one.runner.at_once + other.runner.at_once == 2
        await one.submit(queue="wide")
        await one.turns()
        assert one.runner.at_once + other.runner.at_once == 3
        door.set()
        # Nobody but the ends of jobs wakes the process that has the next ones.
        await one.passes_until(_all_ended(one, other))
        assert max(most) == 2
    finally:
        door.set()
        await other.close()
        await one.close()


async def _all_ended(*stages: Stage) -> None:
    async with asyncio.timeout(60):
        while sum(len(stage.observer.all(JobEnded)) for stage in stages) < 7:
            await asyncio.sleep(0)
            for stage in stages[1:]:
                stage.timers.advance(0)


async def test_one_that_ends_while_a_claim_counts_it_makes_room_all_the_same(
    stages: Stages,
) -> None:
    """Nobody else would wake the loop before its poll."""
    doors: dict[bytes, asyncio.Event] = {}

    async def wait(leased: LeasedJob, report: RunReport) -> JobOutcome:
        await doors.setdefault(leased.input, asyncio.Event()).wait()
        return Succeeded(b"{}")

    stage = await stages.start(ScriptedRunner(wait), concurrency=MOST)
    for body in (b"1", b"2", b"3", b"4"):
        await stage.submit(body, queue="narrow")
    await stage.rest()
    assert len(stage.runner.begun) == 2
    gate = stage.faults.hold("claim_jobs")
    doors[b"1"].set()
    await gate.reached()  # it has counted the second, and its answer is under way
    doors[b"2"].set()
    await stage.seen(JobEnded, count=2)
    gate.open()
    async with asyncio.timeout(10):
        while len(stage.runner.begun) < 4:  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0)
    for door in doors.values():
        door.set()
    await stage.seen(JobEnded, count=4)
