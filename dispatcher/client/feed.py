"""The feed of a caller's events: for those who can't receive callbacks."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Self

import msgspec
from msgspec import Struct

from dispatcher.client.answers import HELD_SECONDS, QUICK_SECONDS, Answer, Pace
from dispatcher.client.errors import Unreachable
from dispatcher.client.transport import Transport
from dispatcher.client.verify import ReceivedEvent

PATH: Final = "/v1/events"
_log: Final = logging.getLogger("dispatcher.client")


class _Page(Struct, frozen=True, rename="camel"):
    items: list[ReceivedEvent]
    next_cursor: str
    gap: bool = False


_page: Final = msgspec.json.Decoder(_Page)


class Feed(AsyncIterator[ReceivedEvent]):
    """A caller's events, oldest first, without end (or to the present, if it does not follow).

    `cursor` is where to go on later, also in another process: keep it when what came before is
    dealt with. It moves on when the next event is asked for, a page at a time: whoever goes on from
    it misses none, and may see some of the last page again (`event.id` tells).
    """

    def __init__(
        self,
        transport: Transport,
        cursor: str | None,
        *,
        types: Sequence[str],
        caller_id: str | None,
        page_items: int,
        follow: bool,
        on_gap: Callable[[], object] | None,
    ) -> None:
        self.cursor = cursor
        self._transport = transport
        self._query = [("limit", str(page_items))]
        if types:
            self._query.append(("types", ",".join(types)))
        if caller_id is not None:
            self._query.append(("callerId", caller_id))
        self._follow = follow
        self._on_gap = on_gap
        self._next = cursor
        self._items: deque[ReceivedEvent] = deque()
        self._pace = Pace()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ReceivedEvent:
        while not self._items:
            self.cursor = self._next
            await self._read()
            if not self._items and not self._follow:
                self.cursor = self._next
                raise StopAsyncIteration
        return self._items.popleft()

    async def _read(self) -> None:
        clock = self._transport.around.monotonic
        began = clock()
        query = self._query if self.cursor is None else [*self._query, ("cursor", self.cursor)]
        held = HELD_SECONDS if self._follow else 0
        headers = {"Prefer": f"wait={held}"} if held else {}
        answer = await self._transport.call(
            "GET", PATH, query=query, headers=headers, held_seconds=held
        )
        page = _read_page(answer)
        self._next = page.next_cursor
        self._items.extend(page.items)
        if page.gap:
            self._tell_gap()
        if page.items or (answer.waited and clock() - began >= QUICK_SECONDS):
            self._pace.again()
        elif self._follow:
            await self._transport.around.sleep(self._pace.pause(answer.retry_after_seconds))

    def _tell_gap(self) -> None:
        if self._on_gap is not None:
            self._on_gap()
        else:
            _log.warning(
                "events were pruned before they were read: the feed goes on with what is kept"
            )


def _read_page(answer: Answer) -> _Page:
    try:
        return _page.decode(answer.body)
    except msgspec.DecodeError:
        raise Unreachable(
            "the answer is no feed: is that the dispatcher? Check DISPATCHER_URL"
        ) from None
