"""Whether processes are there, as the system sees it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec

PATIENCE_SECONDS = 10.0
PAUSE_SECONDS = 0.01


def is_there(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


async def until_gone(*pids: int) -> set[int]:
    """Which of them are still there after a while: none, as soon as all have gone.

    The system tells of a stranger's end by no signal, so this one looks.
    """
    ends = time.monotonic() + PATIENCE_SECONDS
    while (left := {pid for pid in pids if is_there(pid)}) and time.monotonic() < ends:  # noqa: ASYNC110  # as said
        await asyncio.sleep(PAUSE_SECONDS)
    return left


def words_in(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").split() if file.exists() else []


async def pids_in(file: Path, count: int) -> list[int]:
    """The pids that processes have written to a file, one a line, once there are so many."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < ends:
        lines = words_in(file)
        if len(lines) >= count:
            return [msgspec.json.decode(line, type=int) for line in lines]
        await asyncio.sleep(PAUSE_SECONDS)
    raise TimeoutError(f"{file} does not hold {count} pids")
