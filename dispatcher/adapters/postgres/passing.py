"""Doing many things of which the database may refuse some: the others are done all the same."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import asyncpg

from dispatcher.adapters.postgres.errors import Meaning, meaning
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement

_log: Final = logging.getLogger("dispatcher.store")

_SAVEPOINT: Final = statement("savepoint")
_KEEP: Final = statement("savepoint_keep")
_UNDO: Final = statement("savepoint_undo")

Item = TypeVar("Item")


class Passing:
    """Passes over what the database refuses, and tells of the first of it once a run."""

    def __init__(self) -> None:
        self._told = False

    async def each(
        self,
        session: Session,
        items: Sequence[Item],
        do: Callable[[Sequence[Item]], Awaitable[int]],
        what: Callable[[Item], str],
    ) -> int:
        """Do something with all items; gives the sum of what it gave.

        All go at once, under a savepoint. Only if that is refused they are halved, and each half
        tried by itself, down to the item at fault, which `what` names for people. Raises what
        concerns the whole transaction, and defects of ours.
        """
        if not items:
            return 0
        await session.execute(_SAVEPOINT)
        try:
            done = await do(items)
        except asyncpg.PostgresError as error:
            if meaning(error) is not Meaning.ITEM:
                raise
            await session.execute(_UNDO)
            if len(items) == 1:
                self._tell(what(items[0]), error)
                return 0
        else:
            await session.execute(_KEEP)
            return done
        middle = len(items) // 2
        left = await self.each(session, items[:middle], do, what)
        return left + await self.each(session, items[middle:], do, what)

    def ended(self) -> None:
        """A run has ended: the next one tells anew."""
        self._told = False

    def _tell(self, what: str, error: Exception) -> None:
        if not self._told:
            self._told = True
            _log.error(
                "%s can't be erased (%r): pruning goes on without it and tries again the next "
                "time. Look for what was added to the schema `dispatcher` (triggers, foreign "
                "keys); if there is nothing, please report this. If there is more of the kind, "
                "this run does not tell of it.",
                what,
                error,
            )
