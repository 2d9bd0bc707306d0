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
from dispatcher.settings.store_url import postgres_shown

OLDEST_POSTGRES: Final = 14
_STATEMENTS_KEPT: Final = 512
_NEXT_HOST: Final = (
    OSError,  # TimeoutError too
    asyncpg.CannotConnectNowError,
    asyncpg.PostgresConnectionError,
    asyncpg.TargetServerAttributeNotMatched,
)
"""What another host of the URL may not meet. A wrong password, say, it would meet as well."""

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
        return cls(dsn, postgres_shown(url), pooled)

    def hosts(self) -> tuple[str, ...]:
        """A `dsn` for each of its hosts, in their order; `dsn` itself if it names none."""
        parts = urlsplit(self.dsn)
        user, at, named = parts.netloc.rpartition("@")
        if named:
            hosts = [host for host in named.split(",") if host] or [named]
            netlocs = [f"{user}{at}{host}" for host in hosts]
            return tuple(urlunsplit(parts._replace(netloc=each)) for each in netlocs)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        hosts, ports = options.get("host", "").split(","), options.get("port", "").split(",")
        if len(ports) == 1:
            ports *= len(hosts)
        if len(hosts) == 1 or len(hosts) != len(ports):
            return (self.dsn,)  # the driver says what is wrong with it
        queries = [
            urlencode({**options, "host": host} | ({"port": port} if port else {}), safe="/")
            for host, port in zip(hosts, ports, strict=True)
        ]
        return tuple(urlunsplit(parts._replace(query=each)) for each in queries)


class Connector:
    """Makes connections to one database, each on the event loop that asks for it."""

    def __init__(self, address: Address, patience: Patience) -> None:
        self.address = address
        self.patience = patience
        self._hosts = address.hosts()
        self._worked = self._hosts[0]

    @property
    def connect_seconds(self) -> float:
        """How long `connect` may take: each host has its own time."""
        return self.patience.connect_seconds * len(self._hosts)

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
            return await self._reach(settings)
        except TROUBLE as error:
            raise self.failure(error) from error
        except ValueError:  # it may quote a part of the password
            raise StoreError(
                "The URL of the store can't be understood: "
                "postgresql://user:password@host:5432/database"
            ) from None

    async def _reach(self, settings: Mapping[str, str]) -> asyncpg.Connection:
        """Try the host that worked last, then the others in their order, until one takes writes.

        The driver has one time for all of them, which a host that is silent would use up.
        """
        failed: list[Exception] = []
        for host in sorted(self._hosts, key=lambda each: each != self._worked):
            try:
                async with asyncio.timeout(self.patience.connect_seconds):
                    connection = await asyncpg.connect(
                        host,
                        timeout=self.patience.connect_seconds,
                        command_timeout=self.patience.answer_seconds,
                        statement_cache_size=0 if self.address.pooled else _STATEMENTS_KEPT,
                        max_cached_statement_lifetime=0,
                        target_session_attrs=SessionAttribute.read_write,
                        server_settings=dict(settings),
                    )
            except _NEXT_HOST as error:
                failed.append(error)
            else:
                self._worked = host
                return connection
        # That one is a standby says less than why another, which may be the primary, failed.
        raise min(
            failed, key=lambda each: isinstance(each, asyncpg.TargetServerAttributeNotMatched)
        )

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
        """A connection for as long as the block lasts.

        Raises `StoreUnavailable` if none is free for as long as a statement may take.
        """
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        async with self._a_place():
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

    @asynccontextmanager
    async def _a_place(self) -> AsyncIterator[None]:
        """One of so many as may be out at once.

        Its wait has a limit: when the database is silent, each of those before it takes its time.
        """
        limit = self._connector.patience.answer_seconds
        try:
            async with asyncio.timeout(limit):
                await self._room.acquire()
        except TimeoutError:
            raise StoreUnavailable(
                f"No connection to {self._connector.address.shown} was free within {limit:g} s: "
                "see that PostgreSQL answers, look at its load, or raise postgres_connections."
            ) from None
        try:
            yield
        finally:
            self._room.release()

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
