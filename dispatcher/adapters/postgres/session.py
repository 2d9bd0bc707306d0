"""One transaction: its connection, its instant, and what tells later whether it was committed."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import asyncpg

from dispatcher.adapters.postgres.registered import Registered
from dispatcher.adapters.postgres.remembered import Remembered
from dispatcher.adapters.postgres.statements import statement
from dispatcher.adapters.postgres.turns import Turns
from dispatcher.core.model import Instant
from dispatcher.ports.system import Ids

if TYPE_CHECKING:
    from dispatcher.adapters.postgres.destinations import Destination, Where

InjectedNow: TypeAlias = Callable[[], Instant] | None
"""None: PostgreSQL's own clock decides. Tests tell the time."""

_BEGAN = statement("began")
_NOW = statement("now")


class Kind(Enum):
    """What a transaction has written that can be looked for later: see `outcome`."""

    JOB = "job"
    EVENT = "event"
    ATTEMPT = "attempt"
    JOB_LEASE = "job lease"
    DELIVERY_LEASE = "delivery lease"
    BULK = "bulk"
    ERASED = "erased"
    ENDPOINT = "endpoint"


class Witness(NamedTuple):
    """Something that is there if, and only if, the transaction was committed."""

    kind: Kind
    id: str
    token: str = ""


class Session:
    """What an operation needs. `now` is read once, after the locks, so that a batch sees one.

    `asked` counts the statements of the transaction. `stands` are its locked destinations as they
    stood when it had asked `stands_since`: see `destinations.stand`.
    """

    __slots__ = (
        "_injected",
        "asked",
        "connection",
        "ids",
        "links_base",
        "now",
        "registered",
        "remembered",
        "stands",
        "stands_since",
        "turns",
        "witnesses",
        "xid",
    )

    def __init__(
        self,
        connection: asyncpg.Connection,
        *,
        injected: InjectedNow,
        ids: Ids,
        turns: Turns,
        remembered: Remembered,
        links_base: str = "",
    ) -> None:
        self.connection = connection
        self.asked = 0
        self.ids = ids
        self.links_base = links_base
        self.turns = turns
        self.remembered = remembered
        # The endpoints that events may be owed to, as far as they are locked.
        self.registered = Registered()
        self.stands: dict[Where, Destination] = {}
        self.stands_since = 0
        self.now: Instant = 0
        self.xid: int | None = None
        self.witnesses: list[Witness] = []
        self._injected = injected

    async def execute(self, sql: str, *args: Any) -> str:
        """Run a statement for what it does."""
        self.asked += 1
        done: str = await self.connection.execute(sql, *args)
        return done

    async def fetch(self, sql: str, *args: Any) -> list[Any]:
        """Run a statement for all its rows."""
        self.asked += 1
        rows: list[Any] = await self.connection.fetch(sql, *args)
        return rows

    async def one(self, sql: str, *args: Any) -> Any:
        """Run a statement for its first row."""
        self.asked += 1
        return await self.connection.fetchrow(sql, *args)

    async def began(self) -> None:
        """Read the clock, and the number by which this transaction is known to the server."""
        row: Any = await self.one(_BEGAN, self.told)
        self.now, self.xid = row

    async def look_at_clock(self) -> Instant:
        """Read the clock alone: what only reads has no number."""
        row: Any = await self.one(_NOW, self.told)
        (self.now,) = row
        return self.now

    @property
    def told(self) -> Instant | None:
        """The time, if tests tell it; None: a statement reads PostgreSQL's own clock."""
        return None if self._injected is None else self._injected()
