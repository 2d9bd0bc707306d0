"""What a job was submitted as, to be submitted once more."""

from __future__ import annotations

from msgspec.structs import replace

from dispatcher.core.model import Callback, Job, JobState, Submission, Trace
from dispatcher.core.replay import submission_of
from dispatcher.core.retry import Schedule

HOUR = 3_600_000
CALLBACK = Callback(url="https://a.example/", origin="https://a.example", headers=("X-A",))
JOB = Job(
    id="job_1",
    caller_id="clr_1",
    type="mail.send",
    queue="mails",
    priority=7,
    state=JobState.FAILED,
    attempt_count=3,
    max_attempts=4,
    timeout_seconds=5.0,
    retention_seconds=6.0,
    created_at=100 * HOUR,
    due_at=101 * HOUR,
    callback=CALLBACK,
    correlation_id="c-1",
    metadata={"a": "b"},
    trace=Trace("00-1"),
    ordering_key="k-1",
)


def again(**members: object) -> Submission:
    return submission_of(replace(JOB, **members), b"[1]", now=110 * HOUR)


def test_everything_is_as_it_was() -> None:
    assert again() == Submission(
        type="mail.send",
        input=b"[1]",
        queue="mails",
        priority=7,
        timeout_seconds=5.0,
        max_attempts=4,
        retention_seconds=6.0,
        callback=JOB.callback,
        correlation_id="c-1",
        metadata={"a": "b"},
        trace=JOB.trace,
        ordering_key="k-1",
        replay_of="job_1",
    )


def test_the_schedule_of_its_caller_is_settled_anew() -> None:
    own, caller_s = Schedule((1,)), Schedule((2,))
    bare = replace(CALLBACK, schedule=own)
    kept = again(callback=replace(bare, caller_schedule=caller_s)).callback
    assert kept == bare
    assert again(callback=None).callback is None


def test_of_a_replay_the_replay_is_named() -> None:
    assert again(replay_of="job_0").replay_of == "job_1"


def test_a_time_to_run_that_has_passed_means_now() -> None:
    assert again(run_at=110 * HOUR).run_at is None
    assert again(run_at=111 * HOUR).run_at == 111 * HOUR


def test_bounds_keep_their_distance() -> None:
    later = again(start_by=101 * HOUR, deadline=102 * HOUR)
    assert (later.start_by, later.deadline) == (111 * HOUR, 112 * HOUR)


def test_a_clock_that_went_back_brings_no_bound_nearer() -> None:
    early = submission_of(replace(JOB, deadline=102 * HOUR), b"", now=99 * HOUR)
    assert early.deadline == 102 * HOUR


def test_nothing_that_a_submission_says_is_left_out() -> None:
    """Each member of a submission is a job's too, but for the input, which is handed in."""
    assert set(Submission.__struct_fields__) - set(Job.__struct_fields__) == {"input", "new_trace"}
