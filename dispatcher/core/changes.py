"""The changes that the store applies, each with its guard.

A change names the state and the lease that it was decided for. The store applies it only if both
still hold (compare-and-set), so that a late worker changes nothing. `lifecycle` makes them.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from dispatcher.core.audit import AuditEntry
from dispatcher.core.breaker import Sign
from dispatcher.core.model import (
    Attempt,
    DeliveryState,
    EventType,
    Instant,
    Job,
    JobError,
    JobState,
    Progress,
)


class LeasedJob(Struct, frozen=True):
    """A running job together with the lease under which it may be changed.

    `until`: when a lease of its own ends if nobody renews it (a remote worker's); None: the job is
    held by a process, and its lease ends with that process's.
    `asked`: of `endpoints.ASKED_EVENTS`, those to which an enabled endpoint of its caller
    subscribed when it was leased.
    """

    job: Job
    lease: str
    input: bytes
    asked: frozenset[EventType] = frozenset()
    until: Instant | None = None


class FinishJob(Struct, frozen=True, kw_only=True):
    """End a job, write its terminal event, and owe the deliveries: one commit.

    Guard: `from_state` and `lease` (None for a waiting job). `event_id` is given, so that the same
    change sent twice is known again. `hand_off` asks the store to lease the callback's delivery at
    once to whoever sends this change, if the claim would choose it now.
    """

    job_id: str
    from_state: JobState
    lease: str | None
    to: JobState
    at: Instant
    event_id: str
    result: bytes | None = None
    error: JobError | None = None
    progress: Progress | None = None
    hand_off: bool = False


class ReleaseJob(Struct, frozen=True, kw_only=True):
    """Put a running job back: to be tried again, snoozed, or given back at drain.

    `refund` gives the attempt back. `crashed`: its worker was lost with its lease, which is
    counted. One that was asked to cancel, when this was decided already, is due at once: whoever
    claims it ends it. Guard: running, and `lease`.
    """

    job_id: str
    lease: str
    due_at: Instant
    retrying: bool
    refund: bool
    error: JobError | None = None
    progress: Progress | None = None
    crashed: bool = False


class AskCancel(Struct, frozen=True):
    """Note that a running job is to be stopped. Guard: running; a second one changes nothing."""

    job_id: str
    at: Instant


class NoteProgress(Struct, frozen=True, kw_only=True):
    """A running job tells how far it is. Guard: running, and `lease`.

    With `event_id` it is stored as an event too, and delivered to whoever asked for it.
    """

    job_id: str
    lease: str
    at: Instant
    progress: Progress
    event_id: str | None = None


class NoteOutput(Struct, frozen=True, kw_only=True):
    """A running job gives an intermediate result, always stored. Guard: running, and `lease`.

    `deliver` False: it is not sent as a callback, whoever asked for it (one of a kind in 500 ms).
    """

    job_id: str
    lease: str
    at: Instant
    event_id: str
    output: bytes
    progress: Progress | None = None
    deliver: bool = True


class NoteStarted(Struct, frozen=True, kw_only=True):
    """An attempt has begun; sent only where somebody asked for `job.started`. Guard: as above."""

    job_id: str
    lease: str
    at: Instant
    event_id: str


class RecordAttempt(Struct, frozen=True, kw_only=True):
    """Record what came of an attempt to deliver. Guard: sending, and `lease`.

    `to` is delivered, dead, or pending with the next `due_at`. `uses_entry` tells whether an entry
    of the schedule is used up. With `hand_off` the slot that comes free goes on at once: the oldest
    due delivery of the same destination is leased to whoever sends this change. One that was asked
    to cancel is canceled where `to` is pending: see `lifecycle.settled`. `gone`: the receiver
    answered 410, which disables the registered endpoint that it went to.
    `sign` is what the attempt tells of the receiver, and `jitter`, in [0, 1), draws how long a
    breaker that it opens stays open: see `breaker.after`.
    """

    delivery_id: str
    lease: str
    attempt: Attempt | None
    to: DeliveryState
    due_at: Instant
    uses_entry: bool
    at: Instant
    hand_off: bool = False
    gone: bool = False
    sign: Sign = Sign.NOTHING
    jitter: float = 0.0


class ReleaseDelivery(Struct, frozen=True):
    """Give a leased delivery back unsent, at drain. Guard: sending, and `lease`.

    One that was asked to cancel is canceled instead.
    """

    delivery_id: str
    lease: str
    due_at: Instant


class EndDelivery(Struct, frozen=True):
    """End a delivery that waits: canceled, or dead of age.

    One that is dead and keeps others waiting (`OnDead.BLOCK`) can be canceled too; either way the
    next of its order may go. Guard: pending (or that), in the round for which this
    was decided (None: in whichever it is).
    """

    delivery_id: str
    to: DeliveryState
    at: Instant
    round: int | None = None


class AskCancelDelivery(Struct, frozen=True):
    """Note that a delivery is not to be tried again after the attempt that is under way.

    Guard: sending; a second one changes nothing.
    """

    delivery_id: str
    at: Instant


class Redeliver(Struct, frozen=True, kw_only=True):
    """Begin a new round for a delivery that has ended: pending, due at once, the same event.

    `round` is the one that begins. Guard: ended, and in the round before it. Of many who begin the
    same round at once one does; it is `Applied` to all of them.
    """

    delivery_id: str
    round: int
    at: Instant


class PauseDestination(Struct, frozen=True):
    """Have nothing more sent to a destination until it is resumed; what is under way goes on.

    Guard: it is there; a second one changes nothing.
    """

    destination_id: str
    at: Instant


class ResumeDestination(Struct, frozen=True):
    """Send to a destination again. Guard: it is there; a second one changes nothing."""

    destination_id: str


JobChange: TypeAlias = FinishJob | ReleaseJob | AskCancel | NoteProgress | NoteOutput | NoteStarted
DeliveryChange: TypeAlias = (
    RecordAttempt | ReleaseDelivery | EndDelivery | AskCancelDelivery | Redeliver
)
DestinationChange: TypeAlias = PauseDestination | ResumeDestination
Change: TypeAlias = JobChange | DeliveryChange | DestinationChange


class Audited(Struct, frozen=True):
    """A change that somebody made by hand: if it is applied, the entry is written with it.

    The same entry is written once, however often the change is sent.
    """

    change: Change
    entry: AuditEntry
