"""The types of job that this service knows."""

from __future__ import annotations

from collections.abc import Iterable

from dispatcher.core.model import JobType


class Catalog:
    """Types by name, as declared by this process and as read from the store."""

    def __init__(self, types: Iterable[JobType] = ()) -> None:
        self._types = {each.name: each for each in types}

    def get(self, name: str) -> JobType | None:
        """The type of that name, or None."""
        return self._types.get(name)

    def all(self) -> list[JobType]:
        """Every type, by name."""
        return [self._types[name] for name in sorted(self._types)]

    def put(self, types: Iterable[JobType]) -> None:
        """Add types, or replace them by name."""
        self._types.update({each.name: each for each in types})
