"""Logs: the standard library's, as lines of JSON or of text, one wide event an attempt.

Every event has the ids that someone will search for, and never an input, a result or a secret:
fields are chosen by name, the query of a URL is left out, and whatever looks like one of our
secrets is masked in the finished line, whoever logged it.

Lines are written by a thread, as many at a time as are there, so that a slow disk or a full pipe
does not hold up the event loop. What it can't keep up with is dropped, and counted in a line.
"""

from __future__ import annotations

import json
import logging
import os
import re
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TextIO

import msgspec

from dispatcher.adapters.log_events import OF_REQUESTS, describe, level_of
from dispatcher.core.facts import Fact
from dispatcher.core.payload import rfc3339
from dispatcher.ports.observer import REQUEST_ID

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
MAX_WAITING_LINES: Final = 20_000

_FIELDS: Final = "dispatcher_fields"
_EXTRA: Final = {
    "job_id": "jobId",
    "job_type": "jobType",
    "attempt": "attempt",
    "caller_id": "callerId",
    "correlation_id": "correlationId",
    "trace_id": "traceId",
    "request_id": "requestId",
}
"""What a record of the standard library's may carry as `extra`, and what it is called in a line."""

_encode: Final = msgspec.json.Encoder(enc_hook=repr).encode


# --- From records to lines ---------------------------------------------------------------------

_SECRET: Final = re.compile(r"\b(whsec_|whsk_|dsk_|dsp_)[A-Za-z0-9+/_=-]{16,}")
_SECRET_HINTS: Final = ("whsec_", "whsk_", "dsk_", "dsp_")


def _masked(line: str) -> str:
    if any([hint in line for hint in _SECRET_HINTS]):  # noqa: C419  # a list: quicker than a generator for four
        return _SECRET.sub(r"\1***", line)
    return line


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """The members of a record's own: of a fact, or the ids among its `extra`."""
    own = getattr(record, _FIELDS, None)
    if own is not None:
        return dict(own)
    more = record.__dict__
    found = {shown: more.get(name) for name, shown in _EXTRA.items()}
    return {name: value for name, value in found.items() if value is not None}


