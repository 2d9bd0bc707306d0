"""What holds for a whole run, and why a scenario has no figures."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct


class Terms(Struct, frozen=True):
    """What holds for every scenario of one run.

    `folder` is on a disk, the database goes there; `store` is a PostgreSQL to use instead. `tree`
    is another checkout whose service is measured. `rows` are in the store before, where a scenario
    wants some; `seeds` is where stores so prepared are kept for the next run. `rate` is that of the
    paced scenarios, in jobs a second; `processes` is how many serve. `database` says what there is
    committed to, and how safely.
    """

    folder: Path
    seconds: float
    warm_up_seconds: float
    drain_seconds: float
    log_level: str
    store: str | None = None
    tree: Path | None = None
    rows: int = 100_000
    seeds: Path | None = None
    rate: float = 500
    processes: int = 1
    whole_path: float | None = None
    database: str = "SQLite, WAL, synchronous=FULL"


class BenchmarkFailed(Exception):
    """A scenario could not be measured; the message says why."""


class Skipped(Exception):
    """A scenario makes no sense in this run; the message says why."""
