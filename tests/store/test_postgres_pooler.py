"""Behind a pooler of transactions: nothing depends on the state of a session."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import Final

import pytest

from dispatcher.adapters.postgres.connection import Address, Connector, Patience
from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.model import JobState
from dispatcher.ports.store import Store
from dispatcher.testing.conformance import (
    Scene,
    TestDurability,
    TestEachItemAlone,
    TestManyAtOnce,
    scene,
)
from dispatcher.testing.conformance.values import a_callback
from tests.store.postgres_backend import PostgresBackend
from tests.store.postgres_pooler import SESSIONS, Pooler

__all__ = ["TestDurability", "TestEachItemAlone", "TestManyAtOnce", "scene"]


class PooledBackend(PostgresBackend):
    """Stores that share the few sessions of a pooler."""

    def __init__(self) -> None:
        super().__init__()
        self.pooler = Pooler()

    async def create(self) -> None:
        await super().create()
        await self.pooler.start()

    async def open(self) -> Store:
        store = self.make(url=self.pooler.url)
        await store.open()
        self.stores.append(store)
        return store


@pytest.fixture
async def backend() -> AsyncIterator[PooledBackend]:
    made = PooledBackend()
    yield made
    await made.pooler.close()


async def test_more_clients_than_sessions(
    scene: Scene, backend: PooledBackend
) -> None:  # the fixture
    """And what each of them asked before says nothing to the next."""
    for _ in range(3):
        leased = await scene.running(callback=a_callback())
        await scene.apply(scene.finish(leased, hand_off=True), store=scene.other)
        assert await scene.state(leased.job.id) is JobState.SUCCEEDED
        assert len(await scene.delivery_records(leased.job.id)) == 1
        await scene.store.sweep(10)
        await scene.store.backlog(10)
        await scene.store.check()
    assert backend.pooler.most_clients > SESSIONS


SSL_REQUEST: Final = struct.pack("!I", 80877103)
REFUSED: Final = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: statement_timeout\0\0"


async def test_one_that_was_not_told_of_says_what_to_do() -> None:
    """PgBouncer takes no settings when a client connects, in no mode."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("!I", await reader.readexactly(4))
        if (await reader.readexactly(size - 4))[:4] == SSL_REQUEST:
            writer.write(b"N")
            (size,) = struct.unpack("!I", await reader.readexactly(4))
            await reader.readexactly(size - 4)
        writer.write(b"E" + struct.pack("!I", len(REFUSED) + 4) + REFUSED)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        address = Address.parse(f"postgresql://postgres@127.0.0.1:{port}/postgres")
        with pytest.raises(StoreUnavailable, match=r"add \?pgbouncer=true"):
            await Connector(address, Patience()).connect_to_serve()
