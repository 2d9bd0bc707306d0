"""The store: what it must do, whatever the technology.

This docstring is the contract; `dispatcher.testing.conformance` tries each sentence of it on every
adapter, through two stores opened on the same database.

**Atomicity.** Each item of a list is applied whole or not at all, and durably before the call
returns: after that a `kill -9` loses nothing. Items of one call, and of calls under way at the same
time, may share a commit (no timer: what arrives while one commit is under way goes into the next).
Results are per item, in the order of the items. One item that is stale, or that the database
refuses, rolls back no other: it alone fails, and its exception stands in its place in the answer.
Cancelling the wait for an answer does not cancel the work.

**Order.** The order received is a database sequence, never an id or a clock.

**Keys.** Jobs of one caller with the same `ordering_key` run one after another, whatever their
queue, type and priority. A job joins its key's order when it first becomes due. Of those that have
joined and have not ended only the *front* may be leased: the one that has begun (`started_at`),
also while it waits to be tried again; if none has, the first received. (Of scheduled jobs that
become due together by the hundreds, a store may let those join first that were due first.) The
front holds the others back whatever keeps it from running: a paused queue, no slot, its being too
late until the sweep has ended it. What waits behind a front costs claims of other jobs nothing.

**Time.** `now` is the store's own clock, injected when it is made. It decides what is due and which
lease has ended. `at` in a change is the engine's, and is only recorded.

**Leases.** A running job is held by a *holder*, a process that beats (`Heart`); its lease ends when
its holder's does. Or a remote worker holds it, under a lease of its own (`LeaseStore`). Nothing is
leased to a holder that never beat or whose lease has ended: its claim is empty, and a hand-off to
it waits. A sending delivery has a fixed lease. Each lease has a token, new at each claim. A change
names the token; if it is no longer the row's, or the state is another, the answer is `Stale` and
nothing has changed. A change that was applied already (the same event id, or the same attempt
number under the same lease) and is sent again answers `Applied` again, without effect: so a write
whose answer was lost with the connection can be repeated. For a remote worker
putting a job back is such a change too, as long as the job has not ended, or been put back under
another remote lease, since.

**Lanes and destinations.** Jobs of one (caller, queue, type) wait in a *lane*; deliveries of one
(caller, origin) wait for a *destination*. Both are rows with `ready_at`: never later than the true
instant at which the next of theirs could be claimed, null when nothing waits. Claims pick ready
lanes or destinations first, longest unserved first, and take from each in turn, so that a million
due rows in one cost the others nothing, and cost does not grow with finished rows.

**Feed.** Events are read in the order of their commits (`FeedReader`). Where sequence numbers are
given out before a commit, as databases with several writers do, a page ends before the first that
may still be under way. Whoever erases events, in whichever way, keeps the newest erased of each
caller, so that a reader who comes back later than that is told of the gap.

**Flow.** How many more may be sent to a destination now is bounded by its free slots
(`DeliveryTerms.slots`, leases that last), by what its breaker allows (`breaker.allowance`: none
while it is open, one probe then, more and more while half-open), and by its rate (`core.rate`; its
own, or that of the terms; every lease counts). Nothing is leased for one that is paused or held, in
no way; what was under way is recorded all the same. Claims, both hand-offs and new rounds obey all
of that, and whatever `ready_at` and `next_at` say takes it into account.

In a destination first attempts go before deliveries that were tried before, but one turn in four is
theirs (`turns.in_turn`); each kind by due time, then in the order owed. `RecordAttempt` tells the
breaker by `sign`: `no-connection` is the destination's failure, `no-service` that of the URL (for
1,000 URLs of a destination at most, those that failed last; of an endpoint's destination both are
its own), `answered` speaks for both, `nothing` for none. `breaker.after` decides in the commit,
with the store's now; the state outlives the process, and is forgotten a day after it last changed,
or when nothing speaks against the receiver any more. Deliveries for a URL whose breaker is not
closed wait in a line of their own: the others of the destination don't wait behind them, however
many they are; the line has what its own breaker allows, within the destination's slots. Waiting
uses up no attempt.

**Order.** The terminal callbacks of one chain (`ordering.chain_of`, if `Callback.ordered`) are sent
one at a time in the order owed. A new one is `blocked` if an earlier one is open, or dead with
`OnDead.BLOCK`; in the commit in which that ends (or is erased, or stops blocking) the first that
waits is let go. A new round of one waits only for one that is under way.

**Links.** The store is given `links_base`, the public URL, when it is made; each event keeps it, so
that a callback's bytes don't change when the setting does.

**Retention.** The store is given `dead_kept_seconds` when it is made: so long a dead delivery, and
with it its job and all that its callback is made of, stays to be redelivered. It is given
`audit_kept_seconds` too: so long an entry of the audit log stays; and `erased_kept_seconds`: so
long it is known of what was erased that it was there (`was_erased`).

**Hand-off.** A job may be inserted already leased, a delivery too, exactly when the claim would
choose it now: see `add_jobs` and `apply`.

**Errors.** `StoreUnavailable` (try again), `StoreCorrupt`, `SchemaMismatch`; nothing else but
programming errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from dispatcher.core.changes import Audited, Change
from dispatcher.core.model import Instant, JobType
from dispatcher.ports.audit import AuditStore
from dispatcher.ports.bulk import BulkStore
from dispatcher.ports.callers import CallerStore, ServiceKeyStore
from dispatcher.ports.endpoints import EndpointStore
from dispatcher.ports.erasing import EraseStore
from dispatcher.ports.leases import LeaseStore, PauseStore
from dispatcher.ports.readers import BacklogReader, DestinationReader, FeedReader, JobReader
from dispatcher.ports.records import (
    EVERYBODY,
    AddResult,
    ApplyResult,
    ClaimedDeliveries,
    ClaimedJobs,
    DeliveryTerms,
    HeldJob,
    JobClaim,
    NewJob,
    Overdue,
)


class Heart(Protocol):
    """A holder's beat, usable from a thread of its own while the event loop is blocked."""

    def beat(self) -> None:
        """Make the holder's lease last `lease_seconds` from the store's now; make it if it is new.

        Blocks until the beat is durable. Raises `StoreUnavailable`, or `Stopping` when the lease
        had ended before (then what it held may be another's: stop it, and hold anew).
        """
        ...

    def close(self) -> None:
        """Let go of what the beat needs; the lease itself stays until `release_holder`."""
        ...


