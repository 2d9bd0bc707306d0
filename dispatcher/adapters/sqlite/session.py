"""One transaction: its connection, its instant, and what is known of holders within it."""

from __future__ import annotations

import sqlite3
from typing import Any

from dispatcher.adapters.sqlite.remembered import Remembered
from dispatcher.adapters.sqlite.rows import Row
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.adapters.sqlite.turns import Turns
from dispatcher.adapters.sqlite.waiting import Waiting
from dispatcher.core.endpoints import Endpoint
from dispatcher.core.model import Instant
from dispatcher.ports.system import Ids

_HOLDER_FIND = statement("holder_find")


class TakesLong(Exception):
    """What an operation has come to takes too long for the event loop: the thread is to do it."""


class Session:
    """What an operation needs. `now` is read once, so that a batch sees one instant.

    `brief`: it is on the event loop's thread, where what turns out to be long raises `TakesLong`.
    """

    __slots__ = (
        "_holders",
        "brief",
        "connection",
        "endpoints",
        "execute",
        "ids",
        "lanes",
        "links_base",
        "now",
        "remembered",
        "turns",
        "waiting",
        "write",
    )

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        now: Instant,
        ids: Ids,
        links_base: str,
        waiting: Waiting,
        turns: Turns,
        remembered: Remembered,
    ) -> None:
        self.brief = False
        self.connection = connection
        self.execute = connection.execute
        # For what gives no rows: one cursor for all of them, and quicker.
        self.write = connection.cursor().execute
        self.now = now
        self.ids = ids
        self.links_base = links_base
        self.waiting = waiting
        # By caller, as far as they were looked up; whoever changes one clears this.
        self.endpoints: dict[str, tuple[Endpoint, ...]] = {}
        # By caller and queue, as `adding` read them; whoever writes to a lane clears this.
        self.lanes: dict[tuple[str, str], list[Row]] = {}
        self.turns = turns
        self.remembered = remembered
        self._holders: dict[str, bool] = {}

    def one(self, sql: str, parameters: Any = ()) -> Any:
        """The first row, or None."""
        return self.execute(sql, parameters).fetchone()

    def holder_lives(self, holder_id: str) -> bool:
        """Whether a holder has beaten and its lease has not ended.

        Nothing is leased to one whose lease has ended: it would be taken back at once.
        """
        lives = self._holders.get(holder_id)
        if lives is None:
            row = self.one(_HOLDER_FIND, (holder_id,))
            lives = self._holders[holder_id] = row is not None and row[0] > self.now
        return lives

    def forget_holders(self) -> None:
        """What was known of holders may have changed."""
        self._holders.clear()
