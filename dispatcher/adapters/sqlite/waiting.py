"""What deliveries that wait for a slot are made of, kept so that it need not be read back.

A delivery of an ended job is rendered from parts that never change. Whoever owes it has them in
hand; when a slot comes free a moment later they would be read again from four tables. Entries are
found by the delivery's id, which is never used twice, so one whose transaction was rolled back is
never found. Each serves one lease, and only while the row stands as it was made.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from dispatcher.core.model import DeliveryState, Job
from dispatcher.ports.records import LeasedDelivery

MOST_KEPT: Final = 1_024
LARGEST_BYTES: Final = 4_096
"""Of what callers choose the size of, so that all that is kept takes a few megabytes at most."""


class Waiting:
    """Deliveries that wait for their first attempt, by id. Used by one batch at a time."""

    def __init__(self) -> None:
        self._kept: dict[str, LeasedDelivery] = {}

    def keep(self, made_of: LeasedDelivery) -> None:
        """Keep one that was made to wait; the oldest gives way. Its lease is not looked at."""
        if _bytes_of(made_of) > LARGEST_BYTES:
            return
        if len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[made_of.delivery.id] = made_of

    def take(self, delivery_id: str, lease: str, stands: list[int]) -> LeasedDelivery | None:
        """The one that is leased now, if it is here, and stands as it was made.

        `stands`: its `due_at`, `attempt_count`, `unknown_count` and `round`.
        """
        made_of = self._kept.pop(delivery_id, None)
        if made_of is None:
            return None
        was = made_of.delivery
        if stands != [was.due_at, was.attempt_count, was.unknown_count, was.round]:
            return None
        return replace(made_of, delivery=replace(was, state=DeliveryState.SENDING), lease=lease)


def _bytes_of(made_of: LeasedDelivery) -> int:
    """How much memory what may be large takes, at most."""
    size = 0 if made_of.result is None else len(made_of.result)
    if made_of.job is None:
        return size + len(made_of.event.data or b"")
    return size + bytes_of(made_of.job)


def bytes_of(job: Job) -> int:
    """How much memory what may be large in a job takes, at most."""
    size = 0
    callback, metadata = job.callback, job.metadata
    if callback is not None and callback.sealed_headers is not None:
        size += len(callback.sealed_headers)
    if metadata:
        size += 4 * sum([len(name) + len(value) for name, value in metadata.items()])
    return size
