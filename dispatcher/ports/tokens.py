"""Tokens of rates that hold over all processes on a store; see `core/ratelimit.py` for the rule."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from msgspec import Struct

from dispatcher.core.ratelimit import Rate


class Grant(Struct, frozen=True):
    """What was granted: `tokens` of those asked for, of which the bucket has `remaining` more.

    `more_in_ms`: after so long there is one more than `remaining`.
    """

    tokens: int
    remaining: int
    more_in_ms: int


@runtime_checkable
class TokenStore(Protocol):
    """A bucket for each caller, which whoever takes submissions takes from.

    What is granted is gone: over any number of processes it is never more than the rate fills. A
    crash of the store may begin buckets anew, full. A rate that is another than before does so too.
    """

    async def take_tokens(self, caller_id: str, rate: Rate, wanted: int) -> Grant:
        """Take up to `wanted` (1 or more) tokens of a caller's bucket; raises `StoreError`."""
        ...
