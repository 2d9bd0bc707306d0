"""Doing many things of which the database may refuse some: the others are done all the same."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dispatcher.adapters.sqlite.errors import whole_store
from dispatcher.adapters.sqlite.session import Session

_log: Final = logging.getLogger("dispatcher.store")
_ANY: Final = Path("dispatcher.db")


class Work(NamedTuple):
    """Something to do, which gives a number; `what` names it for people."""

    what: str
    do: Callable[[], int]


class Passing:
    """Passes over what the database refuses, and tells of the first of it once a run."""

    def __init__(self) -> None:
        self._told = False

    def each(self, session: Session, works: Sequence[Work]) -> int:
        """Do each; gives the sum of what they gave.

        All go under one savepoint. Only if one is refused they are halved, and each half tried by
        itself, down to that one. Raises what concerns the whole store, and defects of ours.
        """
        if not works:
            return 0
        session.execute("SAVEPOINT passing")
        try:
            done = sum(work.do() for work in works)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.ProgrammingError) or whole_store(error, _ANY) is not None:
                raise
            session.execute("ROLLBACK TO passing")
            session.execute("RELEASE passing")
            if len(works) == 1:
                self._tell(works[0].what, error)
                return 0
        else:
            session.execute("RELEASE passing")
            return done
        middle = len(works) // 2
        return self.each(session, works[:middle]) + self.each(session, works[middle:])

    def ended(self) -> None:
        """A run has ended: the next one tells anew."""
        self._told = False

    def _tell(self, what: str, error: Exception) -> None:
        if not self._told:
            self._told = True
            _log.error(
                "%s can't be erased (%r): pruning goes on without it and tries again the next "
                "time. `dispatcher check` looks for damage; if there is none, please report this. "
                "If there is more of the kind, this run does not tell of it.",
                what,
                error,
            )
