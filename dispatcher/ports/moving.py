"""Moving all that a store holds into an empty one of another technology.

Both sides keep the id of the move. From its beginning the source says where it is going, so that
it is not served any more, and the target says that it is not whole yet. Rows go table by table in
the order of their keys; how far they have come is kept in the target, in the transaction that
brings them. So a move that was killed at any moment goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct

from dispatcher.core.errors import StoreError

Key: TypeAlias = tuple[int | str, ...]
"""The key of a row; `()` is before all."""


class MoveMark(Struct, frozen=True):
    """What a source says of its move: `to` as it may be shown; `ended`: all has arrived."""

    id: str
    to: str
    ended: bool = False


class Progress(Struct, frozen=True):
    """How far a move has come, as the target keeps it.

    All tables before `table` are there, and of that one `rows`, up to the key `after`.
    `source` is how the source may be shown.
    """

    id: str
    source: str
    table: str = ""
    rows: int = 0
    after: Key = ()


class Batch(Struct, frozen=True):
    """Rows of one table, in the order of their keys; `after` is the key of the last."""

    table: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[object, ...]]
    after: Key


class Arrived(Struct, frozen=True):
    """How a target stands.

    `under_way`: a move that has not ended; `whole`: the id of one that has. `filled`: the tables
    that hold something, if neither is so. `key_proof` as of `Store.key_check`.
    """

    under_way: Progress | None = None
    whole: str | None = None
    filled: tuple[str, ...] = ()
    key_proof: bytes | None = None


class MoveSource(Protocol):
    """The side that is left. It is held for itself alone; each verb raises `StoreError`."""

    shown: str

    def tables(self) -> Sequence[str]:
        """All tables, those first that others refer to."""
        ...

    def mark(self) -> MoveMark | None:
        """What it says of a move."""
        ...

    def put_mark(self, mark: MoveMark | None) -> None:
        """Say so, durably; None: that there is no move. Nothing else may be written afterwards."""
        ...

    def key_proof(self) -> bytes | None:
        """The proof of the key that seals secrets, as of `Store.key_check`."""
        ...

    def counts(self) -> Mapping[str, int]:
        """How many rows of each table there are to move."""
        ...

    def batches(self, table: str, after: Key) -> Iterator[Batch]:
        """The rows of a table behind a key, a few thousand or a few MiB at a time."""
        ...

    def numbers(self) -> Mapping[str, int]:
        """The last number that each table has given out, if any: it never comes again."""
        ...


class MoveTarget(Protocol):
    """The side that is reached. Each verb raises `StoreError`, and what it does is atomic."""

    shown: str

    async def look(self) -> Arrived:
        """How it stands; nothing is changed."""
        ...

    def not_empty(self, found: Arrived) -> StoreError:
        """The error for whoever would move into it as it stands."""
        ...

    async def begin(self, progress: Progress, key_proof: bytes | None) -> None:
        """Make the schema if need be, and begin a move; refused unless it is empty."""
        ...

    async def resume(self, progress: Progress) -> None:
        """Bring the schema up to date, and go on with a move that is under way."""
        ...

    async def take(self, batch: Batch, progress: Progress) -> None:
        """Take rows in, and note how far the move has come."""
        ...

    async def settle(self, numbers: Mapping[str, int]) -> None:
        """Make of the rows a store that can be served.

        Numbering goes on where it stopped, and leases of processes and deliveries end: none of
        those who hold them is there. It may be done again.
        """
        ...

    async def counts(self) -> Mapping[str, int]:
        """How many rows of each table there are."""
        ...

    async def end(self) -> None:
        """All has arrived: from now on it may be served."""
        ...
