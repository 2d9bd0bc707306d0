"""What a job leaves behind in memory once it has ended: nothing."""

from __future__ import annotations

import gc

from dispatcher.core.changes import LeasedJob
from dispatcher.core.facts import DeliveryAttemptEnded
from dispatcher.core.outcome import JobOutcome, Succeeded
from dispatcher.engine.report import Report
from dispatcher.engine.run import Run
from dispatcher.ports.runner import RunReport
from tests.engine.conftest import Stages
from tests.engine.stage import ScriptedRunner


def things() -> list[Run | Report]:
    return [each for each in gc.get_objects() if isinstance(each, Run | Report)]


async def test_an_ended_job_leaves_no_ring_for_the_garbage_collector(stages: Stages) -> None:
    """Rings of 15 objects a job cost pauses of 40 to 90 ms every few thousand jobs."""

    async def told(leased: LeasedJob, report: RunReport) -> JobOutcome:
        await report.output(b"1")
        return Succeeded(leased.input)

    stage = await stages.start(ScriptedRunner(told))
    gc.collect()
    before = things()  # of a test that failed, say
    gc.disable()
    try:
        for count in range(1, 4):
            await stage.submit()
            await stage.seen(DeliveryAttemptEnded, count=count)
        await stage.rest()
        left = [each for each in things() if not any(each is one for one in before)]
    finally:
        gc.enable()
    assert left == []
