from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dispatcher.adapters.runners.processes import Children


@pytest.fixture
async def children() -> AsyncIterator[Children]:
    """Starts processes; at the end of the test none is left."""
    made = Children()
    yield made
    await made.close()
