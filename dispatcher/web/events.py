"""Events as lists, as streams, and as the feed of a caller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from aiohttp import web

from dispatcher.core.errors import NotFound, StoreUnavailable
from dispatcher.core.lifecycle import wants
from dispatcher.core.model import Event, EventType, Instant, Job
from dispatcher.core.payload import encode, event_json, is_terminal, job_at_event, job_json, rfc3339
from dispatcher.engine.waiters import Waiting
from dispatcher.ports.views import FeedItem, FeedPage, JobRecord
from dispatcher.web import sse
from dispatcher.web.auth import Identity
from dispatcher.web.cursors import FeedCursors
from dispatcher.web.headers import Form, choose_form
from dispatcher.web.holding import Holding, Look
from dispatcher.web.queries import (
    PAGE,
    number_cursor,
    page,
    read_caller_id,
    read_cursor,
    read_job_path,
    read_limit,
    read_query,
    read_words,
)
from dispatcher.web.refusals import BadQuery, NotAcceptable
from dispatcher.web.services import Services
from dispatcher.web.shown import job_shown
from dispatcher.web.stream import Identify, Stream, Streams

_OF_JOB: Final = "events"
_LAST_EVENT_ID: Final = "Last-Event-ID"
_IN_STREAM: Final = frozenset({"cursor"})
_FEED_STREAM: Final = frozenset({"cursor", "types", "callerId"})
_FEED: Final = _FEED_STREAM | {"limit"}
_PART: Final = 16
"""So many events a stream reads at a time: what it holds in memory meanwhile."""

_TROUBLE_SECONDS: Final = 2.0
"""After so long a stream tries a store again that could not be used."""

T = TypeVar("T")

_GAP: Final = "Events after this cursor are not kept any more. What follows is what is kept."


class Events:
    """The handlers of `/v1/events` and `/v1/jobs/{id}/events`."""

    def __init__(self, services: Services, identify: Identify) -> None:
        self._store = services.store
        self._clock = services.clock
        self._limits = services.limits
        self._public_url = services.public_url
        self._waiters = services.waiters
        self._cursors = FeedCursors(services.vault)
        self._holding = Holding(services.waiters, services.clock)
        self._streams = Streams(services, identify)

    # --- of a job ------------------------------------------------------------------------------

    async def of_job(self, request: web.Request, who: Identity) -> web.StreamResponse:
        """`GET /v1/jobs/{id}/events`: the stored events, oldest first; a list or a stream."""
        if _form(request) is Form.STREAM:
            return await self._stream_of_job(request, who)
        query = read_query(request, PAGE)
        limit = read_limit(query, self._limits)
        after = read_cursor(query, _OF_JOB) or 0
        job_id = read_job_path(request)
        # One more than asked for tells whether the list goes on.
        found = await self._store.list_events(job_id, who.scope, limit=limit + 1, after=after)
        if found is None:
            raise NotFound("job", job_id)
        job, events = found
        items: list[dict[str, Any]] = [
            event_json(event, job, None, result=result) for event, result in events[:limit]
        ]
        last = events[limit - 1][0].sequence if len(events) > limit else None
        answer = page(request, self._public_url, query, items, number_cursor(_OF_JOB, last))
        answer.headers["Vary"] = "Accept"
        return answer

    async def _stream_of_job(self, request: web.Request, who: Identity) -> web.StreamResponse:
        query = read_query(request, _IN_STREAM)
        job_id = read_job_path(request)
        after = _sequence_after(request, query)
        with self._streams.place(who), self._waiters.job(job_id) as waiting:
            found = await self._store.list_events(job_id, who.scope, limit=1, after=after or 0)
            if found is None:
                raise NotFound("job", job_id)
            job = found[0]
            if after is not None and job.done and after == job.event_count:
                return web.Response(status=204)  # its last event was read: no need to come again
            unknown = after is None or after > job.event_count

            async def write(stream: Stream) -> None:
                if unknown:
                    await stream.send(sse.event("gap", self._gap_of(job)))
                await self._write_job(stream, who, job, waiting, 0 if unknown else after or 0)

            return await self._streams.run(request, who, waiting, write)

    async def _write_job(
        self, stream: Stream, who: Identity, job: Job, waiting: Waiting, after: int
    ) -> None:
        """Write the events of a job after a sequence, as they come, to the last."""
        shown = None
        while True:
            found = await self._read(
                waiting,
                partial(self._store.list_events, job.id, who.scope, limit=_PART, after=after),
            )
            if found is None:  # it was erased, or the service shuts down
                return
            job, events = found
            for event, result in events:
                after = event.sequence or after
                data = encode(event_json(event, job, None, result=result))
                await stream.send(sse.event(event.type, data, number_cursor(_OF_JOB, after)))
                shown = _progress_of(event, job) or shown
                if is_terminal(event):
                    return
            if len(events) == _PART:
                continue
            if job.progress is not None and job.progress != shown and not job.done:
                shown = job.progress
                await stream.send(self._live(job))
            waiting.seen = job.version
            if not await stream.rest(self._streams.closed):
                return

    async def _read(self, waiting: Waiting, question: Callable[[], Awaitable[T]]) -> T | None:
        """Ask the store, for as long as it takes: a reader turned away would not come again.

        None: the service shuts down.
        """
        while not self._streams.closed():
            try:
                return await question()
            except StoreUnavailable:
                await waiting.wait(_TROUBLE_SECONDS)
        return None

    def _gap_of(self, job: Job) -> bytes:
        now = self._clock.now()
        shown = job_shown(JobRecord(job), self._public_url, now)
        return encode({"detail": _GAP, "job": shown})

    def _live(self, job: Job) -> bytes:
        """Progress that is stored as no event: without an id, since nobody can come back to it."""
        now = self._clock.now()
        return sse.event(EventType.JOB_PROGRESS, encode(live_json(job, self._public_url, now)))

    # --- of a caller ---------------------------------------------------------------------------

    async def feed(self, request: web.Request, who: Identity) -> web.StreamResponse:
        """`GET /v1/events`: a caller's events, oldest first; a list that can wait, or a stream."""
        form = _form(request)
        query = read_query(request, _FEED_STREAM if form is Form.STREAM else _FEED)
        types = read_words(query, "types", EventType)
        scope = await self._scope(who, read_caller_id(query))
        if form is Form.STREAM:
            return await self._stream_of_feed(request, who, query, types, scope)
        limit = read_limit(query, self._limits)
        after = self._after(query, scope)

        async def look(waiting: Waiting) -> Look[FeedPage]:
            nonlocal after
            found = await self._store.list_feed(scope, after=after, types=types, limit=limit)
            after = found.next
            waiting.read(found)
            enough = bool(found.items) or found.gap
            return Look(found, enough, 0.0 if found.more else float("inf"))

        with self._holding.wishes(request, who.caller.id) as wishes:
            waiting = self._waiters.caller(scope)
            found = await self._holding.hold(request, waiting, wishes, look)
        items = [_item_json(item) for item in found.items]
        next_cursor = self._cursors.pack(found.next, scope)
        more = {"gap": found.gap}
        answer = page(request, self._public_url, query, items, next_cursor, more)
        answer.headers["Vary"] = "Accept"
        if applied := wishes.applied():
            answer.headers["Preference-Applied"] = applied
        return answer

    async def _scope(self, who: Identity, caller_id: str | None) -> str | None:
        """Whose events; None: everyone's. A caller has its own alone."""
        if caller_id is None or caller_id == who.caller.id:
            return who.scope if caller_id is None else caller_id
        if not who.sees_all or await self._store.find_caller(caller_id) is None:
            raise NotFound("caller", caller_id)
        return caller_id

    def _after(self, query: Mapping[str, str], scope: str | None) -> str | None:
        text = query.get("cursor")
        if text is None:
            return None
        if (after := self._cursors.unpack(text, scope)) is None:
            raise BadQuery("cursor", "This is no cursor of this feed: take nextCursor as it was.")
        return after

    async def _stream_of_feed(
        self,
        request: web.Request,
        who: Identity,
        query: Mapping[str, str],
        types: frozenset[EventType] | None,
        scope: str | None,
    ) -> web.StreamResponse:
        text = _last_event_id(request) or query.get("cursor") or None
        # One that can't be read was never ours, or its key is another now: the store says `gap`.
        after = None if text is None else (self._cursors.unpack(text, scope) or "")

        async def write(stream: Stream) -> None:
            await self._write_feed(stream, waiting, scope, after, types)

        with self._streams.place(who), self._waiters.caller(scope, live=True) as waiting:
            return await self._streams.run(request, who, waiting, write)

    async def _write_feed(
        self,
        stream: Stream,
        waiting: Waiting,
        scope: str | None,
        after: str | None,
        types: frozenset[EventType] | None,
    ) -> None:
        """Write a feed's events after a cursor, as they come, without end."""
        told = after
        while True:
            question = partial(self._store.list_feed, scope, after=after, types=types, limit=_PART)
            found = await self._read(waiting, question)
            if found is None:
                return
            if found.gap:
                await stream.send(sse.event("gap", encode({"detail": _GAP})))
            for item in found.items:
                cursor = self._cursors.pack(item.cursor, scope)
                await stream.send(sse.event(item.event.type, encode(_item_json(item)), cursor))
                told = item.cursor
            after = found.next
            waiting.read(found)
            if found.more:
                continue
            for job in waiting.take_live():
                if types is None or EventType.JOB_PROGRESS in types:
                    await stream.send(self._live(job))
            if told != after and (found.gap or types is not None):
                told = after
                await stream.send(sse.moved(self._cursors.pack(after, scope)))
            if not await stream.rest(self._streams.closed):
                return


