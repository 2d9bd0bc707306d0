"""URLs that were judged, each with what a sender makes of it; both are done once a URL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from dispatcher.core.addresses import Policy, Refused, Target, judge_url

# How many URLs are kept in the form that they are dialled in; a URL has 2,048 characters at most.
KEPT_ROUTES: Final = 2_048

AMBIGUOUS: Final = Refused("ambiguous", "The URL would not be dialled as it was checked.")

Route = TypeVar("Route")


class Routes(Generic[Route]):
    """What `make` makes of each URL that the policy lets pass; the verdict depends on nothing else.

    What `make` can't dial as it was checked it refuses.
    """

    def __init__(self, policy: Policy, make: Callable[[Target], Route | Refused]) -> None:
        self._policy = policy
        self._make = make
        self._known: dict[str, Route | Refused] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, url: str) -> Route | Refused:
        found = self._known.get(url)
        if found is not None:
            return found
        target = judge_url(url, self._policy)
        route = target if isinstance(target, Refused) else self._make(target)
        while len(self._known) >= KEPT_ROUTES:
            del self._known[next(iter(self._known))]
        self._known[url] = route
        return route
