"""When a job will probably be done, as callers are told."""

from __future__ import annotations

from msgspec.structs import replace

from dispatcher.core.model import JobState
from tests.fact_samples import ENDED, JOB
from tests.web.edge import Edge
from tests.web.edge_jobs import ECHO, change, submitted, succeed


def learn(edge: Edge, duration_ms: int) -> None:
    job = replace(JOB, type="dispatcher.echo")
    edge.services.estimates.saw(replace(ENDED, job=job, duration_ms=duration_ms, waited_ms=0))


async def test_an_estimate_is_shown_and_says_when_to_ask_again(edge: Edge) -> None:
    learn(edge, 40_000)
    submission = await edge.submit(ECHO)
    assert submission.json["estimatedFinishAt"] == "2026-01-31T12:00:40.000Z"
    assert submission.headers["Retry-After"] == "40"
    job_id = submission.json["id"]
    change(edge, job_id, state=JobState.RUNNING, attempt_count=1, started_at=edge.clock.now())
    edge.clock.advance(10)
    answer = await edge.call("GET", f"/v1/jobs/{job_id}")
    assert answer.json["estimatedFinishAt"] == "2026-01-31T12:00:40.000Z"
    assert answer.headers["Retry-After"] == "30"
    listed = (await edge.call("GET", "/v1/jobs")).json["items"][0]
    assert listed["estimatedFinishAt"] == answer.json["estimatedFinishAt"]
    early = await edge.call("GET", f"/v1/jobs/{job_id}/result")
    assert (early.status, early.headers["Retry-After"]) == (409, "30")


async def test_an_estimate_changes_no_etag(edge: Edge) -> None:
    job_id = await submitted(edge)
    before = await edge.call("GET", f"/v1/jobs/{job_id}")
    learn(edge, 40_000)
    headers = {"If-None-Match": before.headers["ETag"]}
    after = await edge.call("GET", f"/v1/jobs/{job_id}", headers=headers)
    assert (after.status, after.headers["Retry-After"]) == (304, "40")


async def test_a_job_that_is_done_is_not_estimated(edge: Edge) -> None:
    learn(edge, 40_000)
    job_id = await submitted(edge)
    succeed(edge, job_id, b"1")
    answer = await edge.call("GET", f"/v1/jobs/{job_id}")
    assert answer.json["estimatedFinishAt"] is None
    assert "Retry-After" not in answer.headers
