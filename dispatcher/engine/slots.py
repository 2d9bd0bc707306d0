"""Room for work in this process. Who takes a slot gives it back."""

from __future__ import annotations

from collections.abc import Callable, Mapping


class Slots:
    """A number of places, some of them limited further by kind (the type of a job).

    `on_free` is called when a place becomes free while `wanted` is set, which a loop does when it
    found no room.
    """

    def __init__(self, total: int, kinds: Mapping[str, int | None] | None = None) -> None:
        self._free = total
        self._total = total
        self._kinds: dict[str, int | None] = dict(kinds or {})
        self._leaving = 0
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

    def take(self, kind: str | None = None) -> bool:
        """Take one place; False if there is none, `kind` is unknown here, or it is closed."""
        if self._free <= 0 or self._closed:
            return False
        if kind is not None:
            if kind not in self._kinds:
                return False
            left = self._kinds[kind]
            if left is not None:
                if left <= 0:
                    return False
                self._kinds[kind] = left - 1
        self._free -= 1
        return True

    def give(self, kind: str | None = None) -> None:
        """Give one place back."""
        self._free += 1
        if kind is not None:
            left = self._kinds[kind]
            if left is not None:
                self._kinds[kind] = left + 1
        if self.wanted and self.on_free is not None:
            self.wanted = False
            self.on_free()

    # --- for what has run, and is yet to be written ----------------------------------------------

    @property
    def leaving(self) -> int:
        """How much has given its place back before it is written."""
        return self._leaving

    def leave(self, kind: str) -> bool:
        """Give a place back although what ran in it has yet to be written; then comes `end`.

        False: it is kept until then. So it is for a kind with a limit of its own, which what is not
        written still counts for; and while as much is leaving as there are places, so that a store
        that is slow does not let more and more begin.
        """
        if self._kinds.get(kind) is not None or self._leaving >= self._total:
            return False
        self._leaving += 1
        self.give(kind)
        return True

    def end(self, kind: str, *, left: bool) -> None:
        """It is written: give its place back, if it has not `left`."""
        if left:
            self._leaving -= 1
        else:
            self.give(kind)

    # --- for claims ------------------------------------------------------------------------------

    def take_share(self) -> tuple[int, dict[str, int]]:
        """Take half of what is free, for a claim under way; give it back by `give_share`.

        Half, so that hand-offs find room while the claim is on its way. Answers the number of
        places, and how many of them each kind may have.
        """
        share = (self._free + 1) // 2
        kinds: dict[str, int] = {}
        if share > 0:
            for kind, left in self._kinds.items():
                if left is None:
                    kinds[kind] = share
                elif left > 0:
                    part = min(share, (left + 1) // 2)
                    kinds[kind] = part
                    self._kinds[kind] = left - part
        self._free -= share
        return share, kinds

    def give_share(self, share: int, kinds: Mapping[str, int]) -> None:
        """Give back what `take_share` took."""
        self._free += share
        for kind, part in kinds.items():
            left = self._kinds[kind]
            if left is not None:
                self._kinds[kind] = left + part
