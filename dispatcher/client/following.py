"""The events of one job while they happen: by Server-Sent Events, or else by its list of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

import msgspec
from msgspec import structs

from dispatcher.client.answers import Pace
from dispatcher.client.errors import BadRequest, Refused, Unreachable
from dispatcher.client.sse import Dispatched, EventStream
from dispatcher.client.transport import Transport
from dispatcher.client.values import JobEvent, job_of
from dispatcher.core.limits import ANY_PAGE_ITEMS

_TERMINAL: Final = frozenset({"job.succeeded", "job.failed", "job.canceled", "job.expired"})
_EVENT_STREAM: Final = "text/event-stream"
_NO_CONTENT: Final = 204
_NOT_ACCEPTABLE: Final = 406
_RECONNECT_SECONDS: Final = 2.0
_ENDED: Final = "the stream ended before the job did"

_event: Final = msgspec.json.Decoder(JobEvent)
_any: Final = msgspec.json.Decoder()


class Following:
    """Follows one job. `job_path` is that of the job."""

    def __init__(self, transport: Transport, job_path: str, cursor: str | None) -> None:
        self._transport = transport
        self._job_path = job_path
        self._path = f"{job_path}/events"
        self._cursor = cursor or ""
        self._reconnect_seconds = _RECONNECT_SECONDS
        self._failed = 0

    async def events(self) -> AsyncGenerator[JobEvent, None]:
        """The events, to the job's last. Raises `Refused`, `Unreachable`."""
        while True:
            try:
                async with aclosing(self._streamed()) as streamed:
                    async for event in streamed:
                        yield event
                        if event.type in _TERMINAL:
                            return
            except _Over:
                return
            except _NoStream:
                break
            except (Refused, Unreachable) as error:
                await self._rest(error)
        async with aclosing(self._listed()) as listed:
            async for event in listed:
                yield event

    async def _rest(self, error: Refused | Unreachable) -> None:
        """Wait until the stream may be opened again; raises `error` if it is not to be."""
        if isinstance(error, _NotOurs) or (isinstance(error, Refused) and not error.again):
            raise error
        around, wish = self._transport.around, None
        if isinstance(error, Refused):
            wish = error.retry_after_seconds
        elif isinstance(error, _Ended):
            wish = self._reconnect_seconds
        self._failed += 1
        pause = self._transport.patience.pause(self._failed, wish, around.unit())
        if pause is None:
            raise error
        await around.sleep(pause)

    async def _streamed(self) -> AsyncGenerator[JobEvent, None]:
        headers = {"Accept": _EVENT_STREAM, "Cache-Control": "no-store"}
        if self._cursor:
            headers["Last-Event-ID"] = self._cursor
        try:
            async with self._transport.stream(self._path, headers) as response:
                if response.status == _NO_CONTENT:
                    raise _Over
                if response.content_type != _EVENT_STREAM:
                    raise _NoStream
                self._failed = 0
                stream = EventStream(self._cursor)
                async for piece in response.content.iter_any():
                    for dispatched in stream.feed(piece):
                        if dispatched.type == "dropped":  # too slow a reader: connect again
                            raise _Ended(_ENDED)
                        yield _heard(dispatched, self._cursor)
                        self._cursor = dispatched.last_event_id
                    self._cursor = stream.last_event_id
                    if stream.retry_ms is not None:
                        self._reconnect_seconds = stream.retry_ms / 1000
            raise _Ended(_ENDED)
        except BadRequest as error:
            if error.status == _NOT_ACCEPTABLE:
                raise _NoStream from None
            raise

    async def _listed(self) -> AsyncGenerator[JobEvent, None]:
        """What is stored, looked for again and again: no live progress."""
        pace = Pace()
        seen = 0
        cursor = self._cursor
        done = False
        while True:
            fresh = 0
            items, following = await self._page(cursor)
            for item in items:
                if item.sequence is None or item.sequence > seen:
                    seen = item.sequence or seen
                    fresh += 1
                    yield structs.replace(item, cursor=cursor or None)
                    if item.type in _TERMINAL:
                        return
            if following is not None:
                cursor = following
                continue
            if done:  # it had ended before the last look, and told nothing of its end
                return
            answer = await self._transport.call("GET", self._job_path)
            done = job_of(answer).done
            if fresh:
                pace.again()
            if not done:
                await self._transport.around.sleep(pace.pause(answer.retry_after_seconds))

    async def _page(self, cursor: str) -> tuple[Sequence[JobEvent], str | None]:
        query = [("limit", str(ANY_PAGE_ITEMS))] + ([("cursor", cursor)] if cursor else [])
        answer = await self._transport.call("GET", self._path, query=query)
        try:
            page: Any = answer.json()
            return msgspec.convert(page["items"], list[JobEvent]), page.get("nextCursor")
        except (msgspec.ValidationError, KeyError, TypeError, AttributeError):
            raise Unreachable("the answer is no list of events: is that the dispatcher?") from None


class _Ended(Unreachable):
    """A stream that had opened has ended: it is opened again as soon as the service asked."""


class _NotOurs(Unreachable):
    """What came is no event: it will not be one the next time either."""


class _NoStream(Exception):
    """The service does not stream."""


class _Over(Exception):
    """Nothing more will come: the job's last event was read before."""


def _heard(dispatched: Dispatched, before: str) -> JobEvent:
    """What was dispatched. Live progress and a gap have no event id of their own."""
    own = dispatched.last_event_id if dispatched.last_event_id != before else None
    try:
        if dispatched.type == "gap":
            return JobEvent(type="gap", data=_any.decode(dispatched.data))
        return structs.replace(_event.decode(dispatched.data), cursor=own)
    except (msgspec.DecodeError, TypeError):
        raise _NotOurs("what was streamed is no event: is that the dispatcher?") from None
