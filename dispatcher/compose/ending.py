"""How a process ends whose work does not."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

EXIT_UNFINISHED: Final = 1

LATE_SECONDS = 10.0
"""So long after the grace a drain must have come to its end, whatever it waits for."""

_UNFINISHED: Final = (
    "Something did not end within the grace: a handler that does not stop, or a store that does "
    "not answer. What is unfinished is taken up at the next start; this process exits now."
)


class Ending:
    """Ends the process at once, if it must be, and says so to whoever stopped it."""

    def __init__(self, announce: Callable[[str], None], end_logging: Callable[[], None]) -> None:
        self._announce = announce
        self._end_logging = end_logging
        self._timer: threading.Timer | None = None

    def begun(self, grace_seconds: float) -> None:
        """The drain has begun. A thread sees to its end: the event loop itself may be held up."""
        self._timer = threading.Timer(grace_seconds + LATE_SECONDS, self.unfinished)
        self._timer.daemon = True
        self._timer.start()

    def done(self) -> None:
        """All has come to its end."""
        if self._timer is not None:
            self._timer.cancel()

    def unfinished(self) -> NoReturn:
        """Exit now: threads that never end would keep an ordinary exit waiting."""
        try:
            with suppress(OSError):  # nobody may be left to read it
                self._announce(_UNFINISHED)
            self._end_logging()
        finally:
            os._exit(EXIT_UNFINISHED)
