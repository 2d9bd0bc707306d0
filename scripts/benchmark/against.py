"""Two checkouts, measured in turn in one run: what one does better than the other, as ratios.

This checkout gives the load generator and the receiver for both; only the service is the other's.
A machine whose speed changes with the hour then changes it for both alike.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Final

import msgspec
from msgspec import Struct

from scripts.outside.process import dispatcher_command

from .figures import Figures
from .report import lined_up
from .terms import BenchmarkFailed, Terms

MEASURES: Final[tuple[tuple[str, Callable[[Figures], float | None]], ...]] = (
    ("jobs/s", lambda each: each.jobs_per_second),
    ("CPU us/job", lambda each: each.service_cpu_us_per_job),
    ("answer p50 ms", lambda each: each.answer_p50_ms),
    ("answer p99 ms", lambda each: each.answer_p99_ms),
    ("callback p50 ms", lambda each: each.callback_p50_ms),
    ("callback p99 ms", lambda each: each.callback_p99_ms),
    ("after handler p50 ms", lambda each: each.after_handler_p50_ms),
    ("start s", lambda each: each.start_seconds),
    ("bytes/job", lambda each: each.bytes_per_job),
    ("KB/listener", lambda each: each.memory_kb_per_listener),
    ("memory MB", lambda each: each.service_memory_mb),
)


class Pair(Struct, frozen=True):
    """One round of one scenario in both checkouts."""

    this: Figures
    other: Figures


class Compared(Struct, frozen=True, kw_only=True):
    """One measure of one scenario: the medians over the rounds, and this one's over the other's.

    `ratio` is the median of the rounds' own ratios; `lowest` and `highest` are the ends of these.
    """

    scenario: str
    measure: str
    this: float
    other: float
    ratio: float
    lowest: float
    highest: float


def other_tree(path: Path) -> Path:
    """The other checkout, set up and able to run.

    Raises:
        BenchmarkFailed: it is none, could not be set up, or would not run its own modules.
    """
    tree = path.resolve()
    if not (tree / "scripts" / "setup").is_file():
        raise BenchmarkFailed(f"{tree} is no checkout of this project: it has no scripts/setup")
    if subprocess.run([tree / "scripts" / "setup"], check=False).returncode != 0:
        raise BenchmarkFailed(f"{tree} could not be set up; what scripts/setup said stands above")
    shown = subprocess.run(
        [
            Path(dispatcher_command(tree)).parent / "python",
            "-P",
            "-c",
            "import dispatcher; print(dispatcher.__file__)",
        ],
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    found = Path(shown.stdout.strip() or "/")
    if not found.resolve().is_relative_to(tree):
        raise BenchmarkFailed(
            f"{tree}/.venv runs the package at {found}, not its own: remove that .venv, and run "
            "scripts/setup there"
        )
    return tree


def order_of_round(terms: Terms, tree: Path, number: int) -> list[tuple[str, Terms]]:
    """Whose turn it is in a round: each comes first in every other round."""
    both = [
        ("this", msgspec.structs.replace(terms, folder=terms.folder / f"{number}-this")),
        (
            "other",
            msgspec.structs.replace(terms, folder=terms.folder / f"{number}-other", tree=tree),
        ),
    ]
    return both if number % 2 == 0 else both[::-1]


def compare(pairs: Iterable[Pair]) -> list[Compared]:
    """All measures of all scenarios that both have figures of."""
    by_scenario: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_scenario.setdefault(pair.this.name, []).append(pair)
    compared = []
    for scenario, rounds in by_scenario.items():
        for measure, value_of in MEASURES:
            values = [
                (this, other)
                for each in rounds
                if (this := value_of(each.this)) and (other := value_of(each.other))
            ]
            if not values:
                continue
            ratios = [this / other for this, other in values]
            compared.append(
                Compared(
                    scenario=scenario,
                    measure=measure,
                    this=median(this for this, _ in values),
                    other=median(other for _, other in values),
                    ratio=median(ratios),
                    lowest=min(ratios),
                    highest=max(ratios),
                )
            )
    return compared


def against_table(compared: list[Compared]) -> str:
    """The comparison as rows of text."""
    rows = [("scenario", "measure", "this", "other", "ratio", "lowest", "highest")]
    told = ""
    for each in compared:
        rows.append(
            (
                each.scenario if each.scenario != told else "",
                each.measure,
                f"{each.this:,.1f}",
                f"{each.other:,.1f}",
                f"{each.ratio:.3f}",
                f"{each.lowest:.3f}",
                f"{each.highest:.3f}",
            )
        )
        told = each.scenario
    return lined_up(rows, left=2)
