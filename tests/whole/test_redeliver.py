"""A callback that died is sent again: by the API and by the command line, to a real receiver."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.whole.rig import SECONDS, Rig, rig

pytestmark = pytest.mark.whole

ONCE = {"schedule": [0]}


async def until_status(here: Rig, job_id: str, status: str) -> dict[str, Any]:
    """The only delivery of a job, once it is that far."""
    async with asyncio.timeout(SECONDS):
        while True:
            answer = await here.api.call("GET", f"/v1/deliveries?jobId={job_id}&status={status}")
            assert answer.status == 200, answer
            if answer.json["items"]:
                (delivery,) = answer.json["items"]
                found: dict[str, Any] = delivery
                return found


async def dispatcher(here: Rig, *arguments: str) -> str:
    """What a command of ours prints."""
    environment = {**os.environ, "DISPATCHER_URL": here.service.url}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "dispatcher.cli",
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def test_a_dead_callback_is_sent_again_with_the_same_id_and_bytes(tmp_path: Path) -> None:
    async with rig(tmp_path, answer=lambda _, seen: 200 if seen >= 2 else 500) as here:
        job_id = await here.submitted(given={"n": 1}, callback=ONCE)
        dead = await until_status(here, job_id, "dead")
        path = f"/v1/deliveries/{dead['id']}"

        # A restart loses nothing of it, and its schedule has one entry again.
        assert await here.service.stop() == 0
        await here.service.start()
        again = await here.api.call("POST", f"{path}/redeliver")
        assert (again.status, again.headers["location"]) == (202, path)
        assert await here.receiver.until(lambda: len(here.receiver.arrivals) == 2, SECONDS)
        await until_status(here, job_id, "dead")
        assert (await here.api.call("POST", f"{path}/redeliver")).status == 202
        await here.callback(job_id)
        await until_status(here, job_id, "delivered")

        arrivals = here.receiver.arrivals
        assert [each.answer for each in arrivals] == [500, 500, 200]
        assert [each.attempt for each in arrivals] == [1, 2, 3]
        assert {each.webhook_id for each in arrivals} == {dead["eventId"]}
        assert len({each.body for each in arrivals}) == 1
        shown = (await here.api.call("GET", path)).json
        assert [each["number"] for each in shown["attempts"]] == [1, 2, 3]
        assert [each["statusCode"] for each in shown["attempts"]] == [500, 500, 200]


async def test_by_the_command_line(tmp_path: Path) -> None:
    async with rig(tmp_path, dev=True, answer=lambda _, seen: 200 if seen else 410) as here:
        job_id = await here.submitted()
        dead = await until_status(here, job_id, "dead")
        listed = await dispatcher(here, "deliveries", "list", "--status", "dead")
        assert listed.split()[:2] == [dead["id"], "dead"]
        shown = await dispatcher(here, "deliveries", "show", dead["id"])
        assert "410" in shown
        assert "gone" in shown
        sent = await dispatcher(here, "deliveries", "redeliver", dead["id"])
        assert sent.startswith(dead["id"])
        await here.callback(job_id)
        result = await dispatcher(here, "jobs", "result", job_id)
        assert json.loads(result) is None
