"""Where the fuzzer's requests can't leave this machine."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.outside.alone import is_ours, wrapped

ROOT = Path(__file__).parents[2]


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
