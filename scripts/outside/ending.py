"""How a script ends that has started others."""

from __future__ import annotations

import signal
import sys


def end_by_signals() -> None:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does.

    What was started is ended then, and nothing is left in its folders.
    """
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda number, _: sys.exit(128 + number))
