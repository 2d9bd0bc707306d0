"""What a bulk operation goes through, and what it decides to do with each thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from dispatcher.core.bulk import BulkKind, BulkOrder
from dispatcher.core.lifecycle import decide_cancel, decide_redeliver
from dispatcher.core.model import Caller, Delivery, Job
from dispatcher.core.replay import submission_of
from dispatcher.engine.accept import Accept
from dispatcher.engine.terms import System
from dispatcher.ports.bulk import BulkItem, BulkStore
from dispatcher.ports.records import NewJob
from dispatcher.ports.views import DeliveryFilter, JobFilter

COUNT_ITEMS: Final = 500
COUNT_PAGES: Final = 20
"""Counting beforehand is given up after so many pages of so many."""


class Choice(Struct, frozen=True):
    """What is to be done with one thing, a `job` or a `delivery`, shown as it stood before."""

    item: BulkItem
    job: Job | None = None
    delivery: Delivery | None = None


class Picked(Struct, frozen=True):
    """A page: how many were selected, and what is to be done with those that something is.

    `after` and `ended` as in `ports.bulk.SelectedJobs`.
    """

    count: int
    choices: tuple[Choice, ...]
    after: int
    ended: bool


class Picker:
    """Goes through the things of one bulk operation, oldest first.

    What was made after the bulk operation itself is never among them, so that it comes to an end:
    a job that it makes by a replay is not replayed once more.
    """

    def __init__(
        self,
        order: BulkOrder,
        job: Job,
        caller: Caller,
        store: BulkStore,
        accept: Accept,
        may_replay: Callable[[Job, bytes], bool],
        system: System,
    ) -> None:
        """`job` is the bulk operation's own, `caller` whose things they are."""
        self._order = order
        self._job = job
        self._store = store
        self._accept = accept
        self._may_replay = may_replay
        self._clock = system.clock
        self._ids = system.ids
        self._caller = caller
        self._room = accept.room(caller)

    async def count(self) -> int | None:
        """How many there are, None if that is too much to count."""
        found = after = 0
        for _ in range(COUNT_PAGES):
            page = await self.pick(after, COUNT_ITEMS, count_only=True)
            found += page.count
            if page.ended:
                return found
            after = page.after
        return None

    async def pick(self, after: int, limit: int, *, count_only: bool = False) -> Picked:
        """The next page, behind `after`; with `count_only` nothing is to be done."""
        if self._order.kind is BulkKind.REDELIVER:
            return await self._pick_deliveries(after, limit, count_only=count_only)
        return await self._pick_jobs(after, limit, count_only=count_only)

    async def _pick_deliveries(self, after: int, limit: int, *, count_only: bool) -> Picked:
        order, before = self._order, self._job.created_at  # they are not in one order with jobs
        if order.created_before is not None:
            before = min(before, order.created_before)
        wanted = DeliveryFilter(
            caller_id=self._caller.id,
            state=order.state,
            event_type=order.event_type,
            url=order.url,
            created_after=order.created_after,
            created_before=before,
        )
        page = await self._store.select_deliveries(wanted, after=after, limit=limit)
        now = self._clock.now()
        choices = tuple(
            Choice(change, delivery=each)
            for each in (() if count_only else page.items)
            if (change := decide_redeliver(each, now=now)) is not None
        )
        return Picked(len(page.items), choices, page.after, page.ended)

    async def _pick_jobs(self, after: int, limit: int, *, count_only: bool) -> Picked:
        order = self._order
        wanted = JobFilter(
            caller_id=self._caller.id,
            status=order.status,
            type=order.type,
            queue=order.queue,
            created_after=order.created_after,
            created_before=order.created_before,
        )
        replays = order.kind is BulkKind.REPLAY and not count_only
        page = await self._store.select_jobs(
            wanted, before_job=self._job.id, after=after, limit=limit, with_input=replays
        )
        decide = self._replay if order.kind is BulkKind.REPLAY else self._cancel
        decided = () if count_only else [decide(*each) for each in page.items]
        choices = tuple(each for each in decided if each is not None)
        return Picked(len(page.items), choices, page.after, page.ended)

    def _cancel(self, job: Job, _: bytes | None) -> Choice | None:
        if job.cancel_requested_at is not None:
            return None
        change = decide_cancel(job, now=self._clock.now(), event_id=self._ids.new("evt"))
        return None if change is None else Choice(change, job)

    def _replay(self, job: Job, body: bytes | None) -> Choice | None:
        if body is None or not self._may_replay(job, body):
            return None
        if self._room is not None and self._room.never_for(len(body)):
            return None  # the first ran at once, or was let in before: this would wait for ever
        again = submission_of(job, body, now=self._clock.now())
        return Choice(NewJob(self._accept.job(self._caller, again), body, room=self._room))
