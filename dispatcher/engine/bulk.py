"""Bulk operations: many deliveries redelivered, many jobs canceled or replayed, by one job.

A step selects some, decides on each, and commits all of that together with how far it has come. So
whatever happens, and however often the job is run, nothing is done twice and nothing left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from dispatcher.core.bulk import BulkKind, BulkOrder
from dispatcher.core.changes import AskCancel, FinishJob, LeasedJob
from dispatcher.core.errors import StoreError
from dispatcher.core.facts import (
    CancelAsked,
    JobAccepted,
    JobEnded,
    Redelivered,
    StoreFailed,
    StoreRecovered,
)
from dispatcher.core.model import Job, Progress
from dispatcher.core.outcome import GivenBack, JobOutcome, Succeeded, WorkerLost
from dispatcher.core.payload import encode
from dispatcher.engine.accept import Accept
from dispatcher.engine.commit import pause
from dispatcher.engine.jobs import Jobs
from dispatcher.engine.picking import COUNT_ITEMS, Choice, Picked, Picker
from dispatcher.engine.run import StopReason
from dispatcher.engine.terms import System
from dispatcher.ports.bulk import BulkState, BulkStep, BulkStepped, took_effect
from dispatcher.ports.records import (
    Added,
    AddResult,
    Applied,
    ApplyResult,
    DeliveryTerms,
    NewJob,
    NoRoom,
)
from dispatcher.ports.runner import RunReport
from dispatcher.ports.store import Store

STEP_ITEMS: Final = 50
"""So many are changed in one commit: whoever submits meanwhile waits for that much at most."""

LONGEST_REST_SECONDS: Final = 0.25
"""After a step it rests for as long as the step took, up to this: half of the time is others'."""

RETRY_SECONDS: Final = 1.0
"""While the store can't be used it is asked again so often."""

NO_ROOM_SECONDS: Final = 0.5
"""While no more jobs may wait, replays are tried again so often, fewer at a time."""

Answer = TypeVar("Answer")

DONE_WORDS: Final = {
    BulkKind.REDELIVER: "redelivered",
    BulkKind.REPLAY: "replayed",
    BulkKind.CANCEL: "canceled",
}


class _Sent(Struct):
    """What the last step of a run was to do, until its answer is there."""

    picked: Picked | None = None
    changed: int = 0
    """How many had been changed before it."""


