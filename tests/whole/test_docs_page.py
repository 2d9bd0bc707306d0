"""A caller that knows nothing but `/docs`, and has nothing but curl."""

from __future__ import annotations

import asyncio
import html
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.whole.rig import Rig, rig

_ARTICLE = r'<article id="{}">(.*?)</article>'
_CURL = re.compile(r'<pre class="curl"[^>]*><code>(.*?)</code></pre>', re.DOTALL)


class Reader:
    """Reads the page, and does what stands in it."""

    def __init__(self, here: Rig, api_key: str | None, page: str) -> None:
        self._here = here
        self._environment = dict(os.environ)
        if api_key is not None:
            self._environment["DISPATCHER_API_KEY"] = api_key
        self._page = page

    @classmethod
    async def of(cls, here: Rig, api_key: str | None) -> Reader:
        done = await cls._bash(f"curl -s {here.service.url}/docs", dict(os.environ))
        return cls(here, api_key, done)

    def curl(self, operation: str) -> str:
        """The command that the page gives for a call."""
        (article,) = re.findall(_ARTICLE.format(operation), self._page, re.DOTALL)
        found = _CURL.search(article)
        assert found is not None
        return html.unescape(found[1])

    async def do(self, command: str) -> Any:
        """What a command answers, as JSON."""
        return json.loads(await self._bash(command, self._environment))

    @staticmethod
    async def _bash(command: str, environment: dict[str, str]) -> str:
        done = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.mark.whole
@pytest.mark.parametrize("dev", [True, False])
async def test_what_the_page_says_works(tmp_path: Path, dev: bool) -> None:
    async with rig(tmp_path, dev=dev) as here:
        key = None
        if not dev:
            reading = await here.service.create_caller("reader")
            key, here.receiver.secret = reading.api_key, reading.secret
        reader = await Reader.of(here, key)
        # Submit, with a callback to our own receiver, as the description of the member asks.
        command = reader.curl("submitJob")
        called = command.replace('"type":', f'"callbackUrl": "{here.receiver.url}", "type":')
        assert called != command
        plain, job = await reader.do(command), await reader.do(called)
        # The others show an id: put one's own there.
        example = re.search(r"job_[0-9a-f]{32}", reader.curl("getJob"))
        assert example is not None

        async def of_job(operation: str) -> Any:
            return await reader.do(reader.curl(operation).replace(example[0], job["id"]))

        arrival = await here.callback(job["id"])  # then it has ended
        found = await of_job("getJob")
        assert found["status"] == "succeeded"
        assert await of_job("getJobResult") == {"hello": "world"}
        assert (await of_job("cancelJob"))["status"] == "succeeded"
        events = await of_job("listJobEvents")
        assert [each["type"] for each in events["items"]] == ["job.succeeded"]
        listed = await reader.do(reader.curl("listJobs"))
        assert {each["id"] for each in listed["items"]} == {plain["id"], job["id"]}
        assert arrival.webhook_id == events["items"][0]["id"]
        deliveries = await of_job("listJobDeliveries")
        assert len(deliveries["items"]) == 1
        document = await reader.do(f"curl -s {here.service.url}/openapi.json")
        assert document["openapi"].startswith("3.1")
