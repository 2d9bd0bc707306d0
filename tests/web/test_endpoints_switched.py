"""Endpoints that are disabled, enabled, deleted: what is sent to them, and what waits."""

from __future__ import annotations

from dispatcher.core.facts import DeliveryAttemptEnded, EndpointSwitched
from tests.engine.stage import FAILS
from tests.web.test_endpoints import (
    GONE,
    HOOK,
    do,
    here,
    register,
    sent,
    show,
    verified,
)
from tests.web.test_whole_path import URL, Service

__all__ = ["here"]  # the fixture


class TestSwitching:
    async def test_what_waited_is_sent_when_it_is_enabled(self, here: Service) -> None:
        made = await register(here)
        answer = await do(here, made, "disable")
        assert answer.status == 200
        assert (answer.json["status"], answer.json["disabledReason"]) == ("disabled", "manual")
        refused = await do(here, made, "ping")
        assert (refused.status, refused.json["code"]) == (409, "endpoint-disabled")
        for _ in range(3):
            await here.ended(await here.submit())
        await sent(here, URL, 3)
        here.stage.advance(3_600)
        await here.stage.rest()
        assert [each for each in here.stage.sender.sent if each.url == HOOK] == []
        again = await do(here, made, "disable")
        assert again.json == answer.json
        answer = await do(here, made, "enable")
        assert (answer.json["status"], answer.json["disabledReason"]) == ("enabled", None)
        await sent(here, count=3)
        assert [fact.endpoint.enabled for fact in here.stage.observer.all(EndpointSwitched)] == [
            False,
            True,
        ]

    async def test_410_disables_it_and_tells_the_others(self, here: Service) -> None:
        made = await register(here)
        other = await register(here, "https://other.example/in", events=["endpoint.disabled"])
        here.stage.sender.answers[HOOK] = [GONE]
        await here.submit()
        (callout,) = await sent(here, "https://other.example/in")
        body = verified(callout, other["secret"])
        assert body["type"] == "endpoint.disabled"
        shown = await show(here, made)
        assert shown["disabledReason"] == "gone"
        assert body["data"] == {name: shown[name] for name in body["data"]}
        assert "secret" not in callout.body.decode()
        (fact,) = here.stage.observer.all(EndpointSwitched)
        assert fact.endpoint.id == made["id"]
        await here.submit()
        await sent(here, URL, 2)
        await here.stage.rest()
        assert len([each for each in here.stage.sender.sent if each.url == HOOK]) == 1

    async def test_nothing_but_failures_for_days_disables_it(self, here: Service) -> None:
        made = await register(here, schedule=[0, 86_400 * 4, 86_400 * 2])
        here.stage.sender.answers[HOOK] = [FAILS] * 3
        await here.submit()
        for count, days in ((1, 4), (2, 2), (3, 0)):
            await sent(here, count=count)
            await here.stage.seen(DeliveryAttemptEnded, lambda fact: fact.url == HOOK, count=count)
            shown = await show(here, made)
            assert shown["failingSince"] == "2026-01-31T12:00:00.000Z"
            assert shown["status"] == ("enabled" if count < 3 else "disabled")
            here.stage.advance(86_400 * days)
        assert shown["disabledReason"] == "failing"

    async def test_deleted_it_gets_nothing_more(self, here: Service) -> None:
        made = await register(here)
        door = here.stage.sender.hang(HOOK)
        job_id = await here.submit()
        await sent(here)
        path = f"/v1/endpoints/{made['id']}"
        assert (await here.call("DELETE", path)).status == 204
        assert (await here.call("DELETE", path)).status == 404
        door.set()
        await here.stage.seen(DeliveryAttemptEnded, lambda fact: fact.url == HOOK)
        listed = (await here.call("GET", f"/v1/jobs/{job_id}/deliveries")).json["items"]
        (delivery,) = [each for each in listed if each["endpointId"] == made["id"]]
        assert delivery["status"] == "delivered"
        await here.stage.sweep()
        answer = await here.call("POST", f"/v1/deliveries/{delivery['id']}/redeliver")
        assert (answer.status, answer.json["code"]) == (409, "endpoint-deleted")
        await here.submit()
        await sent(here, URL, 2)
        await here.stage.rest()
        assert len([each for each in here.stage.sender.sent if each.url == HOOK]) == 1

    async def test_redelivered_and_canceled_as_others_are(self, here: Service) -> None:
        made = await register(here)
        await here.submit()
        await sent(here)
        await here.stage.seen(DeliveryAttemptEnded, lambda fact: fact.url == HOOK)
        (item,) = (await here.call("GET", f"/v1/deliveries?endpointId={made['id']}")).json["items"]
        path = f"/v1/deliveries/{item['id']}"
        assert (await here.call("POST", f"{path}/redeliver")).status == 202
        first, again = await sent(here, count=2)
        assert (first.body, first.url) == (again.body, again.url)
        assert verified(again, made["secret"])
        await here.stage.seen(DeliveryAttemptEnded, lambda fact: fact.url == HOOK, count=2)
        await do(here, made, "disable")
        assert (await here.call("POST", f"{path}/redeliver")).json["status"] == "pending"
        assert (await here.call("POST", f"{path}/cancel")).json["status"] == "canceled"
