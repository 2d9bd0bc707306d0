"""The order of callbacks: which belong together, and what a dead one does to the rest."""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha256


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
