"""The remote workers of `examples/workers`, each against a real service."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.whole.rig import SECONDS, Rig, rig

pytestmark = pytest.mark.whole

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "workers"


def needs(*programs: str) -> None:
    """Skip, with the reason, where a program is missing."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed here")


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[Rig, dict[str, str]]]:
    """A service of the example's types, and the environment of its workers."""
    shutil.copy(EXAMPLES / "dispatcher.toml", folder / "dispatcher.toml")
    async with rig(folder) as made:
        key = (await made.service.create_caller("worker", "worker")).api_key
        where = {"DISPATCHER_URL": made.service.url, "DISPATCHER_API_KEY": key}
        yield made, {"PATH": os.environ["PATH"], **where}


async def run_once(command: list[str], environment: dict[str, str]) -> None:
    worker = await asyncio.create_subprocess_exec(
        *command, "--once", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(SECONDS):
            _, said = await worker.communicate()
        assert worker.returncode == 0, said
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()


async def the_result(made: Rig, job_id: str) -> tuple[str, object]:
    """How the job ended and with what, as its callback tells it."""
    data = (await made.callback(job_id)).event["data"]
    return data["status"], data["result"] if data["status"] == "succeeded" else data["error"]


async def test_the_worker_in_bash(tmp_path: Path) -> None:
    needs("bash", "curl")
    async with served(tmp_path) as (made, environment):
        job_id = await made.submitted("text.count", 'one "two" three\nfour')
        await run_once([str(EXAMPLES / "worker.sh")], environment)
        assert await the_result(made, job_id) == ("succeeded", {"words": 4})
        job_id = await made.submitted("text.count", {"no": "text"})
        await run_once([str(EXAMPLES / "worker.sh")], environment)
        status, error = await the_result(made, job_id)
        assert (status, error["code"]) == ("failed", "no-text")  # type: ignore[index]  # JSON


async def test_the_worker_in_javascript(tmp_path: Path) -> None:
    needs("node")
    async with served(tmp_path) as (made, environment):
        job_id = await made.submitted("text.reverse", "ab\U0001f9f5")
        await run_once(["node", str(EXAMPLES / "worker.mjs")], environment)
        assert await the_result(made, job_id) == ("succeeded", "\U0001f9f5ba")
        job_id = await made.submitted("text.reverse", 5)
        await run_once(["node", str(EXAMPLES / "worker.mjs")], environment)
        status, error = await the_result(made, job_id)
        assert (status, error["code"]) == ("failed", "no-text")  # type: ignore[index]  # JSON


async def test_a_lease_outlives_a_restart_of_the_service(tmp_path: Path) -> None:
    async with served(tmp_path) as (made, environment):
        worker = {"Authorization": f"Bearer {environment['DISPATCHER_API_KEY']}"}
        job_id = await made.submitted("text.count", "one")
        asked = {"types": ["text.count"]}
        leased = await made.api.call("POST", "/v1/leases", asked, worker)
        lease = leased.json["leases"][0]
        made.service.kill()
        await made.service.start()
        again = await made.api.call("POST", "/v1/leases", asked, worker)
        assert again.json == {"leases": []}
        path = f"/v1/leases/{lease['id']}/complete"
        ended = await made.api.call("POST", path, {"result": 1}, worker)
        assert ended.status == 200, ended
        assert await the_result(made, job_id) == ("succeeded", 1)
