"""How many requests in what time: a bucket of tokens, counted exactly in whole numbers.

A rate of 100 in 60 s is a bucket of 100 tokens that fills evenly, one token in 0.6 s. Each request
takes one; of an empty bucket it is refused, and takes nothing. So 100 may come at once, and in any
stretch of time at most 100 more than fill in that time. It is the generic cell rate algorithm
(ITU-T I.371): all that is kept of a bucket is the instant at which it is full again.

The instants here are milliseconds of any clock. One that goes back (a database's, after a
fail-over) empties a bucket at the worst: it never lacks more than it holds.
"""

from __future__ import annotations

from msgspec import Struct

MOST_REQUESTS = 1_000_000_000
MOST_WINDOW_SECONDS = 86_400


class Rate(Struct, frozen=True):
    """So many requests in so many seconds.

    Raises:
        ValueError: not 1 to a billion requests in 1 second to a day.
    """

    requests: int
    window_seconds: int

    def __post_init__(self) -> None:
        if not 1 <= self.requests <= MOST_REQUESTS:
            raise ValueError(f"a rate has 1 to {MOST_REQUESTS} requests")
        if not 1 <= self.window_seconds <= MOST_WINDOW_SECONDS:
            raise ValueError(f"the window of a rate is 1 to {MOST_WINDOW_SECONDS} seconds")


class Bucket(Struct, frozen=True):
    """What is kept of a bucket: when it is full again, in milliseconds times `rate.requests`.

    In that unit a token takes the window's milliseconds to fill, so that nothing is ever rounded.
    """

    rate: Rate
    full_at: int

    def is_full(self, now: int) -> bool:
        """Whether it is as a new one."""
        return self.full_at <= now * self.rate.requests


class Standing(Struct, frozen=True):
    """How a request fared: whether it was `taken`, and how many could be at this instant.

    `more_in_seconds`: after so many whole seconds there are more than `remaining`. A request that
    was not taken would be then.
    """

    rate: Rate
    taken: bool
    remaining: int
    more_in_seconds: int


def take(rate: Rate, bucket: Bucket | None, now: int) -> tuple[Bucket, Standing]:
    """Take a token, if there is one; gives the bucket as it is then.

    Args:
        rate: in force. A bucket of another rate counts as a new one, which is full.
        bucket: as it was left; None: a new one.
        now: in milliseconds.
    """
    each = rate.window_seconds * 1000
    missing = _missing(rate, bucket, now)
    taken = missing + each <= each * rate.requests
    missing += each * taken
    remaining = rate.requests - -(-missing // each)
    # Until the bucket lacks one token less than now, rounded up to a whole second.
    until_more = missing - each * (rate.requests - remaining - 1)
    seconds = -(-until_more // (rate.requests * 1000))
    return Bucket(rate, now * rate.requests + missing), Standing(rate, taken, remaining, seconds)


class Taken(Struct, frozen=True):
    """How many tokens were `taken` at once, and how many `remaining` could be at this instant.

    `more_in_ms`: after so many milliseconds there is one more than `remaining`.
    """

    taken: int
    remaining: int
    more_in_ms: int


def take_many(rate: Rate, bucket: Bucket | None, now: int, wanted: int) -> tuple[Bucket, Taken]:
    """Take as many of the `wanted` tokens (1 or more) as there are; otherwise as `take`."""
    each = rate.window_seconds * 1000
    missing = _missing(rate, bucket, now)
    taken = min((each * rate.requests - missing) // each, wanted)
    missing += taken * each
    remaining = rate.requests - -(-missing // each)
    until_more = missing - each * (rate.requests - remaining - 1)
    bucket = Bucket(rate, now * rate.requests + missing)
    return bucket, Taken(taken, remaining, -(-until_more // rate.requests))


def _missing(rate: Rate, bucket: Bucket | None, now: int) -> int:
    """What a bucket lacks, in the unit of `Bucket.full_at`: nothing, or all of it at most."""
    if bucket is None or bucket.rate != rate:
        return 0
    whole = rate.window_seconds * 1000 * rate.requests
    return min(max(bucket.full_at - now * rate.requests, 0), whole)


# --- As headers --------------------------------------------------------------------------------

POLICY_NAME = "submissions"


def policy_field(rate: Rate) -> str:
    """`RateLimit-Policy`: the quota `q` in a window of `w` seconds.

    draft-ietf-httpapi-ratelimit-headers-10: a List of Items, each a String (RFC 9651).
    """
    return f'"{POLICY_NAME}";q={rate.requests};w={rate.window_seconds}'


def limit_field(standing: Standing) -> str:
    """`RateLimit`: `r` remain, and in `t` seconds there are more (the same draft)."""
    return f'"{POLICY_NAME}";r={standing.remaining};t={standing.more_in_seconds}'
