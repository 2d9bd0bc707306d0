"""One answer, read from the bytes of a connection as they come; no I/O.

llhttp (by httptools, every leniency off) reads heads and chunks. It says neither how much of its
input belonged to a message, nor what it skipped; so a head is cut off here before it is parsed, a
body with a length is counted here, and what stands behind an answer is noticed whatever it is. In
whatever two readers could differ, an answer is refused, or its connection not used again.
"""

from __future__ import annotations

import re
from enum import Enum
from http import HTTPStatus
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from dispatcher.adapters.sender import words
from dispatcher.adapters.sender.terms import SenderTerms

MOST_FIELDS: Final = 128
LONGEST_LINE_BYTES: Final = 8_190

_END: Final = b"\r\n\r\n"
# llhttp takes other protocols and versions too.
_VERSIONS: Final = (b"HTTP/1.1 ", b"HTTP/1.0 ")
# RFC 9110, 5.5 and RFC 9112, 4: fields and reasons have no control characters but the tab.
_ALLOWED: Final = bytes({*range(256)} - {*range(32), 127} | {*b"\t\r\n"})
_LENGTH: Final = re.compile(rb"[0-9]{1,18}[ \t]*")

_FIRST_STATUS: Final = 100
_FIRST_FINAL_STATUS: Final = 200
_WITHOUT_BODY: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})

# Chunks end with an empty line, and the line before it is never empty.
_LAST_BYTES: Final = 5
_SLICE_BYTES: Final = 8_192


_TOO_LONG: Final = f"a line is longer than {LONGEST_LINE_BYTES} bytes"
_NO_EMPTY_LINE: Final = "its head does not end with an empty line"
_GOES_ON: Final = "the receiver sent something behind its answer"


class BadAnswer(Exception):
    """The answer is not sound, or past a cap; its message says to a person what is wrong."""


class _Phase(Enum):
    HEAD = "head"
    COUNTED = "a body with a length"
    CHUNKED = "a body in chunks"
    UNTIL_CLOSED = "a body that ends with the connection"
    SWITCHED = "another protocol"


