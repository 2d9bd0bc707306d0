"""Handlers that the tests lead, and what their callers were told."""

from __future__ import annotations

import asyncio
import json

from dispatcher.core.changes import LeasedJob
from dispatcher.core.model import Job
from dispatcher.core.outcome import AttemptFailed, JobOutcome, Succeeded
from dispatcher.core.retry import JobBackoff
from dispatcher.ports.runner import RunReport
from tests.engine.conftest import Stages
from tests.engine.stage import Handler, ScriptedRunner, Stage

BACKOFF = JobBackoff(first_seconds=2, factor=10, max_seconds=50)


class Hanging:
    """A handler that begins and hangs until it is cancelled, or let go."""

    def __init__(self, *, swallows: bool = False) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.canceled = asyncio.Event()
        self.cancels = 0
        self.asked_to_stop = False
        self._swallows = swallows

    async def __call__(self, leased: LeasedJob, report: RunReport) -> JobOutcome:
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancels += 1
            self.canceled.set()
            self.asked_to_stop = report.cancel_requested()
            if not self._swallows:
                raise
            await self.go.wait()
        return Succeeded(b'"done"')


def failing_after(hanging: Hanging) -> Handler:
    """A handler that hangs, and then fails."""

    async def handler(leased: LeasedJob, report: RunReport) -> JobOutcome:
        await hanging(leased, report)
        return AttemptFailed("handler-error", "ValueError")

    return handler


async def begin(stages: Stages, handler: Handler, **submission: object) -> tuple[Stage, Job]:
    stage = await stages.start(ScriptedRunner(handler, backoff=BACKOFF))
    return stage, await stage.submit(**submission)  # type: ignore[arg-type]  # a test's own words


def last_callback(stage: Stage) -> dict[str, object]:
    body: dict[str, object] = json.loads(stage.sender.sent[-1].body)
    return body
