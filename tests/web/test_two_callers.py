"""Two callers try every call on each other's things: each finds nothing, and is told no more.

The recipes go by the table of routes: a call that is not in one of them fails the first test.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest_asyncio
from msgspec import Struct

from dispatcher.core.changes import LeasedJob
from dispatcher.core.outcome import JobOutcome, Succeeded
from dispatcher.ports.runner import RunReport
from tests.databases import Database
from tests.engine.stage import ScriptedRunner, echo
from tests.web.edge import Answer
from tests.web.listening import stream
from tests.web.route_table import NO_ID, ROUTES, Who
from tests.web.test_leases import AUDIO, JOB, Worker, at_work
from tests.web.test_whole_path import OTHER, URL, Service, service

RUN: Final = "run"
"""A type whose jobs run until the test is over."""

# Calls that name a thing: another's is a 404, exactly as one that is not there.
NAMING: Final = {
    ("GET", "/v1/jobs/{id}"): "job",
    ("GET", "/v1/jobs/{id}/result"): "job",
    ("GET", "/v1/jobs/{id}/events"): "job",
    ("GET", "/v1/jobs/{id}/deliveries"): "job",
    ("DELETE", "/v1/jobs/{id}"): "job",
    ("POST", "/v1/jobs/{id}/replay"): "job",
    ("POST", "/v1/jobs/{id}/cancel"): "job",
    ("GET", "/v1/deliveries/{id}"): "delivery",
    ("POST", "/v1/deliveries/{id}/redeliver"): "delivery",
    ("POST", "/v1/deliveries/{id}/cancel"): "delivery",
    ("GET", "/v1/endpoints/{id}"): "endpoint",
    ("PATCH", "/v1/endpoints/{id}"): "endpoint",
    ("DELETE", "/v1/endpoints/{id}"): "endpoint",
    ("POST", "/v1/endpoints/{id}/rotate-secret"): "endpoint",
    ("POST", "/v1/endpoints/{id}/enable"): "endpoint",
    ("POST", "/v1/endpoints/{id}/disable"): "endpoint",
    ("POST", "/v1/endpoints/{id}/ping"): "endpoint",
}
# Lists: what they are asked for, by filters that fit the other's things alone.
LISTING: Final = {
    ("GET", "/v1/jobs"): (
        "",
        "?callerId={caller}",
        "?type=work",
        "?status=running",
        "?queue=default",
        "?correlationId=hers",
        "?createdAfter=2020-01-01T00:00:00Z",
    ),
    ("GET", "/v1/deliveries"): (
        "",
        "?callerId={caller}",
        "?jobId={job}",
        "?status=delivered",
        "?eventType=job.succeeded",
        "?url=https%3A%2F%2Freceiver.example%2Fhook",
    ),
    ("GET", "/v1/endpoints"): ("", "?callerId={caller}"),
}
# The feed: its cursors are one caller's, and another can't be named.
FEED: Final = {("GET", "/v1/events"): ("", "?types=job.succeeded", "?limit=1")}
# Calls that make something of one's own: naming another as its owner is a 404.
MAKING: Final = {
    ("POST", "/v1/jobs"): ("?callerId={caller}", {"type": "work", "input": 1}),
    ("POST", "/v1/endpoints"): ("?callerId={caller}", {"url": URL}),
}
# What workers do: each holds its own leases, and another's is as one that has ended. Which caller's
# jobs a worker may do is not decided here: types are.
LEASING: Final = {("POST", "/v1/leases"): {"types": [AUDIO.name]}}
LEASED: Final = {
    ("POST", "/v1/leases/{id}/heartbeat"): {"output": 1},
    ("POST", "/v1/leases/{id}/complete"): {"result": {"text": "mine"}},
    ("POST", "/v1/leases/{id}/fail"): {"error": {"code": "mine"}},
    ("POST", "/v1/leases/{id}/snooze"): {"seconds": 60},
}
# What needs no key: it must not show anything of anybody.
OPEN: Final = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/metrics"),  # it counts all together: see `tests/test_metrics.py`
    ("GET", "/dev/inbox"),  # of this machine alone, and of one developer
    ("POST", "/dev/inbox"),
}
SHOWING: Final = sorted(path for _, path in OPEN if "dev" not in path and path != "/metrics")
NOTHING: Final = {what: NO_ID[what] for what in ("job", "delivery", "endpoint")}


class Things(Struct):
    """What a caller has: a job that is done and delivered, its delivery, one that runs; and an
    endpoint.
    """

    caller: str
    job: str
    running: str
    delivery: str
    endpoint: str


def test_every_call_that_callers_may_make_is_tried_here() -> None:
    """One that is missing: say above what another caller gets of it."""
    tried = {
        Who.CALLERS: NAMING.keys() | LISTING.keys() | FEED.keys() | MAKING.keys(),
        Who.WORKERS: LEASING.keys() | LEASED.keys(),
        Who.ANYONE: OPEN,
        # They see everybody's: `test_roles.py` shows that callers are refused by each.
        Who.OPERATORS: {route for route, who in ROUTES.items() if who is Who.OPERATORS},
    }
    for who in Who:
        assert tried[who] == {route for route, may in ROUTES.items() if may is who}, who


@pytest_asyncio.fixture
async def here(database: Database) -> AsyncIterator[Service]:
    async def hang(leased: LeasedJob, report: RunReport) -> JobOutcome:
        await asyncio.Event().wait()
        return Succeeded(b"null")

    async with service(database, ScriptedRunner(echo), ScriptedRunner(hang, RUN)) as running:
        yield running


async def made(here: Service, key: str) -> Things:
    """What a caller makes; its key is its id."""
    body = {"type": "work", "input": 1, "callbackUrl": URL, "correlationId": "hers"}
    done = await here.edge.submit(body, key=key)
    running = await here.edge.submit({"type": RUN, "input": 1, "callbackUrl": URL}, key=key)
    assert (done.status, running.status) == (202, 202)
    await here.delivered(done.json["id"])
    listed = await here.edge.call("GET", "/v1/deliveries", key=key)
    (delivery,) = listed.json["items"]
    asked = {"url": "https://hooks.example/in", "events": ["endpoint.disabled"]}
    endpoint = await here.edge.call("POST", "/v1/endpoints", key=key, json=asked)
    ids = (done.json["id"], running.json["id"], delivery["id"], endpoint.json["id"])
    return Things(key, *ids)


async def seen(here: Service, things: Things) -> list[Any]:
    """All that its owner sees of its things."""
    return [
        (await here.edge.call("GET", path, key=things.caller)).json
        for path in (
            f"/v1/jobs/{things.job}",
            f"/v1/jobs/{things.running}",
            f"/v1/jobs/{things.job}/events",
            f"/v1/deliveries/{things.delivery}",
            f"/v1/endpoints/{things.endpoint}",
        )
    ]


def without_id(answer: Answer, id_: str) -> str:
    """A problem without what differs from one thing to another."""
    return answer.body.decode().replace(id_, "…")


async def both(here: Service) -> list[tuple[Things, str]]:
    """The things of each, with the key of the other."""
    ann, other = here.stage.caller.id, OTHER.id
    return [(await made(here, ann), other), (await made(here, other), ann)]


async def test_what_is_another_s_is_not_there(here: Service) -> None:
    for things, stranger in await both(here):
        before = await seen(here, things)
        for (method, path), what in NAMING.items():
            mine = {
                "job": (things.job, things.running),
                "delivery": (things.delivery,),
                "endpoint": (things.endpoint,),
            }[what]
            nothing = NOTHING[what]
            more: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
            where = path.replace("{id}", nothing)
            never = await here.edge.call(method, where, key=stranger, **more)
            for each in mine:
                where = path.replace("{id}", each)
                if method == "GET":
                    head = await here.edge.call("HEAD", where, key=stranger)
                    assert head.status == 404, path
                    more = {"headers": {"Prefer": "wait=20"}}  # it is told at once
                answer = await here.edge.call(method, where, key=stranger, **more)
                assert answer.status == 404, f"{method} {path}: {answer}"
                assert answer.json["code"] == f"{what}-not-found"
                # Nothing tells that it is there after all.
                assert without_id(answer, each) == without_id(never, nothing)
                assert answer.headers.keys() == never.headers.keys()
        assert await seen(here, things) == before


async def test_lists_show_one_s_own_alone(here: Service) -> None:
    pairs = await both(here)
    for things, stranger in pairs:
        for (method, path), queries in LISTING.items():
            for query in queries:
                asked = query.format(caller=things.caller, job=things.job)
                answer = await here.edge.call(method, path + asked, key=stranger)
                assert answer.status == 200, f"{path}{asked}: {answer}"
                owners = {each["callerId"] for each in answer.json["items"]}
                own_filter = "callerId" in query or "jobId" in query
                assert owners == (set() if own_filter else {stranger}), f"{path}{asked}"


async def test_a_cursor_leads_nobody_into_another_s_list(here: Service) -> None:
    for things, stranger in await both(here):
        for _, path in LISTING:
            first = await here.edge.call("GET", f"{path}?limit=1", key=things.caller)
            cursor = first.json["nextCursor"]
            if cursor is not None:  # of the jobs, there are two
                answer = await here.edge.call("GET", f"{path}?cursor={cursor}", key=stranger)
                assert {each["callerId"] for each in answer.json["items"]} <= {stranger}


async def test_the_feed_and_streams_are_one_s_own(here: Service) -> None:
    for things, stranger in await both(here):
        for (method, path), queries in FEED.items():
            for query in queries:
                answer = await here.edge.call(method, path + query, key=stranger)
                assert {each["callerId"] for each in answer.json["items"]} == {stranger}
            cursor = (await here.edge.call(method, path, key=things.caller)).json["nextCursor"]
            answer = await here.edge.call(method, f"{path}?cursor={cursor}", key=stranger)
            assert (answer.status, answer.json["parameter"]) == (422, "cursor")
            async with stream(here, path, key=stranger, last_id=cursor) as reader:
                gap, own = await reader.take(2)  # as of any cursor that nobody knows
                assert (gap.type, own.json["callerId"]) == ("gap", stranger)
            named = f"{path}?callerId={things.caller}"
            for headers in ({}, {"Accept": "text/event-stream"}):
                answer = await here.edge.call(method, named, key=stranger, headers=headers)
                assert (answer.status, answer.json["code"]) == (404, "caller-not-found")
        async with (
            stream(here, "/v1/events", key=stranger) as reader,
            stream(here, "/v1/events", key=things.caller) as owner,
        ):
            told = [*await reader.take(1), *await owner.take(1)]
            assert [each.json["callerId"] for each in told] == [stranger, things.caller]
        answer = await here.edge.call(
            "GET",
            f"/v1/jobs/{things.job}/events",
            key=stranger,
            headers={"Accept": "text/event-stream"},
        )
        assert answer.status == 404


async def test_nobody_makes_anything_for_another(here: Service) -> None:
    for things, stranger in await both(here):
        for (method, path), (query, body) in MAKING.items():
            answer = await here.edge.call(
                method, path + query.format(caller=things.caller), key=stranger, json=body
            )
            assert (answer.status, answer.json["code"]) == (404, "caller-not-found")
        listed = await here.edge.call("GET", "/v1/jobs", key=things.caller)
        assert len(listed.json["items"]) == 2


async def test_an_idempotency_key_is_a_caller_s_own(here: Service) -> None:
    headers = {"Idempotency-Key": "same"}
    body = {"type": "work", "input": 1}
    answers = [
        await here.edge.call("POST", "/v1/jobs", key=key, json=body, headers=headers)
        for key in (here.stage.caller.id, OTHER.id)
    ]
    first, second = (each.json for each in answers)
    assert first["id"] != second["id"]
    assert (first["callerId"], second["callerId"]) == (here.stage.caller.id, OTHER.id)


async def test_a_worker_ends_no_lease_of_another(database: Database) -> None:
    async with at_work(database) as (here, worker):
        await here.submit(JOB)
        lease = await worker.lease()
        stranger = Worker(here, "stranger")
        for (_, path), body in LEASED.items():
            answer = await stranger.call(path.replace("{id}", lease["id"]), body)
            never = await stranger.call(path.replace("{id}", NO_ID["lease"]), body)
            assert (answer.status, answer.json["code"]) == (409, "lease-lost"), path
            assert without_id(answer, lease["id"]) == without_id(never, NO_ID["lease"])
        for (_, path), body in LEASING.items():
            answer = await stranger.call(path, body)
            assert answer.json == {"leases": []}  # it is the worker's as long as it lasts
        done = await worker.say(lease, "complete", {"result": {"text": "hers"}})
        assert (done.status, done.json["job"]["status"]) == (200, "succeeded")


async def test_what_needs_no_key_shows_nothing_of_anybody(here: Service) -> None:
    for things, _ in await both(here):
        for path in SHOWING:
            answer = await here.edge.call("GET", path, key=None)
            assert answer.status == 200, path
            shown = answer.body.decode()
            for each in (things.caller, things.job, things.delivery, things.endpoint, URL):
                assert each not in shown, path
