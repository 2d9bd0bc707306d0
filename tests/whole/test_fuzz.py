"""Every call of a real service, tried by its own description: no 5xx, and nothing undescribed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.outside.alone import is_ours, wrapped

ROOT = Path(__file__).parents[2]
SECONDS = 580
"""Not what it takes, which is half a minute at most, but what the slowest machine may take."""
REMOTE = "audio.transcribe"
BULK = ["dispatcher.cancel", "dispatcher.redeliver", "dispatcher.replay"]
ECHO = "dispatcher.echo"
TYPES = {REMOTE, *BULK, ECHO, "greet", "report.generate"}


@pytest.mark.whole
@pytest.mark.timeout(SECONDS + 20)
@pytest.mark.parametrize(
    ("role", "phases", "types"),
    [
        # Every bound of every member is tried once, by who may make every call.
        ("dev", ("Examples", "Coverage", "Fuzzing", "Stateful"), TYPES),
        ("operator", ("Examples", "Fuzzing", "Stateful"), {REMOTE, ECHO}),
        ("caller", ("Examples", "Fuzzing", "Stateful"), {REMOTE, ECHO}),
        ("worker", ("Examples", "Fuzzing", "Stateful"), {REMOTE}),
    ],
)
def test_schemathesis_finds_nothing(role: str, phases: tuple[str, ...], types: set[str]) -> None:
    """The short form of `scripts/fuzz`: the same requests each time, bounded by their number."""
    asked = ("--examples", "5", "--role", role, "--phases", ",".join(phases).lower())
    done = subprocess.run(
        [sys.executable, "-P", "-m", "scripts.outside.fuzz", *asked],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-8_000:]
    for phase in phases:
        assert re.search(rf"✅ +{phase} \(in ", said), said[-8_000:]
    (count,) = re.findall(r"(\d+) generated", said)
    assert int(count) > (4_000 if "Coverage" in phases else 300)
    # Each type's schema says what is good: jobs of these were taken.
    (taken,) = re.findall(r"submitted: (.*)", said)
    assert types <= json.loads(taken).keys()


@pytest.mark.whole
async def test_alone_nothing_but_this_machine_is_reached() -> None:
    look = (
        "import socket; print([name for _, name in socket.if_nameindex()]);"
        "s = socket.create_server(('127.0.0.1', 0));"
        "socket.create_connection(s.getsockname(), 1); print('loopback');"
        "socket.create_connection(('192.0.2.1', 443), 1)"  # TEST-NET-1 (RFC 5737)
    )
    command = wrapped([sys.executable, "-c", look])
    if command is None:
        pytest.skip("no network of one's own can be made here")
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.stdout == "['lo']\nloopback\n"
    assert "Network is unreachable" in done.stderr


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("http://127.0.0.1:9000/x", True),
        ("HTTP://localhost:1/", True),
        ("http://[::1]:1/", True),
        ("no URL at all", True),
        ("https://example.com/callbacks", False),
        (" https://example.com/", False),
        ("http://127.0.0.1@example.com:80/", False),
        ("http://127.0.0.1.example.com:80/", False),
        ("http://[bad", False),
        ("https:/\\example.com", False),
    ],
)
def test_which_urls_are_ours(text: str, ours: bool) -> None:
    assert is_ours(text) is ours
