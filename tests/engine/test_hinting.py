"""Two processes on one store: what one does rings the other by hints, which then reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dispatcher.core.facts import (
    ActionAudited,
    CancelAsked,
    DeliveriesReady,
    Fact,
    JobEnded,
    JobMoved,
    JobsReady,
    SecretsChanged,
)
from dispatcher.core.model import JobState
from dispatcher.core.retry import Schedule
from dispatcher.engine.catalog import Catalog
from dispatcher.engine.hinting import AGAIN_SECONDS, Hearing, Telling
from dispatcher.engine.loop import ClaimLoop
from dispatcher.engine.terms import EngineTerms
from dispatcher.ports.hints import EVERY_TOPIC, Hear, Hint, Topic
from dispatcher.ports.records import Concurrency
from dispatcher.testing.clock import ManualClock
from tests.engine.conftest import Stages
from tests.engine.handlers import Hanging
from tests.engine.stage import ScriptedRunner, Stage
from tests.fact_samples import CSV, FACTS, JOB


class Wire:
    """Hints as they are published."""

    def __init__(self) -> None:
        self.hints: list[Hint] = []

    def publish(self, topic: Topic, id: str = "") -> None:  # noqa: A002  # the port's own word
        self.hints.append(Hint(topic, id))

    @asynccontextmanager
    async def listening(
        self, hear: Hear, topics: frozenset[Topic] = EVERY_TOPIC
    ) -> AsyncIterator[None]:
        yield


def told(*facts: Fact, concurrency: Concurrency | None = None) -> list[Hint]:
    wire, clock = Wire(), ManualClock()
    terms = EngineTerms(schedule=Schedule((0.0,)), concurrency=concurrency or Concurrency())
    telling = Telling(wire, terms, clock)
    for fact in facts:
        telling.saw(fact)
    return wire.hints


def hearing_of(stage: Stage, forgotten: list[str | None]) -> Hearing:
    return Hearing(
        stage.engine,
        stage.store,
        stage.waiters,
        Catalog(),
        types=frozenset(stage.runners),
        forget=forgotten.append,
        timers=stage.timers,
    )


def is_rung(loop: ClaimLoop) -> bool:
    return loop._bell._rung.is_set()


def test_what_happens_to_a_job_is_told() -> None:
    assert told(JobEnded(JOB, JobState.SUCCEEDED)) == [
        Hint(Topic.JOB, JOB.id),
        Hint(Topic.EVENTS, JOB.caller_id),
    ]
    assert told(CancelAsked(JOB))[0] == Hint(Topic.CANCEL, JOB.id)
    assert told(JobMoved(JOB.id, JOB.caller_id, JOB))[1] == Hint(Topic.PROGRESS, JOB.id)


def test_only_what_is_due_before_others_look_is_told() -> None:
    now = ManualClock().now()
    assert told(JobsReady(None, "a"), JobsReady(now + 4_000, "b")) == [
        Hint(Topic.WORK, "a"),
        Hint(Topic.WORK, "b"),
    ]
    assert told(JobsReady(now + 6_000, "a"), DeliveriesReady(now + 6_000)) == []
    assert told(DeliveriesReady(now)) == [Hint(Topic.SENDING)]


def test_room_under_a_limit_over_all_is_told_to_all() -> None:
    ended = JobEnded(JOB, JobState.SUCCEEDED)
    assert Hint(Topic.WORK) in told(ended, concurrency=Concurrency(types={CSV.name: 1}))
    assert Hint(Topic.WORK) in told(ended, concurrency=Concurrency(queues={JOB.queue: 1}))
    assert Hint(Topic.WORK) not in told(ended)


def test_no_hint_holds_more_than_an_id() -> None:
    for hint in told(*FACTS):
        assert " " not in hint.id
        assert "://" not in hint.id
    assert told(SecretsChanged("ep_1")) == [Hint(Topic.ENDPOINT, "ep_1")]
    assert ActionAudited in {type(fact) for fact in FACTS}


async def test_who_waits_is_woken_and_loops_look(stages: Stages) -> None:
    stage = await stages.start()
    forgotten: list[str | None] = []
    hearing = hearing_of(stage, forgotten)
    with stage.waiters.job("job_1") as waiting, stage.waiters.caller("clr_1") as following:
        hearing.hear(Hint(Topic.JOB, "job_1"))
        assert await waiting.wait(0)
        hearing.hear(Hint(Topic.EVENTS, "clr_1"))
        assert await following.wait(0)
    hearing.hear(Hint(Topic.CALLER, "clr_1"))
    hearing.hear(Hint(Topic.SERVICE_KEYS))
    assert forgotten == ["clr_1", None]
    await stage.rest()
    hearing.hear(Hint(Topic.WORK, "of.others"))
    assert not is_rung(stage.engine.jobs.loop)
    hearing.hear(Hint(Topic.WORK, next(iter(stage.runners))))
    assert is_rung(stage.engine.jobs.loop)
    hearing.hear(Hint(Topic.ANYTHING))
    assert is_rung(stage.engine.deliveries.loop)
    assert forgotten[-1] is None
    await hearing.close()


async def test_a_cancel_is_believed_of_the_store_alone(stages: Stages) -> None:
    hanging = Hanging()
    stage = await stages.start(ScriptedRunner(hanging))
    other = await stages.start(beside=stage)
    hearing = hearing_of(stage, [])
    job = await stage.submit()
    await hanging.begun.wait()
    hearing.hear(Hint(Topic.CANCEL, job.id))
    await asyncio.gather(*hearing._reading.values())
    assert stage.engine.jobs.runs(job.id)
    await other.engine.cancel.cancel(job.id, None)
    hearing.hear(Hint(Topic.CANCEL, job.id))
    await stage.seen(JobEnded, lambda fact: fact.to is JobState.CANCELED)


async def test_a_hint_just_as_its_read_has_ended_is_read_too(stages: Stages) -> None:
    stage = await stages.start()
    hearing = hearing_of(stage, [])
    hint = Hint(Topic.TYPES)
    gate = stage.faults.hold("list_types")
    hearing.hear(hint)
    await gate.reached()
    gate.open()
    (first,) = hearing._reading.values()
    loop = asyncio.get_running_loop()

    def watch() -> None:
        """Hear it again between the last step of the read and what is called when it is done."""
        if first.done():
            hearing.hear(hint)
        else:
            loop.call_soon(watch)

    watch()
    await first
    await asyncio.gather(*hearing._reading.values())
    assert stage.faults.calls["list_types"] == 2


async def test_types_that_could_not_be_read_are_read_again(stages: Stages) -> None:
    stage = await stages.start()
    hearing = hearing_of(stage, [])
    await stage.store.put_types([CSV])
    stage.faults.fail("list_types", times=2)
    hearing.hear(Hint(Topic.TYPES))
    for count in (1, 2):
        await stage.faults.until_called("list_types", count)
        await stage.turns()
        stage.advance(AGAIN_SECONDS - 0.1)
        await stage.turns()
        assert stage.faults.calls["list_types"] == count
        stage.advance(0.1)
    await asyncio.gather(*hearing._reading.values())
    assert stage.faults.calls["list_types"] == 3
    assert CSV in hearing._catalog.all()


@pytest.mark.parametrize("topic", [Topic.TYPES, Topic.ANYTHING])
async def test_a_hint_ends_the_pause_before_types_are_read_again(
    stages: Stages, topic: Topic
) -> None:
    stage = await stages.start()
    hearing = hearing_of(stage, [])
    stage.faults.fail("list_types")
    hearing.hear(Hint(Topic.TYPES))
    (reading,) = hearing._reading.values()
    await stage.faults.until_called("list_types", 1)
    await stage.turns()
    hearing.hear(Hint(topic))
    await reading
    assert hearing._reading == {}
    assert stage.faults.calls["list_types"] >= 2


async def test_who_closes_waits_for_no_store(stages: Stages) -> None:
    stage = await stages.start()
    hearing = hearing_of(stage, [])
    stage.faults.fail("list_types")
    hearing.hear(Hint(Topic.ANYTHING))
    await stage.faults.until_called("list_types", 1)
    await stage.turns()
    assert len(hearing._reading) == 1
    await hearing.close()
    assert hearing._reading == {}
