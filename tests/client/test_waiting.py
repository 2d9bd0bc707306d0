"""Waiting: by held answers where they are held, else by looks that grow apart."""

from __future__ import annotations

import pytest

from dispatcher.client import Job, NotFound, Patience, Unreachable, WaitTimedOut
from tests.client.played import Reply, job, played

HELD = {"Preference-Applied": "wait=45", "Retry-After": "1"}


async def test_answers_that_are_held_are_asked_for_one_after_another() -> None:
    replies = [
        Reply(200, job("running"), HELD, took=45.0),
        Reply(200, job("running"), HELD, took=45.0),
        Reply(200, job("succeeded"), HELD, took=3.0),
    ]
    async with played(*replies) as (service, client):
        done = await client.wait("job_1")
    assert done.succeeded
    assert [each.headers["prefer"] for each in service.seen] == ["wait=45"] * 3
    assert service.pauses == []


async def test_a_service_that_does_not_hold_answers_is_asked_now_and_then() -> None:
    looks = [Reply(200, job("running"), {"Retry-After": "1"})] * 10
    async with played(*looks, Reply(200, job("failed"))) as (service, client):
        done = await client.wait("job_1")
    assert (done.status, done.succeeded) == ("failed", False)
    assert len(service.seen) == 11
    assert service.pauses[:3] == pytest.approx([0.05, 0.075, 0.1125])
    assert max(service.pauses) <= 1.0
    assert service.pauses[-1] == 1.0


async def test_a_wait_that_is_cut_short_again_and_again_does_not_spin() -> None:
    """A service that stops answers all who wait, at once."""
    replies = [Reply(200, job("running"), HELD)] * 3
    async with played(*replies, Reply(200, job("succeeded"), HELD)) as (service, client):
        await client.wait("job_1")
    assert service.pauses == pytest.approx([0.05, 0.075, 0.1125])


async def test_after_an_answer_that_was_held_looks_are_close_together_again() -> None:
    cut, held = (Reply(200, job("running"), HELD, took=took) for took in (0.0, 45.0))
    done = Reply(200, job("succeeded"), HELD)
    async with played(cut, cut, held, cut, cut, done) as (service, client):
        await client.wait("job_1")
    assert service.pauses == pytest.approx([0.05, 0.075, 0.05, 0.075])


async def test_an_answer_that_is_slow_was_not_held() -> None:
    slow = Reply(200, job("running"), {"ETag": '"a"'}, took=2.0)
    for told in (None, lambda _: None):
        async with played(slow, slow, slow, Reply(200, job("succeeded"))) as (service, client):
            await client.wait("job_1", on_change=told)
        # Whoever wants to hear of changes looks twice at first, to learn the tag.
        assert service.pauses == pytest.approx([0.05, 0.075, 0.1125][: 3 if told is None else 2])


async def test_no_pause_is_longer_than_the_time_that_is_left() -> None:
    async with played(Reply(200, job("running"))) as (service, client):
        with pytest.raises(WaitTimedOut):
            await client.wait("job_1", timeout_seconds=0.06)
    assert service.pauses == pytest.approx([0.05, 0.01])


async def test_changes_are_told_once_each() -> None:
    replies = [
        Reply(200, job("queued"), {"Retry-After": "1", "ETag": '"a"'}),
        Reply(200, job("running"), {**HELD, "ETag": '"b"'}, took=2.0),
        Reply(304, None, {**HELD, "ETag": '"b"'}, took=45.0),
        Reply(200, job("running", progress={"current": 1}), {**HELD, "ETag": '"c"'}, took=1.0),
        Reply(200, job("succeeded"), {**HELD, "ETag": '"d"'}, took=1.0),
    ]
    seen: list[Job] = []
    async with played(*replies) as (service, client):
        done = await client.wait("job_1", on_change=seen.append)
    assert [each.status for each in seen] == ["queued", "running", "running", "succeeded"]
    assert seen[-1] is done
    known = [each.headers.get("if-none-match") for each in service.seen]
    assert known == [None, '"a"', '"b"', '"b"', '"c"']
    held = [each.headers.get("prefer") for each in service.seen]
    assert held == [None, *["wait=45"] * 4]
    assert service.pauses == []


async def test_time_runs_out() -> None:
    replies = [Reply(200, job("running"), HELD, took=45.0), Reply(200, job("running"), HELD, 15.5)]
    async with played(*replies) as (service, client):
        with pytest.raises(WaitTimedOut, match="job_1 is running after 60") as caught:
            await client.wait("job_1", timeout_seconds=60.5)
    assert caught.value.job.status == "running"
    assert [each.headers["prefer"] for each in service.seen] == ["wait=45", "wait=15"]


async def test_a_look_without_time_is_one_look() -> None:
    async with played(Reply(200, job("running"))) as (service, client):
        with pytest.raises(WaitTimedOut):
            await client.wait("job_1", timeout_seconds=0)
    (seen,) = service.seen
    assert "prefer" not in seen.headers


async def test_a_service_that_restarts_is_waited_for() -> None:
    replies = [Reply(503, headers={"Retry-After": "1"}), Reply(0), Reply(200, job("succeeded"))]
    async with played(*replies) as (_, client):
        assert (await client.wait("job_1")).done


async def test_what_does_not_help_is_told() -> None:
    async with played(Reply(404, {"code": "job-not-found"})) as (_, client):
        with pytest.raises(NotFound):
            await client.wait("job_1")
    async with played(Reply(0), patience=Patience(tries=2)) as (_, client):
        with pytest.raises(Unreachable):
            await client.wait("job_1")
