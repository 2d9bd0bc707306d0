"""How many files and connections this process may have open."""

from __future__ import annotations

import contextlib
import resource


def raise_open_files() -> None:
    """Take as many as the system allows: the soft limit is set to the hard one.

    The soft limit is low by custom (1,024), for programs that use `select`; connections that wait
    and streams that listen need more. Where it can't be raised it stays as it is.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # macOS refuses "unlimited"
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
