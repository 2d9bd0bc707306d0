"""The wiring: settings that depend on each other arrive together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dispatcher import compose
from dispatcher.compose.parts import sender_terms
from dispatcher.settings import Settings
from dispatcher.stores import open_store
from dispatcher.testing.observer import RecordingObserver


def test_there_is_a_connection_for_each_callback_that_is_sent_at_once() -> None:
    """Who waits in the pool for a connection is timed out, and that counts as a failed attempt."""
    for at_once in (1, 256, 5_000):
        assert sender_terms(Settings(deliveries_at_once=at_once)).connections >= at_once


async def test_the_store_goes_by_the_clock_and_the_ids_of_its_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two clocks, neither of which runs backwards, one would be ahead once time was set back."""
    given: dict[str, Any] = {}

    def spied(*args: Any, **named: Any) -> Any:
        given.update(named)
        return open_store(*args, **named)

    monkeypatch.setattr("dispatcher.compose.open_store", spied)
    settings = Settings(dev=True, port=0, store=f"sqlite:///{tmp_path / 'dispatcher.db'}")
    with compose.bind(settings) as listening:
        async with compose.service(settings, None, listening, RecordingObserver()) as running:
            assert given["clock"] is running.services.clock
            assert given["ids"] is running.services.ids
