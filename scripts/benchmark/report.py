"""What a run came to: as a table for people, and as JSON for comparing runs."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from collections.abc import Sequence
from importlib.metadata import version

from msgspec import Struct

from .run import Figures, Terms
from .scenario import BARE

COLUMNS = (
    "scenario",
    "jobs/s",
    "of bare",
    "answer p50",
    "p99 ms",
    "callback p50",
    "p99 ms",
    "CPU us/job",
    "memory MB",
    "KB/listener",
    "CPU service",
    "gen",
    "recv",
    "lost",
    "dup",
)


class Report(Struct, frozen=True, kw_only=True):
    """One run of the suite. `ratio_to_bare` is by scenario, of its jobs/s to the bare handler's."""

    at: str
    machine: dict[str, str]
    seconds: float
    scenarios: list[Figures]
    ratio_to_bare: dict[str, float]


def report(figures: list[Figures], terms: Terms) -> Report:
    """Everything a later run needs to be compared with this one."""
    bare = next((each.jobs_per_second for each in figures if each.name == BARE), None)
    return Report(
        at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        machine={
            "cores": str(len(os.sched_getaffinity(0))),
            "system": platform.platform(),
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "dispatcher": version("callback-dispatcher"),
            "durability": "SQLite, WAL, synchronous=FULL",
            "logLevel": terms.log_level,
        },
        seconds=terms.seconds,
        scenarios=figures,
        ratio_to_bare={each.name: each.jobs_per_second / bare for each in figures} if bare else {},
    )


def table(done: Report) -> str:
    """The scenarios as rows of text."""
    rows = [COLUMNS, *(_row(each, done.ratio_to_bare.get(each.name)) for each in done.scenarios)]
    return lined_up(rows)


def lined_up(rows: Sequence[tuple[str, ...]], left: int = 1) -> str:
    """A table whose first row is its head; its first `left` columns begin at the left."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(widths[n]) if n < left else cell.rjust(widths[n])
            for n, cell in enumerate(row)
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _row(each: Figures, ratio: float | None) -> tuple[str, ...]:
    return (
        each.name,
        f"{each.jobs_per_second:,.0f}",
        _number(ratio, 2),
        f"{each.answer_p50_ms:.1f}",
        f"{each.answer_p99_ms:.1f}",
        _number(each.callback_p50_ms),
        _number(each.callback_p99_ms),
        _number(each.service_cpu_us_per_job, 0),
        _number(each.service_memory_mb, 0),
        _number(each.memory_kb_per_listener),
        _share(each.cpu_share.get("service")),
        _share(each.cpu_share.get("generator")),
        _share(each.cpu_share.get("receiver")),
        str(each.lost),
        str(each.duplicates),
    )


def _number(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"
