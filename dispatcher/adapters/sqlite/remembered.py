"""What was leased a moment ago, kept so that whoever ends the lease need not read it back.

Found by the lease, of which there is never another, so that an entry of a transaction that was
rolled back is never asked for. An entry says nothing that is believed by itself: the statement that
stands for the read compares state, lease and version (of a delivery, all that could have changed),
in this file as another process may have left it. Where it changes no row, the row is read.
"""

from __future__ import annotations

from typing import Final, Generic, NamedTuple, TypeVar

from dispatcher.adapters.sqlite.waiting import LARGEST_BYTES, bytes_of
from dispatcher.core.model import Delivery, Job

MOST_KEPT: Final = 1_024
"""Of jobs, and of deliveries: the oldest gives way. More are rarely under way in one process."""

Kept = TypeVar("Kept")


class KnownJob(NamedTuple):
    """A running job as it was leased, and its number."""

    seq: int
    job: Job


class KnownDelivery(NamedTuple):
    """The numbers of a delivery that was leased for its first attempt, and of its destination."""

    seq: int
    place: int


class _ByLease(Generic[Kept]):
    """Entries by lease, so many at most. Each serves once."""

    __slots__ = ("_kept", "take")

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}
        pop = self._kept.pop

        def take(lease: str | None) -> Kept | None:
            return None if lease is None else pop(lease, None)

        self.take = take

    def keep(self, lease: str, what: Kept) -> None:
        if len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[lease] = what


class Remembered:
    """What this process leased, by lease. Used by one batch at a time."""

    __slots__ = ("_deliveries", "_jobs", "delivery", "job")

    def __init__(self) -> None:
        self._jobs: _ByLease[KnownJob] = _ByLease()
        self._deliveries: _ByLease[KnownDelivery] = _ByLease()
        self.job = self._jobs.take
        self.delivery = self._deliveries.take

    def leased_job(self, lease: str, seq: int, job: Job) -> None:
        """Keep a job that this process runs: a remote worker's lease has a row of its own.

        One of a key is left out, since others move their place in its order without its version.
        """
        if job.ordering_key is None and bytes_of(job) <= LARGEST_BYTES:
            self._jobs.keep(lease, KnownJob(seq, job))

    def leased_delivery(self, lease: str, seq: int, place: int, delivery: Delivery) -> None:
        """Keep a delivery, if nothing but its own row and its destination counts at its end.

        An endpoint keeps how it fares, and a chain who follows; attempts after the first have rows.
        """
        plain = delivery.endpoint_id is None and delivery.ordered is None
        if plain and delivery.attempt_count == 0:
            self._deliveries.keep(lease, KnownDelivery(seq, place))
