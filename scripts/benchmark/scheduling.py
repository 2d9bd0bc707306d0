"""How the load and the receiver share the processors with what they measure."""

from __future__ import annotations

import contextlib
import os


def stand_back() -> None:
    """Never take a processor from who is at work, as load from another machine never would.

    A process that wakes for each answer and each callback would otherwise interrupt the service
    and the database thousands of times a second, and empty their caches. It waits its turn, as
    `SCHED_BATCH` says (Linux, sched(7)), and then does what has come in one go. Elsewhere nothing
    changes.
    """
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(PermissionError):  # it stands further back already
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
