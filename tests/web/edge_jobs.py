"""Jobs of an edge under test, and how they move on."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dispatcher.core.model import (
    JobState,
)
from tests.web.edge import Edge

ECHO = {"type": "dispatcher.echo", "input": {"hello": "world"}}
NO_JOB = "job_" + "0" * 32
NO_DELIVERY = "dlv_" + "0" * 32


async def submitted(edge: Edge, body: dict[str, Any] = ECHO, **more: Any) -> str:
    answer = await edge.submit(body, **more)
    assert answer.status == 202, answer.body
    job_id: str = answer.json["id"]
    return job_id


def change(edge: Edge, job_id: str, **changes: Any) -> None:
    """The job moves on: its row changes, and so its version."""
    record = edge.memory.jobs[job_id]
    job = replace(record.job, version=record.job.version + 1, **changes)
    edge.memory.jobs[job_id] = replace(record, job=job)


def succeed(edge: Edge, job_id: str, result: bytes) -> None:
    now = edge.clock.now()
    change(
        edge,
        job_id,
        state=JobState.SUCCEEDED,
        finished_at=now,
        expires_at=now + 1_000,
        result_bytes=len(result),
    )
    edge.memory.jobs[job_id] = replace(edge.memory.jobs[job_id], result=result)