class JsonLines(logging.Formatter):
    """One JSON object a line: `at`, `level`, `logger`, `event`, and the event's own members.

    Of several processes each tells its number, as `process`.
    """

    def __init__(self, process: int | None = None) -> None:
        super().__init__()
        self._own = {} if process is None else {"process": process}

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line = {
            "at": rfc3339(round(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **self._own,
            **_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        try:
            return _masked(_encode(line).decode())
        except (TypeError, ValueError):  # a text that is not Unicode (half of a surrogate pair)
            return _masked(json.dumps(line, default=repr))


# Control characters and line ends: what would let one event look like two, or move the cursor; and
# halves of surrogate pairs, which no file takes.
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


# Of a traceback its own lines and tabs stay.
_CONTROLS_IN_LINES: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class TextLines(logging.Formatter):
    """For people: time, level, event, then `name=value`; a traceback on the lines below.

    Of several processes each tells its number before the event: `#2`.
    """

    def __init__(self, process: int | None = None) -> None:
        super().__init__()
        self._own = [] if process is None else [f"#{process}"]

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = _fields(record)
        trace_back = fields.pop("traceback", None)
        if record.exc_info:
            trace_back = self.formatException(record.exc_info)
        parts = [
            f"{at}.{int(record.msecs):03d}",
            f"{record.levelname.lower():7}",
            *self._own,
            _one_line(record),
        ]
        parts += [f"{name}={_shown(value)}" for name, value in fields.items() if value is not None]
        line = " ".join(parts)
        if trace_back:  # it ends with what somebody sent, as often as not
            line += "\n" + _CONTROLS_IN_LINES.sub(_escaped, trace_back)
        return _masked(line)


def _one_line(record: logging.LogRecord) -> str:
    return _CONTROLS.sub(_escaped, record.getMessage())


def _shown(value: object) -> str:
    text = str(value)
    if text and " " not in text and "=" not in text and '"' not in text:
        return _CONTROLS.sub(_escaped, text)
    return _CONTROLS.sub(_escaped, '"' + text.replace('"', '\\"') + '"')


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


# --- From lines to the stream ------------------------------------------------------------------


class LineWriter(logging.Handler):
    """Writes lines in a thread of its own; `close` writes what is left."""

    def __init__(
        self,
        stream: TextIO,
        most_waiting: int = MAX_WAITING_LINES,
        *,
        at_once: int | None = None,
    ) -> None:
        """`at_once`: so many characters of whole lines are written together at most."""
        super().__init__()
        self._at_once = at_once
        self._stream = stream
        self._most_waiting = most_waiting
        self._waiting: deque[str] = deque()
        self._dropped = 0
        self._arrived = threading.Event()
        self._closing = False
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="dispatcher-logs", daemon=True)
        self._thread.start()

    def handle(self, record: logging.LogRecord) -> bool:
        """Take the record without the handler's lock: a deque needs none."""
        if self.filter(record):
            self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Format now, since what the record speaks of may change; write soon."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001  # as the standard handlers do: a bad log call must not break the caller
            self.handleError(record)
            return
        if self._closing or os.getpid() != self._pid:  # a forked child has no such thread
            self._put(line + "\n")
        elif len(self._waiting) >= self._most_waiting:
            self._dropped += 1
        else:
            self._waiting.append(line)
            if not self._arrived.is_set():
                self._arrived.set()

    def _run(self) -> None:
        while not self._closing:
            self._arrived.wait()
            self._arrived.clear()
            self._write_waiting()

    def _write_waiting(self) -> None:
        lines: list[str] = []
        while self._waiting:
            lines.append(self._waiting.popleft())
        if self._dropped:
            lines.append(self._confession())
        if lines:
            for part in _parts(lines, self._at_once):
                self._put("\n".join(part) + "\n")

    def _confession(self) -> str:
        record = _record(
            "dispatcher.logs", logging.WARNING, "log.dropped", {"lines": self._dropped}
        )
        self._dropped = 0
        return self.format(record)

    def _put(self, text: str) -> None:
        try:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:  # a stream that takes less than UTF-8
                self._stream.write(text.encode("ascii", "backslashreplace").decode("ascii"))
            self._stream.flush()
        except (OSError, ValueError):
            # Whoever read the log is gone, the disk is full, or the stream is closed: the service
            # goes on, and later lines are tried again.
            return

    def close(self) -> None:
        """Write what is left and end the thread."""
        if not self._closing:
            self._closing = True
            if os.getpid() == self._pid:
                self._arrived.set()
                self._thread.join(timeout=5)
                self._write_waiting()
        super().close()


def _parts(lines: list[str], at_once: int | None) -> Iterator[list[str]]:
    """The lines in parts of so many characters together, one line at least; None: all."""
    if at_once is None:
        yield lines
        return
    part: list[str] = []
    size = 0
    for line in lines:
        if part and size + len(line) >= at_once:
            yield part
            part, size = [], 0
        part.append(line)
        size += len(line) + 1
    yield part


def configure_logging(
    level: str, form: str, stream: TextIO | None = None, *, process: int | None = None
) -> Callable[[], None]:
    """Log to `stream` (standard error), and to nothing else; answers what ends it.

    Args:
        level: "debug", "info", "warning" or "error".
        form: "json", "text", or "auto": text if the stream is a terminal.
        stream: where to.
        process: the number of this one, if several log to the stream.
    """
    stream = sys.stderr if stream is None else stream
    # POSIX keeps what is written to a pipe at once together up to PIPE_BUF bytes.
    writer = LineWriter(stream, at_once=None if process is None else select.PIPE_BUF)
    text = form == "text" or (form == "auto" and stream.isatty())
    writer.setFormatter(TextLines(process) if text else JsonLines(process))
    root = logging.getLogger()
    before, level_before = root.handlers[:], root.level
    root.handlers[:] = [writer]
    root.setLevel(LEVELS[level])
    # Others' chatter, unless someone debugs: connection resets and bad requests are no news.
    quiet = logging.NOTSET if level == "debug" else logging.WARNING
    for name in ("aiohttp", "asyncio"):
        logging.getLogger(name).setLevel(quiet)
    logging.getLogger("aiohttp.access").setLevel(logging.ERROR)  # ours says more
    logging.captureWarnings(capture=True)

    def end() -> None:
        logging.captureWarnings(capture=False)
        root.handlers[:] = before
        root.setLevel(level_before)
        writer.close()

    return end


# --- From facts to records ---------------------------------------------------------------------


class LogObserver:
    """Logs facts: one event an attempt at `info`, what needs a person above, the rest at `debug`.

    The level is asked for once: a fact below it costs a comparison.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logging.getLogger("dispatcher") if logger is None else logger
        self._least = self._logger.getEffectiveLevel()

    def saw(self, fact: Fact) -> None:
        """Log the fact if its level is on."""
        level = level_of(fact)
        if level >= self._least:
            event, fields = describe(fact)
            if isinstance(fact, OF_REQUESTS) and (request_id := REQUEST_ID.get()) is not None:
                fields = {**fields, "requestId": request_id}
            self._logger.handle(_record(self._logger.name, level, event, fields))


def _record(name: str, level: int, event: str, fields: Mapping[str, Any]) -> logging.LogRecord:
    """A record without `findCaller`, which would cost more than all the rest."""
    record = logging.LogRecord(name, level, "", 0, event, None, None)
    setattr(record, _FIELDS, fields)
    return record
