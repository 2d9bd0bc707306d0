"""What goes into the store and comes out of it, besides the core's own values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeAlias

from msgspec import Struct

from dispatcher.core.breaker import DEFAULT_BREAKER, BreakerTerms
from dispatcher.core.changes import LeasedJob
from dispatcher.core.endpoints import Endpoint
from dispatcher.core.facts import BreakerChanged
from dispatcher.core.model import ApiKey, Caller, Delivery, Event, EventType, Instant, Job
from dispatcher.core.quotas import Full, WaitRoom

DEAD_KEPT_SECONDS: Final = 30 * 86_400.0
"""A dead delivery keeps its job this long, unless the store is told otherwise."""

AGEING_MS: Final = 60_000
"""A level of priority is worth this much waiting: a job of priority 0 overtakes a newer one of
priority 9 after nine minutes."""

MOST_KEYS: Final = 100
"""So many API keys of a caller may be in force at once."""

MOST_SECRETS: Final = 5
"""So many signing secrets of a caller, or keys of the service, may be in force at once: each makes
the header `webhook-signature` longer, and receivers refuse headers of some kilobytes."""

OVERLAP_SECONDS: Final = 86_400
"""How long a secret or key that is replaced goes on signing, unless another time is asked for."""

MOST_OVERLAP_SECONDS: Final = 7 * 86_400

# --- Writing -----------------------------------------------------------------------------------


class Idempotency(Struct, frozen=True):
    """An Idempotency-Key with the SHA-256 of its body, kept until `expires_at`."""

    key: str
    digest: bytes
    expires_at: Instant


class Concurrency(Struct, frozen=True):
    """How many jobs may run at once, over all processes and remote workers: by type, by queue.

    What is not named is not bounded. It is exact: what runs is counted in the commit that leases,
    so that claims and hand-offs at the same time, over any number of stores, exceed it no more than
    one after another would. A job that runs under a lease that has ended counts until it is taken
    back or ended.
    """

    types: Mapping[str, int] = {}
    queues: Mapping[str, int] = {}


UNBOUNDED: Final = Concurrency()


class HandOff(Struct, frozen=True):
    """Asks for a job to be inserted already leased: to this holder, under this token."""

    holder_id: str
    lease: str
    concurrency: Concurrency = UNBOUNDED


class NewJob(Struct, frozen=True):
    """A job to add. `job` is waiting, with all defaults filled in; `version` is 1.

    With `hand_off` the job is inserted running, with `attempt_count` 1 and `started_at` the store's
    now, if and only if: it is due; nothing of its caller and queue is waiting and due that a claim
    would take; its queue is not paused; no other job of its `ordering_key` has begun, or is due,
    and has not ended; and `concurrency` leaves room for it. Else it waits; and then it is added
    only if there is `room` for it.
    """

    job: Job
    input: bytes
    idempotency: Idempotency | None = None
    hand_off: HandOff | None = None
    room: WaitRoom | None = None


class Added(Struct, frozen=True):
    """The job was added. `leased` is it, if it was handed off."""

    job: Job
    leased: LeasedJob | None = None


class Replayed(Struct, frozen=True):
    """The key was used before with the same body: nothing was added. `job` is the first, as now."""

    job: Job


class KeyReused(Struct, frozen=True):
    """The key was used before with another body: nothing was added."""


class KeySpent(Struct, frozen=True):
    """The key was used before with the same body, by a job that was erased: nothing was added."""


class NoRoom(Struct, frozen=True):
    """The job would have to wait, and `full` says where there is no room: nothing was added."""

    full: Full


Taken: TypeAlias = Added | Replayed | KeyReused | KeySpent
AddResult: TypeAlias = Taken | NoRoom


class LeasedDelivery(Struct, frozen=True):
    """A delivery to be sent now, with everything its bytes are made of.

    `job` is the one that the event belongs to, if any. `result` is there for a job that succeeded
    with a result that may stand inline. `endpoint` is the registered endpoint that it goes to, as
    it is now; None for a job's own callback URL.
    """

    delivery: Delivery
    lease: str
    event: Event
    job: Job | None
    result: bytes | None
    endpoint: Endpoint | None = None


class Applied(Struct, frozen=True):
    """The change stands. `handed` are deliveries leased to the sender of the change at once.

    `job_ready_at` and `delivery_ready_at` tell from when a claim could find what this change made
    claimable (a job put back, deliveries owed and not handed off, a slot that came free while
    others wait); None: nothing. `canceled`: a delivery that would have waited was asked to cancel,
    and has ended so. `disabled` is the endpoint that the change disabled, if it did. `breakers` are
    those that the change has moved.
    """

    handed: tuple[LeasedDelivery, ...] = ()
    job_ready_at: Instant | None = None
    delivery_ready_at: Instant | None = None
    canceled: bool = False
    disabled: Endpoint | None = None
    breakers: tuple[BreakerChanged, ...] = ()


class Stale(Struct, frozen=True):
    """State or lease were not as the change said: nothing was changed."""


ApplyResult: TypeAlias = Applied | Stale

# --- Claiming ----------------------------------------------------------------------------------


class RemoteTerms(Struct, frozen=True):
    """Asks for leases of their own, for a remote worker: `owner` is the caller whose key it has."""

    owner: str
    lease_seconds: float


class JobClaim(Struct, frozen=True):
    """Up to `limit` due jobs, of each type up to the free slots that `types` gives it.

    With `remote` no process holds them (`holder_id` is not looked at): each gets a lease of its
    own, whose token is its id, which lasts `lease_seconds` from now and from each `renew_lease`,
    but no longer than the job's `timeout_seconds` from now. `LeasedJob.until` says when it ends.
    """

    holder_id: str
    types: Mapping[str, int]
    limit: int
    concurrency: Concurrency = UNBOUNDED
    remote: RemoteTerms | None = None


class ClaimedJobs(Struct, frozen=True):
    """What was leased. `next_at`: when a claim of the same types could find more (now: at once).

    `held_back`: of some type or queue as many run as may, so that the end of one may make more
    claimable.
    """

    jobs: tuple[LeasedJob, ...]
    next_at: Instant | None
    held_back: bool = False


class DeliveryTerms(Struct, frozen=True):
    """How deliveries are leased: at most `slots` sending at once for a destination.

    `first_wait_seconds` is the first entry of the default schedule: when a delivery is first due,
    counted from its event, if the job or endpoint names no schedule. An endpoint of which nothing
    but failures came for `failing_seconds` is disabled; 0: none is. `rate_per_second` bounds how
    often one is sent to a destination that has no rate of its own; None: as often as slots allow.
    `breaker` says when breakers open, and for how long.
    """

    slots: int
    lease_seconds: float
    first_wait_seconds: float = 0.0
    failing_seconds: float = 0.0
    rate_per_second: float | None = None
    breaker: BreakerTerms = DEFAULT_BREAKER


EVERYBODY: Final[Mapping[str, int]] = MappingProxyType({})
"""No caller has less room than the others."""


class ClaimedDeliveries(Struct, frozen=True):
    """What was leased. `next_at`: when a claim could find more."""

    deliveries: tuple[LeasedDelivery, ...]
    next_at: Instant | None


class Renewed(Struct, frozen=True):
    """A remote worker's lease lasts until `until`; its job was asked to stop, or not."""

    until: Instant
    cancel_requested: bool


