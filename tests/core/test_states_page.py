"""docs/explanation/states.md is what scripts/states.py would write."""

from __future__ import annotations

import pytest

from dispatcher.core.lifecycle import DELIVERY_TRANSITIONS, JOB_TRANSITIONS
from dispatcher.core.model import DeliveryState, JobState
from scripts import states


def test_the_page_is_up_to_date() -> None:
    written = states.PAGE.read_text("utf-8")
    assert written == states.page(), "run `python scripts/states.py`"


def test_the_page_shows_every_transition_in_diagram_and_table() -> None:
    page = states.page()
    for table in (JOB_TRANSITIONS, DELIVERY_TRANSITIONS):
        for before, after in ((a, b) for a, to in table.items() for b in to):
            assert f"    {before.value} --> {after.value}: " in page
            assert f"| {before.value} | {after.value} | " in page


def test_no_word_breaks_the_diagram() -> None:
    # Mermaid's lexer ends a label of a state diagram at a colon or a semicolon.
    words = (
        *states.JOB_WORDS.values(),
        *states.JOB_BEGINS.values(),
        *states.DELIVERY_WORDS.values(),
        *states.DELIVERY_BEGINS.values(),
    )
    assert not [word for word in words if set(word) & set(":;\n")]


def test_a_transition_without_a_word_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {k: w for k, w in states.JOB_WORDS.items() if k[1] is not JobState.EXPIRED}
    monkeypatch.setattr(states, "JOB_WORDS", words)
    with pytest.raises(SystemExit, match="no word on waiting -> expired"):
        states.page()


def test_a_word_without_a_transition_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    back = {(DeliveryState.DELIVERED, DeliveryState.SENDING): "sent again"}
    monkeypatch.setattr(states, "DELIVERY_WORDS", {**states.DELIVERY_WORDS, **back})
    with pytest.raises(SystemExit, match="not made: delivered -> sending"):
        states.page()
