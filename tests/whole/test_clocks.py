"""A process whose machine's clock is an hour off does no harm: PostgreSQL's is gone by."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

import pytest

from scripts.outside.process import Service
from tests.store.postgres_server import empty_database
from tests.whole.rig import GATE_APP, Gate
from tests.whole.test_nodes import Nodes

pytestmark = pytest.mark.whole

SKEWED = Path(__file__).with_name("skewed.py")


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    async with empty_database() as url, AsyncExitStack() as opened:
        made = Nodes(tmp_path, opened, url)
        await made.receiver.start()
        opened.push_async_callback(made.receiver.stop)
        yield made


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    async with Gate().listening() as listening:
        yield listening


async def off_by(nodes: Nodes, seconds: int, app: str | None = GATE_APP) -> Service:
    return await nodes.add(
        app=app,
        program=SKEWED,
        environment={"SKEW_SECONDS": str(seconds), "DISPATCHER_LEASE_SECONDS": "3"},
    )


@pytest.mark.parametrize("seconds", [3600, -3600])
async def test_alone_it_works_as_with_the_right_clock(nodes: Nodes, seconds: int) -> None:
    """Due at once, tried again in time, and signed at an instant that receivers believe."""
    wrong = await off_by(nodes, seconds, app=None)
    api = await nodes.api(wrong)
    job_id = await nodes.submitted(api, "dispatcher.echo", 1, delaySeconds=0.5, startBy=_in(60))
    await nodes.called_back(job_id)
    assert nodes.receiver.refused == []
    job = await api.job(job_id)
    assert job["status"] == "succeeded"
    assert abs(_of(job["finishedAt"]) - time.time()) < 60
    await wrong.until_says('"clock.differs"')


@pytest.mark.parametrize("seconds", [3600, -3600])
async def test_it_takes_nothing_from_others_and_they_nothing_from_it(
    nodes: Nodes, gate: Gate, seconds: int
) -> None:
    """Jobs of either run on through sweeps and claims of the other: leases last as they should."""
    right = await nodes.add(environment={"DISPATCHER_LEASE_SECONDS": "3"})
    wrong = await off_by(nodes, seconds)
    jobs = []
    for node in (right, wrong):
        api = await nodes.api(node)
        jobs.append(await nodes.submitted(api, "gate.wait", gate.port, deadline=_in(600)))
    running = [await gate.entered(), await gate.entered()]
    # Two leases long, with sweeps of both.
    marker = await nodes.submitted(await nodes.api(wrong), "dispatcher.echo", 1, delaySeconds=6)
    await nodes.called_back(marker)
    for each in running:
        await gate.let_through(each)
    for job_id in jobs:
        await nodes.called_back(job_id)
        job = await (await nodes.api(right)).job(job_id)
        assert (job["status"], job["attemptCount"]) == ("succeeded", 1)
    assert nodes.receiver.refused == []


def _in(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def _of(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
