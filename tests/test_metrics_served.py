"""The metrics of a service as `compose` puts it together, after a job and its callback."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from dispatcher.compose import bind, service
from dispatcher.core.facts import DeliveryAttemptEnded
from dispatcher.settings import Settings
from dispatcher.testing.observer import RecordingObserver
from tests.metrics_text import Shown


async def test_a_job_and_its_callback_are_counted(tmp_path: Path) -> None:
    settings = Settings(dev=True, port=0, store=f"sqlite:///{tmp_path / 'dispatcher.db'}")
    observer = RecordingObserver()
    echo = "dispatcher.echo"
    with bind(settings) as listening:
        async with (
            service(settings, None, listening, observer) as running,
            aiohttp.ClientSession(running.url) as session,
        ):
            body = {"type": echo, "input": 1, "callbackUrl": f"{running.url}/dev/inbox"}
            async with session.post("/v1/jobs", json=body) as answer:
                assert answer.status == 202
            await observer.until(DeliveryAttemptEnded)
            async with session.get("/metrics") as answer:
                shown = Shown(await answer.read())
    assert shown.value("dispatcher_jobs_accepted_total", type=echo) == 1
    assert shown.value("dispatcher_jobs_ended_total", type=echo, state="succeeded") == 1
    assert shown.value("dispatcher_job_attempt_seconds_count", type=echo) == 1
    assert shown.value("dispatcher_deliveries_total", outcome="delivered") == 1
    assert shown.value("dispatcher_delivery_attempt_seconds_count", result="2xx") == 1
    assert shown.value("dispatcher_queue_waiting", queue="default") == 0
    assert shown.value("dispatcher_backlog_readable") == 1
    assert shown.value("dispatcher_jobs_in_flight_limit") == settings.jobs_at_once
    assert shown.value("dispatcher_store_commit_seconds_count") >= 3
    assert shown.value("dispatcher_store_commits_failed_total") == 0
    assert shown.has("dispatcher_build_info")
