"""What operators do about callers, on a real store: each thing is told once, and works."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
import standardwebhooks

from dispatcher.core.model import ApiKey, Role
from dispatcher.core.signature import parse_secret, verify
from dispatcher.engine.callers import digest_of
from dispatcher.ports.records import MOST_KEYS, MOST_SECRETS
from dispatcher.web.auth import KEPT_SECONDS
from tests.databases import Database
from tests.engine.stage import SECRET
from tests.web.edge import DEV, Answer, Edge
from tests.web.test_whole_path import URL, Service, service

OPERATOR = "dsp_the-operator"
NOBODY = "clr_" + "9" * 32


@pytest_asyncio.fixture
async def here(database: Database) -> AsyncIterator[Service]:
    async with service(database) as running:
        key = ApiKey(
            id=running.stage.ids.new("key"),
            caller_id=running.stage.caller.id,
            role=Role.OPERATOR,
            created_at=0,
        )
        await running.stage.store.add_key(key, digest_of(OPERATOR))
        yield running


async def ask(here: Service, method: str, path: str, **more: Any) -> Answer:
    return await here.edge.call(method, f"/v1/callers{path}", key=OPERATOR, **more)


async def made(here: Service, path: str = "", **members: Any) -> Any:
    answer = await ask(here, "POST", path, json=members)
    assert answer.status == 201, answer.body
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.json


async def may_list_jobs(here: Service, api_key: str) -> bool:
    answer = await here.edge.call("GET", "/v1/jobs", key=api_key)
    assert answer.status in {200, 401}
    return answer.status == 200


# --- Callers -----------------------------------------------------------------------------------


async def test_a_caller_that_was_made_submits_and_is_called_back(here: Service) -> None:
    shop = await made(here, name="shop")
    assert shop["key"]["role"] == "caller"
    assert shop["key"]["callerId"] == shop["id"]
    key = shop["key"]["apiKey"]
    job = await here.edge.submit(
        {"type": "work", "input": 1, "callbackUrl": URL, "queue": "q"}, key=key
    )
    assert job.json["callerId"] == shop["id"]
    (callout,) = await here.stage.sender.until(1)
    now = here.stage.clock.now()
    verify([parse_secret(shop["secret"])], dict(callout.headers), callout.body, now=now)


async def test_the_list_shows_neither_keys_nor_secrets(here: Service) -> None:
    shop = await made(here, name="shop", role="worker")
    answer = await ask(here, "GET", "")
    (first, *others) = answer.json["items"]
    assert first == {
        "id": shop["id"],
        "name": "shop",
        "createdAt": shop["createdAt"],
        "keys": [
            {
                "id": shop["key"]["id"],
                "role": "worker",
                "createdAt": shop["createdAt"],
                "expiresAt": None,
            }
        ],
        "secrets": [{"createdAt": shop["createdAt"], "expiresAt": None}],
        "limits": {"rate": None, "jobsWaiting": None, "bytesWaiting": None, "bodyBytes": None},
        "schedule": None,
    }
    assert {each["name"] for each in others} == {"ann", "other"}
    text = answer.body.decode()
    assert shop["key"]["apiKey"] not in text
    assert shop["secret"] not in text


async def test_the_list_goes_page_by_page(here: Service) -> None:
    names, path = [], "?limit=1"
    while path:
        answer = await ask(here, "GET", path)
        names += [each["name"] for each in answer.json["items"]]
        cursor = answer.json["nextCursor"]
        path = f"?limit=1&cursor={cursor}" if cursor else ""
    assert names == ["other", "ann"]
    assert (await ask(here, "GET", "?cursor=nonsense")).status == 422
    assert (await ask(here, "GET", "?name=ann")).status == 422


async def test_a_name_is_taken_once(here: Service) -> None:
    await made(here, name="shop")
    again = await ask(here, "POST", "", json={"name": "shop"})
    assert (again.status, again.json["code"]) == (409, "name-taken")


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/name"]),
        ({"name": ""}, ["/name"]),
        ({"name": "Shop"}, ["/name"]),
        ({"name": "shop\n"}, ["/name"]),
        ({"name": "dev"}, ["/name"]),
        ({"name": "dispatcher"}, ["/name"]),
        ({"name": 1, "role": "king", "more": 1}, ["/more", "/name", "/role"]),
        ([], [""]),
    ],
)
async def test_what_is_wrong_with_a_caller(
    here: Service, body: object, pointers: list[str]
) -> None:
    answer = await ask(here, "POST", "", json=body)
    assert answer.status == 422
    assert sorted(answer.pointers) == pointers
    assert len((await ask(here, "GET", "")).json["items"]) == 2


@pytest.mark.parametrize("path", ["", f"/{NOBODY}/keys", f"/{NOBODY}/rotate-secret"])
async def test_bodies_that_are_none(here: Service, path: str) -> None:
    headers = {"Content-Type": "application/json"}
    assert (await ask(here, "POST", path, data=b"{", headers=headers)).status == 400
    text = {"Content-Type": "text/plain"}
    assert (await ask(here, "POST", path, data=b"{}", headers=text)).status == 415
    assert (await ask(here, "POST", f"{path}?x=1", json={})).status == 422


# --- Keys --------------------------------------------------------------------------------------


async def test_a_key_works_until_it_is_revoked(here: Service) -> None:
    caller = here.stage.caller.id
    key = await made(here, f"/{caller}/keys", role="caller")
    assert await may_list_jobs(here, key["apiKey"])
    path = f"/{caller}/keys/{key['id']}"
    assert (await ask(here, "DELETE", path)).status == 204
    here.stage.advance(KEPT_SECONDS)
    assert not await may_list_jobs(here, key["apiKey"])
    assert await may_list_jobs(here, caller)  # its other key
    assert (await ask(here, "DELETE", path)).status == 204


async def test_a_key_works_until_it_expires(here: Service) -> None:
    path = f"/{here.stage.caller.id}/keys"
    key = await made(here, path, role="caller", expiresAt="2026-01-31T12:00:10Z")
    assert key["expiresAt"] == "2026-01-31T12:00:10.000Z"
    here.stage.advance(9.999)
    assert await may_list_jobs(here, key["apiKey"])
    here.stage.advance(0.001)
    assert not await may_list_jobs(here, key["apiKey"])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "missing"),
        ({"role": "king"}, "unknown-value"),
        ({"role": "caller", "expiresAt": "tomorrow"}, "bad-time"),
        ({"role": "caller", "expiresAt": "2026-01-31T12:00:00Z"}, "in-the-past"),
        ({"role": "caller", "expiresAt": 5}, "wrong-type"),
    ],
)
async def test_what_is_wrong_with_a_key(here: Service, body: object, code: str) -> None:
    answer = await ask(here, "POST", f"/{here.stage.caller.id}/keys", json=body)
    assert answer.status == 422
    assert [fault["code"] for fault in answer.json["errors"]] == [code]


async def test_not_more_keys_than_there_may_be(here: Service) -> None:
    path = f"/{here.stage.caller.id}/keys"
    for _ in range(MOST_KEYS - 2):  # its own, and the operator's
        await made(here, path, role="caller")
    answer = await ask(here, "POST", path, json={"role": "caller"})
    assert (answer.status, answer.json["code"]) == (409, "too-many-keys")


@pytest.mark.parametrize("caller", [NOBODY, "clr_1", "ann", "%00", "clr_" + "9" * 500])
async def test_what_is_not_there_is_not_found(here: Service, caller: str) -> None:
    key = "key_" + "9" * 32
    for method, path, body, code in (
        ("POST", f"/{caller}/keys", {"role": "caller"}, "caller-not-found"),
        ("POST", f"/{caller}/rotate-secret", {}, "caller-not-found"),
        ("DELETE", f"/{here.stage.caller.id}/keys/{caller}", ..., "key-not-found"),
        ("DELETE", f"/{here.stage.caller.id}/keys/{key}", ..., "key-not-found"),
    ):
        answer = await ask(here, method, path, json=body)
        assert (answer.status, answer.json["code"]) == (404, code), path


# --- The secret --------------------------------------------------------------------------------


async def signatures(here: Service, count: int) -> tuple[list[str], list[bytes], dict[str, str]]:
    """The versions of the signatures of the latest of so many callbacks, its body and headers."""
    await here.submit()
    callout = (await here.stage.sender.until(count))[-1]
    headers = dict(callout.headers)
    elements = headers["webhook-signature"].split(" ")
    return [each.partition(",")[0] for each in elements], [callout.body], headers


async def test_a_rotated_secret_signs_beside_the_old_one_until_that_ends(here: Service) -> None:
    path = f"/{here.stage.caller.id}/rotate-secret"
    answer = await ask(here, "POST", path, json={"overlapSeconds": 60})
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["othersSignUntil"] == "2026-01-31T12:01:00.000Z"
    new = parse_secret(answer.json["secret"])
    versions, (body,), headers = await signatures(here, 1)
    assert versions == ["v1", "v1", "v1a"]
    for secret in (SECRET, new):
        verify([secret], headers, body, now=here.stage.clock.now())

    here.stage.advance(66)  # and the moment that secrets are kept
    versions, (body,), headers = await signatures(here, 2)
    assert versions == ["v1", "v1a"]
    verify([new], headers, body, now=here.stage.clock.now())


async def test_a_rotation_without_a_body_overlaps_for_a_day(here: Service) -> None:
    path = f"/{here.stage.caller.id}/rotate-secret"
    bodies: list[dict[str, Any]] = [{}, {"json": {}}, {"json": {"overlapSeconds": None}}]
    for more in bodies:
        answer = await ask(here, "POST", path, **more)
        assert answer.json["othersSignUntil"] == "2026-02-01T12:00:00.000Z"


@pytest.mark.parametrize("overlap", [-1, 604_801, "1", 1e300])
async def test_an_overlap_that_can_not_be(here: Service, overlap: object) -> None:
    path = f"/{here.stage.caller.id}/rotate-secret"
    answer = await ask(here, "POST", path, json={"overlapSeconds": overlap})
    assert (answer.status, answer.pointers) == (422, ["/overlapSeconds"])
    assert len(await here.stage.store.sealed_secrets(here.stage.caller.id)) == 1


async def test_not_more_secrets_than_there_may_be(here: Service) -> None:
    path = f"/{here.stage.caller.id}/rotate-secret"
    for _ in range(MOST_SECRETS - 1):
        assert (await ask(here, "POST", path)).status == 200
    refused = await ask(here, "POST", path)
    assert (refused.status, refused.json["code"]) == (409, "too-many-secrets")
    assert "overlap of 0" in refused.json["detail"]
    assert (await ask(here, "POST", path, json={"overlapSeconds": 0})).status == 200


async def test_the_public_library_signs_the_same_with_each_secret_in_force(here: Service) -> None:
    path = f"/{here.stage.caller.id}/rotate-secret"
    told = [(await ask(here, "POST", path)).json["secret"] for _ in range(2)]
    _, (body,), headers = await signatures(here, 1)
    for secret in told:
        library = standardwebhooks.Webhook(secret)
        # It verifies by this machine's clock alone, so it signs here: to the same signature.
        at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        theirs = library.sign(headers["webhook-id"], at, body.decode())
        assert theirs in headers["webhook-signature"].split(" ")


async def test_the_secret_of_dev_is_fixed(database: Database) -> None:
    async with service(database) as running:
        await running.stage.add_caller(DEV.caller)
        operator = ApiKey(id="key_1", caller_id=DEV.caller.id, role=Role.OPERATOR, created_at=0)
        await running.stage.store.add_key(operator, digest_of(OPERATOR))
        answer = await ask(running, "POST", f"/{DEV.caller.id}/rotate-secret")
        assert (answer.status, answer.json["code"]) == (403, "forbidden")


async def test_the_edge_alone_answers_an_empty_list(edge: Edge) -> None:
    answer = await edge.call("GET", "/v1/callers", key="dsp_ops")
    assert answer.json == {"items": [], "nextCursor": None}