class Answer:
    """What a receiver answers to one request.

    - `status` is there as soon as the head has come whole; interim answers (1xx) are passed over.
    - `retry_after` is the first field of that name, as it came.
    - `kept` is the start of the body, never decompressed; nothing if it is not to be shown.
    - `done`: there is no more to be read, or no more that may be.
    - `sound`: nothing odd was seen and all was read, so that the connection may serve again.
    """

    __slots__ = (
        "_begun",
        "_chunk_count",
        "_chunked",
        "_complete",
        "_fault",
        "_field_count",
        "_head",
        "_headed",
        "_keeps_open",
        "_last",
        "_length",
        "_parser",
        "_phase",
        "_read",
        "_room",
        "_terms",
        "_trailer_bytes",
        "_waits_for_chunk",
        "done",
        "kept",
        "retry_after",
        "sound",
        "status",
    )

    def __init__(self, terms: SenderTerms, *, keeps: bool) -> None:
        self.status: int | None = None
        self.retry_after: str | None = None
        self.kept: bytes | None = b"" if keeps else None
        self.done = False
        self.sound = True
        self._terms = terms
        self._phase = _Phase.HEAD
        self._head: bytearray | None = None  # of a head that comes in pieces
        self._room = terms.head_bytes
        self._read = 0  # of the body, or of chunks with their framing
        self._last = b""
        self._chunk_count = 0
        self._waits_for_chunk = False
        self._trailer_bytes = 0
        self._parser: HttpResponseParser | None = None
        self._start_head()

    def feed(self, data: bytes) -> None:
        """Read on; raises `BadAnswer`. Not to be called once it is `done`."""
        if self.status is None:
            rest = self._feed_head(data)
            if rest is None:
                return
            data = rest
        self._feed_body(data)
        if self.done or self._phase is not _Phase.CHUNKED:
            self._parser = None  # it refers to us: let go, both are freed without a search

    def _feed_body(self, data: bytes) -> None:
        match self._phase:
            case _Phase.COUNTED:
                self._feed_counted(data)
            case _Phase.CHUNKED:
                self._feed_chunks(data)
            case _Phase.UNTIL_CLOSED:
                self._take(data)
                if self._read > self._terms.read_bytes:
                    self.done = True
            case _:
                pass  # 101: what follows is another protocol

    def end(self) -> bool:
        """The connection has ended in order: whether the answer is whole by that."""
        if self._phase is _Phase.UNTIL_CLOSED:
            self.done = True
        return self.done

    # --- The head ------------------------------------------------------------------------------

    def _start_head(self) -> None:
        self._parser = HttpResponseParser(self)
        self._begun = 0
        self._headed = self._complete = self._chunked = self._keeps_open = False
        self._field_count = 0
        self._length: int | None = None
        self._fault: str | None = None
        self.retry_after = None

    def _feed_head(self, data: bytes) -> bytes | None:
        """Read heads up to that of the final answer: what stands behind it, None while it lacks."""
        while data:
            found = self._cut_head(data)
            if found is None:
                return None
            head, data = found
            self._check_head(head)
            status = self._status_code()
            if status >= _FIRST_FINAL_STATUS or status == HTTPStatus.SWITCHING_PROTOCOLS:
                self._begin(status)
                return data
            if self._length is not None or self._chunked:  # RFC 9110, 8.6 and RFC 9112, 6.1
                raise BadAnswer(words.not_http("an interim answer with a body"))
            if not self._keeps_open:
                raise BadAnswer(words.not_http("nothing can follow its interim answer"))
            self._start_head()
        return None

    def _cut_head(self, data: bytes) -> tuple[bytes | bytearray, bytes] | None:
        """A whole head, parsed, and what stands behind it; None: it has not come whole."""
        before = 0
        if self._head is None:
            found = data.find(_END)
        else:
            before = len(self._head)
            self._head += data
            found = self._head.find(_END, max(before - len(_END) + 1, 0))
        size = before + len(data) if found < 0 else found + len(_END)
        mine = data[: min(size, self._room) - before]
        self._parse(mine)  # so that what is no HTTP at all is told before it ends
        if size > self._room:
            raise BadAnswer(words.head_too_large(self._terms))
        if found < 0:
            if self._headed:
                raise BadAnswer(words.not_http(_NO_EMPTY_LINE))
            if self._head is None:
                self._head = bytearray(data)
            return None
        self._room -= size
        head = mine if self._head is None else self._head[:size]
        self._head = None
        return head, data[size - before :]

    def _check_head(self, head: bytes | bytearray) -> None:
        """What llhttp leaves open."""
        if not self._headed or self._begun != 1:
            raise BadAnswer(words.not_http(_NO_EMPTY_LINE))
        if not head.startswith(_VERSIONS) or self._status_code() < _FIRST_STATUS:
            raise BadAnswer(words.not_http("Bad status line"))
        if head.find(b"\r\n") > LONGEST_LINE_BYTES:
            raise BadAnswer(words.not_http(_TOO_LONG))
        if head.translate(None, _ALLOWED):
            raise BadAnswer(words.not_http("a control character in its head"))

    def _begin(self, status: int) -> None:
        """The head of the answer itself has come: how its body ends (RFC 9112, 6.3)."""
        self.status = status
        if status == HTTPStatus.SWITCHING_PROTOCOLS:  # nobody has asked for it
            self.sound = False
            self.done = True
            self._phase = _Phase.SWITCHED
        elif status in _WITHOUT_BODY:
            odd = self._chunked or (self._length and status == HTTPStatus.NO_CONTENT)
            self.sound = not odd and self._keeps_open
            self._length = 0
            self._phase = _Phase.COUNTED
        elif self._chunked:
            self.sound = self._keeps_open
            self._phase = _Phase.CHUNKED
        elif self._length is not None:
            self.sound = self._keeps_open
            self._phase = _Phase.COUNTED
        else:
            self.sound = False
            self._phase = _Phase.UNTIL_CLOSED

    # --- The body ------------------------------------------------------------------------------

    def _feed_counted(self, data: bytes) -> None:
        assert self._length is not None  # noqa: S101  # that is what the phase means
        left = self._length - self._read
        self._take(data if len(data) <= left else data[:left])
        if self._read == self._length:
            self.done = True
        if self._read > self._terms.read_bytes:
            self.done = True
            self.sound = False
        if len(data) > left:
            self._look_behind(data[left:])

    def _feed_chunks(self, data: bytes) -> None:
        """The chunks and their framing together are as long as a body may be."""
        start = 0
        while start < len(data):
            if self.done:
                self._look_behind(data[start:])
                return
            room = self._terms.read_bytes - self._read
            if room == 0:
                self.done = True
                self.sound = False
                return
            piece = data[start : start + min(_SLICE_BYTES, room)]
            start += len(piece)
            self._read += len(piece)
            self._feed_piece(piece)

    def _feed_piece(self, piece: bytes) -> None:
        waited_for = self._chunk_count if self._waits_for_chunk else 0
        self._parse(piece)
        self._last = (self._last + piece[-_LAST_BYTES:])[-_LAST_BYTES:]
        if self._complete:
            self.done = True
            if self._begun > 1:
                raise BadAnswer(_GOES_ON)
            if not self._last.endswith(_END) or self._last[0] in _END:
                self.sound = False  # line ends behind it, which llhttp passes over
        elif self._waits_for_chunk and self._chunk_count == waited_for:
            # A size was read, and since then nothing of its chunk: it is the last, of size zero,
            # and these are the fields behind it.
            self._trailer_bytes += len(piece)
            if self._trailer_bytes > LONGEST_LINE_BYTES:
                raise BadAnswer(words.malformed_body(_TOO_LONG))

    def _take(self, part: bytes) -> None:
        self._read += len(part)
        self._show(part)

    def _show(self, part: bytes) -> None:
        if self.kept is not None and (room := self._terms.kept_bytes - len(self.kept)) > 0:
            self.kept += part[:room]

    def _look_behind(self, behind: bytes) -> None:
        """Something stands behind the answer: its length is wrong, or there is another.

        Line ends alone are a slip of some receivers, and mean nothing but a connection to close.
        """
        self.sound = False
        if behind.strip(b"\r\n"):
            raise BadAnswer(_GOES_ON)

    # --- What llhttp tells ---------------------------------------------------------------------

    def _status_code(self) -> int:
        assert self._parser is not None  # noqa: S101  # there is one while a head is read
        return self._parser.get_status_code()

    def _parse(self, data: bytes) -> None:
        assert self._parser is not None  # noqa: S101  # and while chunks are
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            pass  # 101
        except HttpParserError as error:
            if self._headed and self._status_code() == HTTPStatus.SWITCHING_PROTOCOLS:
                return  # the same, by a receiver that says not to what
            if self._complete and self._phase is _Phase.CHUNKED:
                raise BadAnswer(_GOES_ON) from None
            fault = words.plain(str(error)) if self._fault is None else self._fault
            say = words.not_http if self._phase is _Phase.HEAD else words.malformed_body
            raise BadAnswer(say(fault)) from None

    def on_message_begin(self) -> None:
        self._begun += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head or, behind the last chunk, of the trailer."""
        self._field_count += 1
        if self._field_count > MOST_FIELDS:
            self._refuse("Too many headers received")
        if len(name) + len(value) > LONGEST_LINE_BYTES:
            self._refuse(_TOO_LONG)
        if not self._headed:
            self._note(name.lower(), value)

    def _note(self, name: bytes, value: bytes) -> None:
        match name:
            case b"content-length":
                if not _LENGTH.fullmatch(value):
                    self._refuse("Invalid Content-Length")
                self._length = int(value)
            case b"transfer-encoding":
                # No other coding was offered (RFC 9112, 7.4), and one that is misread smuggles.
                if self._chunked or value.rstrip(b" \t").lower() != b"chunked":
                    self._refuse("a transfer coding other than chunked")
                self._chunked = True
            case b"retry-after":
                if self.retry_after is None:
                    self.retry_after = value.rstrip(b" \t").decode("utf-8", "surrogateescape")
            case b"sec-websocket-key1":
                # Of a draft of WebSocket in which eight bytes follow that no field announces.
                self._refuse("Sec-WebSocket-Key1")
            case _:
                pass

    def on_headers_complete(self) -> None:
        self._headed = True
        # Asked later, llhttp has forgotten it of messages that end with their head.
        assert self._parser is not None  # noqa: S101  # it is what calls
        self._keeps_open = self._parser.should_keep_alive()

    def on_chunk_header(self) -> None:
        self._chunk_count += 1
        self._waits_for_chunk = True
        self._trailer_bytes = 0

    def on_body(self, part: bytes) -> None:
        """Of chunks alone: other bodies llhttp doesn't see."""
        self._waits_for_chunk = False
        self._show(part)

    def on_message_complete(self) -> None:
        self._complete = True

    def _refuse(self, fault: str) -> None:
        self._fault = fault
        raise BadAnswer(fault)
