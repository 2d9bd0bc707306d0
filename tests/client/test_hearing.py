"""Following a job, and the feed."""

from __future__ import annotations

import logging

import pytest

from dispatcher.client import (
    BadRequest,
    NotFound,
    Patience,
    ReceivedEvent,
    Unavailable,
    Unreachable,
)
from tests.client.played import Reply, event, job, page, played, streaming, written

LAST = event(3, "job.succeeded")
LIVE = {**event(0, "job.progress"), "id": None, "sequence": None}


async def test_a_job_is_followed_to_its_last_event() -> None:
    stream = streaming(
        b"retry: 10\n\n: still here\n\n",
        written(event(1), "c1"),
        written(LIVE),
        written(LAST, "c3"),
    )
    async with played(stream) as (service, client):
        heard = [each async for each in client.follow("job_1")]
    assert [(each.type, each.id, each.cursor) for each in heard] == [
        ("job.output", "evt_1", "c1"),
        ("job.progress", None, None),
        ("job.succeeded", "evt_3", "c3"),
    ]
    (seen,) = service.seen
    assert seen.target == "/v1/jobs/job_1/events"
    assert seen.headers["accept"] == "text/event-stream"
    assert "last-event-id" not in seen.headers


async def test_a_stream_that_breaks_is_taken_up_where_it_was() -> None:
    acts = [
        streaming(b"retry: 700\n\n", written(event(1), "c1"), b"id: c2\n\ndata: half of"),
        Reply(503),
        streaming(written(LAST, "c3")),
    ]
    async with played(*acts) as (service, client):
        heard = [each.id async for each in client.follow("job_1")]
    assert heard == ["evt_1", "evt_3"]
    assert [each.headers.get("last-event-id") for each in service.seen] == [None, "c2", "c2"]
    assert service.pauses == [0.7, 1.0]


async def test_a_reader_that_was_dropped_comes_again() -> None:
    dropped = b'event: dropped\ndata: {"code": "slow-reader"}\n\n'
    acts = [streaming(written(event(1), "c1"), dropped), streaming(written(LAST, "c3"))]
    async with played(*acts) as (service, client):
        assert [each.id async for each in client.follow("job_1")] == ["evt_1", "evt_3"]
    assert service.seen[1].headers["last-event-id"] == "c1"


async def test_a_gap_is_told() -> None:
    gap = b'event: gap\ndata: {"detail": "gone"}\n\n'
    async with played(streaming(gap, written(LAST, "c3"))) as (service, client):
        heard = [each async for each in client.follow("job_1", cursor="old")]
    assert [each.type for each in heard] == ["gap", "job.succeeded"]
    assert heard[0].data == {"detail": "gone"}
    assert service.seen[0].headers["last-event-id"] == "old"


async def test_nothing_follows_the_last_event() -> None:
    async with played(Reply(204)) as (_, client):
        assert [each async for each in client.follow("job_1", cursor="c3")] == []


async def test_a_service_that_does_not_stream_is_asked_for_the_list() -> None:
    acts = [
        Reply(406, {"code": "not-acceptable"}),
        Reply(200, page(event(1), after="c1")),
        Reply(200, page(event(2), after=None)),
        Reply(200, job("running")),
        Reply(200, page(event(2), after=None)),
        Reply(200, job("succeeded")),
        Reply(200, page(event(2), LAST, after=None)),
    ]
    async with played(*acts) as (service, client):
        heard = [each.id async for each in client.follow("job_1")]
    assert heard == ["evt_1", "evt_2", "evt_3"]
    assert service.seen[1].target == "/v1/jobs/job_1/events?limit=100"
    assert service.seen[2].target == "/v1/jobs/job_1/events?limit=100&cursor=c1"
    assert len(service.pauses) == 1


async def test_what_is_listed_has_the_cursor_that_lists_it_again() -> None:
    acts = [
        Reply(406),
        Reply(200, page(event(1), after="c1")),
        Reply(200, page(event(2), LAST, after=None)),
    ]
    async with played(*acts) as (_, client):
        heard = [(each.id, each.cursor) async for each in client.follow("job_1")]
    assert heard == [("evt_1", None), ("evt_2", "c1"), ("evt_3", "c1")]


async def test_looks_at_the_list_are_close_together_again_after_news() -> None:
    nothing = [Reply(200, page(after=None)), Reply(200, job("running"))]
    news = [Reply(200, page(event(1), after=None)), Reply(200, job("running"))]
    last = Reply(200, page(LAST, after=None))
    async with played(Reply(406), *nothing * 2, *news, *news, last) as (service, client):
        assert [each.id async for each in client.follow("job_1")] == ["evt_1", "evt_3"]
    assert service.pauses == pytest.approx([0.05, 0.075, 0.05, 0.075])


async def test_a_job_that_tells_nothing_of_its_end_is_followed_no_longer() -> None:
    acts = [Reply(406), Reply(200, page(event(1), after=None)), Reply(200, job("succeeded"))]
    again = Reply(200, page(event(1), after=None))
    async with played(*acts, again) as (service, client):
        assert [each.id async for each in client.follow("job_1")] == ["evt_1"]
    assert len(service.seen) == 4


async def test_what_is_no_event_is_not_asked_for_again() -> None:
    async with played(streaming(b"data: <html>\n\n")) as (service, client):
        with pytest.raises(Unreachable, match="no event"):
            [each async for each in client.follow("job_1")]
    assert len(service.seen) == 1