def _form(request: web.Request) -> Form:
    form = choose_form(request.headers.getall("Accept", ()))
    if form is None:
        raise NotAcceptable("Events come as application/json or text/event-stream: accept one.")
    return form


def _last_event_id(request: web.Request) -> str:
    """The header; empty is the same as none (WHATWG HTML, 9.2.3)."""
    return request.headers.get(_LAST_EVENT_ID, "")


def _sequence_after(request: web.Request, query: Mapping[str, str]) -> int | None:
    """Behind which event of a job to begin, 0: with the oldest; None: nobody knows such a cursor.

    Who comes again with what is not known (any more) is never turned away: it would not come back.
    """
    text = _last_event_id(request) or query.get("cursor")
    if not text:
        return 0
    try:
        return read_cursor({"cursor": text}, _OF_JOB)
    except BadQuery:
        return None


def _item_json(item: FeedItem) -> dict[str, Any]:
    return event_json(item.event, item.job, None, result=item.result)


def _progress_of(event: Event, job: Job) -> Any:
    """The progress that an event has shown already."""
    if event.type is not EventType.JOB_PROGRESS and not wants(job, EventType.JOB_PROGRESS):
        return None
    return job_at_event(event, job)[0].progress


def live_json(job: Job, links_base: str, now: Instant) -> dict[str, Any]:
    """Progress in the form of an event, without an id and a sequence, since it is not stored."""
    return {
        "id": None,
        "type": EventType.JOB_PROGRESS,
        "timestamp": rfc3339(now),
        "apiVersion": job.api_version,
        "sequence": None,
        "callerId": job.caller_id,
        "callbackUrl": None,
        "data": job_json(job, links_base, now, None),
    }
