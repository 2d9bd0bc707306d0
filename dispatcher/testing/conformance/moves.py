"""Changes that the state machine makes: of which kind, with which token, how."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st
from msgspec import Struct

from dispatcher.core.changes import (
    AskCancel,
    AskCancelDelivery,
    Change,
    EndDelivery,
    NoteOutput,
    NoteProgress,
    Redeliver,
    ReleaseDelivery,
)
from dispatcher.core.lifecycle import FINAL_DELIVERY_STATES, decide_cancel_delivery
from dispatcher.core.model import DeliveryState, JobState, Progress
from dispatcher.testing.conformance.changing import note_output
from dispatcher.testing.conformance.run import Run
from dispatcher.testing.conformance.values import an_attempt


class Move(Struct, frozen=True, repr_omit_defaults=True):
    """A change to be made: of which kind, with which token (0: the latest), how.

    `late`: with any token that was ever given out, most of them ended; else with one in force.
    """

    kind: str
    token: int = 0
    delay_ms: int = 0
    flag: bool = False
    late: bool = False


JOB_MOVES: Final = ("succeeded", "failed", "canceled", "retry", "refund", "output", "progress")
OTHER_MOVES: Final = ("ask-cancel", "end-waiting")
DELIVERIES_STEERED: Final = ("end-pending", "cancel-delivery", "redeliver")
DELIVERY_MOVES: Final = ("delivered", "dead", "tried", "unsent")
MOVES: Final = st.builds(
    Move,
    kind=st.sampled_from(JOB_MOVES + DELIVERY_MOVES + DELIVERIES_STEERED + OTHER_MOVES),
    token=st.integers(0, 12),
    delay_ms=st.sampled_from((0, 1, 5_000)),
    flag=st.booleans(),
    late=st.sampled_from((False, False, True)),
)


def as_change(run: Run, move: Move) -> Change | None:
    """The change that a move describes; None if there is nothing to make it of."""
    if move.kind in JOB_MOVES:
        return _of_a_job(run, move)
    if move.kind in DELIVERY_MOVES:
        return _of_a_delivery(run, move)
    if move.kind in DELIVERIES_STEERED:
        return _steered(run, move)
    jobs = [one.job for one in run.model.jobs.values()]
    if not jobs:
        return None
    job = jobs[-1 - move.token % len(jobs)]
    if move.kind == "ask-cancel":
        return AskCancel(job.id, run.now)
    return run.scene.end_waiting(job, JobState.CANCELED if move.flag else JobState.EXPIRED)


def _of_a_job(run: Run, move: Move) -> Change | None:
    tokens = run.leased_jobs
    if move.late:  # best of all one whose job is another's by now
        tokens = [one for one in tokens if run.model.is_anothers(one)] or tokens
    else:
        tokens = [one for one in tokens if run.model.jobs_lease(one.job.id) == one.lease]
    if not tokens:
        return None
    leased = tokens[-1 - move.token % len(tokens)]
    match move.kind:
        case "retry" | "refund":
            retrying = move.kind == "retry"
            return run.scene.back(leased, after_seconds=move.delay_ms / 1000, retrying=retrying)
        case "output":
            output: NoteOutput = note_output(run.scene, leased.job, leased.lease)
            return output
        case "progress":
            return NoteProgress(
                job_id=leased.job.id,
                lease=leased.lease,
                at=run.now,
                progress=Progress(move.token),
                event_id=run.scene.ids.new("evt") if move.flag else None,
            )
        case _:
            return run.scene.finish(leased, JobState(move.kind), hand_off=move.flag)


def _of_a_delivery(run: Run, move: Move) -> Change | None:
    tokens = run.leased_deliveries
    if not move.late:
        tokens = [one for one in tokens if run.model.deliverys_lease(one) == one.lease]
    if not tokens:
        return None
    leased = tokens[-1 - move.token % len(tokens)]
    if move.kind == "unsent":
        return ReleaseDelivery(leased.delivery.id, leased.lease, run.now + move.delay_ms)
    to = DeliveryState.PENDING if move.kind == "tried" else DeliveryState(move.kind)
    number = leased.delivery.attempt_count + 1
    return run.scene.tried(
        leased,
        to,
        after_seconds=move.delay_ms / 1000,
        attempt=an_attempt(number, run.now, status=None if move.delay_ms else 500),
        uses_entry=move.delay_ms != 1,
        hand_off=move.flag,
    )


def _steered(run: Run, move: Move) -> Change | None:
    """A change of a delivery that needs no lease."""
    known = [one.delivery for one in run.model.deliveries.values()]
    if move.kind == "redeliver" and not move.late:
        known = [delivery for delivery in known if delivery.state in FINAL_DELIVERY_STATES]
    if move.kind == "cancel-delivery" and move.flag:
        known = [delivery for delivery in known if delivery.state is DeliveryState.SENDING]
    if not known:
        return None
    delivery = known[-1 - move.token % len(known)]
    match move.kind:
        case "redeliver":
            begins = delivery.round if move.late and move.flag else delivery.round + 1
            return Redeliver(delivery_id=delivery.id, round=begins, at=run.now)
        case "cancel-delivery":
            asked = None if move.late else decide_cancel_delivery(delivery, now=run.now)
            return asked or AskCancelDelivery(delivery.id, run.now)
        case _:
            to = DeliveryState.CANCELED if move.flag else DeliveryState.DEAD
            decided_in = 1 if move.late else None
            return EndDelivery(delivery.id, to, run.now, decided_in)
