"""The feed: events in the order of their commits, and how far it has come.

There is one writer at a time, so that the order of the numbers is the order of the commits, and no
reader can see an event before one with a lower number. A cursor is the number of an event, and what
its reader knows of events that were erased: told of a gap once, it is not told of it again.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Sequence

import msgspec

from dispatcher.adapters.sqlite.reading import inline_result
from dispatcher.adapters.sqlite.rows import EVENT_COLUMNS, Row, event_of, job_of
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.lifecycle import TERMINAL_EVENTS
from dispatcher.core.model import EventType, Job
from dispatcher.ports.portions import LOOK_ROWS
from dispatcher.ports.views import FeedItem, FeedPage, Heads

_FEED = statement("feed")
_FEED_OF_CALLER = statement("feed_of_caller")
_ERASED = statement("feed_erased")
_HEAD = statement("feed_head")
_HEADS = statement("feed_heads")
_JOB_BY_SEQ = statement("job_by_seq")
_VERSIONS = statement("job_versions")

_JOB_SEQ = EVENT_COLUMNS.index("job_seq")
_TYPE = EVENT_COLUMNS.index("type")
_CURSOR = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,18}))?", re.ASCII)


def list_feed(
    read: sqlite3.Connection,
    caller_id: str | None,
    *,
    after: str | None,
    types: Collection[EventType] | None,
    limit: int,
) -> FeedPage:
    """Events after a cursor, oldest first; see the port."""
    (newest_erased,) = read.execute(_ERASED, {"caller_id": caller_id}).fetchone()
    erased = newest_erased or 0
    seq, told = (0, erased) if after is None else _place(after)
    gap = erased > max(seq, told)
    sql = _FEED if caller_id is None else _FEED_OF_CALLER
    rows = read.execute(sql, {"caller_id": caller_id, "after": max(seq, 0), "look": LOOK_ROWS})
    wanted = None if types is None else {kind.value for kind in types}
    jobs: dict[int, Job] = {}
    items: list[FeedItem] = []
    looked = 0
    for row in rows:
        if len(items) == limit:
            return FeedPage(tuple(items), _cursor(seq, erased), more=True, gap=gap)
        seq = row[0]
        looked += 1
        if wanted is None or row[_TYPE] in wanted:
            items.append(_item(read, row, jobs, _cursor(seq, erased)))
    if looked == LOOK_ROWS:
        return FeedPage(tuple(items), _cursor(seq, erased), more=True, gap=gap)
    return FeedPage(tuple(items), _cursor(max(seq, erased), 0), more=False, gap=gap)


def _cursor(seq: int, told: int) -> str:
    """The cursor behind event `seq`, of a reader who knows that events up to `told` were erased."""
    return f"{seq}" if told <= seq else f"{seq}.{told}"


def _place(cursor: str) -> tuple[int, int]:
    """What `_cursor` was made of; one of another kind is before all that was erased."""
    match = _CURSOR.fullmatch(cursor)
    return (-1, -1) if match is None else (int(match[1]), int(match[2] or 0))


def _item(read: sqlite3.Connection, row: Row, jobs: dict[int, Job], cursor: str) -> FeedItem:
    """An event with its job, which is looked up once a page."""
    job_seq = row[_JOB_SEQ]
    job = None
    if job_seq is not None:
        job = jobs.get(job_seq)
        if job is None:
            job = jobs[job_seq] = job_of(read.execute(_JOB_BY_SEQ, (job_seq,)).fetchone())
    event = event_of(row, None if job is None else job.id)
    last = job is not None and event.type in TERMINAL_EVENTS
    result = inline_result(read, job_seq, job) if job is not None and last else None
    return FeedItem(event, job, result, cursor)


def heads(
    read: sqlite3.Connection, job_ids: Sequence[str], caller_ids: Collection[str | None]
) -> Heads:
    """How far some jobs and feeds have come."""
    versions = (
        read.execute(_VERSIONS, {"job_ids": _as_array(job_ids)}).fetchall() if job_ids else ()
    )
    feeds: dict[str | None, str] = {}
    if None in caller_ids:
        (seq,) = read.execute(_HEAD).fetchone()
        feeds[None] = _cursor(seq, 0)
    if named := [each for each in caller_ids if each is not None]:
        for caller_id, seq in read.execute(_HEADS, {"caller_ids": _as_array(named)}):
            feeds[caller_id] = _cursor(seq, 0)
    return Heads(dict(versions), feeds)


def _as_array(texts: Sequence[str]) -> str:
    return msgspec.json.encode(texts).decode()
