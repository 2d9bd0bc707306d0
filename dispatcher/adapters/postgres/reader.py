"""Reading, beside the writers: each question is one transaction, and sees one state."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

import asyncpg

from dispatcher.adapters.postgres.connection import Connections, Connector
from dispatcher.adapters.postgres.errors import TROUBLE, Meaning, meaning
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.errors import StoreError

Wanted = ParamSpec("Wanted")
Answer = TypeVar("Answer")

_BEGIN = statement("begin_read")
_ROLLBACK = statement("rollback")


class Readers:
    """A few connections that only read."""

    def __init__(
        self,
        connector: Connector,
        make_session: Callable[[asyncpg.Connection], Session],
        count: int,
    ) -> None:
        self._connector = connector
        self._make_session = make_session
        self._begin = connector.begin(_BEGIN)
        self._connections = Connections(connector, count)

    async def ask(
        self,
        question: Callable[Concatenate[Session, Wanted], Awaitable[Answer]],
        *args: Wanted.args,
        **kwargs: Wanted.kwargs,
    ) -> Answer:
        """Run `question` on a reader's connection; raises `StoreError`.

        If the connection turns out to be gone, it is asked once more on another; so it is after a
        migration.
        """
        try:
            return await self._answer(lambda session: question(session, *args, **kwargs))
        except TROUBLE as error:
            if meaning(error) not in {Meaning.LOST, Meaning.CROSSED}:
                raise self._known(error) from error
        try:
            return await self._answer(lambda session: question(session, *args, **kwargs))
        except TROUBLE as error:
            raise self._known(error) from error

    async def _answer(self, question: Callable[[Session], Awaitable[Answer]]) -> Answer:
        async with self._connections.one() as connection:
            await connection.execute(self._begin)
            try:
                return await question(self._make_session(connection))
            except asyncio.CancelledError:
                connection.terminate()  # a statement may be under way
                raise
            finally:
                if not connection.is_closed():
                    await connection.execute(_ROLLBACK)

    def _known(self, error: Exception) -> StoreError:
        return self._connector.failure(error)

    async def close(self) -> None:
        """Answer what was asked, then close."""
        await self._connections.close()
