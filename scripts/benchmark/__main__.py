"""`scripts/bench`: runs the suite, prints one table, writes JSON."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec

from scripts.outside.process import ServiceDied

from .report import report, table
from .run import BenchmarkFailed, Figures, Terms, run
from .scenario import SCENARIOS, WHOLE_PATH

IN_MEMORY = {"tmpfs", "ramfs"}


def main() -> int:
    given = arguments()
    folder = Path(given.folder)
    if file_system(folder) in IN_MEMORY:
        print(
            f"{folder} is in memory, so that a commit there costs nothing: give --folder on a disk."
        )
        return 2
    chosen = [each for each in SCENARIOS if not given.only or given.only in each.name]
    if not chosen:
        print(f"No scenario has {given.only!r} in its name; these exist:")
        print("\n".join(f"  {each.name}: {each.says}" for each in SCENARIOS))
        return 2
    figures: list[Figures] = []
    with tempfile.TemporaryDirectory(prefix="dispatcher-bench-", dir=folder) as own:
        terms = Terms(
            folder=Path(own),
            seconds=given.seconds,
            warm_up_seconds=given.warm_up,
            drain_seconds=60,
            log_level=given.log_level,
            store=given.store,
        )
        for scenario in chosen:
            print(f"{scenario.name}: {scenario.says} …", file=sys.stderr, flush=True)
            changed = {
                name: value
                for name, value in (
                    ("connections", given.connections),
                    ("in_flight", given.in_flight),
                )
                if value is not None and scenario.connections > 1
            }
            if given.listeners is not None and scenario.listeners:
                changed["listeners"] = given.listeners
            try:
                one = asyncio.run(run(msgspec.structs.replace(scenario, **changed), terms))
            except (BenchmarkFailed, ServiceDied) as error:
                print(f"{scenario.name} could not be measured: {error}", file=sys.stderr)
                return 1
            figures.append(one)
        done = report(figures, terms)
    print(table(done))
    if given.json:
        text = msgspec.json.format(msgspec.json.encode(done), indent=2)
        Path(given.json).write_bytes(text + b"\n")
    return verdict(figures, given.floor)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="length of each measurement")
    parser.add_argument("--warm-up", type=float, default=3, help="seconds of load before it")
    parser.add_argument("--connections", type=int, help="that carry submissions (default 64)")
    parser.add_argument("--in-flight", type=int, help="jobs at most in flight (default 256)")
    parser.add_argument("--listeners", type=int, help="streams open where some are (10,000)")
    parser.add_argument("--only", help="run the scenarios that have this in their name")
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    parser.add_argument("--log-level", default="warning", help="of the service (default warning)")
    parser.add_argument(
        "--folder",
        default="/var/tmp",  # noqa: S108  # on disk by convention, where /tmp may be in memory
        help="on a disk; the database goes to a temporary folder in it",
    )
    parser.add_argument("--store", metavar="URL", help="a PostgreSQL with an empty database")
    parser.add_argument(
        "--floor", type=float, help="exit with 1 if the whole path carries fewer jobs a second"
    )
    return parser.parse_args()


def file_system(folder: Path) -> str | None:
    """The type of the file system that holds `folder`, where the system tells."""
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found: tuple[int, str] | None = None
    for line in mounts:
        _, where, kind, *_ = line.split()
        if folder.resolve().is_relative_to(where) and (found is None or len(where) >= found[0]):
            found = (len(where), kind)
    return found[1] if found else None


def verdict(figures: list[Figures], floor: float | None) -> int:
    """Exit status: 1 if anything was lost or refused, or the floor was missed."""
    status = 0
    for each in figures:
        if each.lost or each.refused or not each.jobs_per_second:
            print(
                f"{each.name}: {each.lost} lost, {each.refused} refused {each.first_refusal or ''}"
            )
            status = 1
        if each.name == WHOLE_PATH and floor is not None and each.jobs_per_second < floor:
            print(f"{each.name}: under the floor of {floor:,.0f} jobs/s")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
