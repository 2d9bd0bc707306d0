"""Registered endpoints from the outside: real receivers, a real service, restarts and a kill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from scripts.outside.receiver import Receiver
from tests.whole.rig import SECONDS, Rig, rig

pytestmark = pytest.mark.whole


@asynccontextmanager
async def registered(
    here: Rig, answer: Callable[[str, int], int] | None = None, **members: Any
) -> AsyncIterator[tuple[Receiver, str]]:
    """A receiver with an endpoint, whose secret alone verifies what comes to it; and its path."""
    receiver = Receiver(answer=answer)
    await receiver.start()
    try:
        asked = {"url": receiver.url, "schedule": [0, 0.2, 0.5, 1, 1, 1], **members}
        made = await here.api.call("POST", "/v1/endpoints", json=asked)
        assert made.status == 201, made
        receiver.secret = made.json["secret"]
        yield receiver, f"/v1/endpoints/{made.json['id']}"
    finally:
        await receiver.stop()


async def came(receiver: Receiver, count: int) -> list[dict[str, Any]]:
    """The first events that a receiver was sent, each verified by `standardwebhooks`."""
    assert await receiver.until(lambda: len(receiver.arrivals) >= count, SECONDS)
    assert receiver.refused == []
    return [each.event for each in receiver.arrivals]


async def shown(here: Rig, path: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """An endpoint, once it shows what is wanted."""
    async with asyncio.timeout(SECONDS):
        while True:
            found: dict[str, Any] = (await here.api.call("GET", path)).json
            if wanted.items() <= found.items():
                return found


async def test_each_gets_what_it_subscribed_to(tmp_path: Path) -> None:
    async with (
        rig(tmp_path, dev=True) as here,
        registered(here) as (ends, _),
        registered(here, events=["delivery.dead"], headers={"X-Team": "ops"}) as (dead, _),
    ):
        job_id = await here.submitted(given={"n": 1})
        own = await here.callback(job_id)
        (event,) = await came(ends, 1)
        assert (event["id"], event["data"]["id"]) == (own.webhook_id, job_id)
        assert (event["callbackUrl"], own.event["callbackUrl"]) == (ends.url, here.receiver.url)
        assert dead.arrivals == []
        await here.submitted(callbackUrl="http://127.0.0.1:1/nobody", callback={"schedule": [0]})
        (told,) = await came(dead, 1)
        assert (told["type"], told["sequence"]) == ("delivery.dead", None)
        assert told["data"]["lastAttempt"]["error"]["code"] == "connect"
        assert dead.arrivals[0].headers["x-team"] == "ops"
        assert len(await came(ends, 2)) == 2


async def test_what_waits_survives_a_kill_and_is_sent_when_it_is_enabled(tmp_path: Path) -> None:
    async with rig(tmp_path, dev=True) as here, registered(here) as (receiver, path):
        assert (await here.api.call("POST", f"{path}/disable")).status == 200
        jobs = [await here.submitted(given=number) for number in range(3)]
        for job_id in jobs:
            await here.callback(job_id)
        here.service.kill()
        await here.service.start()
        assert (await here.api.call("GET", path)).json["disabledReason"] == "manual"
        last = await here.submitted()
        await here.callback(last)
        assert receiver.arrivals == []
        assert (await here.api.call("POST", f"{path}/enable")).status == 200
        events = await came(receiver, 4)
        assert {each["data"]["id"] for each in events} == {*jobs, last}


async def test_410_disables_and_the_others_hear_of_it(tmp_path: Path) -> None:
    async with (
        rig(tmp_path, dev=True) as here,
        registered(here, lambda _, seen: 410 if seen == 0 else 200) as (gone, path),
        registered(here, events=["endpoint.disabled"]) as (other, _),
    ):
        await here.submitted()
        (event,) = await came(other, 1)
        assert event["type"] == "endpoint.disabled"
        found = await shown(here, path, {"status": "disabled", "disabledReason": "gone"})
        assert event["data"]["id"] == found["id"]
        assert len(gone.arrivals) == 1
        # By hand: the round that 410 has ended begins anew, and waits for the endpoint.
        listed = await here.api.call("GET", f"/v1/deliveries?endpointId={found['id']}")
        (delivery,) = listed.json["items"]
        assert delivery["status"] == "dead"
        again = await here.api.call("POST", f"/v1/deliveries/{delivery['id']}/redeliver")
        assert again.json["status"] == "pending"
        assert (await here.api.call("POST", f"{path}/enable")).status == 200
        await came(gone, 2)
        assert len({each.body for each in gone.arrivals}) == 1


async def test_a_stretch_of_failures_goes_on_over_restarts(tmp_path: Path) -> None:
    environment = {"DISPATCHER_ENDPOINT_FAILING_SECONDS": "1.5"}
    async with (
        rig(tmp_path, dev=True, environment=environment) as here,
        registered(here, lambda _, __: 500, schedule=[0, 0.5, 0.5, 0.5, 0.5, 9]) as (bad, path),
    ):
        await here.submitted()
        await came(bad, 1)
        since = None
        async with asyncio.timeout(SECONDS):
            while since is None:  # until the first attempt is recorded
                since = (await here.api.call("GET", path)).json["failingSince"]
        here.service.kill()
        await here.service.start()
        found = await shown(here, path, {"disabledReason": "failing"})
        assert found["failingSince"] == since


async def test_a_ping_and_a_rotation(tmp_path: Path) -> None:
    async with rig(tmp_path, dev=True) as here, registered(here) as (receiver, path):
        sent = await here.api.call("POST", f"{path}/ping")
        assert sent.status == 202
        (event,) = await came(receiver, 1)
        assert event["type"] == "ping"
        rotated = await here.api.call("POST", f"{path}/rotate-secret", json={"overlapSeconds": 0})
        receiver.secret = rotated.json["secret"]
        await here.api.call("POST", f"{path}/ping")
        await came(receiver, 2)  # it signs with the new one alone, at once
        async with asyncio.timeout(SECONDS):
            while True:
                found = await here.api.call("GET", sent.headers["location"])
                if found.json["status"] == "delivered":
                    break
        assert (await here.api.call("DELETE", path)).status == 204
        assert (await here.api.call("POST", f"{path}/ping")).status == 404
