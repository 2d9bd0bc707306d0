"""What this process wrote or was handed a moment ago, so that it is not read again to be changed.

It is a guess, and every statement that uses it says so: it names the lease and what else must not
have changed (a job's `version`, that no attempt was recorded), and what does not fit is read under
its lock as ever. So it may hold what was rolled back or is gone, and forget what it likes.

Only what is plain is kept: jobs of a process without an ordering key of which no event was told;
deliveries to a job's own callback URL that stand in no order and were never tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from dispatcher.core.changes import LeasedJob
from dispatcher.core.model import Delivery, Event, Instant, Job
from dispatcher.ports.records import LeasedDelivery

if TYPE_CHECKING:
    from dispatcher.adapters.postgres.destinations import Where

MOST_KEPT: Final = 4_096
"""Of jobs, of deliveries that are being sent, and of those that wait."""

MOST_RESULT_BYTES: Final = 4_096
"""A delivery that waits is kept if the result that goes with it has no more than this."""

Value = TypeVar("Value")


class _Few(Generic[Value]):
    """The last few of what was put there, by key."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[str | int, Value] = {}

    def put(self, key: str | int, value: Value) -> None:
        if len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = value

    def take(self, key: str | int) -> Value | None:
        return self._kept.pop(key, None)


class _First(_Few[Value]):
    """The first of what was put there, for what is taken in that order.

    When it is full others are turned away; once they are as many as it holds, it begins anew: what
    nobody has taken by then somebody else has.
    """

    __slots__ = ("_turned_away",)

    def __init__(self) -> None:
        super().__init__()
        self._turned_away = 0

    def put(self, key: str | int, value: Value) -> None:
        if len(self._kept) < MOST_KEPT:
            self._kept[key] = value
            return
        self._turned_away += 1
        if self._turned_away >= MOST_KEPT:
            self._kept.clear()
            self._turned_away = 0


class Sending(NamedTuple):
    """A delivery that is being sent for the first time: its id, its place, when its lease ends."""

    delivery_id: str
    place_seq: int
    where: Where
    until: Instant


class Waiting(NamedTuple):
    """A delivery that was owed and waits, with all that its bytes are made of."""

    delivery: Delivery
    place_seq: int
    event: Event
    job: Job | None
    result: bytes | None


class Remembered:
    """What one process keeps: jobs and deliveries by lease, deliveries that wait by number."""

    def __init__(self) -> None:
        self._jobs: _Few[Job] = _Few()
        self._sending: _Few[Sending] = _Few()
        self._waiting: _First[Waiting] = _First()

    # --- jobs ----------------------------------------------------------------------------------

    def keep_job(self, leased: LeasedJob) -> None:
        """A job was leased to this process."""
        job = leased.job
        if leased.until is None and job.ordering_key is None and job.event_count == 0:
            self._jobs.put(leased.lease, job)

    def take_job(self, job_id: str, lease: str | None) -> Job | None:
        """The job of a lease as it was when it was leased, once; None: it is not known."""
        job = None if lease is None else self._jobs.take(lease)
        return None if job is None or job.id != job_id else job

    # --- deliveries ----------------------------------------------------------------------------

    def keep_sending(self, leased: LeasedDelivery, place_seq: int, until: Instant) -> None:
        """A delivery was leased to this process."""
        each = leased.delivery
        plain = (
            each.endpoint_id is None and each.ordered is None and each.cancel_requested_at is None
        )
        if plain and each.attempt_count == 0:
            where = (each.caller_id, each.origin, "")
            self._sending.put(leased.lease, Sending(each.id, place_seq, where, until))

    def take_sending(self, delivery_id: str, lease: str) -> Sending | None:
        """The delivery of a lease, once; None: it is not known."""
        sending = self._sending.take(lease)
        return None if sending is None or sending.delivery_id != delivery_id else sending

    def keep_waiting(self, seq: int, waiting: Waiting) -> None:
        """A delivery was made, and waits."""
        each = waiting.delivery
        small = waiting.result is None or len(waiting.result) <= MOST_RESULT_BYTES
        if small and each.endpoint_id is None and each.ordered is None:
            self._waiting.put(seq, waiting)

    def take_waiting(self, seq: int) -> Waiting | None:
        """A delivery that waits, once; None: it is not known."""
        return self._waiting.take(seq)
