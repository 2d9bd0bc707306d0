"""Whose turn it is at a destination: first attempts go before retries, but not always."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

RETRY_EVERY: Final = 4
"""One turn in so many is a retry's, if one is due: a quarter."""

_Item = TypeVar("_Item")


def is_retrys(turn: int) -> bool:
    """Whether a retry goes first at this turn, counted from 0."""
    return turn % RETRY_EVERY == RETRY_EVERY - 1


def in_turn(fresh: Sequence[_Item], retried: Sequence[_Item], limit: int, turn: int) -> list[_Item]:
    """Up to `limit` of both, from `turn` on; each keeps its order and fills up for the other."""
    taken: list[_Item] = []
    first, again = iter(fresh), iter(retried)
    for number in range(turn, turn + limit):
        one, other = (again, first) if is_retrys(number) else (first, again)
        for item in one:
            taken.append(item)
            break
        else:
            for item in other:
                taken.append(item)
                break
            else:
                break
    return taken