class JobStore(Protocol):
    """Jobs and the deliveries they owe."""

    async def add_jobs(self, jobs: Sequence[NewJob]) -> list[AddResult | Exception]:
        """Add jobs: the 202 is sent after this returns.

        Two jobs with the same key of one caller, in one call, in two at once, or over two stores:
        one is `Added`, the other `Replayed` or `KeyReused`. A key outlives its job, and is
        `KeySpent` then. A job that would have to wait is added only if there is `room`, else it is
        `NoRoom`; a known key is answered before that is asked. What waits is counted as of the
        commit; of jobs that are added at the same time over another store it need not be seen.
        """
        ...

    async def claim_jobs(self, claim: JobClaim) -> ClaimedJobs:
        """Lease due jobs: state running, `attempt_count` plus one, `started_at` at the first.

        Within one caller and queue the highest priority first, with ageing (a level of priority is
        worth `AGEING_MS` of waiting), then the order received; between lanes in turn; never more
        than `concurrency` allows, nothing of a paused queue, and of a key its front alone. Jobs
        whose `startBy` or `deadline` has passed are left to the sweep. Before that, running jobs
        whose holder's lease has ended and that have attempts left are taken back, whoever held
        them, unless they were asked to cancel: those, too, are left to the sweep. Each time that is
        so `crash_count` goes up by one. When `concurrency` leaves no room for what waits, `next_at`
        does not speak of it: whoever ends a job of that type or queue claims again.
        """
        ...

    async def claim_deliveries(
        self, limit: int, terms: DeliveryTerms, room: Mapping[str, int] = EVERYBODY
    ) -> ClaimedDeliveries:
        """Lease up to `limit` due deliveries, by ready destination; *Flow* says which of each.

        `room`: no more than this of each caller named there; one with no room is passed over, and
        `next_at` says nothing of it. A delivery whose lease has ended counts as due at once, up to
        three times in a row (`unknown_count`); after that, or if it was asked to cancel, it is left
        to the sweep.
        """
        ...

    async def apply(
        self, changes: Sequence[Change | Audited], terms: DeliveryTerms
    ) -> list[ApplyResult | Exception]:
        """Apply changes with compare-and-set; see each change for its guard and effect.

        `FinishJob` writes the state, result, event (`sequence` is the next of the job), and a
        pending delivery for the callback if it wants the event; the next job of its key, if it had
        one and was the front, becomes the front (`job_ready_at` says so); pending deliveries of the
        job's earlier, best-effort events are canceled; the lease is cleared. With `hand_off` the
        delivery is leased at once by `terms`, if one more may be sent to its destination and no
        first attempt of it is pending and due, nor an earlier one of its chain open.
        `RecordAttempt` keeps the first attempt in the delivery's own row; with `hand_off` the
        delivery whose turn it is at the destination is leased in the slot that came free.
        Deliveries of events that are not terminal are due at once. `Redeliver` makes the delivery
        wait again, due at once: no lease is given, and its destination is there and ready. It is
        `Stale` for an endpoint that was deleted. `Audited` applies the change in it, and if that is
        applied writes its entry in the same commit.

        Whatever writes an event owes it, in the same commit, to each endpoint of its caller that
        `endpoints.is_owed` names (an output whose `deliver` is False to none): pending, by the
        endpoint's own schedule or else the default one, at a destination of the endpoint's own.

        A delivery of a `job.*` event that becomes dead, however, writes `delivery.dead` with
        `payload.dead_data`. `RecordAttempt` keeps an endpoint's stretch of failures: an attempt to
        its present URL that fails begins one, one that succeeds ends it, and with `gone`, or when
        `endpoints.fails_too_long`, the endpoint is disabled as `ports/endpoints.py` says.
        """
        ...

    async def sweep(self, limit: int) -> Overdue:
        """Find up to `limit` of each kind of what is overdue, by index; changes nothing."""
        ...

    async def held_jobs(self, holder_id: str) -> list[HeldJob]:
        """The running jobs that `holder_id` holds: who was asked to cancel, and who is a stray."""
        ...

    async def prune(self, limit: int) -> int:
        """Erase up to `limit` jobs past `expires_at`, with all of theirs.

        One that owes an open delivery stays, and so does one with a delivery that is dead since
        less than `dead_kept_seconds`; other deliveries that have ended go with their job.
        Also forgets idempotency keys past their time, holders without jobs, entries of the audit
        log older than `audit_kept_seconds`, what was erased `erased_kept_seconds` ago, and events
        without a job that are older than `dead_kept_seconds`, unless a delivery of theirs keeps
        them as it would a job; and goes on with endpoints that were deleted: see
        `ports/endpoints.py`. Returns how many jobs went, or deliveries of deleted endpoints ended,
        whichever is more, and `limit` if there was more to look at than it may in one call: less
        than `limit` says that nothing more is to be done now. Calls at the same time erase
        different jobs, and don't wait for each other. Jobs that stay are looked at again in turn,
        some at each call, so that however many they are they hold up no other. So it is with what
        the database refuses to erase, which is logged.
        """
        ...


