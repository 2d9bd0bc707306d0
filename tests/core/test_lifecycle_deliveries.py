"""What becomes of a delivery after each verdict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.changes import (
    AskCancelDelivery,
    EndDelivery,
    RecordAttempt,
    Redeliver,
)
from dispatcher.core.lifecycle import (
    DELIVERY_LIFE_MS,
    DELIVERY_TRANSITIONS,
    FINAL_DELIVERY_STATES,
    decide_cancel_delivery,
    decide_delivery,
    decide_redeliver,
    settled,
)
from dispatcher.core.model import Attempt, AttemptError, Delivery, DeliveryState, Instant
from dispatcher.core.ordering import OnDead
from dispatcher.core.outcome import Delivered, Gone, Refusal, Retriable, Unknown, Verdict
from dispatcher.core.retry import DEFAULT_SCHEDULE, Schedule
from tests.core.samples import DAY, LEASE, NOW, a_delivery, instants, jitters, schedules

ERROR = AttemptError("status", "the receiver answered 500")
THREE = Schedule((0.0, 10.0, 20.0))


def decided(
    verdict: Verdict,
    delivery: Delivery | None = None,
    *,
    schedule: Schedule = THREE,
    jitter: float = 0.0,
    now: Instant = NOW,
) -> RecordAttempt:
    delivery = a_delivery() if delivery is None else delivery
    attempt = Attempt(number=delivery.attempt_count + 1, at=now - 20, duration_ms=20)
    return decide_delivery(
        delivery, LEASE, verdict, schedule, attempt=attempt, now=now, jitter=jitter
    )


def test_a_2xx_ends_it_as_delivered() -> None:
    delivery = a_delivery()
    attempt = Attempt(number=1, at=NOW - 20, duration_ms=20, status_code=200)
    change = decide_delivery(
        delivery, LEASE, Delivered(), THREE, attempt=attempt, now=NOW, jitter=0.5
    )
    assert change == RecordAttempt(
        delivery_id=delivery.id,
        lease=LEASE,
        attempt=attempt,
        to=DeliveryState.DELIVERED,
        due_at=NOW,
        uses_entry=True,
        at=NOW,
        jitter=0.5,
    )


def test_a_success_at_the_last_attempt_is_a_success() -> None:
    late = a_delivery(attempt_count=2, entries_used=2, created_at=NOW - 40 * DAY)
    assert decided(Delivered(), late).to is DeliveryState.DELIVERED


@pytest.mark.parametrize("verdict", [Gone(ERROR), Refusal(ERROR)])
def test_gone_and_refused_addresses_end_it_at_the_first_attempt(verdict: Verdict) -> None:
    assert decided(verdict, schedule=DEFAULT_SCHEDULE).to is DeliveryState.DEAD


def test_a_failure_waits_by_the_schedule_until_no_entry_is_left() -> None:
    waits: list[int | None] = []
    for used in range(3):
        change = decided(Retriable(ERROR), a_delivery(attempt_count=used, entries_used=used))
        assert change.uses_entry
        waits.append(change.due_at - NOW if change.to is DeliveryState.PENDING else None)
    assert waits == [10_000, 20_000, None]


def test_the_default_schedule_ends_after_ten_attempts() -> None:
    def after(used: int) -> RecordAttempt:
        delivery = a_delivery(attempt_count=used, entries_used=used)
        return decided(Retriable(ERROR), delivery, schedule=DEFAULT_SCHEDULE)

    assert [after(used).to for used in range(10)] == [DeliveryState.PENDING] * 9 + [
        DeliveryState.DEAD
    ]


def test_jitter_adds_a_tenth_at_most() -> None:
    assert decided(Retriable(ERROR), jitter=0.5).due_at == NOW + 10_500


def test_entries_count_and_not_attempts() -> None:
    # Three attempts of unknown outcome were made again and used up nothing.
    delivery = a_delivery(attempt_count=3, entries_used=0)
    assert decided(Retriable(ERROR), delivery).due_at == NOW + 10_000


# --- Retry-After -------------------------------------------------------------------------------


def test_retry_after_moves_it_later() -> None:
    assert decided(Retriable(ERROR, NOW + 60_000)).due_at == NOW + 60_000


def test_retry_after_never_moves_it_earlier() -> None:
    assert decided(Retriable(ERROR, NOW + 9_999)).due_at == NOW + 10_000
    assert decided(Retriable(ERROR, NOW - DAY)).due_at == NOW + 10_000


def test_retry_after_counts_for_a_day_at_most() -> None:
    assert decided(Retriable(ERROR, NOW + DAY)).due_at == NOW + DAY
    assert decided(Retriable(ERROR, NOW + DAY + 1)).due_at == NOW + DAY
    # A schedule may wait longer than that.
    long = Schedule((0.0, 2 * 86_400.0))
    assert decided(Retriable(ERROR, NOW + 3 * DAY), schedule=long).due_at == NOW + 2 * DAY


def test_retry_after_makes_no_attempt_where_none_is_left() -> None:
    last = a_delivery(attempt_count=2, entries_used=2)
    assert decided(Retriable(ERROR, NOW + 60_000), last).to is DeliveryState.DEAD


# --- The end of its life -----------------------------------------------------------------------


def test_it_is_dead_thirty_days_after_it_was_made() -> None:
    assert DELIVERY_LIFE_MS == 30 * DAY
    made = NOW + 10_000 - 30 * DAY
    assert decided(Retriable(ERROR), a_delivery(created_at=made)).to is DeliveryState.DEAD
    assert decided(Retriable(ERROR), a_delivery(created_at=made + 1)).to is DeliveryState.PENDING


def test_a_retry_after_past_its_life_ends_it() -> None:
    made = NOW + 60_000 - 30 * DAY
    change = decided(Retriable(ERROR, NOW + 60_000), a_delivery(created_at=made))
    assert change.to is DeliveryState.DEAD


def test_a_redelivery_begins_its_life_anew() -> None:
    made = NOW - 40 * DAY
    began = NOW + 10_000 - 30 * DAY
    old = a_delivery(created_at=made, round=2, redelivered_at=began)
    young = a_delivery(created_at=made, round=2, redelivered_at=began + 1)
    assert decided(Retriable(ERROR), old).to is DeliveryState.DEAD
    assert decided(Retriable(ERROR), young).to is DeliveryState.PENDING


# --- Attempts that nobody recorded -------------------------------------------------------------


def test_unknown_attempts_use_up_an_entry_once_the_sweep_finds_them() -> None:
    delivery = a_delivery(attempt_count=0, entries_used=0, unknown_count=3)
    change = decide_delivery(delivery, LEASE, Unknown(), THREE, attempt=None, now=NOW, jitter=0.0)
    assert (change.to, change.due_at) == (DeliveryState.PENDING, NOW + 10_000)
    assert change.uses_entry
    assert change.attempt is None


def test_unknown_attempts_at_the_last_entry_end_it() -> None:
    last = a_delivery(attempt_count=2, entries_used=2, unknown_count=3)
    change = decide_delivery(last, LEASE, Unknown(), THREE, attempt=None, now=NOW, jitter=0.0)
    assert change.to is DeliveryState.DEAD


# --- Whatever comes in -------------------------------------------------------------------------

verdicts: st.SearchStrategy[Verdict] = st.one_of(
    st.just(Delivered()),
    st.builds(Retriable, st.just(ERROR), st.none() | instants),
    st.just(Gone(ERROR)),
    st.just(Refusal(ERROR)),
    st.just(Unknown()),
)


@given(verdicts, schedules, instants, instants, jitters, st.integers(0, 60), st.integers(0, 3))
def test_what_is_decided_of_a_delivery_is_a_transition_with_its_guard(
    verdict: Verdict,
    schedule: Schedule,
    created_at: Instant,
    now: Instant,
    jitter: float,
    used: int,
    unknown: int,
) -> None:
    delivery = a_delivery(
        created_at=created_at, attempt_count=used, entries_used=used, unknown_count=unknown
    )
    change = decide_delivery(
        delivery, LEASE, verdict, schedule, attempt=None, now=now, jitter=jitter
    )
    assert (change.delivery_id, change.lease, change.at) == (delivery.id, LEASE, now)
    assert change.to in DELIVERY_TRANSITIONS[DeliveryState.SENDING]
    assert change.to is DeliveryState.PENDING or change.to in FINAL_DELIVERY_STATES
    assert (change.to is DeliveryState.DELIVERED) == isinstance(verdict, Delivered)
    if change.to is DeliveryState.PENDING:
        assert used + 1 < len(schedule.seconds)
        assert change.due_at >= now + round(schedule.seconds[used + 1] * 1000)
        assert change.due_at < created_at + 30 * DAY


# --- What callers ask for ----------------------------------------------------------------------


@pytest.mark.parametrize("state", DeliveryState)
def test_a_new_round_begins_for_what_has_ended(state: DeliveryState) -> None:
    delivery = a_delivery(state=state, round=3)
    change = decide_redeliver(delivery, now=NOW)
    if state in FINAL_DELIVERY_STATES:
        assert change == Redeliver(delivery_id=delivery.id, round=4, at=NOW)
        assert DeliveryState.PENDING in DELIVERY_TRANSITIONS[state]
    else:
        assert change is None


@pytest.mark.parametrize("state", DeliveryState)
def test_canceling_ends_what_waits_and_notes_it_for_what_is_being_sent(
    state: DeliveryState,
) -> None:
    delivery = a_delivery(state=state, round=2)
    change = decide_cancel_delivery(delivery, now=NOW)
    match state:
        case DeliveryState.PENDING:
            assert change == EndDelivery(delivery.id, DeliveryState.CANCELED, NOW, 2)
        case DeliveryState.SENDING:
            assert change == AskCancelDelivery(delivery.id, NOW)
            asked = a_delivery(state=state, cancel_requested_at=NOW - 1)
            assert decide_cancel_delivery(asked, now=NOW) is None
        case _:
            assert change is None


@pytest.mark.parametrize("ordered", [None, *OnDead])
@pytest.mark.parametrize("state", sorted(FINAL_DELIVERY_STATES))
def test_of_those_that_ended_only_a_dead_one_that_keeps_others_waiting_is_canceled(
    state: DeliveryState, ordered: OnDead | None
) -> None:
    delivery = a_delivery(state=state, ordered=ordered, round=2)
    blocks = state is DeliveryState.DEAD and ordered is OnDead.BLOCK
    expected = EndDelivery(delivery.id, DeliveryState.CANCELED, NOW, 2) if blocks else None
    assert decide_cancel_delivery(delivery, now=NOW) == expected


@pytest.mark.parametrize("to", DeliveryState)
def test_what_was_asked_to_cancel_never_waits_again(to: DeliveryState) -> None:
    assert settled(to, cancel_requested=False) is to
    expected = DeliveryState.CANCELED if to is DeliveryState.PENDING else to
    assert settled(to, cancel_requested=True) is expected
