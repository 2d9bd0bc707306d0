"""`Prefer: wait=N`: answers that are held until there is something to say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dispatcher.core.limits import Limits
from dispatcher.core.outcome import Failed
from dispatcher.engine.waiters import Places
from dispatcher.web.holding import REST_SECONDS
from tests.databases import Database
from tests.engine.handlers import Hanging
from tests.engine.stage import FAILS, ScriptedRunner
from tests.web.edge import Answer
from tests.web.listening import LATER, PLAIN, Told, until_nobody, until_resting
from tests.web.test_whole_path import URL, Service, service

WAIT = {"Prefer": "respond-async, wait=10"}


async def asked(
    here: Service, path: str, *, wait: int = 10, **headers: str
) -> asyncio.Task[Answer]:
    """A request that waits, and has read all there is."""
    sent = {"Prefer": f"wait={wait}", **{n.replace("_", "-"): v for n, v in headers.items()}}
    task = asyncio.create_task(here.call("GET", path, headers=sent))
    await until_resting(here.stage.waiters)
    return task


# --- On submission -----------------------------------------------------------------------------


async def test_a_job_that_ends_in_the_wait_is_the_answer(database: Database) -> None:
    async with service(database) as here:
        answer = await here.call("POST", "/v1/jobs", json=PLAIN, headers=WAIT)
        assert (answer.status, answer.json["status"], answer.json["result"]) == (
            200,
            "succeeded",
            {"n": 1},
        )
        assert answer.headers["Preference-Applied"] == "wait=10"
        assert answer.headers["Content-Location"] == f"/v1/jobs/{answer.json['id']}"
        assert "Retry-After" not in answer.headers
        await until_nobody(here.stage.waiters)


async def test_one_that_failed_in_the_wait_is_a_200_too(database: Database) -> None:
    async def fails(*_: Any) -> Failed:
        return Failed("no-data", "There is none.")

    async with service(database, ScriptedRunner(fails)) as here:
        answer = await here.call("POST", "/v1/jobs", json=PLAIN, headers=WAIT)
        assert (answer.status, answer.json["status"]) == (200, "failed")
        assert answer.json["error"]["code"] == "no-data"


async def test_one_that_takes_longer_is_a_202_and_goes_on(database: Database) -> None:
    hanging = Hanging()
    async with service(database, ScriptedRunner(hanging)) as here:
        task = asyncio.create_task(here.call("POST", "/v1/jobs", json=PLAIN, headers=WAIT))
        await until_resting(here.stage.waiters)
        here.stage.advance(9.9)
        await here.stage.turns()
        assert not task.done()
        here.stage.advance(0.1)
        answer = await task
        assert (answer.status, answer.json["status"]) == (202, "running")
        assert answer.headers["Preference-Applied"] == "respond-async, wait=10"
        assert answer.headers["Location"] == f"/v1/jobs/{answer.json['id']}"
        hanging.go.set()
        await here.ended(answer.json["id"])


async def test_no_more_than_fifty_seconds(database: Database) -> None:
    async with service(database, ScriptedRunner(Hanging())) as here:
        headers = {"Prefer": "wait=3600"}
        task = asyncio.create_task(here.call("POST", "/v1/jobs", json=PLAIN, headers=headers))
        await until_resting(here.stage.waiters)
        here.stage.advance(50)
        answer = await task
        assert (answer.status, answer.headers["Preference-Applied"]) == (202, "wait=50")


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [("respond-async", "respond-async"), ("wait=0", "wait=0"), ("wait=soon", None), ("x", None)],
)
async def test_without_a_wait_it_is_answered_at_once(
    database: Database, prefer: str, applied: str | None
) -> None:
    async with service(database, ScriptedRunner(Hanging())) as here:
        answer = await here.call("POST", "/v1/jobs", json=PLAIN, headers={"Prefer": prefer})
        assert (answer.status, answer.headers.get("Preference-Applied")) == (202, applied)


async def test_a_key_used_again_waits_too(database: Database) -> None:
    hanging = Hanging()
    async with service(database, ScriptedRunner(hanging)) as here:
        headers = {"Idempotency-Key": "k-1"}
        job_id = await here.submit(PLAIN, headers=headers)
        task = asyncio.create_task(
            here.call("POST", "/v1/jobs", json=PLAIN, headers=headers | WAIT)
        )
        await until_resting(here.stage.waiters)
        hanging.go.set()
        answer = await task
        assert (answer.status, answer.json["id"], answer.json["done"]) == (200, job_id, True)
        assert answer.headers["Idempotency-Replayed"] == "true"
        again = await here.call("POST", "/v1/jobs", json=PLAIN, headers=headers)
        assert (again.status, again.json["done"]) == (202, True)


async def test_those_who_wait_take_no_room_from_submissions(database: Database) -> None:
    limits = Limits(submissions_at_once=4)  # one for each caller
    async with service(database, ScriptedRunner(Hanging()), limits=limits) as here:
        task = asyncio.create_task(here.call("POST", "/v1/jobs", json=PLAIN, headers=WAIT))
        await until_resting(here.stage.waiters)
        assert (await here.call("POST", "/v1/jobs", json=PLAIN)).status == 202
        here.stage.advance(10)
        assert (await task).status == 202


# --- On status ---------------------------------------------------------------------------------


async def test_without_a_tag_until_it_is_done(database: Database) -> None:
    told = Told()
    async with service(database, ScriptedRunner(told)) as here:
        path = f"/v1/jobs/{await here.submit(PLAIN)}"
        task = await asked(here, path)
        told.progress(1)
        await here.stage.turns()
        await until_resting(here.stage.waiters)  # progress is not the end
        assert not task.done()
        told.ends()
        answer = await task
        assert (answer.status, answer.json["status"], answer.json["input"]) == (
            200,
            "succeeded",
            {"n": 1},
        )
        assert answer.headers["Preference-Applied"] == "wait=10"
        assert (await here.call("GET", path, headers=WAIT)).status == 200  # at once


async def test_with_a_tag_until_it_differs(database: Database) -> None:
    told = Told()
    async with service(database, ScriptedRunner(told)) as here:
        path = f"/v1/jobs/{await here.submit(PLAIN)}"
        tag = (await here.call("GET", path)).headers["ETag"]
        task = await asked(here, path, If_None_Match=tag)
        told.progress(3)
        answer = await task
        assert (answer.status, answer.json["progress"]["current"]) == (200, 3)
        task = await asked(here, path, If_None_Match=answer.headers["ETag"])
        told.ends()
        assert (await task).json["done"] is True
        # one that is behind is answered at once
        answer = await here.call("GET", path, headers=WAIT | {"If-None-Match": tag})
        assert answer.status == 200


async def test_in_vain_is_a_304_with_a_tag_and_the_job_without(database: Database) -> None:
    async with service(database, ScriptedRunner(Hanging())) as here:
        path = f"/v1/jobs/{await here.submit(PLAIN)}"
        tag = (await here.call("GET", path)).headers["ETag"]
        for headers, status in (({"If_None_Match": tag}, 304), ({}, 200)):
            task = await asked(here, path, wait=5, **headers)
            here.stage.advance(5)
            answer = await task
            assert answer.status == status
            assert answer.headers["Preference-Applied"] == "wait=5"
            assert answer.headers["ETag"] == tag
            assert answer.headers["Retry-After"] == "1"


async def test_a_due_time_that_passes_is_a_change(database: Database) -> None:
    hanging = Hanging()
    async with service(database, ScriptedRunner(hanging, concurrency=1)) as here:
        await here.submit(PLAIN)  # the only slot is taken
        path = f"/v1/jobs/{await here.submit(LATER)}"
        before = await here.call("GET", path)
        assert before.json["status"] == "scheduled"
        task = await asked(here, path, wait=50, If_None_Match=before.headers["ETag"])
        here.stage.advance(49)
        await here.stage.turns()
        here.stage.advance(1)
        assert (await task).status == 304
        task = await asked(here, path, wait=50, If_None_Match=before.headers["ETag"])
        here.stage.advance(10)
        assert (await task).json["status"] == "queued"


async def test_a_job_that_begins_and_one_that_is_tried_again_are_changes(
    database: Database,
) -> None:
    hanging = Hanging()
    async with service(database, ScriptedRunner(hanging, concurrency=1)) as here:
        first = await here.submit(PLAIN)
        path = f"/v1/jobs/{await here.submit(PLAIN)}"
        before = await here.call("GET", path)
        assert before.json["status"] == "queued"
        task = await asked(here, path, If_None_Match=before.headers["ETag"])
        hanging.go.set()
        await here.ended(first)
        assert (await task).json["status"] in {"running", "succeeded"}


async def test_a_cancel_that_is_asked_for_is_a_change(database: Database) -> None:
    hanging = Hanging(swallows=True)
    async with service(database, ScriptedRunner(hanging)) as here:
        path = f"/v1/jobs/{await here.submit(PLAIN)}"
        tag = (await here.call("GET", path)).headers["ETag"]
        task = await asked(here, path, If_None_Match=tag)
        await here.call("POST", f"{path}/cancel")
        assert (await task).json["cancelRequestedAt"] is not None
        hanging.go.set()


async def test_how_a_callback_fares_is_a_change(database: Database) -> None:
    async with service(database) as here:
        door = here.stage.sender.hang(URL)
        here.stage.sender.answers[URL] = [FAILS]
        job_id = await here.submit({**PLAIN, "callbackUrl": URL})
        await here.ended(job_id)
        path = f"/v1/jobs/{job_id}"
        before = await here.call("GET", path)
        assert before.json["delivery"]["status"] == "sending"
        task = await asked(here, path, If_None_Match=before.headers["ETag"])
        door.set()
        answer = await task
        assert answer.json["delivery"]["lastStatusCode"] == 500
        task = await asked(here, path, If_None_Match=answer.headers["ETag"])
        here.stage.advance(5)  # its next attempt is due
        assert (await task).json["delivery"]["status"] in {"sending", "delivered"}


async def test_another_callers_is_a_404_at_once(database: Database) -> None:
    async with service(database, ScriptedRunner(Hanging())) as here:
        path = f"/v1/jobs/{await here.submit(PLAIN)}"
        stranger = "clr_" + "e" * 32
        answer = await here.edge.call("GET", path, key=stranger, headers=WAIT)
        assert answer.status == 404


async def test_a_head_is_never_held(database: Database) -> None:
    async with service(database, ScriptedRunner(Hanging())) as here:
        path = f"/v1/jobs/{await here.submit(PLAIN)}"
        answer = await here.call("HEAD", path, headers=WAIT)
        assert (answer.status, answer.body) == (200, b"")
        assert "Preference-Applied" not in answer.headers


async def test_a_store_that_fails_in_the_wait_is_a_503(database: Database) -> None:
    told = Told()
    async with service(database, ScriptedRunner(told)) as here:
        path = f"/v1/jobs/{await here.submit(PLAIN)}"
        task = await asked(here, path)
        here.stage.faults.fail("get_job")
        told.progress(1)
        assert (await task).status == 503
        await until_nobody(here.stage.waiters)


# --- Many, and those who go --------------------------------------------------------------------


async def test_a_client_that_goes_is_waited_for_no_more(database: Database) -> None:
    async with service(database, ScriptedRunner(Hanging())) as here:
        path = f"/v1/jobs/{await here.submit(PLAIN)}"
        task = await asked(here, path)
        task.cancel()
        await asyncio.wait((task,))
        await until_nobody(here.stage.waiters)  # no time has passed


async def test_without_a_place_it_is_answered_after_a_moment(database: Database) -> None:
    """So who asks again at once does not ask the store without end."""
    hanging = Hanging()
    async with service(database, ScriptedRunner(hanging)) as here:
        here.stage.waiters.waits = Places(2, 1)
        job_id = await here.submit(PLAIN)
        path = f"/v1/jobs/{job_id}"
        first = await asked(here, path)
        looks = here.stage.faults.calls
        before = looks["get_job"]
        task = asyncio.create_task(here.call("GET", path, headers=WAIT))
        while looks["get_job"] == before:
            await here.stage.turns()
        here.stage.advance(REST_SECONDS - 0.1)
        await here.stage.turns()
        assert not task.done()
        here.stage.advance(0.1)
        answer = await task
        assert (answer.status, answer.headers.get("Preference-Applied")) == (200, None)
        assert answer.headers["Retry-After"]
        assert looks["get_job"] == before + 2
        submitted = await here.call("POST", "/v1/jobs", json=PLAIN, headers=WAIT)
        assert (submitted.status, submitted.json["done"]) == (202, False)
        hanging.go.set()
        assert (await first).json["done"]
        await until_nobody(here.stage.waiters)


async def test_without_a_place_what_is_done_is_told_at_once(database: Database) -> None:
    async with service(database) as here:
        here.stage.waiters.waits = Places(0, 0)
        job_id = await here.submit(PLAIN)
        await here.ended(job_id)
        answer = await here.call("GET", f"/v1/jobs/{job_id}", headers=WAIT)
        assert answer.json["done"]
        feed = await here.call("GET", "/v1/events", headers=WAIT)
        assert len(feed.json["items"]) == 1


async def test_at_the_end_those_who_wait_are_answered(database: Database) -> None:
    async with service(database, ScriptedRunner(Hanging())) as here:
        path = f"/v1/jobs/{await here.submit(PLAIN)}"
        task = await asked(here, path)
        here.stage.waiters.close()
        answer = await task
        assert (answer.status, answer.json["status"]) == (200, "running")


async def test_many_wait_and_the_store_is_asked_for_those_who_have_cause(
    database: Database,
) -> None:
    told = Told()
    async with service(database, ScriptedRunner(told)) as here:
        busy, quiet = await here.submit(PLAIN), await here.submit(LATER)
        tasks = [
            asyncio.create_task(here.call("GET", f"/v1/jobs/{job_id}", headers=WAIT))
            for job_id in [busy] * 3 + [quiet] * 50
        ]
        await until_resting(here.stage.waiters, len(tasks))
        before = here.stage.faults.calls["get_job"]
        told.ends()
        answers = await asyncio.gather(*tasks[:3])
        assert [answer.json["done"] for answer in answers] == [True] * 3
        assert here.stage.faults.calls["get_job"] - before <= 2 * 3
        here.stage.advance(10)
        assert {answer.status for answer in await asyncio.gather(*tasks[3:])} == {200}
