"""The page of Python handlers names all that the code has for them."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import dispatcher
from dispatcher import Dispatcher, JobContext
from dispatcher.adapters.runners.declare import _MAX_THREADS, _NAME, _YEAR
from dispatcher.adapters.runners.python import DEFAULT_THREADS
from dispatcher.adapters.runners.text import MAX_DETAIL
from dispatcher.core.retry import DEFAULT_JOB_BACKOFF, MAX_WAIT_SECONDS

PAGE = Path(__file__).parents[1] / "docs/reference/handlers.md"
TEXT = PAGE.read_text("utf-8")


def rows(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, without its head."""
    under = TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    table = under[under.index("\n|") :].partition("\n\n")[0]
    found = re.findall(r"^\|(.*)\|$", table, re.MULTILINE)[2:]
    return [[cell.strip() for cell in row.split(" | ")] for row in found]


def signature(function: Any) -> str:
    """As the page has it: without `self`, annotations and what is returned."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    shown = [str(each.replace(annotation=inspect.Parameter.empty)) for each in parameters]
    return f"({', '.join(shown)})".replace("''", '""')


def test_every_option_of_a_declaration_has_its_row_and_default() -> None:
    parameters = inspect.signature(Dispatcher.job).parameters
    options = {
        name: f"`{each.default!r}`"
        for name, each in parameters.items()
        if each.kind is inspect.Parameter.KEYWORD_ONLY
    }
    assert {row[0].strip("`"): row[1] for row in rows("Declare")} == options
    assert _NAME.pattern in TEXT


def test_the_bounds_of_a_declaration() -> None:
    of = {row[0].strip("`"): " ".join(row[2:]) for row in rows("Declare")}
    assert f"{_YEAR:,} (a year)" in of["timeout"]
    assert f"{_MAX_THREADS:,} at most for `def`" in of["concurrency"]
    assert f"of `def` {DEFAULT_THREADS}," in of["concurrency"]
    assert f"0 to {MAX_WAIT_SECONDS:,} " in of["backoff"]
    first, factor, most = (
        f"{each:g}"
        for each in (
            DEFAULT_JOB_BACKOFF.first_seconds,
            DEFAULT_JOB_BACKOFF.factor,
            DEFAULT_JOB_BACKOFF.max_seconds,
        )
    )
    assert f"JobBackoff(first_seconds={first}, factor={factor}, max_seconds={most})" in TEXT


def test_every_public_member_of_the_context_has_its_row() -> None:
    members = {name for name in vars(JobContext) if not name.startswith("_")}
    cells = [row[0] for row in rows("`JobContext`")]
    named = {name for cell in cells for name in re.findall(r"`(\w+)", cell)}
    assert named == members
    for name in members:
        if inspect.isfunction(member := inspect.getattr_static(JobContext, name)):
            assert f"`{name}{signature(member)}`" in cells, name
    assert f"{MAX_DETAIL:,} characters at most" in TEXT


def test_everything_that_handlers_import_is_named() -> None:
    for name in dispatcher.__all__:
        assert f"`{name}`" in TEXT, name
    for verdict in (dispatcher.Fail, dispatcher.Retry, dispatcher.Cancel, dispatcher.Snooze):
        shown = f"`raise {verdict.__name__}{signature(verdict.__init__)}`"
        assert shown in [row[0] for row in rows("How a job ends")], shown
