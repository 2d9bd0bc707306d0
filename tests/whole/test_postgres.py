"""Several services on one PostgreSQL: each does what any of them accepted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scripts.outside.api import Api
from scripts.outside.process import Service
from tests.store.postgres_server import empty_database
from tests.whole.rig import GATE_APP, SECONDS, Gate, Rig, rig

pytestmark = pytest.mark.whole


@pytest.fixture
async def environment() -> AsyncIterator[dict[str, str]]:
    """Of services that share an empty database."""
    async with empty_database() as url:
        yield {
            "DISPATCHER_STORE": url,
            "DISPATCHER_SECRET_KEY": f"dsk_{'A' * 43}",
            "DISPATCHER_LEASE_SECONDS": "3",
            "DISPATCHER_LOG_FORMAT": "json",
        }


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Where each service runs."""
    made = [tmp_path / "one", tmp_path / "other"]
    for each in made:
        each.mkdir()
    return made


async def another(here: Rig, folder: Path, environment: dict[str, str]) -> Service:
    """One more service on the same database."""
    service = Service(folder, app=GATE_APP, allow=[here.receiver.origin], environment=environment)
    await service.start()
    return service


async def test_what_one_accepted_is_done_by_another_when_it_dies(
    folders: list[Path], environment: dict[str, str]
) -> None:
    gate = Gate()
    async with (
        gate.listening(),
        rig(folders[0], app=GATE_APP, environment=environment) as here,
    ):
        other = await another(here, folders[1], environment)
        try:
            job_id = await here.submitted("gate.wait", gate.port)
            await gate.entered()
            here.service.kill()
            await gate.let_through(await gate.entered())
            await here.callback(job_id)
            async with Api(other.url, here.api_key, seconds=SECONDS) as api:
                job = await api.job(job_id)
            assert (job["status"], job["attemptCount"]) == ("succeeded", 2)
        finally:
            other.end()


async def test_a_service_that_stops_leaves_its_jobs_to_the_others_at_once(
    folders: list[Path], environment: dict[str, str]
) -> None:
    gate = Gate()
    patient = environment | {"DISPATCHER_LEASE_SECONDS": "600", "DISPATCHER_GRACE_SECONDS": "0"}
    async with (
        gate.listening(),
        rig(folders[0], app=GATE_APP, environment=patient) as here,
    ):
        other = await another(here, folders[1], patient)
        try:
            job_id = await here.submitted("gate.wait", gate.port)
            await gate.entered()
            stopping = asyncio.create_task(here.service.stop())
            await gate.let_through(await gate.entered())
            await here.callback(job_id)
            assert await stopping == 0
        finally:
            other.end()
