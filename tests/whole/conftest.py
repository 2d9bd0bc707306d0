from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest

from scripts.outside.process import TRIAL_STORE, Service
from tests.store.postgres_server import empty_database
from tests.whole.rig import GATE_APP, Gate, Rig, rig

ON_BOTH: Final = {
    *("test_bulk", "test_client", "test_crash", "test_drain", "test_endpoints", "test_fuzz"),
    *("test_http_jobs", "test_listening", "test_redeliver", "test_runners", "test_workers"),
}
"""The modules whose tests run on SQLite, and once more on PostgreSQL."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__.rpartition(".")[2] in ON_BOTH:
        metafunc.parametrize("store", ["sqlite", "postgres"], indirect=True)


@pytest.fixture(autouse=True)
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What services of the test keep everything in: a file, or an empty database."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield
        return
    with asyncio.Runner() as runner, ThreadPoolExecutor(1) as apart:  # beside the test's own loop
        opened = AsyncExitStack()
        url = apart.submit(runner.run, opened.enter_async_context(empty_database())).result()
        monkeypatch.setenv(TRIAL_STORE, url)
        yield
        apart.submit(runner.run, opened.aclose()).result()


@pytest.fixture(autouse=True)
def logs_of_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that failed shows what the processes said last that it had started."""
    end = Service.end

    def end_and_show(service: Service) -> None:
        end(service)
        last = service.log.splitlines()[-60:]
        sys.stdout.write("\n".join((f"--- {service.folder.name}", *last, "")))

    monkeypatch.setattr(Service, "end", end_and_show)


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    async with Gate().listening() as listening:
        yield listening


@pytest.fixture
async def gated(tmp_path: Path) -> AsyncIterator[Rig]:
    """A service of the gate's jobs, with little patience at its end."""
    async with rig(tmp_path, app=GATE_APP, environment={"DISPATCHER_GRACE_SECONDS": "1"}) as made:
        yield made
