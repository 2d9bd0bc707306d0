"""Telling several observers of each fact."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from dispatcher.core.errors import SettingsError
from dispatcher.core.facts import Fact
from dispatcher.ports.observer import Observer

_logger: Final = logging.getLogger("dispatcher.observers")


class Fanout:
    """Implements `ports.observer.Observer`: tells each of its observers, in their order.

    None may raise. One that does all the same, for a defect of ours, keeps neither the others from
    being told nor the work from going on: it is logged.
    """

    def __init__(self, *observers: Observer) -> None:
        self._tell = tuple(observer.saw for observer in observers)

    def saw(self, fact: Fact) -> None:
        """See `Observer.saw`."""
        for tell in self._tell:
            try:
                tell(fact)
            except Exception:  # whatever it is: the work is more than the looking on
                _logger.exception("an observer could not take note of %s", type(fact).__name__)


@asynccontextmanager
async def observing(spans: str | None, *own: Observer) -> AsyncIterator[Observer]:
    """Everyone who is told of what happens: our own, and OpenTelemetry if that is wanted.

    `spans` is the version of the service that spans name; None: none are made. Raises
    `SettingsError` without the extra.
    """
    if spans is None:
        yield Fanout(*own)
        return
    try:
        from dispatcher.adapters.spans import exporting  # noqa: PLC0415  # an extra: may be missing

        exporter = exporting(spans)
    except ModuleNotFoundError:
        raise SettingsError(
            "otel is on, and OpenTelemetry is not installed: "
            "pip install 'callback-dispatcher[otel]'"
        ) from None
    try:
        yield Fanout(*own, exporter)
    finally:
        await asyncio.to_thread(exporter.close)
