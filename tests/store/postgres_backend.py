"""PostgreSQL for the conformance suite: one database, emptied for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from dispatcher.adapters.postgres import PostgresStore
from dispatcher.adapters.postgres.connection import Address
from dispatcher.adapters.postgres.schema import prepare
from dispatcher.core.model import Instant
from dispatcher.ports.store import Store
from dispatcher.testing.clock import ManualClock
from dispatcher.testing.conformance import ShuffledIds
from tests.store.postgres_server import shared_server

_FILLED = """
SELECT format('dispatcher.%I', relname) FROM pg_class
WHERE relnamespace = 'dispatcher'::regnamespace AND relkind = 'r' AND relname <> 'migration'
  AND pg_relation_size(oid) > 0
"""
"""Tables that were written since they were emptied. To empty one takes new files for it, its
indexes and its sequences: most tests write few of them."""

_TABLES = """
SELECT format('dispatcher.%I', relname) FROM pg_class
WHERE relnamespace = 'dispatcher'::regnamespace AND relkind = 'r' AND relname <> 'migration'
"""

_EVENT = """
INSERT INTO dispatcher.event (id, caller_id, type, at, links_base, data)
VALUES ($1, $2, 'ping', 0, '', '{}')
"""

_MISCOUNTED = """
SELECT seq, waiting, waiting_bytes, jobs, bytes FROM dispatcher.lane
LEFT JOIN (
  SELECT lane_seq, count(*) AS jobs, sum(length(body)) AS bytes
  FROM dispatcher.job JOIN dispatcher.job_input ON job_seq = job.seq
  WHERE state = 'waiting' GROUP BY lane_seq
) AS there ON lane_seq = lane.seq
WHERE waiting <> coalesce(jobs, 0) OR waiting_bytes <> coalesce(bytes, 0)
"""


class PostgresBackend:
    """The schema of a shared server's database. The stores are told the time."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.ids = ShuffledIds("postgres")
        self.url = shared_server()
        self.stores: list[PostgresStore] = []

    async def create(self) -> None:
        await self.drop()
        connection = await asyncpg.connect(self.url)
        try:
            await prepare(connection, Address.parse(self.url), migrate=True)
            names = ", ".join(row[0] for row in await connection.fetch(_FILLED))
            if names:
                await connection.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
        finally:
            await connection.close()

    async def open(self) -> Store:
        store = self.make()
        await store.open()
        self.stores.append(store)
        return store

    def make(self, url: str | None = None, **members: Any) -> PostgresStore:
        """A store that goes by the tests' clock; it is not open yet."""
        return PostgresStore(url or self.url, ids=self.ids, injected_now=self.clock.now, **members)

    async def crash(self, store: Store) -> None:
        """Closing releases no holder and no delivery, which is what a crash leaves behind."""
        await store.close()
        self.stores = [one for one in self.stores if one is not store]

    async def drop(self) -> None:
        stores, self.stores = self.stores, []
        for store in stores:
            await store.close()
        if stores:
            await self.check()

    async def check(self) -> None:
        """Fail if what is counted is not what is there, once the stores are closed."""
        assert await self._miscounted() == [], "lanes say that other jobs wait than do"

    async def _miscounted(self) -> list[object]:
        """Lanes whose counts of what waits are not what waits."""
        connection = await asyncpg.connect(self.url)
        try:
            return list(await connection.fetch(_MISCOUNTED))
        finally:
            await connection.close()

    async def ask(self, sql: str) -> Any:
        """The first value that a statement gives, on a connection of its own."""
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    async def count_rows(self) -> int:
        connection = await asyncpg.connect(self.url)
        try:
            counts = [
                await connection.fetchval(f"SELECT count(*) FROM {name}")  # noqa: S608  # the schema's own names
                for name in await self._tables(connection)
            ]
        finally:
            await connection.close()
        return sum(counts)

    @asynccontextmanager
    async def under_way(self, caller_id: str) -> AsyncIterator[str]:
        event_id = self.ids.new("evt")
        connection = await asyncpg.connect(self.url)
        try:
            async with connection.transaction():
                await connection.execute(_EVENT, event_id, caller_id)
                yield event_id
        finally:
            await connection.close()

    @staticmethod
    async def _tables(connection: asyncpg.Connection) -> list[str]:
        return [row[0] for row in await connection.fetch(_TABLES)]

    def now(self) -> Instant:
        return self.clock.now()

    async def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
