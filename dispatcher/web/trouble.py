"""What operators are told of requests that the store could not serve."""

from __future__ import annotations

import logging
from typing import Final

from dispatcher.core.errors import StoreUnavailable
from dispatcher.ports.system import Clock

_log: Final = logging.getLogger("dispatcher.web")

TOLD_SECONDS: Final = 10.0


class StoreTrouble:
    """Logs why requests are answered that the store can't be used: the first in ten seconds.

    A request may meet what nothing else meets: a row that somebody holds for too long. While the
    whole store is away each of them would say the same.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next: float | None = None
        self._passed_over = 0

    def met(self, error: Exception, path: str, request_id: str) -> None:
        """A request was answered with the problem of this error."""
        if not isinstance(error, StoreUnavailable):
            return
        now = self._clock.monotonic()
        if self._next is not None and now < self._next:
            self._passed_over += 1
            return
        more = f" ({self._passed_over} more since the last of these)" if self._passed_over else ""
        self._next, self._passed_over = now + TOLD_SECONDS, 0
        told = {"request_id": request_id}
        _log.warning("request %s to %s: %s%s", request_id, path, error, more, extra=told)
