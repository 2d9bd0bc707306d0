"""An observer that tests can await: signals instead of sleeps."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final, TypeVar

from dispatcher.core.facts import Fact

F = TypeVar("F")

_PARTS: Final = 10
"""A wait is counted in so many parts."""


class RecordingObserver:
    """Keeps every fact, and wakes whoever waits for one."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self._waiting: set[asyncio.Event] = set()
        self._last_seen = time.monotonic()

    def saw(self, fact: Fact) -> None:
        """See `Observer.saw`."""
        self.facts.append(fact)
        self._last_seen = time.monotonic()
        for waiting in self._waiting:
            waiting.set()

    def all(self, kind: type[F]) -> list[F]:
        """The facts of a kind so far."""
        return [fact for fact in self.facts if isinstance(fact, kind)]

    async def until(
        self,
        kind: type[F],
        matches: Callable[[F], bool] = lambda _: True,
        *,
        count: int = 1,
        seconds: float = 10.0,
    ) -> list[F]:
        """Wait until `count` facts of `kind` match, those of before included; give them.

        Raises `TimeoutError`, which names what was seen, after `seconds` of real time, or more: if
        the machine stands still, that counts as a part of them at most.
        """
        rung = asyncio.Event()
        began = time.monotonic()
        self._waiting.add(rung)
        try:
            for _ in range(_PARTS):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds / _PARTS):
                        while len(self._matching(kind, matches)) < count:
                            rung.clear()
                            await rung.wait()
                found = self._matching(kind, matches)
                if len(found) >= count:
                    return found
        finally:
            self._waiting.discard(rung)
        seen = ", ".join(type(fact).__name__ for fact in self.facts[-20:])
        now = time.monotonic()
        raise TimeoutError(
            f"Waited {now - began:.1f} s for {count} {kind.__name__}; "
            f"last seen, {now - self._last_seen:.1f} s ago: {seen}"
        )

    def _matching(self, kind: type[F], matches: Callable[[F], bool]) -> list[F]:
        return [fact for fact in self.all(kind) if matches(fact)]
