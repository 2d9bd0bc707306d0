"""Readers of PostgreSQL: what becomes of their connections, and of who waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from dispatcher.adapters.postgres import Patience, PostgresStore
from dispatcher.core.errors import StoreUnavailable
from dispatcher.testing.conformance.scene import Scene
from tests.store.postgres_backend import PostgresBackend
from tests.store.postgres_wire import wire


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    backend = PostgresBackend()
    await backend.create()
    made = Scene(backend, await backend.open(), await backend.open())
    await made.populate()
    yield made
    await backend.drop()


class TestCancelled:
    async def test_who_was_cancelled_may_still_ask(self, scene: Scene) -> None:
        """What is read on the same connection later is what there is then."""
        waits = asyncio.Event()

        async def looks_before_it_goes() -> None:
            try:
                waits.set()
                await asyncio.Event().wait()
            finally:
                assert await scene.store.get_job("job_x", None) is None

        task = asyncio.create_task(looks_before_it_goes())
        await waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        new = scene.new()
        await scene.add_all(new, store=scene.other)
        assert await scene.record(new.job.id, store=scene.store)

    async def test_a_question_that_was_cancelled_takes_its_connection_along(
        self, scene: Scene
    ) -> None:
        assert isinstance(scene.store, PostgresStore)
        asked = asyncio.Event()

        async def hangs(_: object) -> None:
            asked.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(scene.store._readers.ask(hangs))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert scene.store._readers._connections._idle == []


class TestSilence:
    async def test_who_waits_for_a_connection_is_told_in_time(self) -> None:
        """Not one after another, as those before them give up."""
        backend = PostgresBackend()
        await backend.create()
        patience = Patience(connect_seconds=0.5, answer_seconds=0.8)
        async with wire() as line:
            store = backend.make(url=line.url, patience=patience)
            await store.open()
            line.hang()
            asked = (store.get_job("job_x", None) for _ in range(40))
            answers = await asyncio.gather(*asked, return_exceptions=True)
            line.flow()
            assert await store.get_job("job_x", None) is None
            await store.close()
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)
        assert any("was free within" in str(answer) for answer in answers)
