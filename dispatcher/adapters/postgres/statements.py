"""The SQL, in named files: `queries/<name>.sql`, whose first comment says what it is for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from dispatcher.adapters.postgres.rows import (
    DELIVERY_COLUMNS,
    ENDPOINT_COLUMNS,
    EVENT_COLUMNS,
    JOB_COLUMNS,
)

_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "delivery": DELIVERY_COLUMNS,
    "endpoint": ENDPOINT_COLUMNS,
    "event": EVENT_COLUMNS,
    "job": JOB_COLUMNS,
}
_ALL_OF: Final = re.compile(rf"\b({'|'.join(_COLUMNS)})\.\*")


@cache
def statement(name: str) -> str:
    """The text of `queries/<name>.sql`.

    `job.*` in it stands for the columns that this version knows, by name and in the order in which
    `rows` reads them. So a later version may add columns while this one still serves.
    """
    text = (files(__package__) / "queries" / f"{name}.sql").read_text(encoding="utf-8")
    return _ALL_OF.sub(_named, text)


def statement_names() -> list[str]:
    """The names of all statements, sorted."""
    found = (entry.name for entry in (files(__package__) / "queries").iterdir())
    return sorted(name.removesuffix(".sql") for name in found if name.endswith(".sql"))


def _named(found: re.Match[str]) -> str:
    table = found[1]
    return ", ".join(f"{table}.{column}" for column in _COLUMNS[table])
