"""Stages for the engine's tests, closed when the test is over."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from tests.engine.stage import ScriptedRunner, Stage
from tests.store.postgres_backend import PostgresBackend

Database: TypeAlias = Path | str
"""A file of SQLite, or the URL of a PostgreSQL: what a stage keeps everything in."""

ON_SQLITE: Final = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For a test that says nothing of PostgreSQL; the reason stands beside it."""


class Stages:
    """Makes stages on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._made: list[Stage] = []

    def make(self, *runners: ScriptedRunner, **options: Any) -> Stage:
        stage = Stage(self._database, *runners, **options)
        self._made.append(stage)
        return stage

    async def start(self, *runners: ScriptedRunner, **options: Any) -> Stage:
        return await self.make(*runners, **options).start()

    async def close(self) -> None:
        for stage in reversed(self._made):
            await stage.close()


STORES: Final = os.environ.get("TEST_STORES", "sqlite").split(",")
"""`TEST_STORES=sqlite,postgres`: on both. By default on one, since the suite is to be quick: what
stores promise is tried on both by the conformance suite, and whole services are."""


@pytest.fixture(params=STORES)
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty one. Every test that has it, or `stages`, runs on each of `STORES`."""
    if request.param == "sqlite":
        yield tmp_path / "dispatcher.db"
        return
    backend = PostgresBackend()
    await backend.create()
    yield backend.url
    await backend.check()


@pytest.fixture
async def stages(database: Database) -> AsyncIterator[Stages]:
    made = Stages(database)
    yield made
    await made.close()
