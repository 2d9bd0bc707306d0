"""What the store does for bulk operations; see `ports/store.py` for the contract as a whole.

A bulk operation is a running job that goes through things of one caller in the order received, step
by step. Each step is one commit: what it does to the things that it selected, together with how far
it has come. So after a crash nothing of a step is done or all of it, and it is resumed behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct

from dispatcher.core.changes import AskCancel, FinishJob, Redeliver
from dispatcher.core.model import Delivery, Job
from dispatcher.ports.records import (
    Added,
    AddResult,
    Applied,
    ApplyResult,
    DeliveryTerms,
    NewJob,
    NoRoom,
    Stale,
)
from dispatcher.ports.views import DeliveryFilter, JobFilter


class BulkState(Struct, frozen=True, kw_only=True):
    """How far a bulk operation has come: what its last step left.

    `after` is the place in the order received behind which it goes on. Of what `matched`, `changed`
    were changed and `skipped` were not (they had moved on, or could not be). `total` is how many
    there were to match when it began, None if that was too much to count. `ended`: nothing is left.
    """

    after: int = 0
    matched: int = 0
    changed: int = 0
    skipped: int = 0
    total: int | None = None
    ended: bool = False


class SelectedDeliveries(Struct, frozen=True):
    """Deliveries, oldest first. The next begin behind `after`; `ended`: there are no more.

    There may be fewer than asked for, or none, though more follow: a bounded number is looked at.
    """

    items: tuple[Delivery, ...]
    after: int
    ended: bool


class SelectedJobs(Struct, frozen=True):
    """Jobs, oldest first, each with its input if that was asked for; the rest as above."""

    items: tuple[tuple[Job, bytes | None], ...]
    after: int
    ended: bool


BulkItem: TypeAlias = Redeliver | FinishJob | AskCancel | NewJob


class BulkStep(Struct, frozen=True, kw_only=True):
    """One step of a bulk operation: `items` are done, and the state is kept, or nothing is.

    Guard: the job runs under `lease`, and its state's `after` is `since`. `items` must name each
    thing once. `matched` is how many were selected; of them `skipped` have no item.
    """

    job_id: str
    lease: str
    since: int
    after: int
    items: tuple[BulkItem, ...] = ()
    matched: int = 0
    skipped: int = 0
    total: int | None = None
    ended: bool = False


class BulkStepped(Struct, frozen=True):
    """The step stands, and so does `state`. `results` are those of the items, in their order.

    A step that was taken before and is sent again answers with the state alone.
    """

    state: BulkState
    results: tuple[ApplyResult | AddResult, ...] = ()


def took_effect(result: ApplyResult | AddResult) -> bool:
    """Whether what an item wanted is so now, rather than that it came too late."""
    return isinstance(result, Applied | Added)


def after_step(
    was: BulkState, step: BulkStep, results: Sequence[ApplyResult | AddResult]
) -> BulkState:
    """How far the operation has come once a step stands; `results` are those of its items."""
    changed = sum(map(took_effect, results))
    return BulkState(
        after=step.after,
        matched=was.matched + step.matched,
        changed=was.changed + changed,
        skipped=was.skipped + step.skipped + len(step.items) - changed,
        total=step.total,
        ended=step.ended,
    )


class BulkStore(Protocol):
    """What bulk operations ask."""

    async def bulk_state(self, job_id: str) -> BulkState:
        """How far the bulk operation of that job has come; one that has not begun is at 0."""
        ...

    async def select_deliveries(
        self, wanted: DeliveryFilter, *, after: int, limit: int
    ) -> SelectedDeliveries:
        """Up to `limit` deliveries in the order they were made, behind `after` (0: from the first).

        `wanted` names a `caller_id` and a final `state`. Its cost is bounded, whatever there is.
        """
        ...

    async def select_jobs(
        self,
        wanted: JobFilter,
        *,
        before_job: str,
        after: int,
        limit: int,
        with_input: bool = False,
    ) -> SelectedJobs:
        """Up to `limit` jobs in the order received, behind `after` and before the job `before_job`.

        `wanted` names a `caller_id`; its `status` None means: that have not ended. Jobs of the
        service's own types (`dispatcher.*`) are left out. With inputs a page ends early once those
        are some megabytes. Its cost is bounded, whatever there is.
        """
        ...

    async def advance_bulk(
        self, step: BulkStep, terms: DeliveryTerms
    ) -> BulkStepped | Stale | NoRoom:
        """Take a step; see `BulkStep` for its guard.

        Each item is applied as `JobStore.apply` and `add_jobs` would, and counts as changed if it
        is `Applied` or `Added`, and as skipped if it is not. If there is no room for a job that it
        adds, the answer is `NoRoom`, and nothing of the step is done.
        """
        ...
