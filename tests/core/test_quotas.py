from __future__ import annotations

import pytest

from dispatcher.core.limits import Limits
from dispatcher.core.model import Callback
from dispatcher.core.quotas import CallerLimits, Full, WaitRoom, room_for
from dispatcher.core.ratelimit import Rate
from dispatcher.core.retry import Schedule


def test_what_is_not_set_for_a_caller_is_the_default() -> None:
    default = CallerLimits(rate=Rate(1, 1), jobs_waiting=2, bytes_waiting=3, body_bytes=4)
    assert CallerLimits().over(default) == default
    own = CallerLimits(rate=Rate(9, 9), bytes_waiting=8)
    assert own.over(default) == CallerLimits(
        rate=Rate(9, 9), jobs_waiting=2, bytes_waiting=8, body_bytes=4
    )
    assert own.over(CallerLimits()) == own


def test_no_limit_is_in_force_unless_it_is_set() -> None:
    assert Limits().of_a_caller == CallerLimits(body_bytes=1_048_576)
    assert Limits().queue_jobs is None
    assert room_for(Limits().of_a_caller, None) is None


def test_the_settings_are_the_defaults_of_callers() -> None:
    limits = Limits(
        submissions=7,
        submissions_window_seconds=9,
        jobs_waiting=2,
        bytes_waiting=3,
        queue_jobs=4,
    )
    assert limits.of_a_caller == CallerLimits(
        rate=Rate(7, 9), jobs_waiting=2, bytes_waiting=3, body_bytes=1_048_576
    )
    assert limits.unlimited() == Limits(submissions_window_seconds=9)


@pytest.mark.parametrize(
    ("room", "jobs", "bytes_", "queue_jobs", "full"),
    [
        (WaitRoom(), 10**9, 10**9, 10**9, None),
        (WaitRoom(jobs=2), 2, 9, 9, None),
        (WaitRoom(jobs=2), 3, 9, 9, Full.JOBS),
        (WaitRoom(bytes=2), 9, 2, 9, None),
        (WaitRoom(bytes=2), 9, 3, 9, Full.BYTES),
        (WaitRoom(queue_jobs=2), 9, 9, 2, None),
        (WaitRoom(queue_jobs=2), 9, 9, 3, Full.QUEUE),
        (WaitRoom(jobs=1, bytes=1, queue_jobs=1), 2, 2, 2, Full.JOBS),
    ],
)
def test_room_is_full_beyond_the_first_limit_that_is_passed(
    room: WaitRoom, jobs: int, bytes_: int, queue_jobs: int, full: Full | None
) -> None:
    assert room.full(jobs=jobs, bytes_=bytes_, queue_jobs=queue_jobs) == full


def test_what_never_has_room() -> None:
    assert not WaitRoom().never_for(10**9)
    assert not WaitRoom(jobs=1, bytes=2, queue_jobs=1).never_for(2)
    assert WaitRoom(bytes=2).never_for(3)
    assert WaitRoom(jobs=0).never_for(0)
    assert WaitRoom(queue_jobs=0).never_for(0)


def test_each_limit_alone_makes_room() -> None:
    assert room_for(CallerLimits(body_bytes=1), 5) == WaitRoom(queue_jobs=5)
    assert room_for(CallerLimits(jobs_waiting=3), None) == WaitRoom(jobs=3)
    assert room_for(CallerLimits(bytes_waiting=3), None) == WaitRoom(bytes=3)


def test_a_job_s_own_schedule_comes_before_its_caller_s() -> None:
    bare = Callback(url="https://x.example/", origin="https://x.example")
    own, caller_s = Schedule((1,)), Schedule((2,))
    assert bare.own_schedule is None
    for schedule, caller_schedule, found in (
        (own, None, own),
        (None, caller_s, caller_s),
        (own, caller_s, own),
    ):
        callback = Callback(
            url=bare.url, origin=bare.origin, schedule=schedule, caller_schedule=caller_schedule
        )
        assert callback.own_schedule == found