class Store(
    JobStore,
    LeaseStore,
    PauseStore,
    JobReader,
    FeedReader,
    BacklogReader,
    DestinationReader,
    BulkStore,
    EraseStore,
    CallerStore,
    ServiceKeyStore,
    EndpointStore,
    AuditStore,
    Protocol,
):
    """The whole store, as adapters offer it and `compose` hands it out."""

    async def open(self) -> None:
        """Connect; create or migrate the schema where that is this adapter's to do."""
        ...

    async def close(self) -> None:
        """Finish what is under way and let go of everything."""
        ...

    async def check(self) -> None:
        """Read and write once, to tell whether the store works now; raises `StoreError`."""
        ...

    async def now(self) -> Instant:
        """The store's own clock, which decides: see *Time*."""
        ...

    def heart(self, holder_id: str, name: str, lease_seconds: float) -> Heart:
        """The beat of a holder. `name` tells operators which process it is."""
        ...

    async def release_holder(self, holder_id: str) -> None:
        """End a holder's lease at once: at the end of a drain."""
        ...

    async def end_other_leases(self, holder_id: str) -> None:
        """End the leases of every other holder and of every sending delivery.

        Only for a process that knows it is alone (the lock of the SQLite file), at its start.
        """
        ...

    async def put_types(self, types: Sequence[JobType]) -> None:
        """Declare types: added, or replaced by name."""
        ...

    async def list_types(self) -> list[JobType]:
        """Every declared type, by name."""
        ...

    async def key_check(self, token: bytes | None) -> bytes | None:
        """The stored proof of the encryption key; with `token` it is stored if there was none."""
        ...
