"""Where the database is, and connections to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute
from msgspec import Struct

from dispatcher.adapters.postgres.errors import TROUBLE, ends_connection, whole_store
from dispatcher.core.errors import StoreError, StoreUnavailable

OLDEST_POSTGRES: Final = 14
_STATEMENTS_KEPT: Final = 512

SETTINGS: Final[Mapping[str, str]] = {
    "statement_timeout": "8s",
    "lock_timeout": "4s",
    "idle_in_transaction_session_timeout": "15s",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "max_parallel_workers_per_gather": "0",
}
"""What holds while the store is served.

The limits end what hangs on the server's side: a statement, a wait for a lock, a client that was
cut off. The rest is for the planner. Every statement names few rows and has an index for them, and
its plan is made once: often while the tables are empty, when to read them whole looks cheapest. It
is kept as they grow. A bitmap, too, meets what was deleted again each time; an index scan marks it.
"""


class Patience(Struct, frozen=True):
    """How long what is waited for may take, in seconds.

    `answer_seconds` is for one statement, as seen from here: longer than the server's own limit
    (`SETTINGS`), so that it only ends what hangs. `commit_seconds`: after it the outcome
    of a COMMIT is asked for on another connection, for `outcome_seconds` at most.
    """

    connect_seconds: float = 5.0
    answer_seconds: float = 12.0
    commit_seconds: float = 12.0
    outcome_seconds: float = 30.0


class Address(Struct, frozen=True):
    """A database: `dsn` for the driver, `shown` for people (no password), and what is before it.

    `pooled`: a pooler of transactions such as PgBouncer is between: no statement stays prepared,
    and nothing is listened for.
    """

    dsn: str
    shown: str
    pooled: bool = False

    @classmethod
    def parse(cls, url: str) -> Address:
        """From `postgresql://user:password@host:port/name?pgbouncer=true`."""
        parts = urlsplit(url)
        options = parse_qsl(parts.query, keep_blank_values=True)
        given = dict(options)
        pooled = given.get("pgbouncer") == "true" or given.get("statement_cache_size") == "0"
        kept = [
            (name, value)
            for name, value in options
            if name not in {"pgbouncer", "statement_cache_size"}
        ]
        dsn = urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(kept, safe="/"), ""))
        place = parts.netloc.rpartition("@")[2] or given.get("host", "")
        return cls(dsn, f"postgresql://{place}{parts.path}", pooled)


class Connector:
    """Makes connections to one database, each on the event loop that asks for it."""

    def __init__(self, address: Address, patience: Patience) -> None:
        self.address = address
        self.patience = patience

    def begin(self, sql: str) -> str:
        """The statement that begins a transaction on a connection that was made to serve.

        Behind a pooler the session is not ours: what holds there is said of each transaction.
        """
        if not self.address.pooled:
            return sql
        return ";\n".join([sql, *(f"SET LOCAL {name} = '{to}'" for name, to in SETTINGS.items())])

    async def connect_to_serve(self) -> asyncpg.Connection:
        """A new connection on which `SETTINGS` hold, in transactions begun by `begin`."""
        return await self.connect({} if self.address.pooled else SETTINGS)

    async def connect(
        self, settings: Mapping[str, str] = MappingProxyType({})
    ) -> asyncpg.Connection:
        """A new connection to the primary. Raises `StoreError`.

        Nothing but its settings depends on a session's state, so a pooler may stand between.
        """
        try:
            async with asyncio.timeout(self.patience.connect_seconds):
                return await asyncpg.connect(
                    self.address.dsn,
                    timeout=self.patience.connect_seconds,
                    command_timeout=self.patience.answer_seconds,
                    statement_cache_size=0 if self.address.pooled else _STATEMENTS_KEPT,
                    max_cached_statement_lifetime=0,
                    target_session_attrs=SessionAttribute.read_write,
                    server_settings=dict(settings),
                )
        except TROUBLE as error:
            raise self.failure(error) from error
        except ValueError as error:
            raise StoreError(
                f"The URL of the store can't be understood ({error}): "
                "postgresql://user:password@host:5432/database"
            ) from None

    def failure(self, error: Exception) -> StoreError:
        """The error for whoever asked, when the store can't be used."""
        known = whole_store(error, self.address.shown)
        if known is not None:
            return known
        return StoreUnavailable(f"The database {self.address.shown} met an error: {error!r}")


async def let_go(connection: asyncpg.Connection) -> None:
    """Close a connection, politely if it still answers."""
    with contextlib.suppress(Exception):
        await connection.close(timeout=1.0)
    connection.terminate()


class Connections:
    """A few connections that are taken in turn; one that fails is replaced by another."""

    def __init__(self, connector: Connector, most: int) -> None:
        self._connector = connector
        self._room = asyncio.Semaphore(most)
        self._most = most
        self._idle: list[asyncpg.Connection] = []
        self._closed = False

    @asynccontextmanager
    async def one(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection for as long as the block lasts."""
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        async with self._room:
            connection = await self._take()
            try:
                yield connection
            except BaseException as error:
                # A wait that was cancelled leaves a statement under way.
                if not isinstance(error, Exception) or ends_connection(error):
                    connection.terminate()
                raise
            finally:
                if not connection.is_closed():
                    self._idle.append(connection)

    async def _take(self) -> asyncpg.Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return await self._connector.connect_to_serve()

    async def close(self) -> None:
        """Wait for what is under way, then close all."""
        if self._closed:
            return
        self._closed = True
        for _ in range(self._most):
            await self._room.acquire()
        while self._idle:
            await let_go(self._idle.pop())
