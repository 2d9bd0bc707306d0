"""Several hosts in the URL of a PostgreSQL: whichever takes writes is found, and found again."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest

from dispatcher.adapters.postgres import Patience, holders
from dispatcher.adapters.postgres.connection import Address, Connector, let_go
from dispatcher.core.errors import StoreUnavailable
from tests.store.postgres_backend import PostgresBackend
from tests.store.postgres_wire import Wire, wire

SHORT = Patience(connect_seconds=1.0, answer_seconds=0.4)


@contextmanager
def silent(*, full: bool = False) -> Iterator[int]:
    """A port where nobody answers; a `full` one does not even take up a connection."""
    with ExitStack() as open_sockets:
        listening = open_sockets.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
        port: int = listening.getsockname()[1]
        if full:
            listening.listen(0)
            for _ in range(2):
                filling = open_sockets.enter_context(closing(socket.socket()))
                filling.setblocking(False)
                filling.connect_ex(("127.0.0.1", port))
        yield port


def of_hosts(*ports: int) -> str:
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"postgresql://postgres@{hosts}/postgres"


@pytest.fixture
async def line() -> AsyncIterator[Wire]:
    async with wire() as made:
        yield made


async def reached(connector: Connector) -> int:
    """The port of the host that a new connection leads to."""
    connection = await connector.connect()
    try:
        assert await connection.fetchval("SELECT 1") == 1
        port: int = connection._addr[1]  # type: ignore[attr-defined]  # the driver has no public name for it
        return port
    finally:
        await let_go(connection)


def a_connector(*ports: int) -> Connector:
    return Connector(Address.parse(of_hosts(*ports)), SHORT)


@pytest.mark.parametrize("full", [False, True], ids=["no word", "no connection"])
async def test_one_that_is_silent_leaves_the_others_their_time(line: Wire, *, full: bool) -> None:
    with silent(full=full) as dead:
        connector = a_connector(dead, line.port)
        assert await reached(connector) == line.port
        async with asyncio.timeout(SHORT.connect_seconds):  # it begins with the one that worked
            assert await reached(connector) == line.port


async def test_after_a_fail_over_the_other_is_found(line: Wire) -> None:
    async with wire() as other:
        other.standby = True
        connector = a_connector(other.port, line.port)
        assert await reached(connector) == line.port
        line.standby, other.standby = True, False
        assert await reached(connector) == other.port
        line.standby, other.refuses = False, True
        assert await reached(connector) == line.port


async def test_without_one_that_takes_writes_it_says_why(line: Wire) -> None:
    line.standby = True
    with pytest.raises(StoreUnavailable, match="target attribute"):
        await reached(a_connector(line.port))
    with silent() as dead, pytest.raises(StoreUnavailable, match="TimeoutError"):
        await reached(a_connector(line.port, dead))


async def test_a_beat_lasts_until_the_last_host_was_tried(
    line: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection falls silent, then two hosts are, one after the other."""
    monkeypatch.setattr(holders, "MARGIN_SECONDS", 0.4)
    backend = PostgresBackend()
    await backend.create()
    async with wire() as other:
        with silent() as dead:
            url = of_hosts(line.port, dead, other.port)
            store = backend.make(url=url, patience=SHORT)
            await store.open()
            heart = store.heart(backend.ids.new("hld"), "a test", 30.0)
            await asyncio.to_thread(heart.beat)
            line.hang()
            await asyncio.to_thread(heart.beat)
            heart.close()
            line.flow()
            await store.close()
