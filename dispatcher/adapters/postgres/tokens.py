"""Rates of callers over all processes: a bucket each, and processes take tokens in blocks."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from msgspec import Struct

from dispatcher.adapters.postgres.batching import Entry
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.ratelimit import Bucket, Rate, take_many
from dispatcher.ports.tokens import Grant

_BEGIN: Final = statement("submission_rates_begin")
_LOCK: Final = statement("submission_rates_lock")
_SET: Final = statement("submission_rates_set")


class TokensWanted(Struct, frozen=True):
    """What somebody asks for."""

    caller_id: str
    rate: Rate
    tokens: int


async def take_tokens(session: Session, entries: Sequence[Entry[TokensWanted]]) -> list[Grant]:
    """Take tokens, in the order of the entries; each bucket is read and written once."""
    callers = sorted({entry.item.caller_id for entry in entries})
    await session.execute(_BEGIN, callers)
    buckets: dict[str, Bucket | None] = dict.fromkeys(callers)
    for caller_id, requests, window_seconds, full_at in await session.fetch(_LOCK, callers):
        if requests:
            buckets[caller_id] = Bucket(Rate(requests, window_seconds), int(full_at))
    await session.began()
    answers = []
    for entry in entries:
        item = entry.item
        bucket, grant = take_many(item.rate, buckets[item.caller_id], session.now, item.tokens)
        buckets[item.caller_id] = bucket
        answers.append(Grant(grant.taken, grant.remaining, grant.more_in_ms))
    kept = [(caller_id, bucket) for caller_id, bucket in buckets.items() if bucket is not None]
    await session.execute(
        _SET,
        [caller_id for caller_id, _ in kept],
        [bucket.rate.requests for _, bucket in kept],
        [bucket.rate.window_seconds for _, bucket in kept],
        [Decimal(bucket.full_at) for _, bucket in kept],
    )
    return answers
