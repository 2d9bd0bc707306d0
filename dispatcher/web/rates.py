"""How a caller stands with its rate, as answers to its submissions tell it."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from dispatcher.core.errors import OverRate
from dispatcher.core.model import Caller
from dispatcher.core.ratelimit import Standing, limit_field, policy_field
from dispatcher.engine.rates import Rates

STANDING: Final = web.RequestKey("standing", Standing)
"""Of the caller whose submission a request is, if it has a rate."""

_WAITS: Final = frozenset({429, 503})
"""Where `Retry-After` says when to make the request again."""


async def count(rates: Rates, request: web.Request, caller: Caller) -> None:
    """Count a submission; raises `OverRate`, `StoreError`."""
    standing = await rates.take(caller)
    if standing is None:
        return
    request[STANDING] = standing
    if not standing.taken:
        rate = standing.rate
        raise OverRate(rate.requests, rate.window_seconds, standing.more_in_seconds)


def tell(standing: Standing, response: web.StreamResponse) -> None:
    """Add what the IETF draft has for it: see `core.ratelimit`.

    `Retry-After` is not earlier than when there is more, if nothing remains: so the draft asks.
    """
    headers = response.headers
    headers["RateLimit-Policy"] = policy_field(standing.rate)
    headers["RateLimit"] = limit_field(standing)
    if response.status in _WAITS and standing.remaining == 0:
        asked = int(headers.get("Retry-After", "0"))
        headers["Retry-After"] = str(max(asked, standing.more_in_seconds))
