"""The two transition tables, and how a job's state is shown."""

from __future__ import annotations

import pytest

from dispatcher.core.lifecycle import (
    DELIVERY_TRANSITIONS,
    FINAL_DELIVERY_STATES,
    FINAL_JOB_STATES,
    JOB_TRANSITIONS,
    TERMINAL_EVENT,
    TERMINAL_EVENTS,
    shown_status,
    wants,
)
from dispatcher.core.model import DeliveryState, EventType, Job, JobState, JobStatus
from tests.core.samples import NOW, a_callback, a_running_job, a_waiting_job, an_ended_job

# --- The tables --------------------------------------------------------------------------------


def test_a_job_moves_as_the_contract_says_and_no_other_way() -> None:
    waiting, running = JobState.WAITING, JobState.RUNNING
    ends = {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED}
    assert {
        (a, b) for a, to in JOB_TRANSITIONS.items() for b in to
    } == {  # a job that waits can neither succeed nor fail
        (waiting, running),
        (waiting, JobState.CANCELED),
        (waiting, JobState.EXPIRED),
        (running, waiting),
        (running, running),
        *((running, end) for end in ends),
    }
    assert ends == FINAL_JOB_STATES
    assert set(JOB_TRANSITIONS) == set(JobState)


def test_a_delivery_moves_as_the_contract_says_and_no_other_way() -> None:
    pending, sending = DeliveryState.PENDING, DeliveryState.SENDING
    ends = {DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.CANCELED}
    assert {(a, b) for a, to in DELIVERY_TRANSITIONS.items() for b in to} == {
        (pending, sending),
        (pending, DeliveryState.DEAD),
        (pending, DeliveryState.CANCELED),
        (sending, pending),
        (sending, sending),
        *((sending, end) for end in ends),
        *((end, pending) for end in ends),  # redelivered
        (DeliveryState.DEAD, DeliveryState.CANCELED),  # it kept others waiting
    }
    assert ends == FINAL_DELIVERY_STATES
    assert set(DELIVERY_TRANSITIONS) == set(DeliveryState)


def test_every_end_has_an_event_of_its_own() -> None:
    assert set(TERMINAL_EVENT) == FINAL_JOB_STATES
    assert {state.value: event.value for state, event in TERMINAL_EVENT.items()} == {
        "succeeded": "job.succeeded",
        "failed": "job.failed",
        "canceled": "job.canceled",
        "expired": "job.expired",
    }


# --- What is shown -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("job", "status"),
    [
        (a_waiting_job(due_at=NOW), JobStatus.QUEUED),
        (a_waiting_job(due_at=NOW + 1), JobStatus.SCHEDULED),
        (a_waiting_job(due_at=NOW + 1, retrying=True), JobStatus.RETRYING),
        (a_waiting_job(due_at=NOW, retrying=True), JobStatus.QUEUED),
        (a_running_job(due_at=NOW + 1), JobStatus.RUNNING),
        (an_ended_job(JobState.SUCCEEDED), JobStatus.SUCCEEDED),
        (an_ended_job(JobState.FAILED), JobStatus.FAILED),
        (an_ended_job(JobState.CANCELED), JobStatus.CANCELED),
        (an_ended_job(JobState.EXPIRED), JobStatus.EXPIRED),
    ],
)
def test_a_waiting_job_shows_why_it_waits(job: Job, status: JobStatus) -> None:
    assert shown_status(job, NOW) is status


def test_without_a_choice_a_callback_wants_the_ends() -> None:
    job = a_running_job(callback=a_callback())
    assert {event for event in EventType if wants(job, event)} == TERMINAL_EVENTS


def test_a_callback_wants_what_it_chose_and_nothing_else() -> None:
    chosen = (EventType.JOB_STARTED, EventType.JOB_OUTPUT)
    job = a_running_job(callback=a_callback(events=chosen))
    assert {event for event in EventType if wants(job, event)} == set(chosen)
    none = a_running_job(callback=a_callback(events=()))
    assert not any(wants(none, event) for event in EventType)


def test_without_a_callback_nothing_is_wanted() -> None:
    assert not any(wants(a_running_job(), event) for event in EventType)
