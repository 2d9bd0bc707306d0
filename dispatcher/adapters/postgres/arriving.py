"""What moves in: rows of another store, batch by batch, and the mark of a move under way.

The mark says how far the move has come. It is changed in the transaction that brings the rows, and
only from what this process knows it to be: of two that move at once one is told to stop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import asyncpg
import msgspec

from dispatcher.adapters.postgres.connection import Address, Connector, Patience, let_go
from dispatcher.adapters.postgres.errors import whole_store
from dispatcher.adapters.postgres.schema import prepare
from dispatcher.adapters.postgres.session import InjectedNow
from dispatcher.adapters.postgres.statements import statement
from dispatcher.adapters.stored import ENCRYPTION_KEY
from dispatcher.core.errors import StoreError, StoreMoved
from dispatcher.ports.moving import Arrived, Batch, Progress

_BEGIN: Final = statement("begin_migration")
_COMMIT: Final = statement("commit")
_ROLLBACK: Final = statement("rollback")
_LOCK: Final = statement("schema_lock")
_THERE: Final = statement("schema_there")
_FIND: Final = statement("meta_find")
_KEEP: Final = statement("meta_keep")
_NOW: Final = statement("now")
_FILLED: Final = statement("move_filled")
_COLUMNS: Final = statement("move_columns")
_NOTE: Final = statement("move_note")
_KEYS: Final = statement("move_keys")
_NUMBERS: Final = statement("move_numbers")
_COUNTS: Final = statement("move_counts")
_ANALYZE: Final = statement("move_analyze")
_END: Final = statement("move_end")
_END_HOLDERS: Final = statement("holders_end_others")
_END_DELIVERIES: Final = statement("deliveries_end_leases")
_WAKE: Final = statement("destinations_wake")
_WAKE_LINES: Final = statement("targets_wake")

_UNDER_WAY: Final = "moving"
_WHOLE: Final = "moved here"
_ANSWER_SECONDS: Final = 3600.0
"""For one statement: counting and analyzing read whole tables."""


async def refuse_half_moved(connection: asyncpg.Connection, address: Address) -> None:
    """Raise `StoreMoved` if a move into this database has not ended."""
    value = await connection.fetchval(_FIND, _UNDER_WAY)
    if value is not None:
        source = msgspec.json.decode(value, type=Progress).source
        raise StoreMoved(
            f"{address.shown} does not hold all of {source} yet: run `dispatcher migrate --from … "
            "--to …` again, which goes on where it stopped. To give the move up: "
            f"{_empty(address)}, and `dispatcher migrate --from … --undo`."
        )


def _empty(address: Address) -> str:
    name = address.shown.rpartition("/")[2]
    return f"`psql -d {name} -c 'DROP SCHEMA dispatcher CASCADE'` empties the database"


class ArrivingDatabase:
    """Implements `dispatcher.ports.moving.MoveTarget` on PostgreSQL, in an `async with` block."""

    def __init__(self, url: str, *, injected_now: InjectedNow = None) -> None:
        self._address = Address.parse(url)
        self.shown = self._address.shown
        self._connector = Connector(self._address, Patience(answer_seconds=_ANSWER_SECONDS))
        self._injected = injected_now
        self._connection: asyncpg.Connection | None = None
        self._booleans: frozenset[tuple[str, str]] = frozenset()
        self._noted = b""

    async def __aenter__(self) -> Self:
        self._connection = await self._connector.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connection is not None:
            await let_go(self._connection)

    @property
    def _open(self) -> asyncpg.Connection:
        if self._connection is None:
            raise RuntimeError("enter it first")
        return self._connection

    async def look(self) -> Arrived:
        """See `MoveTarget.look`."""
        async with self._failing():
            if not await self._open.fetchval(_THERE):
                return Arrived()
            return await self._look()

    async def _look(self) -> Arrived:
        proof = await self._open.fetchval(_FIND, ENCRYPTION_KEY)
        value = await self._open.fetchval(_FIND, _UNDER_WAY)
        if value is not None:
            progress = msgspec.json.decode(value, type=Progress)
            return Arrived(under_way=progress, key_proof=proof)
        value = await self._open.fetchval(_FIND, _WHOLE)
        whole = None if value is None else msgspec.json.decode(value, type=Progress).id
        filled = tuple(row[0] for row in await self._open.fetch(_FILLED))
        return Arrived(whole=whole, filled=filled, key_proof=proof)

    async def begin(self, progress: Progress, key_proof: bytes | None) -> None:
        """See `MoveTarget.begin`."""
        async with self._failing():
            await prepare(self._open, self._address, migrate=True)
            async with self._transaction():
                await self._open.execute(_LOCK)  # of two that begin at once, one finds the other
                found = await self._look()
                if found.under_way is not None or found.whole is not None or found.filled:
                    raise self.not_empty(found)
                value = msgspec.json.encode(progress)
                await self._open.execute(_KEEP, _UNDER_WAY, value)
                if key_proof is not None:
                    await self._open.execute(_KEEP, ENCRYPTION_KEY, key_proof)
            await self._know(value)

    async def resume(self, progress: Progress) -> None:
        """See `MoveTarget.resume`."""
        async with self._failing():
            await prepare(self._open, self._address, migrate=True)
            await self._know(msgspec.json.encode(progress))

    async def _know(self, noted: bytes) -> None:
        self._noted = noted
        rows = await self._open.fetch(_COLUMNS)
        self._booleans = frozenset((row[0], row[1]) for row in rows)

    def not_empty(self, found: Arrived) -> StoreError:
        """The error for a database that can't be moved into."""
        if found.under_way is not None:
            what = f"holds a part of {found.under_way.source}, from a move that is not this one"
        elif found.whole is not None:
            what = "was moved into before"
        else:
            what = f"is not empty (it has rows of {', '.join(found.filled)})"
        return StoreError(
            f"{self.shown} {what}, so nothing was moved: choose another database. If nothing in it "
            f"is needed, {_empty(self._address)}."
        )

    async def take(self, batch: Batch, progress: Progress) -> None:
        """See `MoveTarget.take`."""
        async with self._failing(batch), self._transaction():
            await self._open.copy_records_to_table(
                batch.table,
                schema_name="dispatcher",
                columns=batch.columns,
                records=self._converted(batch),
            )
            await self._note(_NOTE, msgspec.json.encode(progress))

    def _converted(self, batch: Batch) -> list[Any]:
        """The rows, with booleans where the other store has 0 and 1."""
        at = [n for n, name in enumerate(batch.columns) if (batch.table, name) in self._booleans]
        if not at:
            return list(batch.rows)
        converted = []
        for row in batch.rows:
            values = list(row)
            for n in at:
                values[n] = bool(values[n])
            converted.append(values)
        return converted

    async def _note(self, sql: str, value: bytes | None = None) -> None:
        values = (self._noted,) if value is None else (self._noted, value)
        if await self._open.fetchval(sql, *values) is None:
            raise StoreMoved(f"Another process moves into {self.shown} as well: this one stops.")
        if value is not None:
            self._noted = value

    async def settle(self, numbers: Mapping[str, int]) -> None:
        """See `MoveTarget.settle`."""
        async with self._failing(), self._transaction():
            await self._open.execute(_NUMBERS, list(numbers), list(numbers.values()))
            await self._open.execute(_KEYS)
            told = None if self._injected is None else self._injected()
            now = await self._open.fetchval(_NOW, told)
            await self._open.execute(_END_HOLDERS, "", now)
            await self._open.execute(_WAKE, now)
            await self._open.execute(_WAKE_LINES, now)
            await self._open.execute(_END_DELIVERIES, now)

    async def counts(self) -> Mapping[str, int]:
        """See `MoveTarget.counts`."""
        async with self._failing(), self._transaction():
            return {row[0]: row[1] for row in await self._open.fetch(_COUNTS)}

    async def end(self) -> None:
        """See `MoveTarget.end`."""
        async with self._failing(), self._transaction():
            await self._open.execute(_ANALYZE)
            await self._note(_END)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        """What begins, and is committed at the end of the block, without a limit of time."""
        await self._open.execute(_BEGIN)
        try:
            yield
            await self._open.execute(_COMMIT)
        except BaseException:
            if not self._open.is_closed():
                await self._open.execute(_ROLLBACK)
            raise

    @asynccontextmanager
    async def _failing(self, batch: Batch | None = None) -> AsyncIterator[None]:
        try:
            yield
        except StoreError:
            raise
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            known = whole_store(error, self.shown)
            if known is None and batch is not None:
                raise StoreError(
                    f"PostgreSQL refuses a row of {batch.table}, the one with the key "
                    f"{batch.after} or one before it: {error}"
                ) from error
            raise known or self._connector.failure(error) from error
