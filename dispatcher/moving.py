"""Moving all that one store holds into another; stopped anywhere, it goes on where it was.

The order of the marks is what keeps anybody from serving both: the source says where it goes before
anything is written there, and the target may be served only after the source has said that it is
not to be served any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from dispatcher.core.errors import StoreError, StoreMoved
from dispatcher.ports.moving import Arrived, Batch, MoveMark, MoveSource, MoveTarget, Progress

Tell: TypeAlias = Callable[[str, int, int], None]
"""Told how a table comes on: its name, how many of its rows are there, and how many will be."""


class Moved(Struct, frozen=True):
    """What came of it: the rows of each table. `before`: it had been done by an earlier run."""

    rows: Mapping[str, int]
    before: bool = False


def undo(source: MoveSource) -> MoveMark | None:
    """Make a source one that may be served again; what it had said, None if there was nothing."""
    mark = source.mark()
    if mark is not None:
        source.put_mark(None)
    return mark


async def move(source: MoveSource, target: MoveTarget, *, move_id: str, tell: Tell) -> Moved:
    """Move all, or go on with it.

    `move_id` names the move if it is a new one. The key of the secrets is the caller's to check.

    Raises:
        StoreMoved: the source was moved elsewhere.
        StoreError: the target is not empty, one of them can't be used, or rows are missing.
    """
    mark, found = source.mark(), await target.look()
    if mark is not None and found.whole == mark.id:
        return Moved(await target.counts(), before=True)
    progress = _agreed(mark, found)
    if progress is None:
        progress = await _begin(source, target, mark, found, move_id)
    else:
        await target.resume(progress)
    counts = source.counts()
    tables = source.tables()
    begun = tables.index(progress.table) if progress.table else 0
    for table in tables[begun:]:
        progress = await _copy(source, target, _at(progress, table), tell, counts[table])
    await target.settle(source.numbers())
    arrived = await target.counts()
    _compare(counts, arrived, target)
    source.put_mark(MoveMark(progress.id, target.shown, ended=True))
    await target.end()
    return Moved(arrived)


def _agreed(mark: MoveMark | None, found: Arrived) -> Progress | None:
    """How far the move has come that both know."""
    if mark is None or found.under_way is None or found.under_way.id != mark.id:
        return None
    return found.under_way


async def _begin(
    source: MoveSource, target: MoveTarget, mark: MoveMark | None, found: Arrived, move_id: str
) -> Progress:
    if mark is not None and mark.ended:
        raise StoreMoved(
            f"{source.shown} was moved to {mark.to} already: serve that. If that database is given "
            "up for good, `dispatcher migrate --from … --undo` lets it be moved anew."
        )
    if found.under_way is not None or found.whole is not None or found.filled:
        raise target.not_empty(found)
    progress = Progress(move_id, source.shown)
    source.put_mark(MoveMark(move_id, target.shown))
    await target.begin(progress, source.key_proof())
    return progress


def _at(progress: Progress, table: str) -> Progress:
    """The same if it is at that table, else the beginning of it."""
    if progress.table == table:
        return progress
    return replace(progress, table=table, rows=0, after=())


async def _copy(
    source: MoveSource, target: MoveTarget, progress: Progress, tell: Tell, total: int
) -> Progress:
    """Copy a table from where it stands; the next batch is read while one is written."""
    batches = source.batches(progress.table, progress.after)
    batch = await asyncio.to_thread(_next, batches)
    while batch is not None:
        following = asyncio.create_task(asyncio.to_thread(_next, batches))
        progress = replace(progress, rows=progress.rows + len(batch.rows), after=batch.after)
        try:
            await target.take(batch, progress)
        finally:
            batch = await following
        tell(progress.table, progress.rows, total)
    return progress


def _next(batches: Iterator[Batch]) -> Batch | None:
    return next(batches, None)


def _compare(there: Mapping[str, int], arrived: Mapping[str, int], target: MoveTarget) -> None:
    """Refuse to end with a table that has not all its rows."""
    wrong = [
        f"{table} ({arrived.get(table, 0):,} of {count:,} rows)"
        for table, count in there.items()
        if arrived.get(table, 0) != count
    ]
    if wrong:
        raise StoreError(
            f"Not all has arrived in {target.shown}: {', '.join(wrong)}. What is in the source "
            "stands as it was, and nothing serves the database: empty it (DROP SCHEMA dispatcher "
            "CASCADE), run the command again, and please report this."
        )
