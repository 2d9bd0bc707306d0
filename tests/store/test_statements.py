"""SQL stands in named files, one statement each; what is excepted is named here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from dispatcher.adapters import postgres, sqlite
from dispatcher.adapters.postgres import statements as of_postgres
from dispatcher.adapters.sqlite import statements as of_sqlite

SEVERAL = {"begin_migration", "commit", "commit_and_begin", "savepoint_undo"}
"""What begins and ends a transaction of PostgreSQL, or a part of one, with its SETs."""

SEVERAL_ONCE = {"schema_make", "feed_renumber"}
"""What is done to a whole database, once."""

DATA = re.compile(r"\s*(SELECT|WITH|INSERT INTO|UPDATE \w|DELETE FROM|CREATE|ALTER|DROP|COPY)\b")


def several(statements: ModuleType) -> set[str]:
    """The files with more than one statement."""
    found = set()
    for name in statements.statement_names():
        code = re.sub(r"--.*", "", statements.statement(name))
        if ";" in code.strip().removesuffix(";"):
            found.add(name)
    return found


def test_a_file_holds_one_statement() -> None:
    assert several(of_sqlite) == set()
    assert several(of_postgres) == SEVERAL | SEVERAL_ONCE


def written(path: Path) -> Iterator[str]:
    """The texts in a module, and how those begin that are put together."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("store", [sqlite, postgres])
def test_none_stands_in_the_code(store: ModuleType) -> None:
    paths = sorted(Path(store.__file__ or "").parent.glob("*.py"))
    assert len(paths) > 30
    assert [(path.name, text) for path in paths for text in written(path) if DATA.match(text)] == []
