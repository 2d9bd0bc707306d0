"""Streams of Server-Sent Events: in order, resumed, live, kept open, bounded, and ended."""

from __future__ import annotations

import asyncio
import hashlib
import socket

import pytest

from dispatcher.core.facts import StreamDropped
from dispatcher.engine.waiters import Places
from dispatcher.web.queries import number_cursor
from dispatcher.web.stream import KEEP_ALIVE_SECONDS
from tests.databases import Database
from tests.engine.handlers import Hanging
from tests.engine.stage import ScriptedRunner
from tests.web.listening import PLAIN, TELLING, Told, stream, until_nobody, until_resting
from tests.web.test_whole_path import OTHER, Service, service

ACCEPT = {"Accept": "text/event-stream"}
NO_JOB = f"/v1/jobs/job_{'0' * 32}/events"


async def listed(here: Service, job_id: str) -> list[object]:
    items: list[object] = (await here.call("GET", f"/v1/jobs/{job_id}/events")).json["items"]
    return items


# --- Of a job ----------------------------------------------------------------------------------


async def test_events_of_a_job_as_they_come_to_the_last(database: Database) -> None:
    told = Told()
    async with service(database, ScriptedRunner(told)) as here:
        job_id = await here.submit(TELLING)
        async with stream(here, f"/v1/jobs/{job_id}/events") as reader:
            assert reader.response.status == 200
            assert reader.response.headers["Content-Type"] == "text/event-stream"
            assert reader.response.headers["Cache-Control"] == "no-store"
            assert reader.response.headers["Server"] == "dispatcher"
            assert reader.response.headers["Request-Id"].startswith("req_")
            (started,) = await reader.take(1)
            assert (started.type, started.json["sequence"]) == ("job.started", 1)
            told.progress(1)
            (progress,) = await reader.take(1)
            told.output(b'{\r\n "page":\n 1 }')
            (output,) = await reader.take(1)
            assert (progress.type, progress.json["data"]["progress"]["current"]) == (
                "job.progress",
                1,
            )
            assert (output.type, output.json["data"]["output"]) == ("job.output", {"page": 1})
            told.ends()
            (end,) = await reader.rest()
            assert (end.type, end.json["data"]["result"]) == ("job.succeeded", "done")
        shown = [each.json for each in (started, progress, output, end)]
        assert shown == await listed(here, job_id)
        assert len({each.last_id for each in (started, progress, output, end)}) == 4
        await until_nobody(here.stage.waiters)


async def test_a_reader_resumes_where_it_was_and_is_told_when_there_is_no_more(
    database: Database,
) -> None:
    told = Told()
    for _ in range(3):
        told.output(b"1")
    told.ends()
    async with service(database, ScriptedRunner(told)) as here:
        job_id = await here.submit(PLAIN)
        await here.ended(job_id)
        path = f"/v1/jobs/{job_id}/events"
        async with stream(here, path) as reader:
            events = await reader.rest()
        assert [each.json["sequence"] for each in events] == [1, 2, 3, 4]
        for number, event in enumerate(events[:-1], 1):
            async with stream(here, path, last_id=event.last_id) as reader:
                assert await reader.rest() == events[number:]
            async with stream(here, f"{path}?cursor={event.last_id}") as reader:
                assert await reader.rest() == events[number:]
        for way in (
            {"headers": ACCEPT | {"Last-Event-ID": events[-1].last_id}},
            {"headers": ACCEPT | {"Last-Event-ID": events[-1].last_id}, "query": "?cursor=x"},
            {"headers": ACCEPT, "query": f"?cursor={events[-1].last_id}"},
        ):
            answer = await here.call("GET", f"{path}{way.pop('query', '')}", **way)
            assert (answer.status, answer.body) == (204, b"")
        # and the list understands the same cursors
        rest = (await here.call("GET", f"{path}?cursor={events[1].last_id}")).json["items"]
        assert rest == [each.json for each in events[2:]]


# WPT fixtures of cors-unsafe ids, a non-ASCII id, and cursors that were never given (out).
UNKNOWN = ["a" * 255, "e5p3n<3k0k0s", "…", "7", number_cursor("events", 99), "eyJ"]


