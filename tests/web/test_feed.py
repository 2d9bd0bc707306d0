"""The feed: for a caller who can't receive callbacks, and must miss nothing all the same."""

from __future__ import annotations

import asyncio
import random

import pytest

from dispatcher.web.cursors import FeedCursors
from tests.databases import Database
from tests.engine.handlers import Hanging
from tests.engine.stage import ScriptedRunner
from tests.web.doubles import PlainVault
from tests.web.edge import Answer, Edge
from tests.web.listening import PLAIN, Told, stream, until_nobody, until_resting
from tests.web.test_whole_path import OTHER, Service, service

WAIT = {"Prefer": "wait=10"}


async def read(here: Service, query: str = "", **headers: str) -> Answer:
    return await here.call("GET", f"/v1/events{query}", headers=headers)


async def done(here: Service, count: int = 1, **more: object) -> list[str]:
    ids = [await here.submit(PLAIN | more) for _ in range(count)]
    for job_id in ids:
        await here.ended(job_id)
    return ids


def job_ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [item["data"]["id"] for item in answer.json["items"]]


async def test_every_event_oldest_first_page_by_page(database: Database) -> None:
    async with service(database) as here:
        ids = await done(here, 5)
        answer = await read(here, "?limit=2")
        assert answer.json["gap"] is False
        found = job_ids(answer)
        for _ in range(2):
            cursor = answer.json["nextCursor"]
            assert f'cursor={cursor}>; rel="next"' in answer.headers["Link"]
            answer = await read(here, f"?limit=2&cursor={cursor}")
            found += job_ids(answer)
        assert found == ids
        (listed,) = (await here.call("GET", f"/v1/jobs/{ids[-1]}/events")).json["items"]
        assert answer.json["items"] == [listed]
        assert listed["data"]["result"] == {"n": 1}


async def test_a_cursor_is_always_given_and_goes_on(database: Database) -> None:
    async with service(database) as here:
        empty = await read(here)
        assert (empty.json["items"], empty.json["gap"]) == ([], False)
        ids = await done(here, 2)
        answer = await read(here, f"?cursor={empty.json['nextCursor']}")
        assert job_ids(answer) == ids
        end = await read(here, f"?cursor={answer.json['nextCursor']}")
        assert job_ids(end) == []
        assert end.json["nextCursor"] == answer.json["nextCursor"]


async def test_it_waits_for_what_comes(database: Database) -> None:
    async with service(database) as here:
        cursor = (await read(here)).json["nextCursor"]
        task = asyncio.create_task(read(here, f"?cursor={cursor}", **WAIT))
        await until_resting(here.stage.waiters)
        await here.stage.submit(caller=OTHER)  # another's is nothing to it
        (job_id,) = await done(here)
        answer = await task
        assert job_ids(answer) == [job_id]
        assert answer.headers["Preference-Applied"] == "wait=10"
        cursor = answer.json["nextCursor"]
        task = asyncio.create_task(read(here, f"?cursor={cursor}", **WAIT))
        await until_resting(here.stage.waiters)
        here.stage.advance(10)
        answer = await task
        assert (job_ids(answer), answer.json["nextCursor"]) == ([], cursor)
        await until_nobody(here.stage.waiters)


async def test_types_leave_other_events_out_and_must_be_known(database: Database) -> None:
    told = Told()
    told.output(b"1")
    async with service(database, ScriptedRunner(told)) as here:
        job_id = await here.submit(PLAIN)
        cursor = (await read(here, "?types=job.failed")).json["nextCursor"]
        task = asyncio.create_task(
            read(here, f"?types=job.failed,job.succeeded&cursor={cursor}", **WAIT)
        )
        await until_resting(here.stage.waiters)
        told.ends()
        answer = await task
        assert [(each["type"], each["data"]["id"]) for each in answer.json["items"]] == [
            ("job.succeeded", job_id)
        ]
        bad = await read(here, "?types=job.failed,job.none")
        assert (bad.status, bad.json["parameter"]) == (422, "types")
        assert "job.succeeded" in bad.json["detail"]


async def test_events_that_were_pruned_are_a_gap(database: Database) -> None:
    async with service(database) as here:
        cursor = (await read(here)).json["nextCursor"]
        await done(here, 1, retentionSeconds=1)
        kept = await done(here)
        here.stage.advance(2)
        await here.stage.sweep()
        answer = await read(here, f"?cursor={cursor}")
        assert (job_ids(answer), answer.json["gap"]) == (kept, True)
        again = await read(here, f"?cursor={answer.json['nextCursor']}")
        assert (job_ids(again), again.json["gap"]) == ([], False)
        assert (await read(here)).json["gap"] is False


async def test_a_cursor_is_its_callers_and_tells_nothing_of_others(database: Database) -> None:
    async with service(database) as here:
        before = (await read(here)).json["nextCursor"]
        await here.stage.submit(caller=OTHER)
        await done(here)
        cursor = (await read(here)).json["nextCursor"]
        assert len(cursor) == len(before)
        answer = await here.edge.call("GET", f"/v1/events?cursor={cursor}", key=OTHER.id)
        assert (answer.status, answer.json["parameter"]) == (422, "cursor")
        for text in ("", "x", cursor[:-1], cursor + "AA", "%E2%80%A6"):
            answer = await read(here, f"?cursor={text}")
            assert (answer.status, answer.json["parameter"]) == (422, "cursor"), text


