"""Leases that the store may hold for this process before anything runs under them here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Pledged:
    """Jobs that are being added under a lease, or being claimed: nobody knows yet which stand.

    Their answer may come late, long after the store has written them. Until it is there they are no
    strays: they will run, or be put back.
    """

    def __init__(self) -> None:
        self.offered: set[str] = set()
        """The leases of jobs that are being added."""
        self.botched: set[str] = set()
        """The leases under which something ran and of whose end nothing was written: to judge."""
        self._begun = 0
        self._back = 0

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Around a claim; they come one after another."""
        self._begun += 1
        try:
            yield
        finally:
            self._back += 1

    def mark(self) -> int:
        """The claims that have begun; for `all_back`."""
        return self._begun

    def all_back(self, mark: int) -> bool:
        """Whether all that had begun at that mark have come back, and what they leased runs."""
        return self._back >= mark
