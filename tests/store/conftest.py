from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from dispatcher.adapters.sqlite import SqliteStore
from dispatcher.core.model import Instant
from dispatcher.ports.store import Store
from dispatcher.testing.clock import ManualClock
from dispatcher.testing.conformance import ShuffledIds
from tests.databases import empty_file


class SqliteBackend:
    """A SQLite file in a directory of its own, for the conformance suite."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.ids = ShuffledIds("sqlite")
        self.directory: Path | None = None
        self.stores: list[SqliteStore] = []

    @property
    def path(self) -> Path:
        assert self.directory is not None, "create() comes first"
        return self.directory / "store.db"

    async def create(self) -> None:
        await self.drop()
        self.directory = Path(tempfile.mkdtemp(prefix="dispatcher-conformance-"))
        empty_file(self.path)

    async def open(self) -> Store:
        store = SqliteStore(self.path, clock=self.clock, ids=self.ids)
        await store.open()
        self.stores.append(store)
        return store

    async def crash(self, store: Store) -> None:
        """Closing releases no holder and no delivery, which is what a crash leaves behind.

        That a kill loses nothing is tried with real processes, in tests/whole.
        """
        await store.close()
        self.stores = [one for one in self.stores if one is not store]

    async def drop(self) -> None:
        stores, self.stores = self.stores, []
        for store in stores:
            await store.close()
        if self.directory is not None and self.path.exists():
            assert self._miscounted() == [], "lanes say that other jobs wait than do"
        if self.directory is not None:
            shutil.rmtree(self.directory)
            self.directory = None

    def _miscounted(self) -> list[object]:
        """Lanes whose counts of what waits are not what waits."""
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(
                """
                SELECT seq, waiting, waiting_bytes, jobs, bytes FROM lane
                LEFT JOIN (
                  SELECT lane_seq, count(*) AS jobs, sum(length(body)) AS bytes
                  FROM job JOIN job_input ON job_seq = job.seq
                  WHERE state = 'waiting' GROUP BY lane_seq
                ) ON lane_seq = lane.seq
                WHERE waiting <> coalesce(jobs, 0) OR waiting_bytes <> coalesce(bytes, 0)
                """
            ).fetchall()

    async def count_rows(self) -> int:
        with closing(sqlite3.connect(self.path)) as connection:
            tables = connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
            ).fetchall()
            return sum(
                connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608  # the schema's own names
                for (name,) in tables
            )

    @asynccontextmanager
    async def under_way(self, caller_id: str) -> AsyncIterator[str]:
        event_id = self.ids.new("evt")
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(
                "INSERT INTO event (id, caller_id, type, at, links_base, data) "
                "VALUES (?, ?, 'ping', 0, '', x'7b7d')",
                (event_id, caller_id),
            )
        yield event_id

    def now(self) -> Instant:
        return self.clock.now()

    async def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
