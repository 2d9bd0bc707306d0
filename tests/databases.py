"""What a test's service keeps everything in: of each kind, one after the other."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

import asyncpg
import pytest

from dispatcher.adapters.sqlite.schema import prepare
from tests.store.postgres_backend import PostgresBackend

Database: TypeAlias = Path | str
"""A file of SQLite, or the URL of a PostgreSQL."""

STORES: Final = os.environ.get("TEST_STORES", "sqlite,postgres").split(",")
"""`TEST_STORES=sqlite`: on that alone, which is quicker."""

ON_SQLITE: Final = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For a test that says nothing of PostgreSQL; the reason stands beside it."""


@cache
def _empty_file() -> Path:
    """An empty database, for as long as the process lasts."""
    folder = tempfile.TemporaryDirectory(prefix="dispatcher-empty-")
    atexit.register(folder.cleanup)
    path = Path(folder.name) / "empty.db"
    prepare(path)
    return path


def empty_file(path: Path) -> None:
    """Put an empty database there, as a store makes it: a copy takes a tenth of the time."""
    shutil.copy(_empty_file(), path)


@pytest.fixture(params=STORES)
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty one. Every test that asks for it runs on each of `STORES`."""
    if request.param == "sqlite":
        path = tmp_path / "dispatcher.db"
        empty_file(path)
        yield path
        return
    backend = PostgresBackend()
    await backend.create()
    yield backend.url
    await backend.check()


async def all_written_in(database: Database) -> bytes:
    """Everything that is kept in it, to look for what must not be there in plain."""
    if isinstance(database, Path):
        return b"".join(each.read_bytes() for each in database.parent.glob(f"{database.name}*"))
    connection = await asyncpg.connect(database)
    try:
        tables = await connection.fetch(
            "SELECT format('%I.%I', table_schema, table_name) AS name"
            " FROM information_schema.tables"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        )
        rows = [
            row
            for table in tables
            for row in await connection.fetch(f"SELECT * FROM {table['name']}")  # noqa: S608  # quoted
        ]
    finally:
        await connection.close()
    values = (value for row in rows for value in row.values())
    return b"\n".join(each if isinstance(each, bytes) else str(each).encode() for each in values)
