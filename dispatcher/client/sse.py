"""Reading Server-Sent Events, purely (WHATWG HTML, 9.2.5 and 9.2.6)."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

_BOM: Final = b"\xef\xbb\xbf"


class Dispatched(Struct, frozen=True):
    """An event as it was dispatched. `last_event_id` is the one in force, "" without any."""

    type: str
    data: str
    last_event_id: str


class EventStream:
    """Takes what comes, in pieces of any size, and gives the events that are whole.

    `last_event_id` and `retry_ms` are as the stream has set them so far. One that breaks off is
    thrown away: what it had begun is not dispatched.
    """

    def __init__(self, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.retry_ms: int | None = None
        self._rest = b""
        self._began = False
        self._after_cr = False
        self._id = last_event_id
        self._type = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> list[Dispatched]:
        """The events that end in this piece."""
        if self._after_cr and piece:
            # The line has ended with the CR; this LF belongs to it.
            piece = piece.removeprefix(b"\n")
            self._after_cr = False
        piece = self._rest + piece
        if not self._began:
            if len(piece) < len(_BOM) and _BOM.startswith(piece):
                self._rest = piece
                return []
            self._began = True
            piece = piece.removeprefix(_BOM)
        *lines, self._rest = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._after_cr = piece.endswith(b"\r")
        found = [self._line(line.decode("utf-8", "replace")) for line in lines]
        return [each for each in found if each is not None]

    def _line(self, line: str) -> Dispatched | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._type = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_ms = int(value[:9])
            case _:  # a comment, whose name is empty, or a field that means nothing here
                pass
        return None

    def _dispatch(self) -> Dispatched | None:
        self.last_event_id = self._id
        data, self._data = self._data, []
        type_, self._type = self._type, ""
        if not data:
            return None
        return Dispatched(type_ or "message", "\n".join(data), self.last_event_id)
