"""The types of job that this service knows."""

from __future__ import annotations

from collections.abc import Iterable

from dispatcher.core.model import JobType


class Catalog:
    """Types by name: those declared by this process, and what others declared in the store."""

    def __init__(self, types: Iterable[JobType] = ()) -> None:
        self._own = {each.name: each for each in types}
        self._types = dict(self._own)

    def get(self, name: str) -> JobType | None:
        """The type of that name, or None."""
        return self._types.get(name)

    def all(self) -> list[JobType]:
        """Every type, by name."""
        return [self._types[name] for name in sorted(self._types)]

    def put(self, types: Iterable[JobType]) -> None:
        """Add types, or replace them by name."""
        self._own.update({each.name: each for each in types})
        self._types.update(self._own)

    def learn(self, types: Iterable[JobType]) -> None:
        """Know these besides one's own; what others declared before is forgotten."""
        self._types = {each.name: each for each in types} | self._own
