"""One run of the state machine: each step is done to a store, then to the model, and compared."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from msgspec.structs import replace

from dispatcher.core.changes import Change, FinishJob, LeasedJob, RecordAttempt
from dispatcher.core.errors import Stopping
from dispatcher.core.lifecycle import TERMINAL_EVENTS
from dispatcher.core.model import DeliveryState, Instant, JobState
from dispatcher.ports.records import (
    Added,
    AddResult,
    Applied,
    ApplyResult,
    ClaimedDeliveries,
    ClaimedJobs,
    DeliveryTerms,
    JobClaim,
    KeyReused,
    KeySpent,
    LeasedDelivery,
    NewJob,
    RemoteTerms,
    Replayed,
    Stale,
)
from dispatcher.ports.store import Heart, Store
from dispatcher.testing.conformance.agreement import same_job
from dispatcher.testing.conformance.backend import Backend
from dispatcher.testing.conformance.model import Model
from dispatcher.testing.conformance.model_parts import ModelDelivery, ModelJob
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.turns import not_before_its_turn
from dispatcher.testing.conformance.values import raise_first

SLOTS: Final = 2
TERMS: Final = DeliveryTerms(slots=SLOTS, lease_seconds=20.0)
HOLD_SECONDS: Final = 30.0

Holder: TypeAlias = tuple[str, Heart, int]
"""Its id, its beat, and which store it beats through."""


class Run:
    """Two stores, the model of what they hold, and every token that was ever given out."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.model = Model(SLOTS)
        self.stores: list[Store] = []
        self.holders: list[Holder] = []
        self.leased_jobs: list[LeasedJob] = []
        self.remote: list[tuple[LeasedJob, RemoteTerms, Instant]] = []
        self.leased_deliveries: list[LeasedDelivery] = []
        self.applied: list[Change] = []
        # Whether somebody was told to claim deliveries now, and no claim has come to rest since.
        self.told = False

    async def begin(self) -> None:
        await self.backend.create()
        self.stores = [await self.backend.open(), await self.backend.open()]
        self.scene = Scene(self.backend, *self.stores)
        await self.scene.populate()

    @property
    def now(self) -> Instant:
        return self.backend.now()

    # --- holders -------------------------------------------------------------------------------

    async def hold(self, which: int) -> str:
        """A new holder."""
        holder = self.scene.ids.new("hld")
        heart = self.stores[which].heart(holder, "a machine", HOLD_SECONDS)
        await asyncio.to_thread(heart.beat)
        self.holders.append((holder, heart, which))
        self.model.holders[holder] = self.now + round(HOLD_SECONDS * 1000)
        return holder

    async def holder(self, which: int, pick: int) -> str:
        """One whose lease lasts; a new one if there is none."""
        alive = [h for h, _, _ in self.holders if self.model.holders[h] > self.now]
        return alive[-1 - pick % len(alive)] if alive else await self.hold(which)

    async def beat(self, pick: int) -> None:
        """Any holder beats, in time or too late."""
        if not self.holders:
            return
        holder, heart, _ = self.holders[-1 - pick % len(self.holders)]
        try:
            await asyncio.to_thread(heart.beat)
        except Stopping:
            assert self.model.holders[holder] <= self.now, "a holder in time is told to stop"
        else:
            assert self.model.holders[holder] > self.now, "a late holder is not told"
            self.model.holders[holder] = self.now + round(HOLD_SECONDS * 1000)

    async def release_holder(self, which: int, pick: int) -> None:
        if self.holders:
            holder, _, _ = self.holders[-1 - pick % len(self.holders)]
            await self.stores[which].release_holder(holder)
            self.model.holders[holder] = min(self.model.holders[holder], self.now)

    async def crash(self, which: int) -> None:
        """A process dies: its holders beat no more, and their leases last until their end."""
        await self.backend.crash(self.stores[which])
        for _, heart, through in self.holders:
            if through == which:
                heart.close()
        self.holders = [one for one in self.holders if one[2] != which]
        self.stores[which] = await self.backend.open()
        self.scene.store, self.scene.other = self.stores

    # --- jobs ----------------------------------------------------------------------------------

    async def add(self, which: int, news: Sequence[NewJob]) -> None:
        results: list[AddResult] = raise_first(await self.stores[which].add_jobs(news))
        for new, result in zip(news, results, strict=True):
            self._added(new, result)

    def _added(self, new: NewJob, result: AddResult) -> None:
        known = None
        if new.idempotency is not None:
            known = self.model.keys.get((new.job.caller_id, new.idempotency.key))
        if known is not None and new.idempotency is not None:
            if known[0].digest != new.idempotency.digest:
                assert result == KeyReused()
                return
            if known[1] not in self.model.jobs:
                assert result == KeySpent()
                return
            assert isinstance(result, Replayed)
            assert same_job(result.job, self.model.jobs[known[1]].job)
            return
        assert isinstance(result, Added)
        if new.idempotency is not None:
            key = (new.job.caller_id, new.idempotency.key)
            self.model.keys[key] = (new.idempotency, new.job.id)
        added = ModelJob(new.job, new.input)
        before = list(self.model.queue_waits(new.job, self.now))
        chosen = new.hand_off is not None and self.model.would_begin(added, self.now)
        if result.leased is None:
            assert not (chosen and not before), "a job was not handed off though it could be"
        else:
            assert chosen, "a job was handed off though the claim would not choose it"
            before = [one for one in before if self.model.may_begin(one, self.now)]
            assert not before, "handed off past one that waits"
            assert new.hand_off is not None
            assert result.leased.lease == new.hand_off.lease
            self._hold_job(added, result.leased, new.hand_off.holder_id)
        self.model.jobs[new.job.id] = added

    def _hold_job(self, held: ModelJob, leased: LeasedJob, holder: str) -> None:
        """Check what a lease says of its job, then take it over."""
        expected = replace(
            held.job,
            state=JobState.RUNNING,
            attempt_count=held.job.attempt_count + 1,
            started_at=held.job.started_at or self.now,
            crash_count=held.job.crash_count + self.model.orphan(held, self.now),
            # How a job shows that it was retried, and the time it was due, end with the claim.
            retrying=leased.job.retrying,
            due_at=leased.job.due_at,
        )
        assert same_job(leased.job, expected)
        assert leased.input == held.input
        assert leased.lease not in [former.lease for former in self.leased_jobs]
        held.job, held.lease, held.holder = leased.job, leased.lease, holder
        self.leased_jobs.append(leased)

    async def claim(
        self,
        which: int,
        holder: str,
        types: Mapping[str, int],
        limit: int,
        remote: RemoteTerms | None = None,
    ) -> ClaimedJobs:
        """Claim; again as long as nothing is found though there is something and it is said so.

        A lane that has been emptied may look ready until a claim has looked at it.
        """
        for _ in range(2 + len(self.model.jobs)):
            claim = JobClaim(holder, types, limit, remote=remote)
            claimed = await self.stores[which].claim_jobs(claim)
            await self._claimed([claimed], holder, types, limit, which)
            if claimed.jobs or not limit or not self.model.must_be_claimed(types, self.now):
                return claimed
        raise AssertionError("nothing is claimed though jobs are due")

    async def claim_both(self, holder: str, types: Mapping[str, int], limit: int) -> None:
        """Two processes claim at the same time."""
        claim = JobClaim(holder, types, limit)
        claims = await asyncio.gather(*(store.claim_jobs(claim) for store in self.stores))
        await self._claimed(claims, holder, types, limit, 0)

    async def _claimed(
        self,
        claims: Sequence[ClaimedJobs],
        holder: str,
        types: Mapping[str, int],
        limit: int,
        which: int,
    ) -> None:
        for claimed in claims:
            assert len(claimed.jobs) <= limit
            for name, count in Counter(leased.job.type for leased in claimed.jobs).items():
                assert count <= types.get(name, 0), "more of a type than its free slots"
        orphans = [one for one in self.model.jobs.values() if self.model.orphan(one, self.now)]
        may = {one.job.id: one for one in self.model.may_be_claimed(types, self.now)}
        for leased in (leased for claimed in claims for leased in claimed.jobs):
            held = may.pop(leased.job.id, None)
            assert held is not None, f"{leased.job.id} was not to be claimed, or twice"
            not_before_its_turn(self.model, held, list(may.values()), claims, types, self.now)
            own = leased.lease if leased.until is not None else holder
            self._hold_job(held, leased, own)
            if leased.until is not None:
                self.model.holders[own] = leased.until
        await self._take_back([one for one in orphans if one.holder != holder], which)
        if len(claims) > 1:
            return
        (claimed,) = claims
        self._never_late(claimed.next_at, self.model.next_job_at(types, self.now))

    async def _take_back(self, orphans: list[ModelJob], which: int) -> None:
        """Whether a claim put other jobs of dead holders back is its own affair: look."""
        for held in orphans:
            record = await self.stores[1 - which].get_job(held.job.id, None)
            assert record is not None
            if record.job.state is JobState.RUNNING:
                continue
            assert record.job.state is JobState.WAITING
            assert held.job.attempt_count < held.job.max_attempts
            assert record.job.due_at <= self.now
            held.job = replace(
                held.job,
                state=JobState.WAITING,
                due_at=record.job.due_at,
                retrying=record.job.retrying,
                error=record.job.error,
                crash_count=held.job.crash_count + 1,
            )
            held.lease = held.holder = None

    def _never_late(self, said: Instant | None, true: Instant | None) -> None:
        if true is not None:
            assert said is not None, "nothing more is said to come, but something will"
            assert said <= true, f"more is said to come {said - true} ms too late"

    # --- changes -------------------------------------------------------------------------------

    async def apply(self, which: int, changes: Sequence[Change]) -> None:
        results: list[ApplyResult] = raise_first(await self.stores[which].apply(changes, TERMS))
        for change, result in zip(changes, results, strict=True):
            self._applied(change, result, alone=len(changes) == 1)
            if isinstance(result, Applied):
                ready_at = result.delivery_ready_at
                self.told = self.told or (ready_at is not None and ready_at <= self.now)

    def _applied(self, change: Change, result: ApplyResult, *, alone: bool) -> None:
        if self.model.is_repeated(change):
            assert isinstance(result, Applied), "what stands already is answered as stale"
            return
        if not self.model.applies(change):
            assert result == Stale(), f"a stale write was applied: {change}"
            return
        assert isinstance(result, Applied), f"a good write is stale: {change}"
        self.applied.append(change)
        if isinstance(change, FinishJob):
            self._handed(change, result, self.model.apply(change, self.now), alone=alone)
        elif isinstance(change, RecordAttempt):
            self._handed_on(change, result, alone=alone)
        else:
            self.model.apply(change, self.now)
            assert result.handed == ()

    def _handed_on(self, change: RecordAttempt, result: Applied, *, alone: bool) -> None:
        """The slot that came free goes to the oldest due of the same destination."""
        sent = self.model.by_id(change.delivery_id)
        assert sent is not None
        came_free = sent.held(self.now)
        was_full = self.model.free_slots(sent.place, self.now) <= 0
        self.model.apply(change, self.now)
        due = self.model.due(sent.place, self.now)
        if result.handed:
            assert change.hand_off
            (leased,) = result.handed
            chosen = self.model.deliveries[leased.event.id]
            assert chosen.place == sent.place
            assert chosen.claimable(self.now), "handed on, but not due"
            assert self.model.ready(chosen.place, self.now), "more than its slots, or paused"
            if chosen.delivery.state is DeliveryState.PENDING:
                alike = [one for one in due if one.retried == chosen.retried]
                assert chosen.delivery.due_at == min(one.delivery.due_at for one in alike)
            self._hold_delivery(chosen, leased)
        elif due and self.model.ready(sent.place, self.now):
            assert not (change.hand_off and came_free and alone), "a free slot was not handed on"
            if was_full and alone and not self.told:  # else one is on the way to claim them
                self._never_late(result.delivery_ready_at, self.now)

    def _handed(
        self, change: FinishJob, result: Applied, owed: ModelDelivery | None, *, alone: bool
    ) -> None:
        """Handed off exactly when the claim would choose it now."""
        if owed is None:
            assert result.handed == ()
            return
        others = [one for one in self.model.at(owed.place) if one is not owed]
        due = [one for one in others if one.delivery.state is DeliveryState.PENDING]
        may = (
            change.hand_off
            and owed.place not in self.model.paused
            and owed.delivery.due_at <= self.now
            and self.model.free_slots(owed.place, self.now) > 0
            and not any(one.delivery.due_at <= self.now and not one.retried for one in due)
        )
        if result.handed:
            assert may, "a delivery was handed off though the claim would not choose it"
            (leased,) = result.handed
            self._hold_delivery(owed, leased)
        elif may and alone:
            assert any(one.lost(self.now) for one in others), "a delivery was not handed off"
        if alone and not result.handed and owed.place not in self.model.paused:
            true = self.model.slot_free_at(owed.place, max(owed.delivery.due_at, self.now))
            self._never_late(result.delivery_ready_at, true)

    # --- deliveries ----------------------------------------------------------------------------

    def _hold_delivery(self, sent: ModelDelivery, leased: LeasedDelivery) -> None:
        """Check what a lease says of its delivery, then take it over."""
        expected = replace(
            sent.delivery,
            id=leased.delivery.id,
            state=DeliveryState.SENDING,
            unknown_count=sent.delivery.unknown_count + sent.lost(self.now),
            due_at=leased.delivery.due_at,
        )
        assert sent.delivery.id in ("", leased.delivery.id)
        assert leased.delivery == expected
        held = self.model.jobs[leased.delivery.job_id or ""]
        assert leased.job is not None
        assert same_job(leased.job, held.job)
        assert (leased.event.id, leased.event.type) in held.events
        assert leased.event.sequence == 1 + held.events.index((leased.event.id, leased.event.type))
        if leased.event.type in TERMINAL_EVENTS:
            assert leased.result == held.result
        assert leased.lease not in [former.lease for former in self.leased_deliveries]
        sent.delivery, sent.lease = leased.delivery, leased.lease
        sent.lease_until = self.now + round(TERMS.lease_seconds * 1000)
        self.leased_deliveries.append(leased)

    async def lease(self, which: int, limit: int) -> ClaimedDeliveries:
        """Claim; again as for jobs."""
        for _ in range(2 + len(self.model.deliveries)):
            claimed = await self.stores[which].claim_deliveries(limit, TERMS)
            self._leased([claimed], limit)
            if claimed.deliveries or not limit or self.model.next_delivery_at(self.now) != self.now:
                return claimed
        raise AssertionError("nothing is claimed though a destination is ready")

    async def lease_both(self, limit: int) -> None:
        """Two processes claim at the same time."""
        claims = await asyncio.gather(*(s.claim_deliveries(limit, TERMS) for s in self.stores))
        self._leased(claims, limit)

    def _leased(self, claims: Sequence[ClaimedDeliveries], limit: int) -> None:
        for claimed in claims:
            assert len(claimed.deliveries) <= limit
            self.told = claimed.next_at is not None and claimed.next_at <= self.now
        for leased in (leased for claimed in claims for leased in claimed.deliveries):
            sent = self.model.deliveries[leased.event.id]
            assert sent.claimable(self.now), f"{leased.delivery.id} was not to be claimed"
            if sent.delivery.state is DeliveryState.PENDING and len(claims) == 1:
                taken = {one.event.id for one in claims[0].deliveries}
                for one in self.model.at(sent.place):
                    if one.delivery.event_id not in taken and one.claimable(self.now):
                        older = one.delivery.due_at < sent.delivery.due_at
                        alike = one.retried == sent.retried
                        pending = one.delivery.state is DeliveryState.PENDING
                        assert not (older and pending and alike), "not the oldest due"
            assert self.model.ready(sent.place, self.now), "more than its slots, or paused"
            self._hold_delivery(sent, leased)
        if len(claims) == 1:
            self._never_late(claims[0].next_at, self.model.next_delivery_at(self.now))