class Bulk:
    """Carries bulk operations out."""

    def __init__(
        self,
        store: Store,
        jobs: Jobs,
        accept: Accept,
        *,
        may_replay: Callable[[Job, bytes], bool],
        terms: DeliveryTerms,
        system: System,
    ) -> None:
        """`may_replay` tells whether a job with this input could be submitted now."""
        self._store = store
        self._jobs = jobs
        self._accept = accept
        self._may_replay = may_replay
        self._terms = terms
        self._system = system
        self._clock = system.clock
        self._timers = system.timers
        self._observer = system.observer

    async def run(self, order: BulkOrder, leased: LeasedJob, report: RunReport) -> JobOutcome:
        """Go on from where the job's last step ended, to the end.

        It is given back when the service shuts down, and waits while the store can't be used. The
        result is `{"matched", "redelivered" | "replayed" | "canceled", "skipped", "dryRun"}`.
        """
        failed, sent = False, _Sent()
        while True:
            try:
                state = await self._go_on(order, leased, report, sent)
                break
            except StoreError as error:
                if not failed:
                    self._observer.saw(StoreFailed("bulk", str(error)))
                failed = True
                await pause(self._timers, RETRY_SECONDS)
        if failed:
            self._observer.saw(StoreRecovered("bulk"))
        if state is None:
            return WorkerLost()  # as the store knows already: this changes nothing
        if not state.ended:
            return GivenBack()
        result = {
            "matched": state.matched,
            DONE_WORDS[order.kind]: state.changed,
            "skipped": state.skipped,
            "dryRun": order.dry_run,
        }
        return Succeeded(encode(result))

    async def _go_on(
        self, order: BulkOrder, leased: LeasedJob, report: RunReport, sent: _Sent
    ) -> BulkState | None:
        """Take steps to the end, or until the service stops; None: the lease was lost.

        Of a step that was `sent` before a `StoreError`, and stands all the same, it tells first.
        """
        dry_run = order.dry_run
        picker = await self._picker(order, leased.job)
        state = await self._store.bulk_state(leased.job.id)
        if sent.picked is not None and sent.picked.after == state.after:
            self._tell_unanswered(sent.picked, state.changed - sent.changed)
        sent.picked = None
        if not state.after and not dry_run:
            state = replace(state, total=await picker.count())
        most = limit = COUNT_ITEMS if dry_run else STEP_ITEMS
        while True:
            report.progress(Progress(state.matched, state.total))
            if state.ended or self._accept.closed:
                return state
            began = self._clock.monotonic()
            picked = await picker.pick(state.after, limit, count_only=dry_run)
            sent.picked, sent.changed = picked, state.changed
            stepped = await _seen_through(self._step(leased, state, picked, dry_run=dry_run))
            sent.picked = None
            if isinstance(stepped, NoRoom):
                limit = max(limit // 2, 1)
                await pause(self._timers, NO_ROOM_SECONDS)
                continue
            if stepped is None:
                return None
            state, limit = stepped, min(limit * 2, most)
            took = self._clock.monotonic() - began
            if not state.ended:
                await pause(self._timers, min(took, LONGEST_REST_SECONDS))

    async def _picker(self, order: BulkOrder, job: Job) -> Picker:
        caller_id = order.caller_id or job.caller_id
        caller = await self._store.find_caller(caller_id)
        if caller is None:
            raise RuntimeError(f"the caller {caller_id} was there when this was submitted")
        return Picker(order, job, caller, self._store, self._accept, self._may_replay, self._system)

    async def _step(
        self, leased: LeasedJob, state: BulkState, picked: Picked, *, dry_run: bool
    ) -> BulkState | NoRoom | None:
        """Commit a step, and tell of what it did; None: the lease was lost."""
        step = BulkStep(
            job_id=leased.job.id,
            lease=leased.lease,
            since=state.after,
            after=picked.after,
            items=tuple(choice.item for choice in picked.choices),
            matched=picked.count,
            skipped=0 if dry_run else picked.count - len(picked.choices),
            total=state.total,
            ended=picked.ended,
        )
        stepped = await self._store.advance_bulk(step, self._terms)
        if isinstance(stepped, NoRoom):
            return stepped
        if not isinstance(stepped, BulkStepped):
            return None
        if stepped.results:
            for choice, result in zip(picked.choices, stepped.results, strict=True):
                self._wake_for(result)
                if took_effect(result):
                    self._tell(choice)
        else:  # it had been taken before, or had nothing to do
            self._tell_unanswered(picked, stepped.state.changed - state.changed)
        return stepped.state

    def _wake_for(self, result: ApplyResult | AddResult) -> None:
        if isinstance(result, Added):
            self._jobs.wake(result.job.due_at, result.job.type)
        if isinstance(result, Applied):
            self._jobs.wake_for(result)

    def _tell_unanswered(self, picked: Picked, changed: int) -> None:
        """Tell of a step that was taken, and changed so many, but of which no answer came.

        What became of each is known only if all of them were changed. But whatever may be claimed
        now is looked for at once.
        """
        if not picked.choices:
            return
        now = self._clock.now()
        self._jobs.wake_for(Applied(job_ready_at=now, delivery_ready_at=now))
        if changed == len(picked.choices):
            for choice in picked.choices:
                self._tell(choice)

    def _tell(self, choice: Choice) -> None:
        """Tell of something that was done."""
        if isinstance(choice.item, NewJob):
            self._observer.saw(JobAccepted(choice.item.job, handed_off=False))
        elif choice.delivery is not None:
            self._observer.saw(Redelivered(choice.delivery))
        elif isinstance(choice.item, AskCancel) and choice.job is not None:
            self._jobs.stop(choice.job.id, StopReason.CANCEL)
            self._observer.saw(CancelAsked(choice.job))
        elif isinstance(choice.item, FinishJob) and choice.job is not None:
            self._observer.saw(JobEnded(choice.job, choice.item.to))


async def _seen_through(step: Coroutine[Any, Any, Answer]) -> Answer:
    """What a step answers. Once begun it is committed and told of, even if the job is stopped."""
    taking = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(taking)
    except asyncio.CancelledError:
        await asyncio.wait((taking,))
        if not taking.cancelled():
            taking.exception()  # looked at: the next attempt goes by what the store says
        raise
