"""`/.well-known/jwks.json`: public, cacheable, and what callbacks verify with."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp.test_utils import make_mocked_request

from dispatcher.adapters.system import SystemRandom
from dispatcher.client import verify
from dispatcher.core.audit import CLI
from dispatcher.core.ed25519 import PrivateKey
from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.model import ServiceKey
from dispatcher.engine.service_keys import rotate_service_key
from dispatcher.web.jwks import KEPT_SECONDS
from tests.databases import Database
from tests.web.edge import Edge
from tests.web.test_whole_path import URL, service

PATH = "/.well-known/jwks.json"


def a_key(number: int) -> tuple[ServiceKey, bytes]:
    public = PrivateKey(bytes([number]) * 32).public
    return ServiceKey(id=public.thumbprint, public=public.raw, created_at=0), b"SEALED"


async def test_it_is_public_and_says_how_long_it_holds(edge: Edge) -> None:
    edge.memory.own_keys = [a_key(2), a_key(1)]
    answer = await edge.call("GET", PATH, key=None)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/jwk-set+json"
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    keys = answer.json["keys"]
    assert [key["kid"] for key in keys] == [a_key(2)[0].id, a_key(1)[0].id]
    assert set(keys[0]) == {"kty", "crv", "x", "kid", "use", "alg", "whpk"}
    assert b"SEALED" not in answer.body
    assert (await edge.call("HEAD", PATH, key=None)).status == 200
    assert (await edge.call("POST", PATH, key=None)).status == 405
    assert (await edge.call("GET", f"{PATH}?x=1", key=None)).status == 422


async def test_strangers_reach_the_store_once_in_a_while(edge: Edge) -> None:
    for _ in range(5):
        assert (await edge.call("GET", PATH, key=None)).json == {"keys": []}
    assert edge.memory.look_ups == 1
    edge.memory.own_keys = [a_key(1)]
    edge.clock.advance(KEPT_SECONDS)
    assert len((await edge.call("GET", PATH, key=None)).json["keys"]) == 1


async def test_strangers_at_once_share_one_look_up(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up, begun, go_on = edge.memory.service_keys, asyncio.Event(), asyncio.Event()

    async def slowly() -> list[tuple[ServiceKey, bytes]]:
        found = await look_up()
        begun.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(edge.memory, "service_keys", slowly)
    asked = [asyncio.create_task(edge.call("GET", PATH, key=None)) for _ in range(5)]
    await begun.wait()
    assert (await edge.call("GET", "/healthz", key=None)).status == 200  # the others came too
    go_on.set()
    assert [(await each).status for each in asked] == [200] * 5
    assert edge.memory.look_ups == 1


async def test_who_is_told_of_a_change_shows_it_at_once(edge: Edge) -> None:
    memory = edge.memory
    keys = edge.services.public_keys

    async def shown() -> int:
        answer = await keys.show(make_mocked_request("GET", PATH))
        assert isinstance(answer.body, bytes)
        return len(json.loads(answer.body)["keys"])

    assert await shown() == 0
    memory.own_keys = [a_key(1)]
    assert await shown() == 0
    keys.forget()
    assert await shown() == 1


async def test_what_was_read_before_a_change_is_not_kept(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = edge.memory
    keys = edge.services.public_keys
    look_up, begun, go_on = memory.service_keys, asyncio.Event(), asyncio.Event()

    async def slowly() -> list[tuple[ServiceKey, bytes]]:
        found = list(await look_up())
        begun.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(memory, "service_keys", slowly)
    before = asyncio.create_task(keys.show(make_mocked_request("GET", PATH)))
    await begun.wait()
    memory.own_keys = [a_key(1)]
    keys.forget()
    after = asyncio.create_task(keys.show(make_mocked_request("GET", PATH)))
    go_on.set()
    assert (await before).body == b'{"keys":[]}'
    for answer in (await after, await keys.show(make_mocked_request("GET", PATH))):
        assert isinstance(answer.body, bytes)
        assert len(json.loads(answer.body)["keys"]) == 1
    assert memory.look_ups == 2


async def test_a_store_that_is_down_is_told(edge: Edge) -> None:
    edge.memory.fails_with = StoreUnavailable("disk full")
    answer = await edge.call("GET", PATH, key=None)
    assert (answer.status, answer.json["code"]) == (503, "store-unavailable")


async def test_callbacks_verify_with_what_it_shows_through_a_rotation(database: Database) -> None:
    async with service(database) as here:

        async def shown() -> list[str]:
            answer = await here.edge.call("GET", PATH, key=None)
            return [key["whpk"] for key in answer.json["keys"]]

        async def verifies(number: int, keys: list[str]) -> None:
            await here.submit()
            callout = (await here.stage.sender.until(number))[-1]
            for key in keys:
                event = verify(
                    None,
                    dict(callout.headers),
                    callout.body,
                    now=here.stage.clock.now(),
                    public_keys=[key],
                    caller_id=here.stage.caller.id,
                    callback_url=URL,
                )
                assert event.caller_id == here.stage.caller.id

        first = await shown()
        assert len(first) == 1
        await verifies(1, first)
        stage = here.stage
        await rotate_service_key(
            stage.store,
            stage.vault,
            stage.clock,
            SystemRandom(),
            stage.ids,
            stage.observer,
            CLI,
            overlap_seconds=600,
        )
        stage.advance(KEPT_SECONDS)
        both = await shown()
        assert both[1:] == first
        await verifies(2, both)
        stage.advance(600)
        last = await shown()
        assert last == both[:1]
        await verifies(3, last)
