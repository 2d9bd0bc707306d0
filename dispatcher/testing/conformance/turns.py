"""Whose turn it is, as far as the contract says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from dispatcher.core.model import Instant, JobState
from dispatcher.ports.records import ClaimedJobs
from dispatcher.testing.conformance.model import Model
from dispatcher.testing.conformance.model_parts import ModelJob


def not_before_its_turn(
    model: Model,
    chosen: ModelJob,
    left: list[ModelJob],
    claims: Sequence[ClaimedJobs],
    types: Mapping[str, int],
    now: Instant,
) -> None:
    """Nothing of its caller and queue that was left stands before it in every respect."""
    taken = {leased.job.id for claimed in claims for leased in claimed.jobs}
    counts = Counter(leased.job.type for claimed in claims for leased in claimed.jobs)
    order = list(model.jobs)
    for one in left:
        same_queue = (one.job.caller_id, one.job.queue) == (
            chosen.job.caller_id,
            chosen.job.queue,
        )
        if not same_queue or one.job.id in taken or not one.waits(now):
            continue
        if counts[one.job.type] >= types[one.job.type]:
            continue
        assert not (
            one.job.priority >= chosen.job.priority
            and one.job.due_at <= chosen.job.due_at
            and order.index(one.job.id) < order.index(chosen.job.id)
            and chosen.job.state is JobState.WAITING
        ), f"{chosen.job.id} was claimed before {one.job.id}"
