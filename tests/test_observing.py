"""Who is told of what happens, with OpenTelemetry and without."""

from __future__ import annotations

import sys
import threading
import time

import pytest
from msgspec.structs import replace

from dispatcher.adapters.observers import Fanout, observing
from dispatcher.adapters.spans import CLOSE_SECONDS
from dispatcher.core.errors import SettingsError
from dispatcher.core.model import Trace
from dispatcher.testing.observer import RecordingObserver
from tests.fact_samples import ENDED

EXPORTERS = ("OtelBatchSpanRecordProcessor", "spans-end")


async def test_without_its_extra_spans_can_not_be_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "dispatcher.adapters.spans", None)
    with pytest.raises(SettingsError, match=r"callback-dispatcher\[otel\]"):
        async with observing("1.0"):
            pass


async def test_spans_cost_nothing_that_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dispatcher.adapters.spans", None)
    seen = RecordingObserver()
    async with observing(None, seen) as told:
        assert isinstance(told, Fanout)
        assert told._tell == (seen.saw,)


async def test_spans_that_nobody_takes_do_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    seen = RecordingObserver()
    trace = Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    ended = replace(ENDED, job=replace(ENDED.job, trace=trace))
    began = time.monotonic()
    async with observing("1.0", seen) as told:
        told.saw(ended)
    assert seen.facts == [ended]
    assert time.monotonic() - began < 2 * CLOSE_SECONDS
    # The exporter goes on for some seconds, and draws its pauses from the `random` that Hypothesis
    # watches over in the tests that follow.
    left = [each for each in threading.enumerate() if each.name in EXPORTERS]
    assert left
    for each in left:
        each.join()
