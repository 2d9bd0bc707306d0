"""One transaction for a batch: run together, apart if an item is at fault, again if it may be.

A transaction that was not committed leaves nothing behind, so it may be run again: when it crossed
another (deadlock, serialization, a row that may not be waited for), and once when the connection
was lost. An item that the database refuses is found by halving the batch, each half under a
savepoint, so that it fails alone. One that wants what somebody holds for long, or crosses others
again and again, is found in the same way, but in transactions: what went well is let go at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import asyncpg

from dispatcher.adapters.postgres.connection import Connector, let_go
from dispatcher.adapters.postgres.errors import (
    NO_CONNECTION,
    TROUBLE,
    Meaning,
    ends_connection,
    meaning,
    sqlstate,
)
from dispatcher.adapters.postgres.outcome import was_committed
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.errors import StoreError, StoreUnavailable

_BEGIN = statement("begin")
_COMMIT = statement("commit")
_COMMIT_AND_BEGIN = statement("commit_and_begin")
_LOCK_BRIEFLY = statement("lock_briefly")
_ROLLBACK = statement("rollback")
_SAVEPOINT = statement("savepoint")
_KEEP = statement("savepoint_keep")
_UNDO = statement("savepoint_undo")

CROSSED_TRIES: Final = 8
LOST_TRIES: Final = 2
_PAUSE_SECONDS: Final = 0.005

APART_SECONDS: Final = 4.0
"""For so long a batch that met a held lock is halved; what was not tried by then fails.

Each try that meets it again waits for 0.2 s (`lock_briefly`). To find one item of 500 takes nine.
"""

RunAny: TypeAlias = Callable[[Session, Sequence[Any]], Awaitable[list[Any]]]


class _Apart(NamedTuple):
    """A batch is taken apart: until when by the event loop's clock, and why."""

    until: float
    why: StoreError

    @classmethod
    def begin(cls, why: StoreError) -> _Apart:
        return cls(asyncio.get_running_loop().time() + APART_SECONDS, why)


class _Unknown(Exception):
    """The COMMIT was sent, and its answer was lost."""


