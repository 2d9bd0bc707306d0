"""The orders of jobs and of callbacks: which belong together, and where one stands among them."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from hashlib import sha256


class KeyPlace(IntEnum):
    """Where a job stands in the order of its `orderingKey`, as stores write it.

    Of the open jobs of a key one is the front, the only one that can be claimed.
    """

    NO_KEY = 0
    FRONT = 1
    SCHEDULED = 2
    BEHIND = 3
    ENDED = 4


class OnDead(StrEnum):
    """What becomes of the later ones of a chain when one is dead."""

    SKIP = "skip"
    """They are sent."""
    BLOCK = "block"
    """They wait until it has been redelivered, or canceled."""


def chain_of(caller_id: str, target: str, ordering_key: str | None, job_id: str) -> str:
    """The name of a chain: of a caller, to a URL or endpoint, by the key or else of the job alone.

    A digest, so that it is short whatever callers choose.
    """
    key = f"job {job_id}" if ordering_key is None else f"key {ordering_key}"
    return sha256(f"{caller_id} {target}\n{key}".encode()).hexdigest()[:40]
