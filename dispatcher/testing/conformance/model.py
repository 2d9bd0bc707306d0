"""What a store must hold, as plain dictionaries: the model that the state machine checks against.

It is slow and obvious on purpose. Values are what readers should show; each has beside it what only
the store knows: leases, holders, when they end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import assert_never

from msgspec.structs import replace

from dispatcher.core.changes import (
    AskCancel,
    AskCancelDelivery,
    Change,
    DeliveryChange,
    DestinationChange,
    EndDelivery,
    FinishJob,
    LeasedJob,
    NoteOutput,
    NoteProgress,
    RecordAttempt,
    Redeliver,
    ReleaseDelivery,
    ReleaseJob,
)
from dispatcher.core.lifecycle import (
    FINAL_DELIVERY_STATES,
    TERMINAL_EVENT,
    TERMINAL_EVENTS,
    settled,
    wants,
)
from dispatcher.core.model import (
    Attempt,
    Delivery,
    DeliveryState,
    EventType,
    Instant,
    Job,
    JobState,
)
from dispatcher.ports.records import Idempotency, LeasedDelivery
from dispatcher.testing.conformance.model_parts import ModelDelivery, ModelJob, Place, same_key


@dataclass
class Model:
    """All of it. Jobs stand in the order received."""

    slots: int
    jobs: dict[str, ModelJob] = field(default_factory=dict)
    deliveries: dict[str, ModelDelivery] = field(default_factory=dict)
    holders: dict[str, Instant] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[Idempotency, str]] = field(default_factory=dict)
    queues_paused: dict[str | None, Instant] = field(default_factory=dict)
    paused: set[Place] = field(default_factory=set)

    # --- jobs ----------------------------------------------------------------------------------

    def orphan(self, held: ModelJob, now: Instant) -> bool:
        """Whether it runs under a holder whose lease has ended."""
        if held.job.state is not JobState.RUNNING:
            return False
        return self.holders.get(held.holder or "", 0) <= now

    def may_be_claimed(self, types: Mapping[str, int], now: Instant) -> list[ModelJob]:
        """The jobs that a claim may take, by its types."""
        return [
            one
            for one in self.jobs.values()
            if types.get(one.job.type, 0) > 0
            and self.may_begin(one, now)
            and (
                one.waits(now)
                or (self.orphan(one, now) and one.job.attempt_count < one.job.max_attempts)
            )
        ]

    def may_begin(self, held: ModelJob, now: Instant) -> bool:
        """Whether nothing but slots could keep it from being claimed once it waits and is due."""
        paused = None in self.queues_paused or held.job.queue in self.queues_paused
        return not paused and not held.late(now) and self.is_front(held, now)

    def is_front(self, held: ModelJob, now: Instant) -> bool:
        """Whether it is its turn by its key: it has begun, or is the first of those due."""
        if held.job.ordering_key is None or held.begun:
            return True
        of_key = [one for one in self.jobs.values() if same_key(one, held)]
        if any(one.begun for one in of_key):
            return False
        return next((one for one in of_key if one.waits(now)), held) is held

    def would_begin(self, added: ModelJob, now: Instant) -> bool:
        """Whether a job that is about to be added would be claimed now, but for others waiting."""
        alone = all(
            not one.begun and not one.waits(now)
            for one in self.jobs.values()
            if same_key(one, added)
        )
        return added.waits(now) and self.may_begin(added, now) and alone

    def must_be_claimed(self, types: Mapping[str, int], now: Instant) -> list[ModelJob]:
        """Those that no claim may leave, if there is room: a canceled orphan can be the sweep's."""
        may = self.may_be_claimed(types, now)
        return [one for one in may if one.waits(now) or one.job.cancel_requested_at is None]

    def next_job_at(self, types: Mapping[str, int], now: Instant) -> Instant | None:
        """When the next of those that wait can be claimed, if ever."""
        instants = [
            max(one.job.due_at, now)
            for one in self.jobs.values()
            if one.job.state is JobState.WAITING and types.get(one.job.type, 0) > 0
            if self.may_begin(one, max(one.job.due_at, now))
        ]
        return min(instants, default=None)

    def jobs_lease(self, job_id: str) -> str | None:
        """The token in force of a job, if it is there and running."""
        held = self.jobs.get(job_id)
        return None if held is None else held.lease

    def is_anothers(self, leased: LeasedJob) -> bool:
        """Whether the job runs under a later token than this one."""
        lease = self.jobs_lease(leased.job.id)
        return lease is not None and lease != leased.lease

    def queue_waits(self, job: Job, now: Instant) -> Iterator[ModelJob]:
        """The jobs of the same caller and queue that wait and are due."""
        for one in self.jobs.values():
            if (one.job.caller_id, one.job.queue) == (job.caller_id, job.queue) and one.waits(now):
                yield one

    # --- deliveries ----------------------------------------------------------------------------

    def at(self, place: Place) -> list[ModelDelivery]:
        """The deliveries of a destination."""
        return [one for one in self.deliveries.values() if one.place == place]

    def due(self, place: Place, now: Instant) -> list[ModelDelivery]:
        """Those of a destination that are pending and due."""
        pending = [one for one in self.at(place) if one.delivery.state is DeliveryState.PENDING]
        return [one for one in pending if one.claimable(now)]

    def places(self) -> set[Place]:
        """Every destination."""
        return {one.place for one in self.deliveries.values()}

    def free_slots(self, place: Place, now: Instant) -> int:
        """How many more may be sent there."""
        return self.slots - sum(one.held(now) for one in self.at(place))

    def slot_free_at(self, place: Place, since: Instant) -> Instant:
        """From when one more may be sent there, if nothing else happens."""
        ends = sorted(one.lease_until for one in self.at(place) if one.held(since))
        return since if len(ends) < self.slots else ends[-self.slots]

    def next_delivery_at(self, now: Instant) -> Instant | None:
        """When a claim will find a delivery if nothing else happens, if ever."""
        instants = {now}
        for one in self.deliveries.values():
            instants |= {max(now, one.delivery.due_at), max(now, one.lease_until)}
        for instant in sorted(instants):
            if any(self.ready(place, instant) for place in self.places()):
                return instant
        return None

    def ready(self, place: Place, now: Instant) -> bool:
        """Whether a claim finds something for that destination."""
        if place in self.paused:
            return False
        return self.free_slots(place, now) > 0 and any(one.claimable(now) for one in self.at(place))

    def by_id(self, delivery_id: str) -> ModelDelivery | None:
        """The delivery with that id."""
        found = (one for one in self.deliveries.values() if one.delivery.id == delivery_id)
        return next(found, None)

    def deliverys_lease(self, leased: LeasedDelivery) -> str | None:
        """The token in force of a delivery, if it is there and being sent."""
        sent = self.deliveries.get(leased.event.id)
        return None if sent is None else sent.lease

    def of_job(self, job_id: str) -> list[ModelDelivery]:
        """The deliveries of a job."""
        return [one for one in self.deliveries.values() if one.delivery.job_id == job_id]

    # --- changes -------------------------------------------------------------------------------

    def is_repeated(self, change: Change) -> bool:
        """Whether the change was applied before, as its event id or its attempt tells."""
        match change:
            case FinishJob() | NoteOutput() | NoteProgress():
                held = self.jobs.get(change.job_id)
                return held is not None and change.event_id in [event for event, _ in held.events]
            case RecordAttempt(attempt=Attempt() as attempt):
                sent = self.by_id(change.delivery_id)
                return sent is not None and (attempt.number, change.lease) in sent.recorded
            case Redeliver():
                sent = self.by_id(change.delivery_id)
                return sent is not None and sent.delivery.round >= change.round
            case ReleaseJob():
                held = self.jobs.get(change.job_id)
                return held is not None and held.last_lease == change.lease and not held.job.done
            case _:
                return False

    def applies(self, change: Change) -> bool:
        """Whether the guard of the change holds."""
        if isinstance(change, DeliveryChange):
            sent = self.by_id(change.delivery_id)
            return sent is not None and self._fits_delivery(change, sent)
        if isinstance(change, DestinationChange):
            raise TypeError("of destinations `upkeep.pause` knows")
        held = self.jobs.get(change.job_id)
        if held is None:
            return False
        if isinstance(change, FinishJob):
            return (held.job.state, held.lease) == (change.from_state, change.lease)
        if held.job.state is not JobState.RUNNING:
            return False
        return isinstance(change, AskCancel) or held.lease == change.lease

    def _fits_delivery(self, change: DeliveryChange, sent: ModelDelivery) -> bool:
        state = sent.delivery.state
        match change:
            case EndDelivery():
                same_round = change.round in (None, sent.delivery.round)
                return state is DeliveryState.PENDING and same_round
            case AskCancelDelivery():
                return state is DeliveryState.SENDING
            case Redeliver():
                next_round = sent.delivery.round + 1
                return state in FINAL_DELIVERY_STATES and change.round == next_round
            case RecordAttempt() | ReleaseDelivery():
                return state is DeliveryState.SENDING and sent.lease == change.lease
            case _:
                assert_never(change)

    def apply(self, change: Change, now: Instant) -> ModelDelivery | None:
        """Do what the change says; the delivery that is owed for it, if one is."""
        match change:
            case FinishJob():
                return self._finish(change, now)
            case ReleaseJob():
                self._release(change, now)
            case AskCancel():
                held = self.jobs[change.job_id]
                asked_at = held.job.cancel_requested_at or change.at
                held.job = replace(held.job, cancel_requested_at=asked_at)
            case NoteOutput() | NoteProgress():
                return self._note(change, now)
            case RecordAttempt():
                self._record(change)
            case ReleaseDelivery() | EndDelivery():
                self._put_down(change, now)
            case AskCancelDelivery() | Redeliver():
                self._steer(change, now)
            case _:
                raise AssertionError(f"the machine never makes {change}")
        return None

    def _finish(self, change: FinishJob, now: Instant) -> ModelDelivery | None:
        held = self.jobs[change.job_id]
        held.job = replace(
            held.job,
            state=change.to,
            finished_at=change.at,
            expires_at=change.at + round(held.job.retention_seconds * 1000),
            error=change.error,
            result_bytes=None if change.result is None else len(change.result),
            progress=change.progress or held.job.progress,
        )
        held.let_go()
        held.result = change.result
        for one in self.of_job(change.job_id):
            best_effort = one.delivery.event_type not in TERMINAL_EVENTS
            if one.delivery.state is DeliveryState.PENDING and best_effort:
                one.delivery = replace(
                    one.delivery, state=DeliveryState.CANCELED, finished_at=change.at
                )
        return self._tell(held, change.event_id, TERMINAL_EVENT[change.to], now)

    def _note(self, change: NoteOutput | NoteProgress, now: Instant) -> ModelDelivery | None:
        held = self.jobs[change.job_id]
        held.job = replace(held.job, progress=change.progress or held.job.progress)
        if change.event_id is None:
            return None
        output = isinstance(change, NoteOutput)
        kind = EventType.JOB_OUTPUT if output else EventType.JOB_PROGRESS
        return self._tell(held, change.event_id, kind, now)

    def _release(self, change: ReleaseJob, now: Instant) -> None:
        held = self.jobs[change.job_id]
        asked = held.job.cancel_requested_at is not None
        held.job = replace(
            held.job,
            state=JobState.WAITING,
            due_at=min(change.due_at, now) if asked else change.due_at,
            retrying=change.retrying,
            attempt_count=held.job.attempt_count - change.refund,
            error=change.error,
            progress=change.progress or held.job.progress,
        )
        held.let_go()

    def _tell(
        self, held: ModelJob, event_id: str, kind: EventType, now: Instant
    ) -> ModelDelivery | None:
        held.events.append((event_id, kind))
        held.job = replace(held.job, event_count=held.job.event_count + 1)
        callback = held.job.callback
        if callback is None or not wants(held.job, kind):
            return None
        wait_seconds = callback.schedule.seconds[0] if callback.schedule else 0
        due_at = now + (round(wait_seconds * 1000) if kind in TERMINAL_EVENTS else 0)
        owed = ModelDelivery(
            Delivery(
                id="",
                event_id=event_id,
                event_type=kind,
                job_id=held.job.id,
                caller_id=held.job.caller_id,
                url=callback.url,
                origin=callback.origin,
                state=DeliveryState.PENDING,
                created_at=now,
                due_at=due_at,
            )
        )
        self.deliveries[event_id] = owed
        return owed

    def _record(self, change: RecordAttempt) -> None:
        sent = self.by_id(change.delivery_id)
        assert sent is not None
        if change.attempt is not None:
            sent.attempts.append(change.attempt)
            sent.recorded.add((change.attempt.number, change.lease))
        asked = sent.delivery.cancel_requested_at is not None
        to = settled(change.to, cancel_requested=asked)
        sent.delivery = replace(
            sent.delivery,
            state=to,
            due_at=change.due_at,
            attempt_count=len(sent.attempts),
            entries_used=sent.delivery.entries_used + change.uses_entry,
            unknown_count=0,
            finished_at=change.at if to in FINAL_DELIVERY_STATES else None,
        )
        sent.lease = None

    def _put_down(self, change: ReleaseDelivery | EndDelivery, now: Instant) -> None:
        sent = self.by_id(change.delivery_id)
        assert sent is not None
        if isinstance(change, EndDelivery):
            sent.delivery = replace(sent.delivery, state=change.to, finished_at=change.at)
            return
        asked = sent.delivery.cancel_requested_at is not None
        sent.delivery = replace(
            sent.delivery,
            state=settled(DeliveryState.PENDING, cancel_requested=asked),
            due_at=change.due_at,
            finished_at=now if asked else None,
        )
        sent.lease = None

    def _steer(self, change: AskCancelDelivery | Redeliver, now: Instant) -> None:
        sent = self.by_id(change.delivery_id)
        assert sent is not None
        if isinstance(change, AskCancelDelivery):
            asked_at = sent.delivery.cancel_requested_at or change.at
            sent.delivery = replace(sent.delivery, cancel_requested_at=asked_at)
            return
        sent.delivery = replace(
            sent.delivery,
            state=DeliveryState.PENDING,
            due_at=now,
            entries_used=0,
            unknown_count=0,
            finished_at=None,
            round=change.round,
            redelivered_at=change.at,
            cancel_requested_at=None,
        )

    def forget(self, job_ids: Iterable[str]) -> None:
        """Erase jobs with all of theirs. The keys that stood for them stay, spent."""
        for job_id in job_ids:
            del self.jobs[job_id]
            gone = [e for e, one in self.deliveries.items() if one.delivery.job_id == job_id]
            for event_id in gone:
                del self.deliveries[event_id]
