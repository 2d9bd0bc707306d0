"""A service with smaller pages than usual: the command line and the client read all of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dispatcher.cli.main import main
from dispatcher.client import Client
from tests.whole.rig import Rig, rig

pytestmark = pytest.mark.whole

SMALL = {"DISPATCHER_LIMIT_PAGE_ITEMS": "5", "DISPATCHER_LIMIT_DEFAULT_PAGE_ITEMS": "3"}
JOBS = 7


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, dev=True, environment=SMALL) as made:
        yield made


async def printed(capsys: pytest.CaptureFixture[str], here: Rig, *words: str) -> list[Any]:
    """The JSON that a command prints, a value a line."""
    assert await asyncio.to_thread(main, [*words, "--json", "--url", here.service.url]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def test_lists_and_the_feed_are_read_to_their_end(
    here: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Client(here.service.url) as client:
        jobs = [
            (await client.submit("dispatcher.echo", n, wait_seconds=20)).id for n in range(JOBS)
        ]
        feed = client.events(types=["job.succeeded"], follow=False)
        assert [each.data["id"] async for each in feed] == jobs
    events = await printed(capsys, here, "events", "--type", "job.succeeded")
    assert [each["data"]["id"] for each in events] == jobs
    asked = await here.api.call("GET", "/v1/jobs?limit=100")
    assert len(asked.json["items"]) == 5  # what a page holds, whatever was asked for
    newest = jobs[::-1]
    for wanted in (1, 2, 3, 4, 6, 100):
        (found,) = await printed(capsys, here, "jobs", "list", "--limit", str(wanted))
        assert [each["id"] for each in found] == newest[:wanted]


async def test_all_queues_are_listed(here: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"reports-{n}" for n in range(JOBS)]
    await printed(capsys, here, "pause", names[-1])
    await printed(capsys, here, "pause")
    async with Client(here.service.url) as client:
        for name in names:
            await client.submit("dispatcher.echo", 1, queue=name)
    (found,) = await printed(capsys, here, "queues")
    assert {each["name"] for each in found["items"]} >= set(names)
    assert await asyncio.to_thread(main, ["resume", "--url", here.service.url]) == 0
    told = capsys.readouterr().out
    assert told == f"The queues go on. Still paused by name: {names[-1]}.\n"