@pytest.mark.parametrize("last_id", UNKNOWN)
async def test_an_unknown_cursor_is_told_of_a_gap_with_the_present_state(
    database: Database, last_id: str
) -> None:
    async with service(database) as here:
        job_id = await here.submit(PLAIN)
        await here.ended(job_id)
        path = f"/v1/jobs/{job_id}/events"
        async with stream(here, path, last_id=last_id) as reader:
            gap, end = await reader.rest()
        assert (gap.type, gap.json["job"]["status"]) == ("gap", "succeeded")
        assert (end.type, end.json) == ("job.succeeded", (await listed(here, job_id))[0])
        async with stream(here, path, last_id="") as reader:
            assert [each.type for each in await reader.rest()] == ["job.succeeded"]


async def test_progress_is_shown_live_though_it_is_not_stored(database: Database) -> None:
    told = Told()
    async with service(database, ScriptedRunner(told)) as here:
        job_id = await here.submit(PLAIN)
        path = f"/v1/jobs/{job_id}/events"
        async with stream(here, path) as reader:
            await until_resting(here.stage.waiters)
            told.progress(1)
            (first,) = await reader.take(1)
            assert (first.type, first.last_id) == ("job.progress", "")
            assert (first.json["id"], first.json["sequence"]) == (None, None)
            assert first.json["data"]["progress"] == {"current": 1, "total": 10}
            assert first.json["data"]["status"] == "running"
            async with stream(here, path) as late:  # who comes later sees where it stands
                (present,) = await late.take(1)
                assert present.json["data"] == first.json["data"]
            told.progress(2)
            told.progress(3)
            told.ends()
            (end,) = await reader.rest()
        assert end.type == "job.succeeded"  # it says what progress would have said
        assert end.json["data"]["progress"]["current"] == 3


async def test_progress_that_comes_fast_is_shown_as_the_latest(database: Database) -> None:
    told = Told()
    async with service(database, ScriptedRunner(told)) as here:
        job_id = await here.submit(PLAIN)
        async with stream(here, f"/v1/jobs/{job_id}/events") as reader:
            await until_resting(here.stage.waiters)
            told.progress(1)
            await reader.take(1)
            for current in range(2, 9):
                told.progress(current)
            told.output(b"0")
            (output,) = await reader.take(1)
            assert output.type == "job.output"
            here.stage.advance(0.5)
            (second,) = await reader.take(1)
            assert second.json["data"]["progress"]["current"] == 8
            told.ends()
            await reader.rest()


async def test_another_callers_job_and_none_are_a_404(database: Database) -> None:
    async with service(database, ScriptedRunner(Hanging())) as here:
        job_id = await here.submit(PLAIN)
        own = here.stage.caller.id
        for key, path in ((OTHER.id, f"/v1/jobs/{job_id}/events"), (own, NO_JOB)):
            answer = await here.edge.call("GET", path, key=key, headers=ACCEPT)
            assert (answer.status, answer.json["code"]) == (404, "job-not-found")
        await until_nobody(here.stage.waiters)


async def test_forms_and_parameters(database: Database) -> None:
    async with service(database, ScriptedRunner(Hanging())) as here:
        for path in (f"/v1/jobs/{await here.submit(PLAIN)}/events", "/v1/events"):
            for accept in (None, "*/*", "application/json", "text/html, */*;q=0.1"):
                headers = {} if accept is None else {"Accept": accept}
                answer = await here.call("GET", path, headers=headers)
                assert answer.headers["Content-Type"] == "application/json"
                assert answer.headers["Vary"] == "Accept"
            answer = await here.call("GET", path, headers={"Accept": "text/html"})
            assert (answer.status, answer.json["code"]) == (406, "not-acceptable")
            for query in ("?limit=1", "?nonsense=1"):
                answer = await here.call("GET", path + query, headers=ACCEPT)
                assert (answer.status, answer.json["code"]) == (422, "invalid-parameter")
            answer = await here.call("HEAD", path, headers=ACCEPT)
            assert (answer.status, answer.headers["Content-Type"], answer.body) == (
                200,
                "text/event-stream",
                b"",
            )
        await until_nobody(here.stage.waiters)


# --- Of a caller -------------------------------------------------------------------------------


