from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.whole.rig import GATE_APP, Gate, Rig, rig


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    async with Gate().listening() as listening:
        yield listening


@pytest.fixture
async def gated(tmp_path: Path) -> AsyncIterator[Rig]:
    """A service of the gate's jobs, with little patience at its end."""
    async with rig(tmp_path, app=GATE_APP, environment={"DISPATCHER_GRACE_SECONDS": "1"}) as made:
        yield made
