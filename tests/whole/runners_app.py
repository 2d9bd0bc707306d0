"""Jobs that block, crash and leave children, for tests of the whole."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from dispatcher import Dispatcher, JobContext

app = Dispatcher()


@app.job("fork")
def fork() -> int:
    """Leaves a child behind, as a pool of `multiprocessing` does whose process was killed."""
    pid = os.fork()
    if pid == 0:
        os.setsid()  # the service alone is killed, and not its group, as these tests do
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (1, 2):  # who reads the service's output waits for its end
            os.dup2(nothing, stream)
        signal.alarm(60)  # in case that the test does not end it
        while True:
            signal.pause()
    return pid


@app.job("block.thread")
def in_a_thread(seconds: float) -> str:
    time.sleep(seconds)
    return "thread"


@app.job("block.process", process=True)
def in_a_process(seconds: float) -> str:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        pass
    return "process"


@app.job("block.loop")
async def on_the_loop(seconds: float) -> str:
    time.sleep(seconds)  # noqa: ASYNC251  # what it must not do
    return "loop"


@app.job("crash.process", process=True, backoff=0)
def crash(how: str) -> None:
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL if how == "killed" else signal.SIGSEGV)


@app.job("family.process", process=True)
def family(job: JobContext, file: str) -> str:
    """Tells its pid and that of its child, and waits without end."""
    with subprocess.Popen(["sleep", "600"]) as sleep, Path(file).open("a") as pids:
        pids.write(f"{os.getpid()}\n{sleep.pid}\n")
        pids.flush()
        sleep.wait()
    return job.id
