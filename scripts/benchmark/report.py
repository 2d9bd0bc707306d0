"""What a run came to: as a table for people, and as JSON for comparing runs."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Final

from msgspec import Struct

from .figures import Figures
from .scenario import BARE, Scenario
from .terms import Terms


class Report(Struct, frozen=True, kw_only=True):
    """One run of the suite.

    `ratio_to_bare` is by scenario, of its jobs/s to the bare handler's; `ratio_to_limit` to what
    one core could do that did nothing but the baselines that the scenario names. `skipped` and
    `failed` say why a scenario has no figures.
    """

    at: str
    machine: dict[str, str]
    seconds: float
    scenarios: list[Figures]
    ratio_to_bare: dict[str, float]
    ratio_to_limit: dict[str, float]
    skipped: dict[str, str]
    failed: dict[str, str]


def report(
    figures: list[Figures],
    terms: Terms,
    scenarios: Sequence[Scenario] = (),
    skipped: dict[str, str] | None = None,
    failed: dict[str, str] | None = None,
) -> Report:
    """Everything a later run needs to be compared with this one."""
    rates = {each.name: each.jobs_per_second for each in figures}
    bare = rates.get(BARE)
    load = os.getloadavg()[0]
    return Report(
        at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        machine={
            "cores": str(len(os.sched_getaffinity(0))),
            "system": platform.platform(),
            "loadAverage": f"{load:.2f}",
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "dispatcher": version("callback-dispatcher"),
            "durability": terms.database,
            "logLevel": terms.log_level,
        },
        seconds=terms.seconds,
        scenarios=figures,
        ratio_to_bare={name: rate / bare for name, rate in rates.items()} if bare else {},
        ratio_to_limit={
            each.name: rates[each.name] / limit
            for each in scenarios
            if each.name in rates and (limit := limit_of(each, rates)) is not None
        },
        skipped=skipped or {},
        failed=failed or {},
    )


def limit_of(scenario: Scenario, rates: Mapping[str, float]) -> float | None:
    """Jobs a second of one core that does only the scenario's baselines, one after another.

    None: the scenario names none, or one of them has no figure in this run.
    """
    if not scenario.limits or any(not rates.get(name) for name, _ in scenario.limits):
        return None
    return 1 / sum(times / rates[name] for name, times in scenario.limits)


def table(done: Report) -> str:
    """The scenarios as rows of text, and below them what was left out."""
    rows = [tuple(name for name, _ in _COLUMNS)]
    rows += [tuple(show(each, done) for _, show in _COLUMNS) for each in done.scenarios]
    lines = [lined_up(rows)]
    lines += [f"{name}: skipped, {why}" for name, why in done.skipped.items()]
    lines += [f"{name}: FAILED, {why}" for name, why in done.failed.items()]
    return "\n".join(lines)


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


def _number(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


_COLUMNS: Final[tuple[tuple[str, Callable[[Figures, Report], str]], ...]] = (
    ("scenario", lambda each, _: each.name),
    ("jobs/s", lambda each, _: _number(each.jobs_per_second, 0)),
    ("of bare", lambda each, done: _number(done.ratio_to_bare.get(each.name), 2)),
    ("of limit", lambda each, done: _number(done.ratio_to_limit.get(each.name), 2)),
    ("answer p50", lambda each, _: _number(each.answer_p50_ms)),
    ("p99 ms", lambda each, _: _number(each.answer_p99_ms)),
    ("callback p50", lambda each, _: _number(each.callback_p50_ms)),
    ("p99 ms", lambda each, _: _number(each.callback_p99_ms)),
    ("after handler p50", lambda each, _: _number(each.after_handler_p50_ms)),
    ("CPU us/job", lambda each, _: _number(each.service_cpu_us_per_job, 0)),
    ("start s", lambda each, _: _number(each.start_seconds, 2)),
    ("memory MB", lambda each, _: _number(each.service_memory_mb, 0)),
    ("peak", lambda each, _: _number(each.service_peak_memory_mb, 0)),
    ("KB/listener", lambda each, _: _number(each.memory_kb_per_listener)),
    ("bytes/job", lambda each, _: _number(each.bytes_per_job, 0)),
    ("rows", lambda each, _: f"{each.rows:,}" if each.rows else ""),
    ("CPU service", lambda each, _: _share(each.cpu_share.get("service"))),
    ("gen", lambda each, _: _share(each.cpu_share.get("generator"))),
    ("recv", lambda each, _: _share(each.cpu_share.get("receiver"))),
    ("lost", lambda each, _: str(each.lost)),
    ("dup", lambda each, _: str(each.duplicates)),
)
