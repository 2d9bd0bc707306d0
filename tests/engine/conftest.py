"""Stages for the engine's tests, closed when the test is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.databases import Database
from tests.engine.stage import ScriptedRunner, Stage


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


@pytest.fixture
async def stages(database: Database) -> AsyncIterator[Stages]:
    """On an empty database, so that every test that asks for it runs on each kind."""
    made = Stages(database)
    yield made
    await made.close()
