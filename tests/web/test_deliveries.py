"""`/v1/deliveries` on the real engine and a real database."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from dispatcher.core.errors import StoreUnavailable
from tests.databases import Database
from tests.engine.stage import FAILS, OK
from tests.web.edge import PUBLIC_URL, Answer, Edge
from tests.web.edge_jobs import NO_DELIVERY, NO_JOB
from tests.web.test_whole_path import OTHER, URL, WORK, Service, service

ONCE = {**WORK, "callback": {"schedule": [0]}}
ELSEWHERE = "https://elsewhere.example/in?a=1&b=2"


async def only(here: Service, query: str) -> dict[str, Any]:
    (item,) = (await here.call("GET", f"/v1/deliveries?{query}")).json["items"]
    found: dict[str, Any] = item
    return found


async def dead(here: Service) -> dict[str, Any]:
    """A delivery whose only attempt has failed."""
    here.stage.sender.answers[URL] = [FAILS]
    job_id = await here.submit(ONCE)
    await here.delivered(job_id)
    return await only(here, f"jobId={job_id}")


async def test_a_dead_one_is_shown_and_sent_again(database: Database) -> None:
    async with service(database) as here:
        listed = await dead(here)
        assert listed["status"] == "dead"
        assert "attempts" not in listed
        path = f"/v1/deliveries/{listed['id']}"
        shown = (await here.call("GET", path)).json
        assert shown == listed | {"attempts": shown["attempts"]}
        assert [attempt["statusCode"] for attempt in shown["attempts"]] == [500]

        door = here.stage.sender.hang(URL)
        again = await here.call("POST", f"{path}/redeliver")
        assert (again.status, again.headers["Location"]) == (202, path)
        assert again.json["status"] in {"pending", "sending"}
        assert (again.json["attemptCount"], again.json["finishedAt"]) == (1, None)
        assert again.json["eventId"] == listed["eventId"]
        refused = await here.call("POST", f"{path}/redeliver")
        assert (refused.status, refused.json["code"]) == (409, "delivery-pending")
        door.set()
        await here.delivered(listed["jobId"], attempts=2)
        shown = (await here.call("GET", path)).json
        assert [attempt["number"] for attempt in shown["attempts"]] == [1, 2]
        assert shown["status"] == "delivered"
        job = (await here.call("GET", f"/v1/jobs/{listed['jobId']}")).json
        assert job["delivery"]["attemptCount"] == 2


async def test_one_that_waits_is_canceled(database: Database) -> None:
    async with service(database) as here:
        here.stage.sender.answers[URL] = [FAILS]
        await here.delivered(await here.submit())
        waiting = await only(here, "status=pending")
        assert waiting["nextAttemptAt"] is not None
        for _ in range(2):
            canceled = await here.call("POST", f"/v1/deliveries/{waiting['id']}/cancel", json={})
            assert (canceled.status, canceled.json["status"]) == (200, "canceled")
            assert canceled.json["nextAttemptAt"] is None
            assert canceled.json["cancelRequestedAt"] is None


async def test_one_that_is_being_sent_says_that_it_was_asked(database: Database) -> None:
    async with service(database) as here:
        here.stage.sender.answers[URL] = [FAILS]
        door = here.stage.sender.hang(URL)
        job_id = await here.submit()
        await here.stage.sender.until(1)
        path = f"/v1/deliveries/{(await only(here, 'status=sending'))['id']}"
        asked = await here.call("POST", f"{path}/cancel")
        assert (asked.status, asked.json["status"]) == (200, "sending")
        assert asked.json["cancelRequestedAt"] == "2026-01-31T12:00:00.000Z"
        door.set()
        await here.delivered(job_id)
        ended = (await here.call("GET", path)).json
        assert (ended["status"], len(ended["attempts"])) == ("canceled", 1)


async def test_lists_filter_and_page(database: Database) -> None:
    async with service(database) as here:
        listed = await dead(here)
        here.stage.advance(1)
        here.stage.sender.answers[URL] = [OK] * 5
        others = [await here.submit() for _ in range(3)]
        others.append(await here.submit({**WORK, "callbackUrl": ELSEWHERE}))
        for job_id in others:
            await here.delivered(job_id)

        async def jobs(query: str) -> set[str]:
            seen: list[str] = []
            path: str | None = f"/v1/deliveries?limit=2&{query}"
            while path is not None:
                answer = await here.call("GET", path)
                assert answer.status == 200, answer.body
                seen += [each["jobId"] for each in answer.json["items"]]
                link = answer.headers.get("Link")
                path = link and link.partition(">")[0].removeprefix(f"<{PUBLIC_URL}")
            assert len(seen) == len(set(seen))
            return set(seen)

        dead_one = {listed["jobId"]}
        assert await jobs("") == {*others, *dead_one}
        assert await jobs("status=dead") == dead_one
        assert await jobs("status=delivered") == set(others)
        assert await jobs(f"jobId={others[0]}") == {others[0]}
        assert await jobs("eventType=job.succeeded") == {*others, *dead_one}
        assert await jobs("eventType=job.failed") == set()
        assert await jobs(f"url={quote(ELSEWHERE, safe='')}") == {others[3]}
        assert await jobs("createdAfter=2026-01-31T12:00:00.500Z") == set(others)
        assert await jobs("createdBefore=2026-01-31T12:00:00.500Z") == dead_one


async def test_another_callers_are_not_there(database: Database) -> None:
    async with service(database) as here:
        listed = await dead(here)
        path = f"/v1/deliveries/{listed['id']}"

        async def other(method: str, path: str) -> Answer:
            return await here.edge.call(method, path, key=OTHER.id)

        for method, action in (("GET", ""), ("POST", "/redeliver"), ("POST", "/cancel")):
            answer = await other(method, path + action)
            assert (answer.status, answer.json["code"]) == (404, "delivery-not-found")
        for query in ("", f"jobId={listed['jobId']}", f"callerId={listed['callerId']}"):
            assert (await other("GET", f"/v1/deliveries?{query}")).json["items"] == []
        assert len(here.stage.sender.sent) == 1


async def test_once_its_job_is_erased_it_is_gone(database: Database) -> None:
    async with service(database) as here:
        listed = await dead(here)
        here.stage.advance(31 * 86_400)
        await here.stage.sweep()
        answer = await here.call("POST", f"/v1/deliveries/{listed['id']}/redeliver")
        assert (answer.status, answer.json["code"]) == (410, "delivery-gone")


# --- What can't be asked -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("status=queued", "status"),
        ("status=", "status"),
        ("jobId=1", "jobId"),
        (f"jobId={NO_JOB}%0A", "jobId"),
        ("eventType=job.done", "eventType"),
        ("url=", "url"),
        ("url=receiver.example", "url"),
        ("url=https://a.example/%00", "url"),
        ("url=https://a.example/%C3%A9", "url"),
        (f"url=https://a.example/{'x' * 2048}", "url"),
        ("createdAfter=today", "createdAfter"),
        ("callerId=ada", "callerId"),
        ("limit=0", "limit"),
        ("cursor=eyJvZiI6ImRlbGl2ZXJpZXMiLCJhdCI6MX0", "cursor"),  # of a job's deliveries
        ("type=dispatcher.echo", "type"),
    ],
)
async def test_a_bad_query_is_a_422_that_names_it(edge: Edge, query: str, parameter: str) -> None:
    answer = await edge.call("GET", f"/v1/deliveries?{query}")
    assert (answer.status, answer.json["code"]) == (422, "invalid-parameter"), answer.body
    assert answer.json["parameter"] == parameter


@pytest.mark.parametrize("delivery_id", [NO_DELIVERY, "1", "dlv_", "dlv_%00", "%F0", "x" * 500])
async def test_what_is_not_there_is_a_404(edge: Edge, delivery_id: str) -> None:
    for method, action in (("GET", ""), ("POST", "/redeliver"), ("POST", "/cancel")):
        answer = await edge.call(method, f"/v1/deliveries/{delivery_id}{action}")
        assert (answer.status, answer.json["code"]) == (404, "delivery-not-found")


async def test_a_body_is_refused_that_says_something(edge: Edge) -> None:
    for action in ("redeliver", "cancel"):
        path = f"/v1/deliveries/{NO_DELIVERY}/{action}"
        answer = await edge.call("POST", path, json={"now": True})
        assert answer.status == 422
        assert answer.pointers == ["/now"]


async def test_without_the_store_it_is_a_503(edge: Edge) -> None:
    edge.memory.fails_with = StoreUnavailable("the disk is full")
    for method, action in (("GET", ""), ("POST", "/redeliver"), ("POST", "/cancel")):
        answer = await edge.call(method, f"/v1/deliveries/{NO_DELIVERY}{action}")
        assert (answer.status, answer.json["code"]) == (503, "store-unavailable")


async def test_workers_may_not(edge: Edge) -> None:
    for method, path in (
        ("GET", "/v1/deliveries"),
        ("GET", f"/v1/deliveries/{NO_DELIVERY}"),
        ("POST", f"/v1/deliveries/{NO_DELIVERY}/redeliver"),
        ("POST", f"/v1/deliveries/{NO_DELIVERY}/cancel"),
    ):
        assert (await edge.call(method, path, key="dsp_worker")).status == 403
