"""What the parts of the path cost bare: an HTTP client that only posts, commits that only commit.

Run with one argument, a file with the JSON of `BaselineOrder`; it writes the JSON of `Measured`
where the order says.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sqlite3
import sys
import time
from pathlib import Path

import aiohttp
import msgspec
import uvloop
from msgspec import Struct

from .generator import Measured, cpu_seconds
from .wire import CORRELATION


class BaselineOrder(Struct, frozen=True):
    """What to do for so many seconds: post to a port, or else commit so many rows at a time."""

    measured: str
    folder: str
    seconds: float
    body_bytes: int
    port: int | None = None
    at_once: int = 64
    rows: int = 1
    pids: dict[str, int] = {}


async def post(order: BaselineOrder) -> Measured:
    """Keep `at_once` POSTs under way."""
    sent_at: list[float] = []
    answered_at: list[float] = []
    url = f"http://127.0.0.1:{order.port}/callbacks"
    pad = b"x" * order.body_bytes

    async def one_after_another(session: aiohttp.ClientSession, ends_at: float) -> None:
        while (now := time.monotonic()) < ends_at:
            number = len(sent_at)
            sent_at.append(now)
            answered_at.append(0.0)
            body = b"{" + CORRELATION + b'%010d","pad":"' % number + pad + b'"}'
            async with session.post(url, data=body) as answer:
                await answer.read()
            answered_at[number] = time.monotonic()

    before = {name: cpu_seconds(pid) for name, pid in order.pids.items()}
    own, begin_at = time.process_time(), time.monotonic()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        ends_at = begin_at + order.seconds
        await asyncio.gather(*(one_after_another(session, ends_at) for _ in range(order.at_once)))
    used = {name: cpu_seconds(pid) - before[name] for name, pid in order.pids.items()}
    used["service"] = time.process_time() - own
    return seen(begin_at, sent_at, answered_at, used)


def commit(order: BaselineOrder) -> Measured:
    """Insert rows, as durably as the service does; a row's latency is that of its commit."""
    sent_at: list[float] = []
    answered_at: list[float] = []
    body = b"x" * order.body_bytes
    file = Path(order.folder) / "bare.db"
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as opened:
        opened.execute("PRAGMA journal_mode=WAL")
        opened.execute("PRAGMA synchronous=FULL")
        opened.execute("CREATE TABLE bare (seq INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT")
        own, begin_at = time.process_time(), time.monotonic()
        while (now := time.monotonic()) < begin_at + order.seconds:
            opened.execute("BEGIN IMMEDIATE")
            for _ in range(order.rows):
                opened.execute("INSERT INTO bare (body) VALUES (?)", (body,))
            opened.execute("COMMIT")
            sent_at += [now] * order.rows
            answered_at += [time.monotonic()] * order.rows
        used = {"service": time.process_time() - own}
    return seen(begin_at, sent_at, answered_at, used)


def seen(
    begin_at: float, sent_at: list[float], answered_at: list[float], used: dict[str, float]
) -> Measured:
    """All of it is within the window."""
    return Measured(
        begin_at=begin_at,
        end_at=time.monotonic(),
        sent_at=sent_at,
        answered_at=answered_at,
        accepted=[True] * len(sent_at),
        refused=0,
        first_refusal=None,
        undrained=0,
        cpu_seconds=used,
    )


if __name__ == "__main__":
    gc.disable()
    given = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=BaselineOrder)
    found = commit(given) if given.port is None else uvloop.run(post(given))
    Path(given.measured).write_bytes(msgspec.json.encode(found))