async def test_events_of_all_jobs_of_a_caller(database: Database) -> None:
    async with service(database) as here:
        first = await here.submit(PLAIN)
        await here.ended(first)
        async with stream(here, "/v1/events") as reader:
            (before,) = await reader.take(1)
            await here.stage.submit(caller=OTHER)
            second = await here.submit(PLAIN)
            (after,) = await reader.take(1)
            assert [each.json["data"]["id"] for each in (before, after)] == [first, second]
        await until_nobody(here.stage.waiters)
        async with stream(here, "/v1/events", last_id=before.last_id) as reader:
            assert await reader.take(1) == [after]
        async with stream(here, f"/v1/events?cursor={before.last_id}") as reader:
            assert await reader.take(1) == [after]


async def test_types_and_what_they_leave_out_is_not_looked_at_again(database: Database) -> None:
    told = Told()
    told.output(b"1")
    async with service(database, ScriptedRunner(told)) as here:
        await here.submit(PLAIN)
        async with stream(here, "/v1/events?types=job.succeeded,job.failed") as reader:
            told.ends()
            (end,) = await reader.take(1)
            assert end.type == "job.succeeded"
        async with stream(here, "/v1/events?types=ping") as reader:
            await until_resting(here.stage.waiters)
            here.stage.advance(KEEP_ALIVE_SECONDS)
            await reader.comment("still here")
            assert reader.parser.last_id == end.last_id  # moved on without an event


async def test_live_progress_of_all_jobs(database: Database) -> None:
    told = Told()
    async with (
        service(database, ScriptedRunner(told)) as here,
        stream(here, "/v1/events") as reader,
        stream(here, "/v1/events?types=job.succeeded") as ends,
        stream(here, "/v1/events", key=OTHER.id) as another,
    ):
        await until_resting(here.stage.waiters, 3)
        job_id = await here.submit(PLAIN)
        told.progress(4)
        (progress,) = await reader.take(1)
        assert (progress.json["data"]["id"], progress.json["id"]) == (job_id, None)
        assert progress.json["data"]["progress"]["current"] == 4
        told.ends()
        assert (await reader.take(1))[0].type == "job.succeeded"
        assert (await ends.take(1))[0].type == "job.succeeded"
        here.stage.advance(KEEP_ALIVE_SECONDS)
        await another.comment("still here")
        assert another.parser.last_id == ""


async def test_a_pruned_cursor_is_told_of_a_gap_and_goes_on(database: Database) -> None:
    async with service(database) as here:
        first = await here.submit(PLAIN)
        await here.ended(first)
        async with stream(here, "/v1/events") as reader:
            (known,) = await reader.take(1)
        lost = await here.submit(PLAIN | {"retentionSeconds": 1})
        await here.ended(lost)
        kept = await here.submit(PLAIN)
        await here.ended(kept)
        here.stage.advance(2)
        await here.stage.sweep()
        async with stream(here, "/v1/events", last_id=known.last_id) as reader:
            gap, event = await reader.take(2)
        assert gap.type == "gap"
        assert event.json["data"]["id"] == kept
        async with stream(here, "/v1/events", last_id="never given") as reader:
            told = await reader.take(3)
        assert [each.type for each in told] == ["gap", "job.succeeded", "job.succeeded"]
        for text in (event.last_id, gap.last_id or event.last_id):
            async with stream(here, "/v1/events", last_id=text) as reader:
                await until_resting(here.stage.waiters)
                here.stage.advance(KEEP_ALIVE_SECONDS)
                await reader.comment("still here")  # and no gap before it


# --- Kept open, bounded, ended -----------------------------------------------------------------


async def test_a_comment_keeps_it_open(database: Database) -> None:
    async with service(database, ScriptedRunner(Hanging())) as here:
        job_id = await here.submit(PLAIN)
        async with stream(here, f"/v1/jobs/{job_id}/events") as reader:
            for _ in range(3):
                reader.parser.comments.clear()
                await until_resting(here.stage.waiters)
                here.stage.advance(KEEP_ALIVE_SECONDS)
                await reader.comment("still here")
            assert reader.parser.retry == 2_000


async def test_a_reader_that_goes_is_noticed_at_once(database: Database) -> None:
    async with service(database, ScriptedRunner(Hanging())) as here:
        job_id = await here.submit(PLAIN)
        for path in (f"/v1/jobs/{job_id}/events", "/v1/events"):
            async with stream(here, path):
                await until_resting(here.stage.waiters)
            await until_nobody(here.stage.waiters)  # no time has passed


