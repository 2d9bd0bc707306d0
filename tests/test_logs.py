from __future__ import annotations

import io
import json
import logging
import threading
import typing
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

import pytest
from msgspec.structs import replace

from dispatcher.adapters.log_events import describe, level_of
from dispatcher.adapters.logs import (
    JsonLines,
    LineWriter,
    LogObserver,
    TextLines,
    configure_logging,
)
from dispatcher.core.facts import (
    DeliveryAttemptEnded,
    Fact,
    JobAccepted,
    JobAttemptEnded,
    JobEnded,
    LeaseLost,
    LoopFailed,
    LoopIdle,
    StoreFailed,
)
from dispatcher.core.model import Callback, DeliveryState, Trace
from tests import fact_samples as samples

SECRET = "whsec_ZGlzcGF0Y2hlci1kZXZlbG9wbWVudC1zZWNyZXQtMDE="
API_KEY = "dsp_" + "a" * 43

JOB = replace(
    samples.JOB,
    caller_id="clr_1",
    queue="default",
    callback=Callback(
        url="https://receiver.example/in?token=hunter2",
        origin="https://receiver.example:443",
        headers=("x-token",),
        sealed_headers=b"hunter2",
    ),
    correlation_id="order-7",
    metadata={"password": "hunter2"},
    trace=Trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
)
ATTEMPT = replace(samples.ENDED, job=JOB, outcome="succeeded", duration_ms=12, waited_ms=4)
DELIVERY = replace(
    samples.SENT,
    caller_id="clr_1",
    attempt=2,
    to=DeliveryState.PENDING,
    waited_ms=5,
    status_code=503,
    error_code="status",
    error_detail="the receiver answered 503",
    next_at=1_769_860_800_000,
    correlation_id="order-7",
)
OF_JOBS = (JobAccepted, JobAttemptEnded, JobEnded)
FACTS: list[Fact] = [
    replace(each, job=JOB) if isinstance(each, OF_JOBS) else each for each in samples.FACTS
]


class Log:
    """What was logged: `lines` waits for the writing to end."""

    def __init__(self, level: str = "info", form: str = "json") -> None:
        self.stream = io.StringIO()
        self._end = configure_logging(level, form, self.stream)

    def end(self) -> None:
        self._end()

    def lines(self) -> list[str]:
        self._end()
        return self.stream.getvalue().split("\n")[:-1]

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    yield log
    log.end()


# --- Facts -------------------------------------------------------------------------------------


def test_an_attempt_of_a_job_is_one_event_with_every_id(log: Log) -> None:
    LogObserver().saw(ATTEMPT)
    (event,) = log.objects()
    assert event.pop("at").endswith("Z")
    assert event == {
        "level": "info",
        "logger": "dispatcher",
        "event": "job.attempt",
        "jobId": "job_1",
        "jobType": "csv.profile",
        "callerId": "clr_1",
        "queue": "default",
        "correlationId": "order-7",
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "attempt": 1,
        "outcome": "succeeded",
        "to": "succeeded",
        "waitedMs": 4,
        "durationMs": 12,
    }


def test_an_attempt_to_deliver_is_one_event_with_every_id(log: Log) -> None:
    LogObserver().saw(DELIVERY)
    (event,) = log.objects()
    del event["at"]
    assert event == {
        "level": "info",
        "logger": "dispatcher",
        "event": "delivery.attempt",
        "deliveryId": "dlv_1",
        "eventId": "evt_1",
        "eventType": "job.succeeded",
        "jobId": "job_1",
        "callerId": "clr_1",
        "url": "https://receiver.example/in",
        "attempt": 2,
        "to": "pending",
        "waitedMs": 5,
        "durationMs": 40,
        "statusCode": 503,
        "errorCode": "status",
        "errorDetail": "the receiver answered 503",
        "nextAttemptAt": "2026-01-31T12:00:00.000Z",
        "correlationId": "order-7",
    }


def test_every_kind_of_fact_is_tried_here() -> None:
    assert {type(fact) for fact in FACTS} == set(typing.get_args(Fact))


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
@pytest.mark.parametrize("form", ["json", "text"])
def test_every_fact_is_a_line_without_a_secret(fact: Fact, form: str) -> None:
    log = Log("debug", form)
    LogObserver().saw(fact)
    (line,) = [each for each in log.lines() if each != "Traceback …"]
    assert describe(fact)[0] in line
    assert "hunter2" not in line


def test_what_needs_a_person_stands_out() -> None:
    dead = DeliveryAttemptEnded(
        delivery_id="dlv_1",
        event_id="evt_1",
        event_type="job.succeeded",
        job_id="job_1",
        caller_id="clr_1",
        url="https://receiver.example/",
        attempt=10,
        to=DeliveryState.DEAD,
        duration_ms=1,
        next_at=1_769_860_800_000,
    )
    assert "nextAttemptAt" not in describe(dead)[1]
    levels = {type(fact): level_of(fact) for fact in FACTS}
    assert level_of(dead) == logging.WARNING
    assert levels[LeaseLost] == logging.WARNING
    assert levels[StoreFailed] == levels[LoopFailed] == logging.ERROR
    assert levels[JobAccepted] == levels[LoopIdle] == logging.DEBUG


