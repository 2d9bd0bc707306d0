"""Stages for the engine's tests, closed when the test is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.stage import ScriptedRunner, Stage


class Stages:
    """Makes stages on one database."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "dispatcher.db"
        self._made: list[Stage] = []

    def make(self, *runners: ScriptedRunner, **options: Any) -> Stage:
        stage = Stage(self._path, *runners, **options)
        self._made.append(stage)
        return stage

    async def start(self, *runners: ScriptedRunner, **options: Any) -> Stage:
        return await self.make(*runners, **options).start()

    async def close(self) -> None:
        for stage in reversed(self._made):
            await stage.close()


@pytest.fixture
async def stages(tmp_path: Path) -> AsyncIterator[Stages]:
    made = Stages(tmp_path)
    yield made
    await made.close()
