"""Handlers for worker processes, and for a test that blocks the event loop."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from dispatcher import Dispatcher, Fail, JobContext, Retry, Snooze

app = Dispatcher()


@app.job("work.pid", process=True, concurrency=2)
def pid() -> int:
    return os.getpid()


@app.job("work.facts", process=True)
def facts(job: JobContext) -> dict[str, Any]:
    print("printed")  # noqa: T201  # to see where it goes
    logging.getLogger("mine").warning("logged %s", job.id)
    for done in range(5_000):
        job.progress(done, total=5_000, message="counting")
    job.output({"page": 1})
    return {
        "id": job.id,
        "attempt": job.attempt,
        "metadata": dict(job.metadata),
        "callback": job._job.callback is None,
    }


@app.job("work.raise", process=True, fail_on=KeyError)
def raise_it(what: str) -> None:
    raise {
        "fail": Fail("no-data", "none"),
        "retry": Retry(3, "later"),
        "snooze": Snooze(5),
        "key": KeyError("secret"),
    }.get(what) or ValueError("secret")


@app.job("work.crash", process=True)
def crash(how: str) -> None:
    if how == "segfault":
        ctypes.string_at(0)
    os._exit(7)


@app.job("work.family", process=True)
def family(job: JobContext, file: str) -> None:
    """Never ends, and has a child of its own; polite if its file is named so."""
    with subprocess.Popen(["sleep", "600"]) as sleep, Path(file).open("a") as pids:
        pids.write(f"{os.getpid()}\n{sleep.pid}\n")
        pids.flush()
        while not (job.cancel_requested and "polite" in file):
            time.sleep(0.005)  # a handler that is no coroutine has nothing to wait on: it looks
        sleep.kill()
        job.raise_if_canceled()


@app.job("work.async", process=True)
async def asynchronous(job: JobContext, seconds: float) -> int:
    await job.progress(1)
    await asyncio.sleep(seconds)
    await job.output("slept")
    return os.getpid()


@app.job("work.runaway", process=True, concurrency=1)
def runaway(file: str) -> None:
    """Leaves a process behind that has its pipes and is not of its group; then it crashes."""
    if os.fork() == 0:
        os.setsid()
        signal.alarm(60)  # in case that the test does not end it
        Path(file).write_text(f"{os.getpid()}\n", encoding="utf-8")
        while True:
            signal.pause()
    while not Path(file).exists():
        time.sleep(0.005)  # a handler that is no coroutine has nothing to wait on: it looks
    os._exit(7)


_left: list[asyncio.Task[None]] = []
_go_on = asyncio.Event()


@app.job("work.leave", process=True, concurrency=1)
async def leave(job: JobContext) -> None:
    """Leaves a task behind that tells of this job while the worker is at the next."""

    async def later() -> None:
        await _go_on.wait()
        await job.progress(7, message="of another job")
        await job.output("of another job")
        _go_on.clear()

    if _left:
        _go_on.set()
        await _left.pop()
        await job.output("its own")
    else:
        _left.append(asyncio.create_task(later()))


class _Nameless(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]  # nothing keeps a class from it
        raise RuntimeError("no name")


class _Unnamed(Exception, metaclass=_Nameless):
    """What our own code trips over when it tells of it."""


@app.job("work.defect", process=True, concurrency=1)
def defect() -> None:
    raise _Unnamed
