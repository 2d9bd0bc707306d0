"""Those who wait and listen, on a real service: when it stops, and when it is killed."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from scripts.outside.api import Api
from tests.web.sse_reader import opened
from tests.whole.rig import Gate, Rig

pytestmark = pytest.mark.whole

KILLS = 3
JOBS = 40


async def test_a_drain_tells_those_who_listen_and_answers_those_who_wait(
    gated: Rig, gate: Gate
) -> None:
    key = gated.api._headers["Authorization"].removeprefix("Bearer ")
    job_id = await gated.submitted("gate.wait", gate.port)
    running = await gate.entered()
    url = gated.service.url
    async with (
        opened(f"{url}/v1/jobs/{job_id}/events", key) as one,
        opened(f"{url}/v1/events?types=ping", key) as idle,
        Api(url, key, seconds=30) as api,
    ):
        wait = asyncio.create_task(
            api.call("GET", f"/v1/jobs/{job_id}", headers={"Prefer": "wait=50"})
        )
        feed = asyncio.create_task(
            api.call("GET", "/v1/events?types=ping", headers={"Prefer": "wait=50"})
        )
        await asyncio.gather(one.begun(), idle.begun())
        gated.service.ask_to_stop()
        await gated.service.until_says("Stopping")
        await gate.let_through(running)
        assert [each.type for each in await one.rest()] == ["job.succeeded"]
        assert (await wait).json["status"] == "succeeded"
        assert (await feed).json["items"] == []  # before its time, and with its cursor
        assert await idle.rest() == []
        assert "connect again" in idle.parser.comments[-1]
    assert await gated.service.wait() == 0


async def test_a_follower_sees_each_event_once_though_the_service_is_killed(gated: Rig) -> None:
    seen: list[str] = []
    ended: list[str] = []
    up = asyncio.Event()
    up.set()

    async def follow() -> None:
        cursor = ""
        while len(ended) < JOBS:
            try:
                answer = await gated.api.call(
                    "GET", f"/v1/events?limit=5{cursor}", headers={"Prefer": "wait=5"}
                )
            except (aiohttp.ClientError, TimeoutError):
                await up.wait()
                continue
            if answer.status != 200:  # it starts, or stops
                assert answer.status == 503, answer
                continue
            assert answer.json["gap"] is False
            for item in answer.json["items"]:
                seen.append(item["id"])
                ended.append(item["data"]["id"])
            cursor = f"&cursor={answer.json['nextCursor']}"

    async def submit(number: int) -> None:
        while True:
            try:
                answer = await gated.submit("dispatcher.echo", {"n": number}, key=f"k-{number}")
            except (aiohttp.ClientError, TimeoutError):
                await up.wait()
                continue
            if answer.status == 202:
                return

    async with asyncio.timeout(60):
        following = asyncio.create_task(follow())
        for part in range(KILLS + 1):
            submitting = [
                asyncio.create_task(submit(number)) for number in range(part, JOBS, KILLS + 1)
            ]
            if part < KILLS:
                await asyncio.wait(submitting, return_when=asyncio.FIRST_COMPLETED)
                up.clear()
                gated.service.kill()
                await gated.service.start()
                up.set()
            await asyncio.gather(*submitting)
        await following
    assert len(seen) == len(set(seen)) == JOBS
    assert sorted(ended) == sorted([job["id"] async for job in gated.api.jobs()])
