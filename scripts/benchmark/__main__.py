"""`scripts/bench`: runs the suite, prints one table, writes JSON."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct

from scripts.outside.database import Server
from scripts.outside.ending import end_by_signals
from scripts.outside.process import ServiceDied

from .against import Pair, against_table, compare, order_of_round, other_tree
from .figures import Figures
from .postgres import described, doubts, new_database, own_server
from .report import report, table
from .run import run
from .scenario import SCENARIOS, WHOLE_PATH, Scenario, Target
from .terms import BenchmarkFailed, Skipped, Terms

IN_MEMORY = {"tmpfs", "ramfs"}
QUICK_DESTINATIONS = 1_000
SEEDS = "dispatcher-bench-seeds"


def main() -> int:
    end_by_signals()
    given = arguments()
    if given.list:
        print("\n".join(f"{each.name}: {each.says}" for each in SCENARIOS))
        return 0
    folder = Path(given.folder).resolve()
    if file_system(folder) in IN_MEMORY:
        print(
            f"{folder} is in memory, so that a commit there costs nothing: give --folder on a disk."
        )
        return 2
    chosen = [
        as_asked(each, given)
        for each in SCENARIOS
        if not given.only or any(part in each.name for part in given.only)
    ]
    if not chosen:
        print(f"No scenario has {' or '.join(given.only)!r} in its name; see scripts/bench --list")
        return 2
    try:
        return bench(chosen, given)
    except BenchmarkFailed as error:
        print(error, file=sys.stderr)
        return 2


def bench(chosen: list[Scenario], given: argparse.Namespace) -> int:
    """Run what was chosen in a folder of its own; the exit status.

    Raises:
        BenchmarkFailed: nothing can be measured in the way that was asked for.
    """
    folder = Path(given.folder).resolve()
    with (
        tempfile.TemporaryDirectory(prefix="dispatcher-bench-", dir=folder) as own,
        own_server(Path(own)) if given.postgres else contextlib.nullcontext() as server,
    ):
        terms = with_database(
            Terms(
                folder=Path(own),
                seconds=given.seconds,
                warm_up_seconds=given.warm_up,
                drain_seconds=60,
                log_level=given.log_level,
                store=given.store if server is None else server.url("postgres"),
                rows=given.rows,
                seeds=folder / SEEDS if given.keep_seeds else None,
                rate=given.rate,
                processes=given.processes,
            )
        )
        if given.against:
            return against(chosen, terms, given, server)
        found = measured(chosen, terms, server)
    done = report(found.figures, terms, chosen, found.skipped, found.failed)
    print(table(done))
    write(given.json, done)
    return max(1 if found.failed else 0, verdict(found.figures, given.floor))


class Measurements(Struct):
    """What each scenario came to, or why it came to nothing, by its name."""

    figures: list[Figures] = []
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}


def with_database(terms: Terms) -> Terms:
    """The terms, with what there is to say of the PostgreSQL; that is said to who waits too.

    Raises:
        BenchmarkFailed: it can't be asked.
    """
    if terms.store is None:
        return terms
    found = asyncio.run(described(terms.store))
    shown = "PostgreSQL " + ", ".join(" ".join(each) for each in found.items())
    print("\n".join([shown, *(f"Mind: {each}" for each in doubts(found))]), file=sys.stderr)
    return msgspec.structs.replace(terms, database=shown)


def measured(chosen: list[Scenario], terms: Terms, server: Server | None) -> Measurements:
    """Run the scenarios one after another; one that fails ends none of the others.

    On a server of the benchmark's own each has an empty database.
    """
    done = Measurements()
    for scenario in chosen:
        print(f"{scenario.name}: {scenario.says} …", file=sys.stderr, flush=True)
        try:
            if server is not None:
                terms = msgspec.structs.replace(terms, store=new_database(server))
            one = asyncio.run(run(scenario, terms))
        except (BenchmarkFailed, ServiceDied) as error:
            print(f"{scenario.name} could not be measured: {error}", file=sys.stderr)
            done.failed[scenario.name] = str(error).splitlines()[0]
        except Skipped as why:
            done.skipped[scenario.name] = str(why)
        else:
            done.figures.append(one)
            if one.name == WHOLE_PATH:
                terms = msgspec.structs.replace(terms, whole_path=one.jobs_per_second)
    return done


def against(
    chosen: list[Scenario], terms: Terms, given: argparse.Namespace, server: Server | None
) -> int:
    """Measure this checkout and another in turn, and print what one is of the other."""
    tree = other_tree(Path(given.against))
    chosen = [each for each in chosen if each.target is Target.SERVICE]
    pairs: list[Pair] = []
    status = 0
    for number in range(given.rounds):
        print(f"Round {number + 1} of {given.rounds}", file=sys.stderr)
        for scenario in chosen:
            found: dict[str, Figures] = {}
            for name, its_terms in order_of_round(terms, tree, number):
                print(f"{name:>5}: ", end="", file=sys.stderr)
                done = measured([scenario], its_terms, server)
                status = max(status, 1 if done.failed else 0, verdict(done.figures, None))
                if done.figures:
                    found[name] = done.figures[0]
            if {"this", "other"} <= found.keys():
                pairs.append(Pair(found["this"], found["other"]))
    compared = compare(pairs)
    print(against_table(compared))
    write(given.json, {"durability": terms.database, "compared": compared, "rounds": pairs})
    return status


def write(file: str | None, found: object) -> None:
    """As JSON, if there is a file to write to."""
    if file:
        text = msgspec.json.format(msgspec.json.encode(found), indent=2)
        Path(file).write_bytes(text + b"\n")


def as_asked(scenario: Scenario, given: argparse.Namespace) -> Scenario:
    """The scenario, changed as the options say."""
    changed: dict[str, int] = {}
    if scenario.connections > 1:
        # With each connection having one submission at a time, few would bound what many processes
        # carry: 64 that are answered in 25 ms submit 2,560 a second.
        wide = scenario.connections * max(scenario.processes, given.processes)
        asked = {"connections": given.connections or wide, "in_flight": given.in_flight}
        changed |= {name: value for name, value in asked.items() if value is not None}
    if given.listeners is not None and scenario.listeners:
        changed["listeners"] = given.listeners
    if given.quick:
        changed["destinations"] = min(scenario.destinations, QUICK_DESTINATIONS)
    return msgspec.structs.replace(scenario, **changed)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--list", action="store_true", help="say what is measured, and end")
    parser.add_argument("--seconds", type=float, default=10, help="length of each measurement")
    parser.add_argument("--warm-up", type=float, default=3, help="seconds of load before it")
    parser.add_argument("--connections", type=int, help="that carry submissions (64 a process)")
    parser.add_argument("--in-flight", type=int, help="jobs at most in flight (default 256)")
    parser.add_argument("--listeners", type=int, help="streams open where some are (10,000)")
    parser.add_argument(
        "--rate", type=float, default=500, help="jobs a second of the paced scenarios (500)"
    )
    parser.add_argument(
        "--rows", type=int, default=100_000, help="in the store where some are (100,000)"
    )
    parser.add_argument(
        "--keep-seeds",
        action="store_true",
        help=f"keep the stores with rows in FOLDER/{SEEDS} for the next run",
    )
    parser.add_argument(
        "--quick", action="store_true", help="all scenarios in a minute, to see that they work"
    )
    parser.add_argument(
        "--only", action="append", help="run the scenarios with this in their name; repeatable"
    )
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    parser.add_argument("--log-level", default="warning", help="of the service (default warning)")
    parser.add_argument(
        "--folder",
        default="/var/tmp",  # noqa: S108  # on disk by convention, where /tmp may be in memory
        help="on a disk; the database goes to a temporary folder in it",
    )
    database = parser.add_mutually_exclusive_group()
    database.add_argument("--store", metavar="URL", help="a PostgreSQL with an empty database")
    database.add_argument(
        "--postgres",
        action="store_true",
        help="on a PostgreSQL that is started for this run, with an empty database a scenario",
    )
    parser.add_argument(
        "--processes", type=int, default=1, help="that serve, where the store allows it"
    )
    parser.add_argument(
        "--against", metavar="CHECKOUT", help="another checkout to measure in turn with this one"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of --against (default 3)")
    parser.add_argument(
        "--floor", type=float, help="exit with 1 if the whole path carries fewer jobs a second"
    )
    # What --quick stands for can still be said otherwise.
    if parser.parse_known_args()[0].quick:
        parser.set_defaults(seconds=0.5, warm_up=0.2, rows=2_000, listeners=500)
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
