"""What readers of the store are given: records, filters, pages and counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from dispatcher.core.breaker import BreakerState
from dispatcher.core.lifecycle import shown_status
from dispatcher.core.model import (
    Attempt,
    Delivery,
    DeliveryState,
    Event,
    EventType,
    Instant,
    Job,
    JobStatus,
)


class DeliverySummary(Struct, frozen=True):
    """How the delivery of the last event to the job's callback URL stands."""

    state: DeliveryState
    attempt_count: int
    last_status_code: int | None
    next_attempt_at: Instant | None


class JobRecord(Struct, frozen=True):
    """A job with what is shown of it. `input` and `result` are there up to 64 KiB, and if asked."""

    job: Job
    delivery: DeliverySummary | None = None
    input: bytes | None = None
    result: bytes | None = None


class JobFilter(Struct, frozen=True, kw_only=True):
    """Which jobs to list; None: any. `caller_id` None: of every caller (operators)."""

    caller_id: str | None = None
    status: JobStatus | None = None
    type: str | None = None
    queue: str | None = None
    correlation_id: str | None = None
    created_after: Instant | None = None
    created_before: Instant | None = None

    def admits(self, job: Job, now: Instant) -> bool:
        """Whether a job is one of them, as it stands now."""
        return (
            self.caller_id in (None, job.caller_id)
            and self.type in (None, job.type)
            and self.queue in (None, job.queue)
            and self.correlation_id in (None, job.correlation_id)
            and (self.created_after is None or job.created_at > self.created_after)
            and (self.created_before is None or job.created_at < self.created_before)
            and self.status in (None, shown_status(job, now))
        )


class DeliveryFilter(Struct, frozen=True, kw_only=True):
    """Which deliveries to list; None: any. `url` is compared as a whole."""

    caller_id: str | None = None
    job_id: str | None = None
    state: DeliveryState | None = None
    event_type: EventType | None = None
    url: str | None = None
    endpoint_id: str | None = None
    created_after: Instant | None = None
    created_before: Instant | None = None

    def admits(self, delivery: Delivery) -> bool:
        """Whether a delivery is one of them."""
        return (
            self.caller_id in (None, delivery.caller_id)
            and self.job_id in (None, delivery.job_id)
            and self.state in (None, delivery.state)
            and self.event_type in (None, delivery.event_type)
            and self.url in (None, delivery.url)
            and self.endpoint_id in (None, delivery.endpoint_id)
            and (self.created_after is None or delivery.created_at > self.created_after)
            and (self.created_before is None or delivery.created_at < self.created_before)
        )


class JobPage(Struct, frozen=True):
    """A page of a list, newest first. `next` continues it (a sequence number); None: the end.

    A page may hold fewer than asked for and still be continued: a page looks at a bounded number of
    rows.
    """

    items: tuple[JobRecord, ...]
    next: int | None


class DeliveryRecord(Struct, frozen=True):
    """A delivery with its recorded attempts, oldest first."""

    delivery: Delivery
    attempts: tuple[Attempt, ...]


class DeliveryPage(Struct, frozen=True):
    """A page of deliveries, newest first; `next` as in `JobPage`."""

    items: tuple[DeliveryRecord, ...]
    next: int | None


class FeedItem(Struct, frozen=True):
    """An event with its job as it is now (None: it belongs to none), and a cursor right behind it.

    `result` is there for a job's last event, if it may stand inline.
    """

    event: Event
    job: Job | None
    result: bytes | None
    cursor: str


class FeedPage(Struct, frozen=True):
    """Events, oldest first; `next` goes on behind all that was looked at, fitting or not.

    `more`: the page ended because it was full, or had looked at enough; there may be more already.
    `held_back`: there is more, which may be read once what is under way has ended: look again soon.
    """

    items: tuple[FeedItem, ...]
    next: str
    more: bool
    gap: bool = False
    held_back: bool = False


class Heads(Struct, frozen=True):
    """How far some jobs and feeds have come.

    `jobs`: the `version` of each; one that is not there is missing. `feeds`: by caller, the `next`
    that a reader has who has read it to its end.
    """

    jobs: Mapping[str, int]
    feeds: Mapping[str | None, str]


MOST_WAITING_COUNTED: Final = 1_000
"""What waits for a destination is counted no further: then so many or more are there."""


class DestinationFilter(Struct, frozen=True, kw_only=True):
    """Which destinations to list; None: of every caller."""

    caller_id: str | None = None


class DestinationRecord(Struct, frozen=True, kw_only=True):
    """How a destination stands: where callbacks of one caller to one origin, or endpoint, go.

    `open_until`: until then its breaker lets nothing through. `paused_at`: by operators; `held_at`:
    its endpoint is disabled. `waiting` are pending, `due` of those could go by their own time, both
    up to `MOST_WAITING_COUNTED`, the oldest since `oldest_due_at`. `urls_in_trouble` have breakers
    of their own that are not closed.
    """

    id: str
    caller_id: str
    origin: str
    endpoint_id: str | None = None
    breaker: BreakerState = BreakerState.CLOSED
    open_until: Instant | None = None
    paused_at: Instant | None = None
    held_at: Instant | None = None
    sending: int = 0
    waiting: int = 0
    due: int = 0
    oldest_due_at: Instant | None = None
    urls_in_trouble: int = 0


class DestinationPage(Struct, frozen=True):
    """A page of destinations, newest first; `next` as in `JobPage`."""

    items: tuple[DestinationRecord, ...]
    next: int | None


class QueueBacklog(Struct, frozen=True, kw_only=True):
    """What is there of one queue: jobs `waiting` are due, `scheduled` ones wait for their time.

    `oldest_due_at`: since when the job that has waited longest is due; None: none is due.
    """

    queue: str
    waiting: int = 0
    scheduled: int = 0
    running: int = 0
    oldest_due_at: Instant | None = None


class Pauses(Struct, frozen=True):
    """What operators have paused: `all_at` is since when all is, `queues` since when each is."""

    all_at: Instant | None
    queues: dict[str, Instant]


class DeliveryBacklog(Struct, frozen=True, kw_only=True):
    """The deliveries that are not done: pending ones that are `due` or `scheduled`, and `sending`.

    `oldest_due_at` as in `QueueBacklog`.
    """

    due: int = 0
    scheduled: int = 0
    sending: int = 0
    oldest_due_at: Instant | None = None


class BreakerCount(Struct, frozen=True, kw_only=True):
    """How many breakers stand in each state, of destinations and of URLs; the closed have failed.

    One that is pristine is not counted.
    """

    closed: int = 0
    open: int = 0
    half_open: int = 0


class Backlog(Struct, frozen=True, kw_only=True):
    """How much waits and is under way as of `at`, the store's now.

    `queues` are those with a job that is not done, by name.
    """

    at: Instant
    queues: tuple[QueueBacklog, ...] = ()
    deliveries: DeliveryBacklog = DeliveryBacklog()
    breakers: BreakerCount = BreakerCount()
