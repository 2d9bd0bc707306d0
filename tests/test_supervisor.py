"""The parent of several processes, where `tests/whole/test_processes.py` can't make trouble."""

from __future__ import annotations

import subprocess
import sys

_NO_ROOM_ONCE = """
import errno, os, signal
from dispatcher.compose.processes import Child, Supervisor

fork, forks = os.fork, []

def short_of_memory():
    forks.append(1)
    if len(forks) == 3:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    return fork()

os.fork = short_of_memory
parent = os.getpid()
outcome = Supervisor(2, grace_seconds=5, announce=lambda text: print(text, flush=True)).run()
if isinstance(outcome, Child):
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    outcome.ready("all serve")
    if outcome.number == 2:
        if len(forks) == 2:
            os._exit(9)
        os.kill(parent, signal.SIGTERM)
    while True:
        signal.pause()
os._exit(outcome)
"""


def test_a_child_that_can_not_be_started_again_now_is_so_later() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _NO_ROOM_ONCE],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "ended with status 9; it is started again in 0.5 s." in done.stdout
    assert "Process 2 can't be started (Cannot allocate memory)" in done.stdout
    assert "Stopping" in done.stdout
