"""Making the schema, and bringing an older one up to date. Migrations only go forward.

An empty database gets its schema from whoever opens it first. One that holds data is only migrated
when that is asked for: on many nodes it must not happen because one of them was restarted.

Nodes of the version before go on while and after a step is made, so it only adds. One that takes
away what they use has `after_` in its name (`0007_after_thing.sql`): it is released a version
later, and made once no node of the version before is left. A node that meets steps it does not know
serves if none of them is such a one.
"""

from __future__ import annotations

import asyncio
import hashlib
from importlib.resources import files
from typing import Final, NamedTuple

import asyncpg

from dispatcher.adapters.postgres.connection import OLDEST_POSTGRES, Address
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.errors import SchemaMismatch, StoreError, StoreUnavailable

_BEGIN: Final = statement("begin_migration")
_COMMIT: Final = statement("commit")
_ROLLBACK: Final = statement("rollback")
_LOCK: Final = statement("schema_lock")
_THERE: Final = statement("schema_there")
_MAKE: Final = statement("schema_make")
_APPLIED: Final = statement("schema_applied")
_MARK: Final = statement("schema_mark")
_SERVER: Final = statement("server")
_AHEAD: Final = statement("feed_ahead")
_RENUMBER: Final = statement("feed_renumber")

TRIES: Final = 20
GIVE_WAY_SECONDS: Final = 0.5
"""How often a step is tried, and how long whoever waits behind it is let past in between; each try
waits for a second (`begin_migration.sql`)."""
STEP_SECONDS: Final = 3600.0
"""For a step, and for its COMMIT: one may rewrite a table. Its connection's own limit is for the
statements of a service, and the server's is lifted (`begin_migration.sql`)."""


class Migration(NamedTuple):
    """One step of the schema."""

    number: int
    name: str
    sql: str

    @property
    def mark(self) -> bytes:
        """The SHA-256 of its text: a released migration never changes."""
        return hashlib.sha256(self.sql.encode()).digest()


class Applied(NamedTuple):
    """A step that was made: its mark, and its name, by which older versions know what it does."""

    mark: bytes
    name: str

    @property
    def takes_away(self) -> bool:
        """Whether code that does not know the step can't go on."""
        return self.name[len("0000_") :].startswith("after_")


def migrations() -> list[Migration]:
    """All of them, in order: `migrations/<number>_<name>.sql`."""
    found = sorted((entry.name, entry) for entry in (files(__package__) / "migrations").iterdir())
    return [
        Migration(int(name[:4]), name.removesuffix(".sql"), entry.read_text(encoding="utf-8"))
        for name, entry in found
        if name.endswith(".sql")
    ]


async def prepare(connection: asyncpg.Connection, address: Address, *, migrate: bool) -> None:
    """Make the schema in an empty database, else check it; with `migrate`, bring it up to date.

    Raises `SchemaMismatch` (another version's, or older and `migrate` is not asked for),
    `StoreError` (PostgreSQL too old, or set to lose what it has confirmed).
    """
    await _check_server(connection, address)
    if await connection.fetchval(_THERE) and not _missing(
        await _applied(connection), address, migrate=migrate
    ):
        await _check_feed(connection, address, migrate=migrate)
        return
    while await _patiently(connection, address, migrate=migrate):
        pass


async def _patiently(connection: asyncpg.Connection, address: Address, *, migrate: bool) -> bool:
    """One step; whether there are more. It gives way to transactions that hold what it needs.

    A step that waits for the lock of a table makes all others wait behind it. So it waits for a
    moment, lets them pass, and tries again. Raises `StoreUnavailable` after half a minute or so.
    """
    for _ in range(TRIES):
        try:
            return await _step(connection, address, migrate=migrate)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(GIVE_WAY_SECONDS)
    raise StoreUnavailable(
        f"{address.shown} could not be migrated: a transaction holds what is to be changed and "
        "goes on. Find it in pg_stat_activity, where its xact_start is the oldest, end it, and "
        "run `dispatcher migrate` again; the service goes on, and steps that were made stand."
    )


async def _step(connection: asyncpg.Connection, address: Address, *, migrate: bool) -> bool:
    """Make the schema, or the next step of it; whether there are more."""
    await connection.execute(_BEGIN)
    try:
        await connection.execute(_LOCK)  # of two that start at once, the other waits and finds it
        if await connection.fetchval(_THERE):
            missing = _missing(await _applied(connection), address, migrate=migrate)
            now = missing[:1]  # each in a transaction of its own, so that it holds locks shortly
        else:
            await connection.execute(_MAKE)
            now = missing = migrations()
        for step in now:
            await connection.execute(step.sql, timeout=STEP_SECONDS)
            await connection.execute(_MARK, step.number, step.name, step.mark)
        await connection.execute(_COMMIT, timeout=STEP_SECONDS)
    except BaseException:
        if not connection.is_closed():
            await connection.execute(_ROLLBACK)
        raise
    return len(missing) > len(now)


async def _applied(connection: asyncpg.Connection) -> dict[int, Applied]:
    rows = await connection.fetch(_APPLIED)
    return {row["number"]: Applied(row["mark"], row["name"]) for row in rows}


def _missing(applied: dict[int, Applied], address: Address, *, migrate: bool) -> list[Migration]:
    """The steps that are still to be made."""
    steps = migrations()
    newest = max(applied, default=0)
    last = steps[-1].number
    if any(one.takes_away for number, one in applied.items() if number > last):
        raise SchemaMismatch(
            f"{address.shown} has schema {newest}, which this version of the dispatcher, that "
            f"knows up to {last}, can't use any more: run the newer version that migrated it."
        )
    for step in steps:
        if step.number in applied and applied[step.number].mark != step.mark:
            raise SchemaMismatch(
                f"{address.shown} was made by a development version whose migration {step.name} "
                "was another: run that version, or begin with a new database."
            )
    missing = [step for step in steps if step.number not in applied]
    if missing and applied and not migrate:
        raise SchemaMismatch(
            f"{address.shown} has schema {newest}, and this version needs {last}: run "
            "`dispatcher migrate` once, then start the nodes."
        )
    return missing


async def _check_server(connection: asyncpg.Connection, address: Address) -> None:
    version, commits = await connection.fetchrow(_SERVER) or (0, "")
    if version < OLDEST_POSTGRES * 10_000:
        raise StoreError(
            f"{address.shown} is PostgreSQL {version // 10_000}, and {OLDEST_POSTGRES} or newer is "
            "needed."
        )
    if commits == "off":
        raise StoreError(
            f"{address.shown} has synchronous_commit = off: it would lose what was confirmed. Set "
            "it to on (ALTER DATABASE … SET synchronous_commit = on)."
        )


async def _check_feed(connection: asyncpg.Connection, address: Address, *, migrate: bool) -> None:
    """See that events have places which transactions of this server have; else give them such.

    After a dump was restored into a server that has counted less, nobody could read them.
    """
    if not await connection.fetchval(_AHEAD):
        return
    if not migrate:
        raise SchemaMismatch(
            f"{address.shown} was restored from a server that had counted more transactions, so "
            "that events could not be read: run `dispatcher migrate` once, then start the nodes."
        )
    await connection.execute(_BEGIN)
    await connection.execute(_RENUMBER, timeout=STEP_SECONDS)
    await connection.execute(_COMMIT, timeout=STEP_SECONDS)
