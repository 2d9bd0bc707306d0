"""`/v1/endpoints` before the real engine and a real database."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
import standardwebhooks

from dispatcher.core.facts import DeliveryAttemptEnded
from dispatcher.core.limits import Limits
from dispatcher.core.model import ApiKey, Role
from dispatcher.core.outcome import Answered
from dispatcher.engine.callers import digest_of
from dispatcher.ports.sender import Callout
from tests.databases import Database, all_written_in
from tests.engine.stage import FAILS, Steady
from tests.web.edge import Answer
from tests.web.test_whole_path import OTHER, URL, Service, service

HOOK = "https://hooks.example/in?token=hunter2"
GONE = Answered(status_code=410, duration_ms=3)
NOWHERE = "/v1/endpoints/ep_" + "0" * 32
OPERATOR = "dsp_the-operator"


@pytest_asyncio.fixture
async def here(database: Database) -> AsyncIterator[Service]:
    async with service(database, limits=Limits(endpoints=3)) as running:
        key = ApiKey(id="key_" + "5" * 32, caller_id=OTHER.id, role=Role.OPERATOR, created_at=0)
        await running.stage.store.add_key(key, digest_of(OPERATOR))
        yield running


async def register(here: Service, url: str = HOOK, **members: Any) -> dict[str, Any]:
    answer = await here.call("POST", "/v1/endpoints", json={"url": url, **members})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.json
    return made


async def do(here: Service, made: dict[str, Any], verb: str, **more: Any) -> Answer:
    return await here.call("POST", f"/v1/endpoints/{made['id']}/{verb}", **more)


async def show(here: Service, made: dict[str, Any]) -> dict[str, Any]:
    answer = await here.call("GET", f"/v1/endpoints/{made['id']}")
    assert answer.status == 200, answer.body
    shown: dict[str, Any] = answer.json
    return shown


async def sent(here: Service, url: str = HOOK, count: int = 1) -> list[Callout]:
    return await here.stage.sender.until(count, url)


def verified(callout: Callout, secret: str) -> dict[str, Any]:
    """The body, once a library that is not ours makes the same signature (it reads the clock)."""
    headers = dict(callout.headers)
    hook = standardwebhooks.Webhook(secret.removeprefix("whsec_"))
    at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    wanted = hook.sign(headers["webhook-id"], at, callout.body.decode())
    assert wanted in headers["webhook-signature"].split(" ")
    body: dict[str, Any] = json.loads(callout.body)
    return body


class TestRegistering:
    async def test_it_is_shown_with_its_secret_once(
        self, here: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plain = b"a secret of an endpoint, of which"
        monkeypatch.setattr(Steady, "token", lambda _, size: plain[:size])
        answer = await here.call("POST", "/v1/endpoints", json={"url": HOOK})
        assert (answer.status, answer.headers["Cache-Control"]) == (201, "no-store")
        made = answer.json
        assert answer.headers["Location"] == f"/v1/endpoints/{made['id']}"
        secret = made.pop("secret")
        assert secret.startswith("whsec_")
        assert base64.b64decode(secret.removeprefix("whsec_")) == plain[:32]
        assert made == {
            "id": made["id"],
            "callerId": here.stage.caller.id,
            "url": HOOK,
            "events": ["job.succeeded", "job.failed", "job.canceled", "job.expired"],
            "headers": {},
            "schedule": None,
            "ordered": False,
            "rateLimit": None,
            "status": "enabled",
            "disabledReason": None,
            "disabledAt": None,
            "failingSince": None,
            "createdAt": "2026-01-31T12:00:00.000Z",
            "secrets": [{"createdAt": "2026-01-31T12:00:00.000Z", "expiresAt": None}],
        }
        assert await show(here, made) == made
        listed = await here.call("GET", "/v1/endpoints")
        assert listed.json == {"items": [made], "nextCursor": None}
        written = await all_written_in(here.stage.database)
        assert plain[:32] not in written
        assert made["id"].encode() in written

    async def test_header_values_are_never_shown(self, here: Service) -> None:
        made = await register(
            here, headers={"X-Token": "hunter3"}, schedule=[0, 2.5], ordered=True, rateLimit=10
        )
        assert (made["headers"], made["schedule"]) == ({"X-Token": "***"}, [0, 2.5])
        assert (made["ordered"], made["rateLimit"]) == (True, 10)
        written = await all_written_in(here.stage.database)
        assert b"hunter3" not in written

    @pytest.mark.parametrize(
        ("body", "faults"),
        [
            ({}, [("/url", "missing")]),
            ({"url": "http://127.0.0.1/x"}, [("/url", "callback-url-refused")]),
            ({"url": "https://a.example/" + "x" * 3_000}, [("/url", "too-long")]),
            ({"url": HOOK, "events": []}, [("/events", "bad-length")]),
            ({"url": HOOK, "events": ["ping"]}, [("/events/0", "unknown-value")]),
            (
                {"url": HOOK, "headers": {"webhook-id": "x"}},
                [("/headers/webhook-id", "reserved-header")],
            ),
            ({"url": HOOK, "schedule": [-1]}, [("/schedule/0", "out-of-range")]),
            ({"url": HOOK, "ordered": 1}, [("/ordered", "wrong-type")]),
            ({"url": HOOK, "rateLimit": 1e9}, [("/rateLimit", "out-of-range")]),
            ({"url": HOOK, "rateLimit": 0}, [("/rateLimit", "out-of-range")]),
            ({"url": HOOK, "secret": "mine"}, [("/secret", "unknown-field")]),
            (
                {"url": "ftp://x", "schedule": []},
                [("/url", "callback-url-refused"), ("/schedule", "bad-length")],
            ),
        ],
    )
    async def test_what_does_not_fit(
        self, here: Service, body: dict[str, Any], faults: list[tuple[str, str]]
    ) -> None:
        answer = await here.call("POST", "/v1/endpoints", json=body)
        assert answer.status == 422, answer.body
        assert [(each["pointer"], each["code"]) for each in answer.json["errors"]] == faults
        if body.get("url") == HOOK and "secret" not in body:
            made = await register(here)
            answer = await here.call("PATCH", f"/v1/endpoints/{made['id']}", json=body)
            assert [(each["pointer"], each["code"]) for each in answer.json["errors"]] == faults

    async def test_so_many_at_most(self, here: Service) -> None:
        made = [await register(here) for _ in range(3)]
        answer = await here.call("POST", "/v1/endpoints", json={"url": HOOK})
        assert (answer.status, answer.json["code"]) == (409, "too-many-endpoints")
        await here.call("DELETE", f"/v1/endpoints/{made[0]['id']}")
        await register(here)

    async def test_an_operator_makes_them_for_others_and_it_is_kept(self, here: Service) -> None:
        path = f"/v1/endpoints?callerId={here.stage.caller.id}"
        answer = await here.edge.call("POST", path, key=OPERATOR, json={"url": HOOK})
        assert answer.status == 201
        made = answer.json
        for verb in ("disable", "enable", "ping", "rotate-secret"):
            where = f"/v1/endpoints/{made['id']}/{verb}"
            done = await here.edge.call("POST", where, key=OPERATOR)
            assert done.status in {200, 202}, done.body
        where = f"/v1/endpoints/{made['id']}"
        await here.edge.call("PATCH", where, key=OPERATOR, json={"events": ["job.failed"]})
        await here.edge.call("DELETE", where, key=OPERATOR)
        log = await here.edge.call("GET", "/v1/audit", key=OPERATOR)
        assert [each["action"] for each in log.json["items"]][::-1] == [
            "endpoint.create",
            "endpoint.disable",
            "endpoint.enable",
            "endpoint.ping",
            "endpoint-secret.rotate",
            "endpoint.change",
            "endpoint.delete",
        ]
        assert {each["target"] for each in log.json["items"]} == {made["id"]}
        await register(here)  # one's own is not
        log = await here.edge.call("GET", "/v1/audit", key=OPERATOR)
        assert len(log.json["items"]) == 7


class TestChanging:
    async def test_what_is_left_out_stays_and_null_is_the_default(self, here: Service) -> None:
        made = await register(
            here, events=["job.output"], headers={"X-Token": "t"}, schedule=[1, 2]
        )
        path = f"/v1/endpoints/{made['id']}"
        del made["secret"]
        answer = await here.call("PATCH", path, json={"url": "https://new.example/x"})
        assert answer.status == 200, answer.body
        assert answer.json == made | {"url": "https://new.example/x"}
        answer = await here.call("PATCH", path, json={"events": ["delivery.dead", "job.failed"]})
        assert answer.json["events"] == ["delivery.dead", "job.failed"]
        answer = await here.call(
            "PATCH", path, json={"events": None, "headers": None, "schedule": None}
        )
        assert answer.json["events"] == [
            "job.succeeded",
            "job.failed",
            "job.canceled",
            "job.expired",
        ]
        assert (answer.json["headers"], answer.json["schedule"]) == ({}, None)

    async def test_what_is_not_there(self, here: Service) -> None:
        for method, path in (
            ("GET", NOWHERE),
            ("DELETE", NOWHERE),
            ("POST", f"{NOWHERE}/ping"),
            ("POST", f"{NOWHERE}/enable"),
            ("POST", f"{NOWHERE}/disable"),
            ("POST", f"{NOWHERE}/rotate-secret"),
            ("GET", "/v1/endpoints/nonsense"),
        ):
            answer = await here.call(method, path)
            assert (answer.status, answer.json["code"]) == (404, "endpoint-not-found"), path
        answer = await here.call("PATCH", NOWHERE, json={})
        assert answer.status == 404

    async def test_its_secret_is_rotated(self, here: Service) -> None:
        made = await register(here)
        rotated = await do(here, made, "rotate-secret", json={"overlapSeconds": 60})
        assert (rotated.status, rotated.headers["Cache-Control"]) == (200, "no-store")
        assert rotated.json["othersSignUntil"] == "2026-01-31T12:01:00.000Z"
        await here.submit()
        (callout,) = await sent(here)
        assert verified(callout, made["secret"]) == verified(callout, rotated.json["secret"])
        assert len((await show(here, made))["secrets"]) == 2


class TestSending:
    async def test_a_job_s_end_signed_for_the_endpoint(self, here: Service) -> None:
        made = await register(here, headers={"X-Token": "t 1"})
        job_id = await here.submit(
            {
                "type": "work",
                "input": {"n": 1},
                "callbackUrl": URL,
                "callback": {"mode": "thin", "headers": {"X-Own": "o"}},
                "correlationId": "c-1",
            }
        )
        (callout,) = await sent(here)
        (own,) = await sent(here, URL)
        body = verified(callout, made["secret"])
        assert (body["type"], body["callbackUrl"]) == ("job.succeeded", HOOK)
        assert (body["data"]["id"], body["data"]["result"]) == (job_id, {"n": 1})
        headers = dict(callout.headers)
        assert (headers["X-Token"], headers["correlation-id"]) == ("t 1", "c-1")
        assert "X-Own" not in headers
        assert "X-Token" not in dict(own.headers)
        assert body["id"] == json.loads(own.body)["id"]
        assert "result" not in json.loads(own.body)["data"]
        await here.stage.seen(DeliveryAttemptEnded, count=2)
        listed = (await here.call("GET", f"/v1/jobs/{job_id}/deliveries")).json["items"]
        assert {each["endpointId"] for each in listed} == {None, made["id"]}
        (item,) = (await here.call("GET", f"/v1/deliveries?endpointId={made['id']}")).json["items"]
        assert (item["endpointId"], item["status"]) == (made["id"], "delivered")
        assert (await here.call("GET", "/v1/deliveries?endpointId=x")).status == 422

    async def test_a_ping_goes_to_that_endpoint_alone_and_is_tried_once(
        self, here: Service
    ) -> None:
        made = await register(here, events=["job.failed"])
        await register(here, "https://other.example/in")
        here.stage.sender.answers[HOOK] = [FAILS]
        answer = await do(here, made, "ping")
        assert answer.status == 202
        assert answer.headers["Location"] == f"/v1/deliveries/{answer.json['id']}"
        assert (answer.json["eventType"], answer.json["jobId"]) == ("ping", None)
        (callout,) = await sent(here)
        body = verified(callout, made["secret"])
        assert (body["type"], body["sequence"], body["callbackUrl"]) == ("ping", None, HOOK)
        assert body["data"]["id"] == made["id"]
        await here.stage.seen(DeliveryAttemptEnded)
        found = (await here.call("GET", answer.headers["Location"])).json
        assert (found["status"], len(found["attempts"])) == ("dead", 1)  # it is sent once
        assert len(here.stage.sender.sent) == 1

    async def test_started_and_progress_are_stored_if_an_endpoint_asks(self, here: Service) -> None:
        await here.submit()
        first = await here.submit()
        await here.ended(first)
        events = (await here.call("GET", f"/v1/jobs/{first}/events")).json["items"]
        assert [each["type"] for each in events] == ["job.succeeded"]
        made = await register(here, events=["job.started"])
        second = await here.submit()
        await here.ended(second)
        events = (await here.call("GET", f"/v1/jobs/{second}/events")).json["items"]
        assert [each["type"] for each in events] == ["job.started", "job.succeeded"]
        listed = await here.call("GET", f"/v1/deliveries?endpointId={made['id']}")
        (delivery,) = listed.json["items"]  # sent, or dropped at the job's end: it is best effort
        assert (delivery["eventType"], delivery["jobId"]) == ("job.started", second)

    async def test_an_endpoint_is_tried_by_its_own_schedule(self, here: Service) -> None:
        made = await register(here, schedule=[0, 60])
        here.stage.sender.answers[HOOK] = [FAILS, FAILS]
        await here.submit()
        await sent(here)
        await here.stage.seen(DeliveryAttemptEnded, lambda fact: fact.url == HOOK)
        path = f"/v1/deliveries?endpointId={made['id']}"
        (waits,) = (await here.call("GET", path)).json["items"]
        assert waits["nextAttemptAt"] == "2026-01-31T12:01:00.000Z"
        assert (await show(here, made))["failingSince"] == "2026-01-31T12:00:00.000Z"
        here.stage.advance(60)
        await sent(here, count=2)
        await here.stage.seen(DeliveryAttemptEnded, lambda fact: fact.url == HOOK, count=2)
        (dead,) = (await here.call("GET", path)).json["items"]
        assert dead["status"] == "dead"

    async def test_a_dead_callback_is_told_to_who_subscribed(self, here: Service) -> None:
        made = await register(here, events=["delivery.dead"])
        here.stage.sender.answers[URL] = [GONE]
        job_id = await here.submit()
        (callout,) = await sent(here)
        body = verified(callout, made["secret"])
        assert (body["type"], body["sequence"]) == ("delivery.dead", None)
        data = body["data"]
        assert (data["jobId"], data["url"], data["status"]) == (job_id, URL, "dead")
        assert data["lastAttempt"]["statusCode"] == 410
        shown = (await here.call("GET", f"/v1/deliveries/{data['id']}")).json
        attempts = shown.pop("attempts")
        assert data == shown | {
            "lastAttempt": {name: attempts[-1][name] for name in data["lastAttempt"]}
        }
