"""What the image runs, run without one: its health check, and the script that shows a callback."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

from scripts.outside.process import Service, free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


async def ends_with(command: list[str], port: int) -> int:
    environment = {"PATH": PATH, "DISPATCHER_PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(20):
        return await process.wait()


async def test_the_health_check_tells_whether_it_serves(tmp_path: Path) -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    (found,) = re.findall(r"HEALTHCHECK .*\\\n  CMD (\[.*\])", text)
    command = json.loads(found)
    service = Service(tmp_path, allow=[])
    await service.start()
    try:
        assert await ends_with(command, service.port) == 0
    finally:
        service.end()
    assert await ends_with(command, service.port) != 0


async def test_the_script_shows_a_verified_callback(tmp_path: Path) -> None:
    receiver = f"http://127.0.0.1:{free_port()}"
    service = Service(tmp_path, allow=[receiver])
    await service.start()
    environment = {
        "PATH": PATH,
        "DISPATCHER_STORE": f"sqlite:///{service.database}",
        "DISPATCHER_URL": service.url,
        "RECEIVER_URL": receiver,
        "RECEIVER_HOST": "127.0.0.1",
        "PYTHONUNBUFFERED": "1",
    }
    try:
        process = await asyncio.create_subprocess_exec(
            DEPLOY / "show-a-callback.sh",
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        shown = b""
        async with asyncio.timeout(30):
            while b"It works." not in shown or b"verified" not in shown:
                line = await process.stdout.readline()
                assert line, shown.decode()
                shown += line
        process.terminate()
        async with asyncio.timeout(10):
            await process.wait()
    finally:
        service.end()