async def test_what_is_no_list_of_events_is_told() -> None:
    for answer in (b"[]", b"{}", b'{"items": [1]}'):
        async with played(Reply(406), Reply(200, answer)) as (_, client):
            with pytest.raises(Unreachable, match="no list of events"):
                [each async for each in client.follow("job_1")]


async def test_a_stream_that_never_opens_is_given_up() -> None:
    async with played(Reply(503), patience=Patience(tries=2)) as (service, client):
        with pytest.raises(Unavailable):
            [each async for each in client.follow("job_1")]
    assert len(service.seen) == 2
    async with played(Reply(404, {"code": "job-not-found"})) as (service, client):
        with pytest.raises(NotFound):
            [each async for each in client.follow("job_1")]
    assert len(service.seen) == 1


async def test_a_stream_that_does_not_open_is_asked_for_when_the_service_says() -> None:
    # Twice, since a request without an answer may be sent again below us.
    acts = [Reply(0), Reply(0), Reply(503, headers={"Retry-After": "7"})]
    async with played(*acts, streaming(written(LAST, "c3"))) as (service, client):
        assert [each.id async for each in client.follow("job_1")] == ["evt_3"]
    assert (service.pauses[0], service.pauses[-1]) == (0.5, 7.0)


async def test_a_call_that_can_not_be_understood_is_no_reason_to_ask_for_the_list() -> None:
    async with played(Reply(400, {"code": "bad-cursor"})) as (service, client):
        with pytest.raises(BadRequest):
            [each async for each in client.follow("job_1", cursor="?")]
    assert len(service.seen) == 1


async def test_a_stream_that_opened_has_all_of_the_patience_again() -> None:
    acts = [Reply(503), streaming(written(event(1), "c1")), Reply(503)]
    last = streaming(written(LAST, "c3"))
    async with played(*acts, last, patience=Patience(tries=3)) as (_, client):
        assert [each.id async for each in client.follow("job_1")] == ["evt_1", "evt_3"]


async def test_what_came_as_no_stream_is_left_for_the_list() -> None:
    async with played(Reply(200, page(LAST, after=None))) as (service, client):
        assert [each.id async for each in client.follow("job_1", cursor="c2")] == ["evt_3"]
    assert [each.target for each in service.seen] == [
        "/v1/jobs/job_1/events",
        "/v1/jobs/job_1/events?limit=100&cursor=c2",
    ]


# --- The feed ----------------------------------------------------------------------------------

HELD = {"Preference-Applied": "wait=45"}


async def test_the_feed_goes_on_by_its_cursor() -> None:
    acts = [
        Reply(200, page(event(1), event(2), after="p1"), HELD),
        Reply(200, page(after="p2"), HELD, took=45.0),
        Reply(200, page(event(3), after="p3"), HELD, took=2.0),
    ]
    async with played(*acts) as (service, client):
        feed = client.events("p0", types=["job.output", "job.failed"])
        cursors = []
        for _ in range(3):
            found = await anext(feed)
            assert isinstance(found, ReceivedEvent)
            cursors.append((found.id, feed.cursor))
    # Never beyond what has been taken.
    assert cursors == [("evt_1", "p0"), ("evt_2", "p0"), ("evt_3", "p2")]
    assert service.seen[0].target == ("/v1/events?limit=100&types=job.output,job.failed&cursor=p0")
    assert [each.headers["prefer"] for each in service.seen] == ["wait=45"] * 3
    assert service.pauses == []


async def test_a_feed_that_does_not_follow_ends_at_the_present() -> None:
    acts = [Reply(200, page(event(1), after="p1")), Reply(200, page(after="p1"))]
    async with played(*acts) as (service, client):
        feed = client.events(follow=False, caller_id="clr_1", page_items=7)
        assert [each.id async for each in feed] == ["evt_1"]
        assert feed.cursor == "p1"
    assert service.seen[0].target == "/v1/events?limit=7&callerId=clr_1"
    assert "prefer" not in service.seen[0].headers


async def test_a_feed_that_is_not_held_is_asked_for_now_and_then() -> None:
    empty = Reply(200, page(after="p1"))
    async with played(*[empty] * 3, Reply(200, page(event(1), after="p2"))) as (service, client):
        assert (await anext(client.events())).id == "evt_1"
    assert service.pauses == pytest.approx([0.05, 0.075, 0.1125])


async def test_a_gap_in_the_feed_is_told(caplog: pytest.LogCaptureFixture) -> None:
    acts = [Reply(200, page(event(1), after="p1", gap=True))]
    told: list[str] = []
    async with played(*acts) as (_, client):
        await anext(client.events("old", on_gap=lambda: told.append("gap")))
        assert (told, caplog.messages) == (["gap"], [])
        with caplog.at_level(logging.WARNING, "dispatcher.client"):
            await anext(client.events("old"))
    assert "pruned before they were read" in caplog.text


async def test_a_service_without_a_feed_says_so() -> None:
    async with played(Reply(404, {"code": "not-found"})) as (_, client):
        with pytest.raises(NotFound):
            await anext(client.events())
    async with played(Reply(200, [])) as (_, client):
        with pytest.raises(Unreachable, match="no feed"):
            await anext(client.events())
