"""`/v1/queues`, `/v1/pause` and `/v1/resume` on the real engine."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from dispatcher.core.audit import AuditAction
from dispatcher.core.facts import JobEnded, PauseChanged
from dispatcher.core.model import ApiKey, Role
from dispatcher.ports.audit import AuditFilter
from tests.databases import Database
from tests.web.edge import PUBLIC_URL, Answer
from tests.web.test_whole_path import OTHER, URL, Service, service

WORK = {"type": "work", "input": {"n": 1}, "callbackUrl": URL}


@asynccontextmanager
async def operated(database: Database) -> AsyncIterator[Service]:
    async with service(database) as here:
        key = ApiKey(
            id=here.stage.ids.new("key"), caller_id=OTHER.id, role=Role.OPERATOR, created_at=0
        )
        await here.stage.store.add_key(key, hashlib.sha256(b"ops").digest())
        yield here


async def ask(here: Service, method: str, path: str) -> Answer:
    return await here.edge.call(method, path, key="ops")


async def queues(here: Service) -> dict[str, Any]:
    answer = await ask(here, "GET", "/v1/queues")
    assert answer.status == 200
    return {each["name"]: each for each in answer.json["items"]}


async def test_a_paused_queue_takes_jobs_and_begins_none(database: Database) -> None:
    async with operated(database) as here:
        answer = await ask(here, "POST", "/v1/queues/held/pause")
        assert answer.json == {"name": "held", "pausedAt": answer.json["pausedAt"]}
        assert answer.json["pausedAt"] is not None
        held = await here.submit({**WORK, "queue": "held"})
        free = await here.submit(WORK)
        await here.ended(free)
        here.stage.advance(2)
        await here.stage.rest()
        assert (await queues(here))["held"] == {
            "name": "held",
            "depth": 1,
            "scheduled": 0,
            "running": 0,
            "oldestAgeSeconds": 2.0,
            "pausedAt": answer.json["pausedAt"],
        }
        assert (await here.call("GET", f"/v1/jobs/{held}")).json["status"] == "queued"
        assert (await ask(here, "POST", "/v1/queues/held/resume")).json["pausedAt"] is None
        await here.ended(held)
        told = [(fact.queue, fact.paused) for fact in here.stage.observer.all(PauseChanged)]
        assert told == [("held", True), ("held", False)]


async def test_all_can_be_paused_and_single_ones_stay_so(database: Database) -> None:
    async with operated(database) as here:
        await ask(here, "POST", "/v1/queues/held/pause")
        answer = await ask(here, "POST", "/v1/pause")
        since = answer.json["pausedAt"]
        here.stage.advance(1)
        assert (await ask(here, "POST", "/v1/pause")).json == {"pausedAt": since}
        job = await here.submit(WORK)
        held = await here.submit({**WORK, "queue": "held"})
        await here.stage.rest()
        assert here.stage.observer.all(JobEnded) == []
        assert (await ask(here, "GET", "/v1/queues")).json["pausedAt"] == since
        assert (await ask(here, "POST", "/v1/resume")).json == {"pausedAt": None}
        await here.ended(job)
        await here.stage.rest()
        assert (await here.call("GET", f"/v1/jobs/{held}")).json["status"] == "queued"


async def test_who_did_it_stands_in_the_audit_log(database: Database) -> None:
    async with operated(database) as here:
        await ask(here, "POST", "/v1/queues/held/pause")
        await ask(here, "POST", "/v1/resume")
        page = await here.stage.store.list_audit(AuditFilter(), limit=10, before=None)
        assert [(each.action, each.target, each.actor.caller_id) for each in page.items] == [
            (AuditAction.QUEUE_RESUME, "*", OTHER.id),
            (AuditAction.QUEUE_PAUSE, "held", OTHER.id),
        ]


async def test_queues_that_are_paused_are_listed_page_by_page(database: Database) -> None:
    async with operated(database) as here:
        for name in ("a", "b"):
            await ask(here, "POST", f"/v1/queues/{name}/pause")
        first = (await ask(here, "GET", "/v1/queues?limit=2")).json
        assert [each["name"] for each in first["items"]] == ["a", "b"]
        rest = (await ask(here, "GET", f"/v1/queues?limit=2&cursor={first['nextCursor']}")).json
        assert [each["name"] for each in rest["items"]] == ["default"]
        assert rest["nextCursor"] is None


async def test_a_name_that_no_queue_can_have_is_not_found(database: Database) -> None:
    async with operated(database) as here:
        answer = await ask(here, "POST", "/v1/queues/No%20queue/pause")
        assert (answer.status, answer.json["code"]) == (404, "queue-not-found")


async def test_queues_are_for_operators_alone(database: Database) -> None:
    async with operated(database) as here:
        for method, path in (
            ("GET", "/v1/queues"),
            ("POST", "/v1/pause"),
            ("POST", "/v1/resume"),
            ("POST", "/v1/queues/a/resume"),
        ):
            assert (await here.call(method, path)).status == 403


async def test_queues_are_read_page_by_page(database: Database) -> None:
    """Alone of all lists this one had no `Link` to the next page."""
    async with operated(database) as here:
        for name in ("aa", "bb"):
            await ask(here, "POST", f"/v1/queues/{name}/pause")
        first = await ask(here, "GET", "/v1/queues?limit=1")
        cursor = first.json["nextCursor"]
        link = f"{PUBLIC_URL}/v1/queues?limit=1&cursor={cursor}"
        assert first.headers["Link"] == f'<{link}>; rel="next"'
        assert list(first.json) == ["items", "nextCursor", "pausedAt"]
        second = await ask(here, "GET", link.removeprefix(PUBLIC_URL))
        assert [each["name"] for each in second.json["items"]] == ["bb"]
        last = await ask(here, "GET", "/v1/queues")
        assert (last.json["nextCursor"], "Link" in last.headers) == (None, False)
