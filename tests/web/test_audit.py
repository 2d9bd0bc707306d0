"""`/v1/audit`: whatever operators do stands there, and nothing is done that does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from dispatcher.core.audit import AuditAction
from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.facts import (
    ActionAudited,
    CancelAsked,
    DeliveryAttemptEnded,
    DeliveryCancelAsked,
    Redelivered,
)
from dispatcher.core.model import ApiKey, Role
from dispatcher.engine.callers import digest_of
from tests.databases import Database
from tests.engine.handlers import Hanging
from tests.engine.stage import ScriptedRunner, echo
from tests.web.edge import Answer
from tests.web.test_whole_path import OTHER, URL, WORK, Service, service

OPERATOR = "dsp_the-operator"
KEY_ID = "key_" + "5" * 32


@pytest_asyncio.fixture
async def here(database: Database) -> AsyncIterator[Service]:
    runners = (ScriptedRunner(echo), ScriptedRunner(Hanging(), "hang"))
    async with service(database, *runners) as running:
        key = ApiKey(id=KEY_ID, caller_id=OTHER.id, role=Role.OPERATOR, created_at=0)
        await running.stage.store.add_key(key, digest_of(OPERATOR))
        yield running


async def act(here: Service, method: str, path: str, **more: Any) -> Answer:
    return await here.edge.call(method, path, key=OPERATOR, **more)


async def log(here: Service, query: str = "") -> list[dict[str, Any]]:
    answer = await act(here, "GET", f"/v1/audit{query}")
    assert answer.status == 200, answer.body
    items: list[dict[str, Any]] = answer.json["items"]
    return items


async def test_what_is_done_to_callers(here: Service) -> None:
    made = await act(here, "POST", "/v1/callers", json={"name": "shop", "role": "worker"})
    shop = made.json["id"]
    path = f"/v1/callers/{shop}"
    headers = {"Request-Id": "my-request"}
    await act(here, "PATCH", path, json={"limits": {"jobsWaiting": 5}}, headers=headers)
    key = await act(
        here,
        "POST",
        f"{path}/keys",
        json={"role": "caller", "expiresAt": "2030-01-31T12:00:00Z"},
    )
    await act(here, "DELETE", f"{path}/keys/{key.json['id']}")
    await act(here, "POST", f"{path}/rotate-secret", json={"overlapSeconds": 60})
    entries = (await log(here))[::-1]
    assert [(each["action"], each["target"]) for each in entries] == [
        ("caller.create", shop),
        ("caller.change", shop),
        ("key.create", key.json["id"]),
        ("key.revoke", key.json["id"]),
        ("secret.rotate", shop),
    ]
    for each in entries:
        assert each["callerId"] == shop
        assert each["actor"] == {
            "via": "api",
            "callerId": OTHER.id,
            "keyId": KEY_ID,
            "address": "127.0.0.1",
        }
        assert each["at"] == "2026-01-31T12:00:00.000Z"
    created, changed, added, _, rotated = (each["detail"] for each in entries)
    assert created == {"name": "shop", "role": "worker", "keyId": made.json["key"]["id"]}
    assert entries[1]["requestId"] == "my-request"
    assert changed["before"]["limits"]["jobsWaiting"] is None
    assert changed["after"]["limits"]["jobsWaiting"] == 5
    assert added == {"role": "caller", "expiresAt": "2030-01-31T12:00:00.000Z"}
    assert rotated == {"overlapSeconds": 60}
    facts = here.stage.observer.all(ActionAudited)
    assert [fact.entry.id for fact in facts] == [each["id"] for each in entries]


async def test_no_secret_stands_in_it(here: Service) -> None:
    made = await act(here, "POST", "/v1/callers", json={"name": "shop"})
    secret = await act(here, "POST", f"/v1/callers/{made.json['id']}/rotate-secret")
    text = (await act(here, "GET", "/v1/audit")).body.decode()
    for told in (made.json["key"]["apiKey"], made.json["secret"], secret.json["secret"]):
        assert told not in text


async def test_what_is_refused_or_changes_nothing_is_not_in_it(here: Service) -> None:
    nobody = "clr_" + "9" * 32
    for method, path, body in (
        ("POST", "/v1/callers", {"name": "ann"}),
        ("PATCH", f"/v1/callers/{nobody}", {"schedule": [1]}),
        ("PATCH", f"/v1/callers/{OTHER.id}", {}),
        ("PATCH", f"/v1/callers/{OTHER.id}", {"schedule": None}),
        ("POST", f"/v1/callers/{nobody}/keys", {"role": "caller"}),
        ("DELETE", f"/v1/callers/{OTHER.id}/keys/key_{'9' * 32}", None),
        ("POST", f"/v1/callers/{nobody}/rotate-secret", {}),
    ):
        await act(here, method, path, **({} if body is None else {"json": body}))
    assert await log(here) == []


async def test_what_an_operator_does_to_another_s_job(here: Service) -> None:
    job_id = await here.submit({**WORK, "type": "hang"})
    answer = await act(here, "POST", f"/v1/jobs/{job_id}/cancel")
    assert answer.status in {200, 202}  # it may have ended by then
    later = await here.submit({**WORK, "delaySeconds": 60})
    answer = await act(here, "POST", f"/v1/jobs/{later}/cancel")
    assert (answer.status, answer.json["status"]) == (200, "canceled")
    second, first = await log(here)
    for entry, target, kind in ((first, job_id, "hang"), (second, later, "work")):
        assert (entry["action"], entry["target"]) == ("job.cancel", target)
        assert entry["callerId"] == here.stage.caller.id
        assert entry["detail"] == {"type": kind}
    assert [fact.job.id for fact in here.stage.observer.all(CancelAsked)] == [job_id]
    # Done already: nothing is done, and nothing is written.
    await act(here, "POST", f"/v1/jobs/{later}/cancel")
    assert len(await log(here)) == 2


async def test_what_an_operator_erases_of_another_s(here: Service) -> None:
    job_id = await here.submit()
    await here.delivered(job_id)
    assert (await act(here, "DELETE", f"/v1/jobs/{job_id}?cancelDeliveries=true")).status == 204
    assert (await act(here, "DELETE", f"/v1/jobs/{job_id}")).status == 204
    (entry,) = await log(here)
    assert (entry["action"], entry["target"]) == ("job.delete", job_id)
    assert entry["callerId"] == here.stage.caller.id
    own = await here.submit()
    await here.delivered(own)
    assert (await here.call("DELETE", f"/v1/jobs/{own}")).status == 204
    assert len(await log(here)) == 1


async def test_what_an_operator_does_to_another_s_delivery(here: Service) -> None:
    job_id = await here.submit()
    await here.delivered(job_id)
    (delivery,) = (await here.call("GET", f"/v1/jobs/{job_id}/deliveries")).json["items"]
    path = f"/v1/deliveries/{delivery['id']}"
    door = here.stage.sender.hang(URL)
    assert (await act(here, "POST", f"{path}/redeliver")).status == 202
    assert (await act(here, "POST", f"{path}/redeliver")).status == 409
    await here.stage.sender.until(2)
    assert (await act(here, "POST", f"{path}/cancel")).status == 200
    canceled, redelivered = await log(here)
    assert (redelivered["action"], redelivered["target"]) == ("delivery.redeliver", delivery["id"])
    assert (canceled["action"], canceled["target"]) == ("delivery.cancel", delivery["id"])
    assert canceled["callerId"] == here.stage.caller.id
    (fact,) = here.stage.observer.all(Redelivered)
    assert fact.delivery.state == "delivered"
    (asked,) = here.stage.observer.all(DeliveryCancelAsked)
    assert asked.to == "sending"
    door.set()
    await here.stage.seen(DeliveryAttemptEnded, count=2)


async def test_what_one_does_to_one_s_own_is_not_in_it_but_is_told(here: Service) -> None:
    job_id = await here.submit()
    await here.delivered(job_id)
    (delivery,) = (await here.call("GET", f"/v1/jobs/{job_id}/deliveries")).json["items"]
    path = f"/v1/deliveries/{delivery['id']}"
    assert (await here.call("POST", f"{path}/redeliver")).status == 202
    later = await here.submit({**WORK, "delaySeconds": 60})
    await here.call("POST", f"/v1/jobs/{later}/cancel")
    own = await here.edge.submit({**WORK, "delaySeconds": 60}, key=OPERATOR)
    await act(here, "POST", f"/v1/jobs/{own.json['id']}/cancel")
    assert await log(here) == []
    assert len(here.stage.observer.all(Redelivered)) == 1


async def test_an_action_that_can_not_be_written_is_not_done(
    here: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They share a transaction: what keeps the entry out keeps the action out."""
    job_id = await here.submit({**WORK, "delaySeconds": 60})

    def broken(*_: object) -> None:
        raise StoreUnavailable("the disk is full")

    for place in (
        *("sqlite.credentials", "sqlite.callers", "sqlite.store"),
        *("postgres.credentials", "postgres.callers", "postgres.applying"),
    ):
        monkeypatch.setattr(f"dispatcher.adapters.{place}.add_audit", broken)
    path = f"/v1/callers/{OTHER.id}"
    for method, where, body in (
        ("POST", "/v1/callers", {"name": "shop"}),
        ("PATCH", path, {"schedule": [1]}),
        ("POST", f"{path}/keys", {"role": "caller"}),
        ("DELETE", f"{path}/keys/{KEY_ID}", None),
        ("POST", f"{path}/rotate-secret", {}),
        ("POST", f"/v1/jobs/{job_id}/cancel", None),
    ):
        more = {} if body is None else {"json": body}
        assert (await act(here, method, where, **more)).status == 503, where
    assert await here.stage.store.find_caller("shop") is None
    caller = (await act(here, "GET", path)).json
    assert caller["schedule"] is None
    assert [key["id"] for key in caller["keys"] if key["id"] == KEY_ID] == [KEY_ID]
    assert (len(caller["keys"]), len(caller["secrets"])) == (2, 1)
    assert (await here.call("GET", f"/v1/jobs/{job_id}")).json["status"] == "scheduled"


