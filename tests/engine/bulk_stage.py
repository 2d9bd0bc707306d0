"""A stage that carries out bulk operations, in steps of two."""

from __future__ import annotations

import json
from typing import Any

from dispatcher.adapters.runners.bulk import BulkRunner
from dispatcher.core.breaker import BreakerTerms
from dispatcher.core.bulk import BulkKind
from dispatcher.core.facts import DeliveryAttemptEnded, JobEnded
from dispatcher.core.model import Caller, Job, JobState
from dispatcher.core.outcome import Failed
from dispatcher.engine.bulk import Bulk
from dispatcher.engine.terms import System
from dispatcher.ports.records import DeliveryTerms
from tests.engine.conftest import Stages
from tests.engine.stage import FAILS, Handler, ScriptedRunner, Stage, Steady, a_callback, echo

BEN = Caller("clr_00000000000070008000000000000be1", "ben", 0)
OTHER_URL = "https://other.example/hook"


class BulkStage:
    """A stage with the built-in bulk types, beside one type that a test wrote."""

    def __init__(self, stages: Stages, handler: Handler = echo, **terms: Any) -> None:
        self.runners = [BulkRunner(kind) for kind in BulkKind]
        scripted = [ScriptedRunner(each.run, each.type.name) for each in self.runners]
        # Many die here, one after another: that is no reason to leave the receiver alone.
        never = BreakerTerms(failures=1_000, rate_of=1_000)
        self.stage = stages.make(ScriptedRunner(handler), *scripted, **{"breaker": never, **terms})
        self.unfit: set[str] = set()

    async def start(self) -> Stage:
        """Start the stage, and let its bulk operations work on its engine."""
        stage = self.stage
        bulk = Bulk(
            stage.store,
            stage.engine.jobs,
            stage.engine.accept,
            may_replay=lambda job, body: body.decode() not in self.unfit and bool(job.id),
            terms=DeliveryTerms(slots=16, lease_seconds=30.0),
            system=System(stage.clock, stage.timers, Steady(), stage.ids, stage.observer),
        )
        for runner in self.runners:
            runner.work = bulk
        await stage.start()
        if await stage.store.find_caller(BEN.id) is None:
            await stage.add_caller(BEN)
        return stage


async def order(stage: Stage, kind: BulkKind, caller: Caller | None = None, **asked: Any) -> Job:
    """Submit a bulk operation, a moment after everything else."""
    stage.advance(0.001)
    return await order_at_once(stage, kind, caller, **asked)


async def order_at_once(
    stage: Stage, kind: BulkKind, caller: Caller | None = None, **asked: Any
) -> Job:
    """The same within the millisecond in which everything else was submitted."""
    return await stage.submit(
        json.dumps(asked).encode(), kind=kind.value, queue="dispatcher", caller=caller
    )


async def result_of(stage: Stage, job: Job) -> dict[str, Any]:
    """What a bulk operation gave, once it has succeeded."""
    (ended,) = await stage.seen(JobEnded, lambda fact: fact.job.id == job.id)
    record = await stage.read(job)
    assert ended.to is JobState.SUCCEEDED, record.job.error
    found: dict[str, Any] = json.loads(record.result or b"null")
    return found


async def dead(stage: Stage, count: int, url: str = OTHER_URL, **more: Any) -> list[Job]:
    """Jobs whose callbacks have died, one after another."""
    jobs = []
    for _ in range(count):
        stage.sender.answers.setdefault(url, []).append(FAILS)
        callback = a_callback(url, schedule=more.get("schedule"))
        job = await stage.submit(callback=callback, caller=more.get("caller"))
        await stage.seen(DeliveryAttemptEnded, lambda fact, id_=job.id: fact.job_id == id_)  # type: ignore[misc]  # bound now
        jobs.append(job)
    return jobs


async def ended(stage: Stage, count: int, **more: Any) -> list[Job]:
    """Jobs that have ended, one after another."""
    jobs = []
    for n in range(count):
        jobs.append(await stage.submit(b"%d" % n, callback=a_callback(OTHER_URL), **more))
        await stage.seen(JobEnded, lambda fact, id_=jobs[-1].id: fact.job.id == id_)  # type: ignore[misc]  # bound now
    return jobs


async def failing(leased: object, report: object) -> Failed:
    """A handler that fails."""
    return Failed("no", "said the test")
