"""Reading, beside the writer: a few threads, each with a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from dispatcher.adapters.sqlite.connection import Use, connect
from dispatcher.adapters.sqlite.errors import needs_new_connection, whole_store
from dispatcher.core.errors import StoreUnavailable

Wanted = ParamSpec("Wanted")
Answer = TypeVar("Answer")


class Readers:
    """A pool of readers. Each question is one read transaction: it sees one state of the store."""

    def __init__(self, path: Path, count: int) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(count, "dispatcher-sqlite-read")
        self._here = threading.local()
        self._connections: set[sqlite3.Connection] = set()
        self._closed = False

    async def ask(
        self,
        question: Callable[Concatenate[sqlite3.Connection, Wanted], Answer],
        *args: Wanted.args,
        **kwargs: Wanted.kwargs,
    ) -> Answer:
        """Run `question` in a reader's thread; raises `StoreError`."""
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._pool, lambda: self._answer(lambda read: question(read, *args, **kwargs))
        )

    def _answer(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        connection: sqlite3.Connection | None = getattr(self._here, "connection", None)
        try:
            if connection is None:
                connection = self._here.connection = connect(self._path, Use.READ)
                self._connections.add(connection)
            connection.execute("BEGIN")
            try:
                return question(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            if connection is not None and needs_new_connection(error):
                self._here.connection = None
                self._connections.discard(connection)
                with contextlib.suppress(sqlite3.Error):
                    connection.close()
            failure = whole_store(error, self._path)
            if failure is None:
                raise
            raise failure from error

    def close(self) -> None:
        """Answer what was asked, then close; blocks."""
        self._closed = True
        self._pool.shutdown(wait=True)
        for connection in self._connections:
            connection.close()
        self._connections.clear()
