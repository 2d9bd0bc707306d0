"""The SQL, in named files: `queries/<name>.sql`, whose first comment says what it is for."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def statement(name: str) -> str:
    """The text of `queries/<name>.sql`."""
    return (files(__package__) / "queries" / f"{name}.sql").read_text(encoding="utf-8")


def statement_names() -> list[str]:
    """The names of all statements, sorted."""
    found = (entry.name for entry in (files(__package__) / "queries").iterdir())
    return sorted(name.removesuffix(".sql") for name in found if name.endswith(".sql"))
