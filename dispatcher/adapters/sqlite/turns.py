"""Whose turn it is at each destination, as far as this process remembers."""

from __future__ import annotations

from typing import Final

MOST_KEPT: Final = 10_000


class Turns:
    """How many turns each destination has had. That it is forgotten now and then is no harm."""

    def __init__(self) -> None:
        self._taken: dict[int, int] = {}
        # Where the last slot that came free was taken at once: there one looks for the next
        # delivery first, elsewhere at what waits.
        self.busy: set[int] = set()

    def take(self, place: int, count: int) -> int:
        """The number of the next turn of a destination; so many are taken."""
        if len(self._taken) >= MOST_KEPT:
            self._taken.clear()
            self.busy.clear()
        turn = self._taken.get(place, 0)
        self._taken[place] = turn + count
        return turn
