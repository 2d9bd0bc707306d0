"""The wiring: settings that depend on each other arrive together."""

from __future__ import annotations

from dispatcher.compose.parts import sender_terms
from dispatcher.settings import Settings


def test_there_is_a_connection_for_each_callback_that_is_sent_at_once() -> None:
    """Who waits in the pool for a connection is timed out, and that counts as a failed attempt."""
    for at_once in (1, 256, 5_000):
        assert sender_terms(Settings(deliveries_at_once=at_once)).connections >= at_once
