"""Places for what is done at once in this process, shared fairly between callers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import ceil
from typing import Final

SHARE: Final = 3
"""No caller holds more than so many times what is left free.

So one alone has three quarters of the places, two busy ones three sevenths each, and there is
always something left for another (dynamic thresholds, Choudhury and Hahne, 1998). A caller whose
receivers all hang can't take the places of the others.
"""


class Places:
    """A number of places, each taken for a caller. Who takes one gives it back.

    `on_free` is called when a place becomes free that somebody waits for: `wanted` is set by a loop
    that found none, and a claim that gave a caller less than it could take remembers so.
    """

    def __init__(self, total: int) -> None:
        self._free = total
        self._total = total
        self._held: Counter[str] = Counter()
        self._short: set[str] = set()
        self._closed = False
        self.wanted = False
        self.on_free: Callable[[], None] | None = None

    def close(self) -> None:
        """Give out no more places."""
        self._closed = True

    @property
    def used(self) -> int:
        """How many places are taken."""
        return self._total - self._free

    def held(self, caller_id: str) -> int:
        """How many of them a caller holds."""
        return self._held[caller_id]

    def to_spare(self, caller_id: str) -> bool:
        """Whether who has a place may keep it for more: nobody waits for one, and it is its due."""
        held = self._held[caller_id]
        return not self.wanted and not self._closed and (held == 1 or held <= SHARE * self._free)

    def take(self, caller_id: str) -> bool:
        """Take one place; False if there is none, the caller has its share, or it is closed."""
        if self._closed or self._room(caller_id) < 1:
            return False
        self._free -= 1
        self._held[caller_id] += 1
        return True

    def give(self, caller_id: str) -> None:
        """Give one place back."""
        self._free += 1
        left = self._held[caller_id] - 1
        if left > 0:
            self._held[caller_id] = left
        else:
            del self._held[caller_id]
        wanted = self.wanted
        if self._short and any(self._room(each) > 0 for each in self._short):
            self._short.clear()
            wanted = True
        if wanted and self.on_free is not None:
            self.wanted = False
            self.on_free()

    def _room(self, caller_id: str) -> int:
        """How many more a caller may take: as many as leave it within its share."""
        held = self._held.get(caller_id, 0)
        if held == 0:
            return min(self._free, max(1, SHARE * self._free // (SHARE + 1)))
        return max((SHARE * self._free - held) // (SHARE + 1), 0)

    # --- for claims ----------------------------------------------------------------------------

    def take_share(self) -> tuple[int, dict[str, int]]:
        """Take a quarter of what is free, for a claim; and how many of them whom it may give.

        Not more, so that hand-offs find room while the claim is on its way: what finds none has to
        be claimed in turn (docs/adr/0034). Callers that may have all of it are not named. What a
        claim leases becomes its caller's by `settle`; what is left is given back by `give_share`.
        """
        share = ceil(self._free / 4)
        room = {each: self._room(each) for each in self._held}
        room = {each: count for each, count in room.items() if count < share}
        self._short = set(room)
        self._free -= share
        return share, room

    def settle(self, caller_id: str) -> None:
        """One place of a share is a caller's now."""
        self._held[caller_id] += 1

    def give_share(self, share: int) -> None:
        """Give back what is left of a share."""
        self._free += share
