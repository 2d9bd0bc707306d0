"""The feed: events in an order in which none can appear behind a reader, and how far it has come.

An event's place is a pair: a number of transactions (see `0004_feed.sql`), and its own. A reader is
given what is below every transaction that is under way, of whatever program and database of the
server: so nothing can come before what was read. A cursor is the place of an event, and what its
reader knows of events that were erased: told of a gap once, it is not told of it again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from dispatcher.adapters.postgres.reading import LAST
from dispatcher.adapters.postgres.rows import EVENT_COLUMNS, JOB_SEQ, Row, event_of, job_of
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.lifecycle import TERMINAL_EVENTS
from dispatcher.core.model import INLINE_RESULT_BYTES, EventType, Job
from dispatcher.ports.portions import LOOK_ROWS
from dispatcher.ports.views import FeedItem, FeedPage, Heads

_FEED = statement("feed")
_FEED_OF_CALLER = statement("feed_of_caller")
_LOOK = statement("feed_look")
_LOOK_OF_CALLER = statement("feed_look_of_caller")
_STANDS = statement("feed_stands")
_STANDS_OF_CALLER = statement("feed_stands_of_caller")
_HEAD = statement("feed_head")
_HEADS = statement("feed_heads")
_JOBS = statement("jobs_by_seq")
_RESULTS = statement("results_of_jobs")
_VERSIONS = statement("job_versions")

_XID: Final = EVENT_COLUMNS.index("xid")
_JOB_SEQ: Final = EVENT_COLUMNS.index("job_seq")
_CURSOR: Final = re.compile(
    r"(?:([0-9]{1,18})-)?([0-9]{1,18})(?:\.(?:([0-9]{1,18})-)?([0-9]{1,18}))?", re.ASCII
)
"""`12-34`, `12-34.56-78`. Without transactions (`34`, `34.78`) it is one of a SQLite file that was
moved here: its events have places before any transaction's, in the same order."""


class _Place(NamedTuple):
    """A place in the feed; they compare as pairs."""

    xid: int
    seq: int


_START: Final = _Place(0, 0)
_NOWHERE: Final = _Place(-1, -1)
_END: Final = _Place(LAST, LAST)


async def list_feed(
    session: Session,
    caller_id: str | None,
    *,
    after: str | None,
    types: Collection[EventType] | None,
    limit: int,
) -> FeedPage:
    """Events after a cursor, oldest first; see the port."""
    whose = () if caller_id is None else (caller_id,)
    stands = await session.one(_STANDS_OF_CALLER if whose else _STANDS, *whose)
    *newest_erased, bound, held_back = stands or (None, None, 0, False)
    erased = _place(newest_erased)
    place, told = (_START, erased) if after is None else _read(after)
    if place.xid >= bound:  # of a server that had come further, whose last events were lost
        place, told = _NOWHERE, _NOWHERE
    gap = erased > max(place, told)
    place, until, looked_all = max(place, _START), _END, True
    if types is not None:
        sql = _LOOK_OF_CALLER if whose else _LOOK
        look = await session.one(sql, *place, LOOK_ROWS, *whose)
        until = place if look is None else _Place(look[0], look[1])
        looked_all = look is None or look[2] < LOOK_ROWS
    wanted = None if types is None else [kind.value for kind in types]
    sql = _FEED_OF_CALLER if whose else _FEED
    rows = await session.fetch(sql, *place, *until, wanted, limit + 1, *whose)
    items = await _items(session, rows[:limit], erased)
    if len(rows) > limit:
        return FeedPage(items, items[-1].cursor, more=True, gap=gap)
    if not looked_all:
        return FeedPage(items, _cursor(until, erased), more=True, gap=gap)
    if types is not None:
        place = until
    elif rows:
        place = _place_of(rows[-1])
    following = _cursor(max(place, erased), _START)
    return FeedPage(items, following, more=False, gap=gap, held_back=held_back)


def _place(row: Row | None) -> _Place:
    """A place as the database gives it, `xid, seq`; none is before all others."""
    xid, seq = (None, None) if row is None else row
    return _Place(xid or 0, seq or 0)


def _place_of(row: Row) -> _Place:
    return _Place(row[_XID], row[0])


def _cursor(place: _Place, told: _Place) -> str:
    """The cursor behind an event, of a reader who knows how far events were erased."""
    behind = f"{place.xid}-{place.seq}"
    return behind if told <= place else f"{behind}.{told.xid}-{told.seq}"


def _read(cursor: str) -> tuple[_Place, _Place]:
    """What `_cursor` was made of; one of another kind is before all that was erased."""
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        return _NOWHERE, _NOWHERE
    xid, seq, told_xid, told_seq = (int(part or 0) for part in match.groups())
    return _Place(xid, seq), _Place(told_xid, told_seq)


async def _items(session: Session, rows: Sequence[Row], erased: _Place) -> tuple[FeedItem, ...]:
    """Events with their jobs, and the last of a job with its result if it may stand inline."""
    seqs = {row[_JOB_SEQ] for row in rows} - {None}
    found = await session.fetch(_JOBS, list(seqs)) if seqs else ()
    jobs: dict[int, Job] = {row[JOB_SEQ]: job_of(row) for row in found}
    events = []
    for row in rows:
        job = jobs.get(row[_JOB_SEQ])
        events.append((row, job, event_of(row, None if job is None else job.id)))
    last = [
        row[_JOB_SEQ]
        for row, job, event in events
        if job is not None and event.type in TERMINAL_EVENTS and _is_inline(job)
    ]
    bodies = await session.fetch(_RESULTS, last) if last else ()
    results: dict[int, bytes] = {row[0]: row[1] for row in bodies}
    return tuple(
        FeedItem(
            event,
            job,
            results.get(row[_JOB_SEQ]) if event.type in TERMINAL_EVENTS else None,
            _cursor(_place_of(row), erased),
        )
        for row, job, event in events
    )


def _is_inline(job: Job) -> bool:
    return job.result_bytes is not None and job.result_bytes <= INLINE_RESULT_BYTES


async def heads(
    session: Session, job_ids: Sequence[str], caller_ids: Collection[str | None]
) -> Heads:
    """How far some jobs and feeds have come."""
    versions = await session.fetch(_VERSIONS, list(job_ids)) if job_ids else ()
    feeds: dict[str | None, str] = {}
    if None in caller_ids:
        feeds[None] = _cursor(_place(await session.one(_HEAD)), _START)
    if named := [each for each in caller_ids if each is not None]:
        for row in await session.fetch(_HEADS, named):
            feeds[row[0]] = _cursor(_place(row[1:]), _START)
    return Heads({row[0]: row[1] for row in versions}, feeds)
