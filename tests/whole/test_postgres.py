"""Several services on one PostgreSQL: each does what any of them accepted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from dispatcher.engine.waiters import POLL_SECONDS
from scripts.outside.api import Api
from scripts.outside.process import Service
from tests.store.postgres_server import empty_database
from tests.web.sse_reader import opened
from tests.whole.rig import GATE_APP, SECONDS, Gate, Rig, rig

pytestmark = pytest.mark.whole

SLOW_EVENT = """
INSERT INTO dispatcher.event (id, caller_id, type, at, links_base, data)
SELECT 'evt_slow', caller_id, 'ping', 0, '', '{}' FROM dispatcher.event LIMIT 1
"""


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


async def test_who_listens_never_passes_what_is_not_committed_yet(
    folders: list[Path], environment: dict[str, str]
) -> None:
    """Another process's transaction is slow: what comes behind it waits, and then comes at once."""
    url = environment["DISPATCHER_STORE"]
    async with rig(folders[0], environment=environment) as here:
        elsewhere = await asyncpg.connect(url)
        try:
            before = await here.submitted()
            await here.callback(before)
            async with (
                opened(f"{here.service.url}/v1/events", here.api_key or "") as listener,
                Api(here.service.url, here.api_key, seconds=SECONDS) as api,
            ):
                (told,) = await listener.take(1)
                assert told.json["data"]["id"] == before
                cursor = (await api.call("GET", "/v1/events")).json["nextCursor"]
                slow = elsewhere.transaction()
                await slow.start()
                await elsewhere.execute(SLOW_EVENT)
                behind = await here.submitted()
                await here.callback(behind)
                page = (await api.call("GET", f"/v1/events?cursor={cursor}")).json
                assert page["items"] == []
                waits = api.call(
                    "GET",
                    f"/v1/events?cursor={page['nextCursor']}",
                    headers={"Prefer": "wait=20"},
                )
                waiting = asyncio.create_task(waits)
                await slow.commit()
                began = time.monotonic()
                assert [each.type for each in await listener.take(2)] == ["ping", "job.succeeded"]
                assert time.monotonic() - began < POLL_SECONDS
                assert [each["type"] for each in (await waiting).json["items"]] == [
                    "ping",
                    "job.succeeded",
                ]
        finally:
            await elsewhere.close()