async def test_the_list_is_filtered_and_goes_page_by_page(here: Service) -> None:
    ids = []
    for name in ("one", "two", "three"):
        made = await act(here, "POST", "/v1/callers", json={"name": name})
        ids.append(made.json["id"])
        here.stage.advance(1)
    await act(here, "PATCH", f"/v1/callers/{ids[0]}", json={"schedule": [1]})
    assert [each["action"] for each in await log(here, "?action=caller.change")] == [
        "caller.change"
    ]
    assert {each["target"] for each in await log(here, f"?target={ids[1]}")} == {ids[1]}
    assert len(await log(here, f"?callerId={ids[0]}")) == 2
    assert len(await log(here, f"?actorId={OTHER.id}")) == 4
    assert await log(here, f"?actorId={ids[0]}") == []
    since = await log(here, "?createdAfter=2026-01-31T12:00:01Z")
    assert [each["target"] for each in since] == [ids[0], ids[2]]
    until = await log(here, "?createdBefore=2026-01-31T12:00:01Z")
    assert [each["target"] for each in until] == [ids[0]]
    seen, path = [], "/v1/audit?limit=1"
    while path:
        answer = await act(here, "GET", path)
        seen += answer.json["items"]
        cursor = answer.json["nextCursor"]
        assert ("Link" in answer.headers) == (cursor is not None)
        path = f"/v1/audit?limit=1&cursor={cursor}" if cursor else ""
    assert seen == await log(here)


@pytest.mark.parametrize(
    "query", ["action=nope", "actorId=ann", "callerId=x", "target=", "cursor=x", "limit=0", "x=1"]
)
async def test_filters_that_can_not_be(here: Service, query: str) -> None:
    answer = await act(here, "GET", f"/v1/audit?{query}")
    assert (answer.status, answer.json["code"]) == (422, "invalid-parameter")
    assert answer.json["parameter"] == query.partition("=")[0]


def test_every_action_is_in_the_reference() -> None:
    page = Path(__file__).parent.parent.parent / "docs" / "reference" / "http-api.md"
    text = page.read_text("utf-8")
    for action in AuditAction:
        assert f"`{action}`" in text
