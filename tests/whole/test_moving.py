"""From SQLite to PostgreSQL by the command line, with real processes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import asyncpg
import pytest

from dispatcher.adapters.secrets import key_file
from scripts.outside.api import Api
from scripts.outside.process import Service, dispatcher_command
from tests.store.postgres_server import empty_database
from tests.whole.rig import SECONDS, Rig, rig

pytestmark = pytest.mark.whole

JOBS = 30


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with empty_database() as made:
        yield made


def command(
    folder: Path, *arguments: str, key: str | None, wrapper: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """A command under way in a folder, with nothing of this process's settings."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DISPATCHER_")}
    if key is not None:
        environment["DISPATCHER_SECRET_KEY"] = key
    return subprocess.Popen(
        [*wrapper, dispatcher_command(), *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def run(folder: Path, *arguments: str, key: str | None = None) -> tuple[int, str, str]:
    """The exit code of a command, and what it printed."""
    process = command(folder, *arguments, key=key)
    out, err = await asyncio.to_thread(process.communicate, timeout=60)
    return process.returncode, out, err


async def test_each_callback_arrives_once(tmp_path: Path, url: str) -> None:
    """Accepted and tried on SQLite while the receiver is down; delivered from PostgreSQL."""
    down = True
    folder = tmp_path / "postgres"
    folder.mkdir()
    move = ("migrate", "--from", f"sqlite:///{tmp_path}/dispatcher.db", "--to", url)
    async with rig(tmp_path, answer=lambda *_: 503 if down else 200) as here:
        slow = {"schedule": [0, 3, 1, 1, 1, 1, 1, 1, 1, 1]}
        jobs = [await here.submitted("dispatcher.echo", n, callback=slow) for n in range(JOBS)]
        scheduled = await here.submitted("dispatcher.echo", callback=slow, delaySeconds=4)
        feed = await here.api.call("GET", "/v1/events?limit=5")
        code, _, err = await run(tmp_path, *move, key="dsk_" + "A" * 43)
        assert (code, "stop it first" in err) == (1, True)
        assert await here.service.stop() == 0

        code, _, err = await run(tmp_path, *move)
        assert (code, f'"$(cat {tmp_path}/dispatcher.db.key)"' in err) == (1, True)
        code, _, err = await run(tmp_path, *move, key="dsk_" + "A" * 43)
        assert (code, "is not the key that the secrets in" in err) == (1, True)

        key = key_file(tmp_path / "dispatcher.db").read_text().strip()
        code, out, err = await run(tmp_path, *move, "--json", key=key)
        assert code == 0, err
        told = [json.loads(line) for line in out.splitlines()]
        assert told[-1]["event"] == "moved"
        assert told[-1]["rows"]["job"] == JOBS + 1
        assert {"event": "moving", "table": "job", "rows": JOBS + 1, "of": JOBS + 1} in told

        code, _, err = await run(tmp_path, "serve", "--port", "0")
        assert (code, "was moved to postgresql://" in err) == (1, True)

        down = False
        await served_on_postgres(here, folder, url, key, [*jobs, scheduled], feed.json)


async def served_on_postgres(
    here: Rig, folder: Path, url: str, key: str, jobs: list[str], feed: dict[str, object]
) -> None:
    """See that each job's callback is accepted once, and that the caller knows its way about."""
    environment = {"DISPATCHER_STORE": url, "DISPATCHER_SECRET_KEY": key}
    service = Service(folder, allow=[here.receiver.origin], environment=environment)
    await service.start()
    try:
        for job_id in jobs:
            await here.callback(job_id)
        assert {len(here.receiver.accepted[job_id]) for job_id in jobs} == {1}
        async with Api(service.url, here.api_key, seconds=SECONDS) as api:
            assert (await api.job(jobs[0]))["status"] == "succeeded"
            page = await api.call("GET", f"/v1/events?limit=100&cursor={feed['nextCursor']}")
        ids = [item["data"]["id"] for item in page.json["items"]]
        before = [item["data"]["id"] for item in feed["items"]]  # type: ignore[attr-defined]  # JSON
        assert sorted([*before, *ids]) == sorted(jobs), "none is missing, none comes twice"
    finally:
        service.end()


async def test_killed_and_gone_on_with(tmp_path: Path, url: str) -> None:
    """`kill -9` in the middle; what could not be served goes on where it was."""
    async with rig(tmp_path) as here:
        for n in range(20):
            await here.submitted("dispatcher.echo", n)
        await here.service.stop()
    key = key_file(tmp_path / "dispatcher.db").read_text().strip()
    move = ("migrate", "--from", "sqlite:///dispatcher.db", "--to", url, "--json")
    assert (await run(tmp_path, "migrate", "--store", url, key=key))[0] == 0
    operator = await asyncpg.connect(url)
    holding = operator.transaction()
    try:
        await holding.start()
        await operator.execute("LOCK TABLE dispatcher.job_result IN SHARE MODE")
        process = command(tmp_path, *move, key=key)
        while True:  # until it is as far as that table
            line = await asyncio.to_thread(process.stdout.readline)  # type: ignore[union-attr]  # a pipe
            if '"job_input"' in line:
                break
            assert line, "it ended before it came to the jobs"
        process.kill()
        await asyncio.to_thread(process.communicate)
        await holding.rollback()
        assert await operator.fetchval("SELECT count(*) FROM dispatcher.meta WHERE name = 'moving'")

        postgres = ("serve", "--port", "0", "--store", url)
        code, _, err = await run(tmp_path, *postgres, key=key)
        assert (code, "does not hold all of" in err) == (1, True)
        code, _, err = await run(tmp_path, "serve", "--port", "0")
        assert (code, "is being moved to" in err) == (1, True)

        code, out, err = await run(tmp_path, *move, key=key)
        assert code == 0, err
        tables = [json.loads(line).get("table") for line in out.splitlines()]
        assert "caller" not in tables, "it does not begin again"
        assert await operator.fetchval("SELECT count(*) FROM dispatcher.job_input") == 20
        code, out, _ = await run(tmp_path, *move[:-1], key=key)
        assert (code, "was moved to" in out) == (0, True)
    finally:
        await operator.close()
