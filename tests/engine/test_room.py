"""Room in this process: limits are kept, and whoever waits for a place is told when one is free.

No time passes in these tests, so nothing is found by polling.
"""

from __future__ import annotations

import asyncio

from dispatcher.core.changes import LeasedJob
from dispatcher.core.facts import DeliveryAttemptEnded, JobAccepted, JobEnded
from dispatcher.core.outcome import JobOutcome, Succeeded
from dispatcher.ports.runner import RunReport
from tests.engine.conftest import Stages
from tests.engine.handlers import Hanging
from tests.engine.stage import ScriptedRunner, a_callback, echo

ONE, OTHER = "https://one.example/hook", "https://other.example/hook"


async def test_a_types_concurrency_is_never_passed(stages: Stages) -> None:
    door = asyncio.Event()

    async def slow(leased: LeasedJob, report: RunReport) -> JobOutcome:
        await door.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        return Succeeded(b"null")

    narrow = ScriptedRunner(slow, "narrow", concurrency=3)
    wide = ScriptedRunner(slow, "wide")
    stage = await stages.start(narrow, wide, jobs_at_once=16)

    async def flood(kind: str) -> None:
        for number in range(40):  # some are handed off, some find no room and are claimed
            await asyncio.gather(*(stage.submit(kind=kind) for _ in range(1 + number % 4)))
            if number == 10:
                await stage.rest()
                door.set()

    await asyncio.gather(flood("narrow"), flood("wide"))
    await stage.observer.until(JobEnded, count=200, seconds=30)
    assert narrow.most_at_once == 3
    assert 3 < wide.most_at_once <= 13
    handed = [fact.handed_off for fact in stage.observer.all(JobAccepted)]
    assert {True, False} <= set(handed)
    await stage.rest()
    assert stage.engine.jobs.slots.used == 0


async def test_who_waits_for_a_type_is_claimed_when_it_has_room(stages: Stages) -> None:
    handler = Hanging()
    narrow = ScriptedRunner(handler, "narrow", concurrency=1)
    stage = await stages.start(narrow, ScriptedRunner(echo, "wide"))
    await stage.submit(callback=a_callback(events=()))
    await handler.begun.wait()
    await stage.submit(callback=a_callback(events=()))
    await stage.rest()
    assert len(narrow.begun) == 1
    handler.go.set()
    await stage.seen(JobEnded, count=2)


async def test_who_waits_for_a_place_to_send_is_claimed_when_there_is_one(stages: Stages) -> None:
    stage = await stages.start(deliveries_at_once=1)
    door = stage.sender.hang(ONE)
    await stage.submit(callback=a_callback(ONE))
    await stage.sender.until(1)
    await stage.submit(callback=a_callback(OTHER))
    await stage.rest()
    assert len(stage.sender.sent) == 1
    door.set()
    await stage.sender.until(1, OTHER)


async def test_a_backlog_does_not_keep_the_place_from_another_destination(stages: Stages) -> None:
    stage = await stages.start(deliveries_at_once=1)
    door = stage.sender.hang(ONE)
    stage.sender.on_answer = lambda: stage.clock.advance(0.001)  # who was served last is told by it
    for _ in range(20):
        await stage.submit(callback=a_callback(ONE))
    await stage.sender.until(1)
    await stage.submit(callback=a_callback(OTHER))
    await stage.seen(JobEnded, count=21)
    await stage.rest()
    door.set()
    await stage.seen(DeliveryAttemptEnded, count=21)
    assert [callout.url for callout in stage.sender.sent].index(OTHER) <= 2


async def test_a_word_to_stop_leaves_what_is_being_written_alone(stages: Stages) -> None:
    handler = Hanging()
    stage = await stages.start(ScriptedRunner(handler))
    job = await stage.submit()
    await handler.begun.wait()
    stage.faults.fail("apply", times=2)
    handler.go.set()
    await stage.faults.until_called("apply", 1)
    await stage.turns()
    stage.advance(600.0)  # its timeout, had it not returned
    stage.engine.jobs.lost(stage.engine.holder.id)
    await stage.passes_until(stage.seen(JobEnded))
    assert (await stage.read(job)).result == b'"done"'


async def test_the_next_job_begins_while_the_end_of_one_is_being_written(stages: Stages) -> None:
    """But no more than may run at once, however long the store takes."""
    runner = ScriptedRunner(echo)
    stage = await stages.start(runner, jobs_at_once=1)
    gate = stage.faults.hold("apply")
    for _ in range(4):
        await stage.submit()
    await stage.rest()
    assert len(runner.begun) == 2
    assert stage.engine.jobs.slots.leaving == 1
    assert stage.engine.jobs.running == 1  # the other one has no place any more
    gate.open()
    await stage.seen(JobEnded, count=4)
    await stage.rest()
    assert (stage.engine.jobs.slots.used, stage.engine.jobs.slots.leaving) == (0, 0)
