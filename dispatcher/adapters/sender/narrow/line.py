"""A connection to a receiver: one request at a time, heard out only so far."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

from dispatcher.adapters.sender import words
from dispatcher.adapters.sender.narrow.answer import Answer, BadAnswer
from dispatcher.adapters.sender.terms import SenderTerms

# So much of a request is given to the transport at once, and the rest as the receiver takes it.
_PIECE_BYTES: Final = 65_536


class Broken(Exception):
    """No answer came; `why` has the code of `NotSent` and its detail."""

    def __init__(self, why: words.Why) -> None:
        super().__init__(*why)
        self.why = why


class Line(asyncio.Protocol):
    """A connection, of which the pool is told when it is lost.

    `origin` is what it was dialled for; it never serves another. `keeps` says whether what comes
    may be shown. Whatever comes unasked ends it: the next request would take it for its answer.
    """

    __slots__ = (
        "_answer",
        "_forget",
        "_loop",
        "_paused",
        "_terms",
        "_transport",
        "_unasked",
        "_unsent",
        "_waiter",
        "keeps",
        "origin",
        "seasoned",
        "status",
    )

    def __init__(
        self,
        origin: str,
        terms: SenderTerms,
        loop: asyncio.AbstractEventLoop,
        forget: Callable[[Line], None],
    ) -> None:
        self.origin = origin
        self.keeps = False
        self.seasoned = False  # whether it has served before
        self.status: int | None = None  # of the answer that is being read, once its head is there
        self._terms = terms
        self._loop = loop
        self._forget = forget
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._unsent: memoryview | None = None
        self._paused = False
        self._unasked = False

    @property
    def usable(self) -> bool:
        """Whether a request can be sent on it, as far as this end knows."""
        return self._transport is not None and not self._transport.is_closing()

    def info(self, name: str) -> Any:
        """What the transport knows of the connection, as `BaseTransport.get_extra_info`."""
        return None if self._transport is None else self._transport.get_extra_info(name)

    def ask(self, head: bytes, body: bytes) -> asyncio.Future[Answer]:
        """Send a request; the future has the whole answer, or raises `Broken`."""
        self.status = None
        waiter = self._waiter = self._loop.create_future()
        transport = self._transport
        if transport is None or transport.is_closing():
            unasked = ("bad-answer", words.UNASKED)
            waiter.set_exception(Broken(unasked if self._unasked else words.NO_ANSWER))
            return waiter
        self._answer = Answer(self._terms, keeps=self.keeps)
        if len(body) <= _PIECE_BYTES:
            transport.write(head + body)
        else:
            transport.write(head)
            self._unsent = memoryview(body)
            self._send_on()
        return waiter

    def abort(self) -> None:
        """Close at once: a receiver that reads nothing, or says no goodbye, holds no socket."""
        self._answer = None
        self._unsent = None
        if self._transport is not None:
            self._transport.abort()

    def hang_up(self, why: words.Why) -> None:
        """Tell who waits for an answer that none will come, and close at once."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(Broken(why))
        self.abort()

    # --- What the event loop calls -------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            self._unasked = True
            self.abort()
            return
        try:
            answer.feed(data)
        except BadAnswer as fault:
            self.status = answer.status
            self.hang_up(("bad-answer", str(fault)))
            return
        self.status = answer.status
        if answer.done:
            self._finish(answer)

    def eof_received(self) -> None:
        """Whoever stops sending has closed: the transport closes at its side too."""

    def connection_lost(self, exc: Exception | None) -> None:
        answer = self._answer
        if answer is not None:
            if exc is None and answer.end():
                self._finish(answer)
            elif isinstance(exc, OSError):
                self.hang_up(words.broken_off(exc))
            else:
                self.hang_up(words.NO_ANSWER if self.status is None else words.HALF_A_BODY)
        self.abort()
        self._forget(self)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send_on()

    # -------------------------------------------------------------------------------------------

    def _send_on(self) -> None:
        while self._unsent is not None and not self._paused and self._transport is not None:
            piece, rest = self._unsent[:_PIECE_BYTES], self._unsent[_PIECE_BYTES:]
            self._unsent = rest if len(rest) else None
            self._transport.write(piece)

    def _finish(self, answer: Answer) -> None:
        self._answer = None
        if self._unsent is not None or (
            self._transport is not None and self._transport.get_write_buffer_size()
        ):
            answer.sound = False  # it was answered before all of it was sent
            self._unsent = None
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(answer)
