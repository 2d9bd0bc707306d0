from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.web.edge import DEV, Edge


@pytest_asyncio.fixture
async def edge() -> AsyncIterator[Edge]:
    async with Edge().running() as running:
        yield running


@pytest_asyncio.fixture
async def dev_edge() -> AsyncIterator[Edge]:
    async with Edge(dev=DEV).running() as running:
        yield running
