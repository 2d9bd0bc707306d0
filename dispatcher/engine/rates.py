"""How often each caller may submit: in this process, or over all of them by tokens in blocks."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from msgspec import Struct

from dispatcher.core.facts import SubmissionRefused
from dispatcher.core.model import Caller
from dispatcher.core.quotas import RATE, CallerLimits
from dispatcher.core.ratelimit import Bucket, Rate, Standing, take
from dispatcher.engine.asking import answer_of, ask
from dispatcher.ports.observer import Observer
from dispatcher.ports.system import Clock
from dispatcher.ports.tokens import Grant, TokenStore

_KEPT_CALLERS: Final = 10_000

BLOCKS: Final = 20
"""A process takes a twentieth of a rate at once: of 20 in its window or fewer, one by one."""

MOST_TOKENS: Final = 1_000
"""And never more than so many."""


class _Share(Struct):
    """What this process holds of a caller's tokens, and what the store said of the rest.

    `empty_until`: before that there is none, and the store need not be asked.
    """

    rate: Rate
    held: int = 0
    remaining: int = 0
    more_at: float = 0.0
    empty_until: float = 0.0
    waiting: int = 0
    asking: asyncio.Task[None] | None = None

    def asked(self, _: asyncio.Task[None]) -> None:
        """An answer has come."""
        self.asking = None


class Rates:
    """Counts the submissions of each caller that has a rate.

    Without `tokens` this process is the only one: it counts exactly, and a restart begins with full
    buckets, which is as if the window had begun anew; so does a rate that is changed. With `tokens`
    the rate holds over all processes, which take from one bucket in blocks: more than the rate
    fills is never granted, but what a process has taken it may use later. So in a stretch of time
    there may be a block more for each process than on one.
    """

    def __init__(
        self,
        limits: CallerLimits,
        clock: Clock,
        observer: Observer,
        tokens: TokenStore | None = None,
    ) -> None:
        """`limits` hold for callers of whom nothing else is set."""
        self._limits = limits
        self._clock = clock
        self._observer = observer
        self._tokens = tokens
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._shares: OrderedDict[str, _Share] = OrderedDict()

    async def take(self, caller: Caller) -> Standing | None:
        """Count one submission; None: the caller has no rate. Raises `StoreError`."""
        rate = caller.terms.limits.rate or self._limits.rate
        if rate is None:
            return None
        if self._tokens is None:
            standing = self._take_here(caller.id, rate)
        else:
            standing = await self._take_shared(self._tokens, caller.id, rate)
        if not standing.taken:
            self._observer.saw(SubmissionRefused(caller.id, RATE))
        return standing

    # --- one process -----------------------------------------------------------------------------

    def _take_here(self, caller_id: str, rate: Rate) -> Standing:
        now = int(self._clock.monotonic() * 1000)
        bucket, standing = take(rate, self._buckets.get(caller_id), now)
        if standing.taken:
            self._keep(caller_id, bucket, now)
        return standing

    def _keep(self, caller_id: str, bucket: Bucket, now: int) -> None:
        """Those that are full are as good as none; of too many the one unused longest goes."""
        self._buckets[caller_id] = bucket
        self._buckets.move_to_end(caller_id)
        while len(self._buckets) > 1:
            first = next(iter(self._buckets))
            if len(self._buckets) <= _KEPT_CALLERS and not self._buckets[first].is_full(now):
                break
            del self._buckets[first]

    # --- several ---------------------------------------------------------------------------------

    async def _take_shared(self, tokens: TokenStore, caller_id: str, rate: Rate) -> Standing:
        share = self._shares.get(caller_id)
        if share is None or share.rate != rate:
            share = self._shares[caller_id] = _Share(rate)
        self._shares.move_to_end(caller_id)
        if len(self._shares) > _KEPT_CALLERS:  # what it held is lost to its caller
            self._shares.popitem(last=False)
        while not share.held and self._clock.monotonic() >= share.empty_until:
            share.waiting += 1
            try:
                await self._ask(tokens, caller_id, share)
            finally:
                share.waiting -= 1
        taken = share.held > 0
        share.held -= taken
        remaining = share.held + share.remaining
        until_more = max(share.more_at - self._clock.monotonic(), 0.0)
        return Standing(rate, taken, remaining, max(-int(-until_more // 1), 1))

    async def _ask(self, tokens: TokenStore, caller_id: str, share: _Share) -> None:
        """Take a block; who comes meanwhile waits for the same answer."""
        if share.asking is None:
            share.asking = ask(self._taking(tokens, caller_id, share))
            share.asking.add_done_callback(share.asked)
        await answer_of(share.asking)

    async def _taking(self, tokens: TokenStore, caller_id: str, share: _Share) -> None:
        block = min(max(share.rate.requests // BLOCKS, share.waiting, 1), MOST_TOKENS)
        grant: Grant = await tokens.take_tokens(caller_id, share.rate, block)
        now = self._clock.monotonic()
        share.held += grant.tokens
        share.remaining = grant.remaining
        share.more_at = now + grant.more_in_ms / 1000
        if not grant.tokens:
            share.empty_until = share.more_at