async def test_places_end_for_a_caller_and_for_all(database: Database) -> None:
    async with service(database, ScriptedRunner(Hanging())) as here:
        here.stage.waiters.streams = Places(2, 1)
        answers = []
        async with stream(here, "/v1/events"):
            answers.append(await here.call("GET", "/v1/events", headers=ACCEPT))
            async with stream(here, "/v1/events", key=OTHER.id):
                here.stage.waiters.streams.each = 5
                answers.append(await here.call("GET", "/v1/events", headers=ACCEPT))
        told = [(each.status, each.json["code"], each.headers["Retry-After"]) for each in answers]
        assert told == [(429, "too-many-streams", "30"), (503, "overloaded", "30")]
        await until_nobody(here.stage.waiters)
        async with stream(here, "/v1/events") as reader:
            assert reader.response.status == 200


async def test_at_the_end_streams_end_and_say_so(database: Database) -> None:
    async with service(database, ScriptedRunner(Hanging())) as here:
        job_id = await here.submit(PLAIN)
        async with (
            stream(here, "/v1/events") as all_jobs,
            stream(here, f"/v1/jobs/{job_id}/events") as one,
        ):
            await until_resting(here.stage.waiters, 2)
            here.stage.waiters.close()
            for reader in (all_jobs, one):
                assert await reader.rest() == []
                assert "connect again" in reader.parser.comments[-1]


async def test_a_store_that_fails_ends_no_stream(database: Database) -> None:
    told = Told()
    async with service(database, ScriptedRunner(told)) as here:
        job_id = await here.submit(PLAIN)
        async with (
            stream(here, "/v1/events") as all_jobs,
            stream(here, f"/v1/jobs/{job_id}/events") as one,
        ):
            await until_resting(here.stage.waiters, 2)
            here.stage.faults.fail("list_events", 2)
            here.stage.faults.fail("list_feed", 2)
            told.ends()
            ends = asyncio.gather(all_jobs.take(1), one.take(1))
            (first,), (second,) = await here.stage.passes_until(ends)
            assert first.json == second.json


async def test_a_reader_that_takes_nothing_is_dropped(database: Database) -> None:
    told = Told()
    async with service(database, ScriptedRunner(told), stall_seconds=0.2) as here:
        job_id = await here.submit(PLAIN)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.connect(("127.0.0.1", here.edge.port))
            client.sendall(
                f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: x\r\n"
                f"Accept: text/event-stream\r\nAuthorization: Bearer {here.stage.caller.id}\r\n\r\n"
                "".encode()
            )
            await until_resting(here.stage.waiters)
            for _ in range(100):
                told.output(b'"' + b"x" * 200_000 + b'"')
            (dropped,) = await here.edge.observer.until(StreamDropped)
            assert dropped.path == f"/v1/jobs/{job_id}/events"
            assert dropped.caller_id == here.stage.caller.id
        told.ends()
        await here.ended(job_id)  # the job was not held up
        await until_nobody(here.stage.waiters)


async def test_a_stream_ends_with_its_key(database: Database) -> None:
    async with service(database, ScriptedRunner(Hanging())) as here:
        found = await here.stage.store.find_key(hashlib.sha256(OTHER.id.encode()).digest())
        assert found is not None
        async with stream(here, "/v1/events", key=OTHER.id) as reader:
            await until_resting(here.stage.waiters)
            assert await here.stage.store.revoke_key(OTHER.id, found[0].id)
            here.stage.advance(KEEP_ALIVE_SECONDS)
            assert await reader.rest() == []
            assert "key" in reader.parser.comments[-1]


async def test_a_store_that_fails_ends_nobodys_stream_for_the_key(database: Database) -> None:
    async with (
        service(database, ScriptedRunner(Hanging())) as here,
        stream(here, "/v1/events") as reader,
    ):
        await until_resting(here.stage.waiters)
        here.stage.faults.fail("find_key")
        here.stage.advance(KEEP_ALIVE_SECONDS)
        await reader.comment("still here")


async def test_a_stream_needs_a_key(database: Database) -> None:
    async with service(database) as here, stream(here, "/v1/events", key="dsp_no") as reader:
        assert reader.response.status == 401
