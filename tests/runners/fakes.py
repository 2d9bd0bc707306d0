"""A job, and someone to report to."""

from __future__ import annotations

from typing import Any

import msgspec

from dispatcher import Dispatcher
from dispatcher.core.changes import LeasedJob
from dispatcher.core.model import Job, JobState, Progress, Trace
from dispatcher.core.outcome import JobOutcome
from dispatcher.ports.runner import Runner


class Recorder:
    """Implements `RunReport` by keeping what it is told."""

    def __init__(self) -> None:
        self.told: list[Progress] = []
        self.kept: list[bytes] = []
        self.to_stop = False
        self.refusal: BaseException | None = None

    def progress(self, progress: Progress) -> None:
        self.told.append(progress)

    async def output(self, output: bytes) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.kept.append(output)

    def cancel_requested(self) -> bool:
        return self.to_stop


def leased(given: Any = None, *, raw: bytes | None = None, **members: Any) -> LeasedJob:
    """A running job with that input, as JSON."""
    facts: dict[str, Any] = {
        "id": "job_01890a5d000070008000000000000001",
        "caller_id": "clr_01890a5d000070008000000000000002",
        "type": "test.job",
        "queue": "default",
        "priority": 5,
        "state": JobState.RUNNING,
        "attempt_count": 1,
        "max_attempts": 3,
        "timeout_seconds": 600.0,
        "retention_seconds": 604_800.0,
        "created_at": 1_769_851_800_123,
        "due_at": 1_769_851_800_123,
        "correlation_id": "order-7",
        "metadata": {"tenant": "blue"},
        "trace": Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1"),
    }
    return LeasedJob(
        Job(**(facts | members)), "lse_1", msgspec.json.encode(given) if raw is None else raw
    )


def runner_of(function: Any, **terms: Any) -> Runner:
    """The runner of `function`, declared as `test.job`."""
    app = Dispatcher()
    app.job("test.job", **terms)(function)
    return app.runners()["test.job"]


async def run(function: Any, given: Any = None, report: Recorder | None = None) -> JobOutcome:
    """How a job with that input comes out."""
    return await runner_of(function).run(leased(given), report or Recorder())
