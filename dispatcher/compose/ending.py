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

LAST_WORD_SECONDS: Final = 1.0
"""So long is waited for whoever should read what is said at the end."""

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
        self._telling: threading.Thread | None = None

    def begun(self, grace_seconds: float, said: str | None = None) -> None:
        """The drain has begun, which is `said`; nothing waits until somebody has read that.

        A thread sees to the end of it: the event loop itself may be held up.
        """
        if self._timer is not None:
            return
        if said is not None:
            self._telling = threading.Thread(target=self._tell, args=(said,), daemon=True)
            self._telling.start()
        self._timer = threading.Timer(grace_seconds + LATE_SECONDS, self.unfinished)
        self._timer.daemon = True
        self._timer.start()

    def _tell(self, said: str) -> None:
        with suppress(OSError):  # nobody may be left to read it
            self._announce(said)

    def finished(self) -> None:
        """All was finished in time; if nobody reads what is said, an ordinary exit would hang."""
        if self._telling is None:
            return
        self._telling.join(LAST_WORD_SECONDS)
        if self._telling.is_alive():
            self._within_a_moment(self._end_logging)
            os._exit(0)

    def done(self) -> None:
        """The process goes on by itself, whatever has become of the service."""
        if self._timer is not None:
            self._timer.cancel()

    def unfinished(self) -> NoReturn:
        """Exit now: threads that never end would keep an ordinary exit waiting."""
        try:
            self._within_a_moment(self._say_so)
        finally:
            os._exit(EXIT_UNFINISHED)

    def _within_a_moment(self, last: Callable[[], None]) -> None:
        """In a thread, since nobody may read what is said: then saying it takes for ever."""
        thread = threading.Thread(target=last, daemon=True)
        thread.start()
        thread.join(LAST_WORD_SECONDS)

    def _say_so(self) -> None:
        self._tell(_UNFINISHED)
        self._end_logging()