class RemoteLease(Struct, frozen=True):
    """A remote worker's lease, and its job as it stands.

    `until`: it is in force until then at least (it may have ended, and nobody was given the job
    yet: what is said under it still counts). None: under it the job was ended or put back, and
    under no other since. `began_at` is when it was given out, and `asked` which of the events that
    are stored only if somebody asks an endpoint subscribes to; both are told while it is in force.
    """

    job: Job
    until: Instant | None
    began_at: Instant | None = None
    asked: frozenset[EventType] = frozenset()


class HeldJob(Struct, frozen=True):
    """A running job as its holder is told of it."""

    job_id: str
    lease: str
    cancel_requested: bool


class Overdue(Struct, frozen=True):
    """What the sweep found, oldest first; the engine decides what becomes of each.

    `lost_jobs`: running, their holder's lease ended, and either their attempts are used up or no
    claim took them (`lease` as stored). `late_jobs`: not done, `deadline` or `startBy` passed (with
    their lease, None if waiting). `lost_deliveries`: their lease ended, and their unknown attempts
    are used up or they were asked to cancel (with their job, and the registered endpoint that they
    go to). `old_deliveries`: pending, 30 days after they were
    made or redelivered.
    """

    lost_jobs: tuple[tuple[Job, str], ...] = ()
    late_jobs: tuple[tuple[Job, str | None], ...] = ()
    lost_deliveries: tuple[tuple[Delivery, str, Job | None, Endpoint | None], ...] = ()
    old_deliveries: tuple[Delivery, ...] = ()


# --- Callers -----------------------------------------------------------------------------------


class Addition(Enum):
    """What became of a key or secret to add."""

    ADDED = "added"
    NO_CALLER = "no caller"
    """There is no caller, or endpoint, whose it would be."""
    TOO_MANY = "too many"
    """As many as may be in force are: nothing was changed."""


class SecretRecord(Struct, frozen=True):
    """A signing secret, without itself. It signs until `expires_at`; None: until it is rotated."""

    created_at: Instant
    expires_at: Instant | None


class CallerRecord(Struct, frozen=True):
    """A caller with its keys and secrets that are in force, each newest first."""

    caller: Caller
    keys: tuple[ApiKey, ...]
    secrets: tuple[SecretRecord, ...]


class CallerPage(Struct, frozen=True):
    """A page of callers, newest first; `next` continues it (a sequence number); None: the end."""

    items: tuple[CallerRecord, ...]
    next: int | None