class Transactor:
    """Runs transactions one after another, on a connection of its own."""

    def __init__(
        self, connector: Connector, make_session: Callable[[asyncpg.Connection], Session]
    ) -> None:
        self._connector = connector
        self._begin = connector.begin(_BEGIN)
        self._begin_briefly = f"{self._begin};\n{_LOCK_BRIEFLY}"
        # Behind a pooler more has to be said of each transaction than that it begins.
        self._may_chain = not connector.address.pooled
        self._make_session = make_session
        self._connection: asyncpg.Connection | None = None

    async def transact(
        self, run: RunAny, entries: Sequence[Any], more: Callable[[], bool] = lambda: False
    ) -> list[Any]:
        """Run a batch and commit it; an entry at fault has its exception as its answer.

        `more` tells whether another batch follows soon: then the COMMIT begins its transaction.
        Entries that want what somebody holds for long have a `StoreError` each.

        Raises `StoreError` if the whole store is in trouble: then nothing was committed, or, if the
        message says so, that is not known.
        """
        return await self._settle(run, entries, more, None)

    async def _settle(
        self, run: RunAny, entries: Sequence[Any], more: Callable[[], bool], apart: _Apart | None
    ) -> list[Any]:
        """The same, for a part of a batch too: then no lock is waited for for long."""
        begin = self._begin if apart is None else self._begin_briefly
        crossed = lost = 0
        while True:
            try:
                answers = await self._once(begin, run, entries, more)
            except StoreError:
                raise
            except Exception as error:  # told apart below
                match meaning(error):
                    case Meaning.CROSSED if crossed < CROSSED_TRIES:
                        crossed += 1
                        await asyncio.sleep(_PAUSE_SECONDS * crossed)
                    case Meaning.LOST if lost + 1 < LOST_TRIES:
                        lost += 1
                    case Meaning.HELD | Meaning.CROSSED if len(entries) > 1:
                        why = self._connector.failure(error)
                        return await self._halves(run, entries, apart or _Apart.begin(why))
                    case _:
                        raise self._connector.failure(error) from error
            else:
                if answers is not None:
                    return answers
                lost += 1
                if lost >= LOST_TRIES:
                    raise StoreUnavailable(
                        f"The connection to {self._connector.address.shown} was lost again and "
                        "again during a commit; nothing was changed."
                    )

    async def _halves(self, run: RunAny, entries: Sequence[Any], apart: _Apart) -> list[Any]:
        """Each half in a transaction of its own; what could not be done has its `StoreError`."""
        middle = len(entries) // 2
        answers: list[Any] = []
        failure = apart.why
        for half in (entries[:middle], entries[middle:]):
            if asyncio.get_running_loop().time() < apart.until:
                try:
                    answers += await self._settle(run, half, lambda: False, apart)
                    continue
                except StoreError as error:
                    failure = error
            answers += [type(failure)(*failure.args) for _ in half]
        return answers

    async def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            await let_go(self._connection)
            self._connection = None

    async def _once(
        self, begin: str, run: RunAny, entries: Sequence[Any], more: Callable[[], bool]
    ) -> list[Any] | None:
        """One try; None if the connection was lost during COMMIT and nothing was committed."""
        connection = self._connection
        if connection is None or connection.is_closed():
            connection = self._connection = await self._connector.connect_to_serve()
        session = self._make_session(connection)
        try:
            if not connection.is_in_transaction():
                await connection.execute(begin)
            answers = await self._run(begin, session, run, entries)
            chained = self._may_chain and more()
            await self._commit(connection, _COMMIT_AND_BEGIN if chained else _COMMIT)
        except _Unknown:
            self._connection = None
            connection.terminate()
            if session.xid is None:
                return None
            stands = await was_committed(self._connector, session.xid, session.witnesses)
            return answers if stands else None
        except BaseException as error:
            await self._recover(connection, error)
            raise
        return answers

    async def _run(
        self, begin: str, session: Session, run: RunAny, entries: Sequence[Any]
    ) -> list[Any]:
        try:
            return await run(session, entries)
        except Exception as error:
            if meaning(error) is not Meaning.ITEM:
                raise
            await session.execute(_ROLLBACK)
            session.witnesses.clear()
            await session.execute(begin)
            if len(entries) == 1:
                return [error]
        middle = len(entries) // 2
        left = await self._part(session, run, entries[:middle])
        return left + await self._part(session, run, entries[middle:])

    async def _part(self, session: Session, run: RunAny, entries: Sequence[Any]) -> list[Any]:
        """Run a part of a batch under a savepoint; halved if one of it is at fault."""
        await session.execute(_SAVEPOINT)
        known = len(session.witnesses)
        try:
            answers = await run(session, entries)
        except Exception as error:
            if meaning(error) is not Meaning.ITEM:
                raise
            await session.execute(_UNDO)
            del session.witnesses[known:]
            if len(entries) == 1:
                return [error]
        else:
            await session.execute(_KEEP)
            return answers
        middle = len(entries) // 2
        left = await self._part(session, run, entries[:middle])
        return left + await self._part(session, run, entries[middle:])

    async def _commit(self, connection: asyncpg.Connection, sql: str) -> None:
        """Commit.

        It is never asked to be canceled: the server would give up the wait for a standby, and
        answer that all is well.
        """
        patient = self._connector.patience.commit_seconds
        # The driver's own timeout would ask the server to cancel: it is set where it never strikes.
        commit = asyncio.ensure_future(connection.execute(sql, timeout=patient * 10))
        await asyncio.wait({commit}, timeout=patient)
        if not commit.done():
            connection.terminate()
            await asyncio.wait({commit})
        try:
            done = commit.result()
        except NO_CONNECTION as error:
            raise _Unknown from error
        except asyncpg.PostgresError as error:
            if sqlstate(error) is None or ends_connection(error):
                raise _Unknown from error
            raise
        if done != "COMMIT":
            raise StoreUnavailable(f"The database answered {done} to a COMMIT.")

    async def _recover(self, connection: asyncpg.Connection, error: BaseException) -> None:
        """Make the connection usable again, or do without it."""
        if not connection.is_closed() and isinstance(error, Exception):
            try:
                if not ends_connection(error) or meaning(error) is Meaning.ITEM:
                    await connection.execute(_ROLLBACK)
                    return
            except TROUBLE:
                pass
        connection.terminate()
        self._connection = None
