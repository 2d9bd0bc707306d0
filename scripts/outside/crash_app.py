"""Jobs of every temper for the crash test: short, long, in threads, failing at first, talkative.

Each run of a handler writes a line when it begins and one when it ends, into a file of its node.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dispatcher import Dispatcher, JobContext, Retry

FILE: Final = "CRASH_RUNS"
"""The environment variable that names the file; without it nothing is noted."""

app = Dispatcher()


@contextmanager
def noted(job: JobContext) -> Iterator[None]:
    """Note a handler's run; what a killed one wrote is there."""
    path = os.environ.get(FILE)
    if path is None:
        yield
        return
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def note(word: str) -> None:
        os.write(file, f"{word} {job.id} {job.attempt} {time.monotonic():.6f}\n".encode())

    try:
        note("began")
        try:
            yield
        finally:
            note("ended")
    finally:
        os.close(file)


@app.job("crash.sleep", max_attempts=50)
async def sleep(job: JobContext, seconds: float) -> float:
    with noted(job):
        await asyncio.sleep(seconds)
    return seconds


@app.job("crash.thread", max_attempts=50, concurrency=8)
def thread(job: JobContext, seconds: float) -> float:
    with noted(job):
        time.sleep(seconds)
    return seconds


@app.job("crash.again", max_attempts=50, backoff=0.05)
async def again(job: JobContext) -> int:
    with noted(job):
        if job.attempt == 1:
            raise Retry(after=0.05)
        return job.attempt


@app.job("crash.fragile", max_attempts=1)
async def fragile(job: JobContext, seconds: float) -> float:
    with noted(job):
        await asyncio.sleep(seconds)
    return seconds


@app.job("crash.talk", max_attempts=50)
async def talk(job: JobContext, pages: int) -> int:
    with noted(job):
        for page in range(pages):
            await job.progress(page, total=pages)
            await job.output({"page": page})
    return pages