def test_a_fact_below_the_level_is_not_even_described(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log("warning")
    observer = LogObserver()
    monkeypatch.setattr("dispatcher.adapters.logs.describe", None)
    observer.saw(ATTEMPT)
    assert log.lines() == []


# --- Lines -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_secret_is_masked_whoever_logs_it(form: str) -> None:
    log = Log(form=form)
    logging.getLogger("other").warning("signed with %s by %s", SECRET, API_KEY)
    (line,) = log.lines()
    assert "signed with whsec_*** by dsp_***" in line


def test_a_secret_in_a_traceback_is_masked(log: Log) -> None:
    try:
        int(SECRET)
    except ValueError:
        logging.getLogger("other").exception("failed")
    (event,) = log.objects()
    assert "ValueError: " in event["traceback"]
    assert "whsec_***" in event["traceback"]
    assert SECRET not in event["traceback"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_one_event_can_not_look_like_two(form: str) -> None:
    log = Log(form=form)
    logging.getLogger("other").warning("one\nlevel=error two\r\x1b[2J\u2028three\x85")
    fact = StoreFailed("claim\njobs", 'a "quoted"\ttext')
    LogObserver().saw(fact)
    lines = log.lines()
    assert len(lines) == 2
    assert "\x1b" not in lines[0]


def test_a_traceback_in_text_does_not_command_the_terminal() -> None:
    log = Log(form="text")
    error = ValueError("\x1b]0;owned\x07\x1b[2J\rgone\u2028")
    logging.getLogger("other").error("failed", exc_info=error)
    first, last = log.lines()
    assert first.endswith("failed")
    assert last == r"ValueError: \x1b]0;owned\x07\x1b[2J\rgone\u2028"


def test_what_is_not_unicode_is_logged_too() -> None:
    # Formatted here, and not logged: pytest-xdist can't carry such a text in its reports.
    record = logging.LogRecord("x", logging.WARNING, "", 0, "half a pair: \ud800", None, None)
    assert json.loads(JsonLines().format(record))["event"] == "half a pair: \ud800"
    assert TextLines().format(record).encode().endswith(b"half a pair: \\ud800")


def test_text_for_people() -> None:
    log = Log(form="text")
    LogObserver().saw(DELIVERY)
    (line,) = log.lines()
    assert " info    delivery.attempt deliveryId=dlv_1 eventId=evt_1 " in line
    assert ' errorDetail="the receiver answered 503" ' in line


def test_auto_is_json_where_nobody_looks_and_text_on_a_terminal() -> None:
    log = Log(form="auto")
    logging.getLogger("other").warning("hello")
    assert log.objects()[0]["event"] == "hello"

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    end = configure_logging("info", "auto", stream)
    logging.getLogger("other").warning("hello")
    end()
    assert stream.getvalue().endswith(" warning hello\n")


def test_the_chatter_of_others_is_left_out(log: Log) -> None:
    for name in ("aiohttp.server", "aiohttp.access", "asyncio"):
        logging.getLogger(name).info("chatter")
    logging.getLogger("aiohttp.server").warning("heard")
    assert [event["event"] for event in log.objects()] == ["heard"]


def test_warnings_of_python_are_logged() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        log = Log()
        warnings.warn("old ways", UserWarning, stacklevel=1)
        (event,) = log.objects()
    assert "old ways" in event["event"]


def test_at_the_end_everything_is_as_it_was() -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    Log("debug").end()
    assert root.handlers == before
    assert root.level == level


# --- The writer --------------------------------------------------------------------------------


class Blocked(io.StringIO):
    """A stream that holds up whoever writes, until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.held = threading.Event()

    def write(self, text: str) -> int:
        self.held.set()
        assert self.go_on.wait(10)
        return super().write(text)


def written(stream: TextIO, most_waiting: int) -> tuple[LineWriter, logging.Logger]:
    writer = LineWriter(stream, most_waiting)
    writer.setFormatter(TextLines())
    logger = logging.Logger("own")  # noqa: LOG001  # one that nobody else shares
    logger.addHandler(writer)
    return writer, logger


def test_a_stream_that_blocks_holds_up_nobody_and_what_is_dropped_is_counted() -> None:
    stream = Blocked()
    writer, logger = written(stream, most_waiting=10)
    logger.warning("first")
    assert stream.held.wait(10)
    for number in range(25):
        logger.warning("line %d", number)
    stream.go_on.set()
    writer.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 12
    assert lines[-1].endswith("log.dropped lines=15")


def test_lines_come_in_their_order() -> None:
    stream = io.StringIO()
    writer, logger = written(stream, most_waiting=10_000)
    for number in range(2000):
        logger.warning("%d", number)
    writer.close()
    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == [
        str(number) for number in range(2000)
    ]


def test_a_stream_that_fails_does_no_harm() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    writer, logger = written(Full(), most_waiting=10)
    logger.warning("lost")
    writer.close()
    logger.warning("lost too")


def test_what_comes_after_the_end_is_written_at_once() -> None:
    stream = io.StringIO()
    writer, logger = written(stream, most_waiting=10)
    writer.close()
    logger.warning("late")
    assert stream.getvalue().endswith("late\n")


def test_a_stream_that_takes_less_than_unicode_gets_all_lines() -> None:
    content = io.BytesIO()
    writer, logger = written(io.TextIOWrapper(content, "ascii"), most_waiting=10)
    logger.warning("caf\u00e9 \U0001f642")
    writer.close()
    assert content.getvalue().endswith(rb"caf\xe9 \U0001f642" + b"\n")
