from __future__ import annotations

import logging

import pytest

from dispatcher.adapters.observers import Fanout
from dispatcher.core.facts import Fact, LoopIdle
from dispatcher.testing.observer import RecordingObserver


class Broken:
    def saw(self, fact: Fact) -> None:
        raise KeyError(fact)


def test_each_is_told_of_each_fact() -> None:
    one, two = RecordingObserver(), RecordingObserver()
    both = Fanout(one, two)
    both.saw(LoopIdle("jobs"))
    both.saw(LoopIdle("deliveries"))
    assert one.facts == two.facts == [LoopIdle("jobs"), LoopIdle("deliveries")]


def test_one_that_is_broken_hinders_nobody_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    other = RecordingObserver()
    with caplog.at_level(logging.ERROR):
        Fanout(Broken(), other).saw(LoopIdle("jobs"))
    assert other.facts == [LoopIdle("jobs")]
    (record,) = caplog.records
    assert "LoopIdle" in record.getMessage()
    assert record.exc_info is not None
