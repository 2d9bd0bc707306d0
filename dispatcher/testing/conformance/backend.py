"""What the suite needs of a technology under test."""

from __future__ import annotations

import hashlib
import itertools
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from dispatcher.core.model import Instant
from dispatcher.ports.store import Store


class Backend(Protocol):
    """One database, and the clock that its stores go by."""

    async def create(self) -> None:
        """Make an empty database; one made before is dropped, its stores closed."""
        ...

    async def open(self) -> Store:
        """Open one more store on the database, as another process would."""
        ...

    async def crash(self, store: Store) -> None:
        """Let go of a store as if its process had died: nothing is released or handed back."""
        ...

    async def drop(self) -> None:
        """Close every store that is open and remove the database."""
        ...

    async def count_rows(self) -> int:
        """The rows of all tables together, however they are laid out."""
        ...

    def under_way(self, caller_id: str) -> AbstractAsyncContextManager[str]:
        """An event of a caller (`ping`, of no job) that is written in the block, and gives its id.

        Its place in the order is taken at the beginning, and it is committed at the end, as by
        another process that is slow. Where there is one writer at a time nothing can be committed
        meanwhile: there it is committed at the beginning.
        """
        ...

    def now(self) -> Instant:
        """What the stores take for now."""
        ...

    async def advance(self, seconds: float) -> None:
        """Move the stores' clock forward, by whole milliseconds."""
        ...


class ShuffledIds:
    """Ids in the form of real ones, the same in each run, whose order says nothing.

    Real ids are ordered by time, so that a store which orders by id would not be found out. Two
    sources that make ids for one database need different seeds.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._numbers = itertools.count(1)

    def new(self, prefix: str) -> str:
        """`prefix`, an underscore and 32 hex digits in the form of a UUIDv7 (RFC 9562, 5.7)."""
        digits = hashlib.sha256(f"{self._seed} {prefix} {next(self._numbers)}".encode()).hexdigest()
        return f"{prefix}_{digits[:12]}7{digits[13:16]}8{digits[17:32]}"
