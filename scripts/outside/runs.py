"""What handlers noted of themselves (`crash_app.py`), and whether two of one job ever overlapped.

The instants are those of the machine's monotonic clock, the same for all its processes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

STOP_SECONDS: Final = 5.0
"""A process that stood still for longer than its lease stops what it ran within this time."""


class Run(Struct, frozen=True, kw_only=True):
    """A handler's run: when it began and ended, in seconds; None: it told of no end."""

    job_id: str
    attempt: int
    node: str
    began: float
    ended: float | None = None


class Halt(Struct, frozen=True):
    """A node stood still: it could not stop what it ran, and did nothing of it either."""

    node: str
    since: float
    until: float


def read_runs(files: Iterable[Path]) -> list[Run]:
    """The runs that nodes have noted, each in a file that is named for it."""
    runs: list[Run] = []
    for path in files:
        under_way: dict[tuple[str, int], list[Run]] = defaultdict(list)
        for line in path.read_text(encoding="ascii").splitlines() if path.exists() else ():
            word, job_id, attempt, at = line.split()
            same = under_way[job_id, int(attempt)]
            if word == "began":
                same.append(
                    Run(job_id=job_id, attempt=int(attempt), node=path.stem, began=float(at))
                )
            else:
                runs.append(replace(same.pop(), ended=float(at)))
        runs += [run for same in under_way.values() for run in same]
    return runs


def overlaps(
    runs: Iterable[Run], deaths: Mapping[str, Sequence[float]], halts: Sequence[Halt]
) -> list[str]:
    """The faults: where a handler of a job began while another of the same job still ran.

    `deaths`: when each node was killed; a run without an end ended there.
    """
    by_job: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_job[run.job_id].append(run)
    faults = []
    for job_id, several in by_job.items():
        last, until = None, -inf
        for run in sorted(several, key=lambda each: each.began):
            if last is not None and run.began < until:
                faults.append(
                    f"{job_id}: attempt {run.attempt} began on {run.node} at {run.began:.3f}, "
                    f"{until - run.began:.3f} s before attempt {last.attempt} (of {last.began:.3f})"
                    f" ended on {last.node}"
                )
            end = _end_of(run, deaths.get(run.node, ()), halts)
            if end > until:
                last, until = run, end
    return faults


def _end_of(run: Run, deaths: Sequence[float], halts: Sequence[Halt]) -> float:
    end = run.ended
    if end is None:
        end = min((at for at in deaths if at >= run.began), default=inf)
    for halt in halts:
        stood = halt.node == run.node and run.began <= halt.since < end
        if stood and end <= halt.until + STOP_SECONDS:
            end = halt.since
    return end
