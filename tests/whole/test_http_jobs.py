"""Jobs done by an endpoint: signed, and never sent twice when nobody knows what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from tests.whole.rig import SECONDS, Rig, rig

pytestmark = pytest.mark.whole


class Endpoint:
    """Answers nothing until it is told to, and keeps what came."""

    def __init__(self) -> None:
        self.url = ""
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.open = asyncio.Event()
        self._arrived = asyncio.Condition()

    async def serve(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.came.append((headers, await request.read()))
        async with self._arrived:
            self._arrived.notify_all()
        if self.answers:
            return web.Response(status=self.answers.pop(0))
        await self.open.wait()
        return web.json_response("done")

    async def until(self, count: int) -> None:
        async with asyncio.timeout(SECONDS), self._arrived:
            await self._arrived.wait_for(lambda: len(self.came) >= count)


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    made = Endpoint()
    app = web.Application()
    app.router.add_post("/work", made.serve)
    server = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    made.url = f"{site.name}/work"
    yield made
    made.open.set()
    await server.cleanup()


def declare(folder: Path, endpoint: Endpoint) -> None:
    text = f"""
grace_seconds = 1
[types."work.once"]
runner = "http"
url = "{endpoint.url}"
backoff_seconds = 0
[types."work.safe"]
runner = "http"
url = "{endpoint.url}"
safe_to_repeat = true
backoff_seconds = 0
"""
    (folder / "dispatcher.toml").write_text(text, encoding="utf-8")


async def the_end(made: Rig, job_id: str) -> dict[str, Any]:
    data: dict[str, Any] = (await made.callback(job_id)).event["data"]
    return data


async def test_the_request_is_signed_with_the_callers_secret_as_its_callback_is(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    declare(tmp_path, endpoint)
    endpoint.open.set()
    async with rig(tmp_path) as made:
        job = await the_end(made, await made.submitted("work.once", {"n": 1}, correlationId="c"))
        assert (job["status"], job["result"]) == ("succeeded", "done")
        ((headers, body),) = endpoint.came
        assert body == b'{"n": 1}'
        Webhook(made.receiver.secret).verify(body, headers)
        assert " v1a," in headers["webhook-signature"]
        assert headers["idempotency-key"] == headers["webhook-id"] == job["id"]
        assert headers["correlation-id"] == "c"


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("end", ["kill", "drain", "timeout"])
async def test_what_was_sent_and_not_answered_is_not_sent_again(
    tmp_path: Path, endpoint: Endpoint, end: str, attempts: int
) -> None:
    declare(tmp_path, endpoint)
    async with rig(tmp_path) as made:
        seconds = 1 if end == "timeout" else 600
        job_id = await made.submitted("work.once", timeoutSeconds=seconds, maxAttempts=attempts)
        await endpoint.until(1)
        if end == "kill":
            made.service.kill()
            await made.service.start()
        elif end == "drain":
            assert await made.service.stop() == 0
            await made.service.start()
        job = await the_end(made, job_id)
        assert (job["status"], job["error"]["code"]) == ("failed", "outcome-unknown")
        assert len(endpoint.came) == 1


async def test_what_is_safe_to_repeat_is_sent_again_with_the_same_key(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    declare(tmp_path, endpoint)
    async with rig(tmp_path) as made:
        job_id = await made.submitted("work.safe")
        await endpoint.until(1)
        made.service.kill()
        await made.service.start()
        await endpoint.until(2)
        endpoint.open.set()
        job = await the_end(made, job_id)
        assert (job["status"], job["attemptCount"]) == ("succeeded", 2)
        assert {headers["idempotency-key"] for headers, _ in endpoint.came} == {job_id}


async def test_what_was_answered_with_503_is_sent_again_in_any_case(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    declare(tmp_path, endpoint)
    endpoint.answers = [503, 429]
    endpoint.open.set()
    async with rig(tmp_path) as made:
        job = await the_end(made, await made.submitted("work.once"))
        assert (job["status"], job["attemptCount"]) == ("succeeded", 3)
        assert len(endpoint.came) == 3