def test_cursors_are_masked_for_a_scope() -> None:
    cursors = FeedCursors(PlainVault())
    for scope in ("clr_1", None):
        packed = cursors.pack("17.3", scope)
        assert cursors.unpack(packed, scope) == "17.3"
        assert cursors.unpack(packed, "clr_2") is None
        assert len(packed) == len(cursors.pack("8123456789012.12345678", scope))


async def test_who_reads_whose_events_of_the_feed() -> None:
    edge = Edge()
    async with edge.running():
        ada, bob = "clr_" + "a" * 32, "clr_" + "b" * 32
        for key, query, status in (
            ("dsp_ada", f"?callerId={ada}", 200),
            ("dsp_ada", f"?callerId={bob}", 404),
            ("dsp_ops", f"?callerId={bob}", 200),
            ("dsp_ops", "", 200),
            ("dsp_ops", f"?callerId=clr_{'9' * 32}", 404),
            ("dsp_worker", "", 403),
        ):
            for headers in ({}, {"Accept": "text/event-stream"}):
                verb = "HEAD" if headers else "GET"
                answer = await edge.call(verb, f"/v1/events{query}", key=key, headers=headers)
                assert answer.status == status, (key, query)


async def test_an_operator_sees_everyones(database: Database) -> None:
    async with service(database) as here:
        own = await done(here)
        await here.stage.submit(caller=OTHER)
        page = await here.stage.store.list_feed(None, after=None, types=None, limit=10)
        assert {item.event.caller_id for item in page.items} >= {here.stage.caller.id}
        assert [item.event.job_id for item in page.items][:1] == own


async def test_a_client_that_goes_is_waited_for_no_more(database: Database) -> None:
    async with service(database, ScriptedRunner(Hanging())) as here:
        task = asyncio.create_task(read(here, **WAIT))
        await until_resting(here.stage.waiters)
        task.cancel()
        await asyncio.wait((task,))
        await until_nobody(here.stage.waiters)


# --- What it is for ----------------------------------------------------------------------------

JOBS = 240
WRITERS = 6


async def write(here: Service, count: int) -> None:
    for _ in range(count):
        await done(here)


@pytest.mark.parametrize("seed", range(3))
async def test_a_reader_cut_off_at_random_sees_each_event_once(
    database: Database, seed: int
) -> None:
    """It keeps the cursor with what it has done, and goes on from there after each cut."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    async with service(database) as here:
        seen: list[str] = []
        cursor: str | None = None
        cuts = 0

        async def read_on() -> None:
            nonlocal cursor
            while True:
                query = f"?limit=3&cursor={cursor}" if cursor else "?limit=3"
                answer = await read(here, query, **WAIT)
                # One step, as one transaction of the reader's would be: what came, and how far.
                seen.extend(item["id"] for item in answer.json["items"])
                cursor = answer.json["nextCursor"]
                if len(seen) >= JOBS:
                    return

        writing = [asyncio.create_task(write(here, JOBS // WRITERS)) for _ in range(WRITERS)]
        async with asyncio.timeout(60):
            while len(seen) < JOBS:
                reading = asyncio.create_task(read_on())
                await asyncio.wait((reading,), timeout=chance.uniform(0.0, 0.02))
                cuts += not reading.done()
                reading.cancel()
                await asyncio.wait((reading,))
        await asyncio.gather(*writing)
        page = await here.stage.store.list_feed(
            here.stage.caller.id, after=None, types=None, limit=1_000
        )
        assert seen == [item.event.id for item in page.items]
        assert len(seen) == JOBS
        assert cuts


@pytest.mark.parametrize("seed", range(3))
async def test_a_listener_cut_off_at_random_sees_each_event_once(
    database: Database, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311  # no secret
    async with service(database) as here:
        seen: list[str] = []
        last_id: str | None = None
        cuts = 0

        async def listen() -> None:
            nonlocal last_id
            async with stream(here, "/v1/events", last_id=last_id) as reader:
                while len(seen) < JOBS:
                    (told,) = await reader.take(1)
                    seen.append(told.json["id"])
                    last_id = told.last_id

        writing = [asyncio.create_task(write(here, JOBS // WRITERS)) for _ in range(WRITERS)]
        async with asyncio.timeout(60):
            while len(seen) < JOBS:
                listening = asyncio.create_task(listen())
                await asyncio.wait((listening,), timeout=chance.uniform(0.0, 0.05))
                cuts += not listening.done()
                listening.cancel()
                await asyncio.wait((listening,))
        await asyncio.gather(*writing)
        page = await here.stage.store.list_feed(
            here.stage.caller.id, after=None, types=None, limit=1_000
        )
        assert seen == [item.event.id for item in page.items]
        assert cuts
