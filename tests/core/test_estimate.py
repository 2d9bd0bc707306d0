from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dispatcher.core.estimate import Recent, finish_at, poll_seconds
from dispatcher.core.model import JobState
from tests.fact_samples import JOB

NOW = 1_000_000
RUNNING = replace(JOB, state=JobState.RUNNING, started_at=NOW, due_at=NOW - 500)
WAITING = replace(JOB, state=JobState.WAITING, attempt_count=0, due_at=NOW)
RECENT = Recent(ran=(100, 200, 300, 4_000, 9_000), waited=(0, 10, 50, 60, 70))


@pytest.mark.parametrize(
    ("elapsed", "expected"),
    [(0, 300), (99, 300), (100, 4_000), (300, 9_000), (4_000, 9_000), (8_999, 9_000)],
)
def test_a_running_job_takes_as_long_as_the_median_of_those_that_took_longer(
    elapsed: int, expected: int
) -> None:
    assert finish_at(RUNNING, RECENT, NOW + elapsed) == NOW + expected


def test_nobody_can_tell_of_a_job_that_has_outrun_all_others() -> None:
    assert finish_at(RUNNING, RECENT, NOW + 9_000) is None


def test_nobody_can_tell_before_one_has_succeeded_or_after_the_end() -> None:
    assert finish_at(RUNNING, Recent(), NOW) is None
    assert finish_at(WAITING, Recent(), NOW) is None
    ended = replace(RUNNING, state=JobState.SUCCEEDED, finished_at=NOW)
    assert finish_at(ended, RECENT, NOW) is None


def test_a_later_attempt_counts_as_begun_now() -> None:
    again = replace(RUNNING, attempt_count=2, started_at=NOW - 60_000)
    assert finish_at(again, RECENT, NOW) == NOW + 300


def test_a_clock_that_was_set_back_does_no_harm() -> None:
    assert finish_at(RUNNING, RECENT, NOW - 5) == NOW - 5 + 300


@pytest.mark.parametrize(
    ("due_in", "expected"),
    [
        (0, 50 + 300),  # due now: the median wait, then the median duration
        (5_000, 5_050 + 300),  # waits for its time first
        (-55, -55 + 70 + 300),  # of those that waited longer than 55 ms the median waited 70
        (-70, 0 + 300),  # none waited longer: its turn must come now
    ],
)
def test_a_waiting_job_waits_and_runs_as_others_did(due_in: int, expected: int) -> None:
    assert finish_at(replace(WAITING, due_at=NOW + due_in), RECENT, NOW) == NOW + expected


@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=32),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=32),
    st.integers(-(10**6), 10**6),
    st.booleans(),
)
def test_an_estimate_never_lies_in_the_past(
    ran: list[int], waited: list[int], due_in: int, running: bool
) -> None:
    recent = Recent(tuple(sorted(ran)), tuple(sorted(waited)))
    job = replace(WAITING, due_at=NOW + due_in)
    if running:
        job = replace(RUNNING, started_at=NOW + due_in)
    found = finish_at(job, recent, NOW)
    assert found is None or found >= NOW


@pytest.mark.parametrize(
    ("estimated_in", "expected"), [(0, 1), (900, 1), (1_001, 2), (30_000, 30), (10**9, 300)]
)
def test_who_polls_is_told_to_come_back_when_it_should_be_done(
    estimated_in: int, expected: int
) -> None:
    assert poll_seconds(RUNNING, NOW + estimated_in, NOW) == expected


def test_without_an_estimate_when_it_is_due() -> None:
    assert poll_seconds(replace(WAITING, due_at=NOW + 4_200), None, NOW) == 5
    assert poll_seconds(WAITING, None, NOW) == 1
    assert poll_seconds(RUNNING, None, NOW) == 1
    assert poll_seconds(replace(RUNNING, finished_at=NOW), None, NOW) is None
