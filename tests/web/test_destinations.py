"""`/v1/destinations` on the real engine and a real database."""

from __future__ import annotations

import pytest

from dispatcher.core.outcome import NotSent
from tests.engine.stage import URL
from tests.web.test_audit import act, here
from tests.web.test_whole_path import WORK, Service

__all__ = ["here"]

REFUSED = NotSent(code="connect", detail="no connection", duration_ms=1)
NOWHERE = "dst_00000000000070008000000000000000"


async def test_an_operator_pauses_and_resumes(here: Service) -> None:
    door = here.stage.sender.hang(URL)
    first = await here.submit()
    await here.stage.sender.until(1)
    (shown,) = (await act(here, "GET", "/v1/destinations")).json["items"]
    assert (shown["state"], shown["sending"], shown["pending"]) == ("active", 1, 0)
    assert shown["breaker"] == {"state": "closed", "openUntil": None}
    path = f"/v1/destinations/{shown['id']}"
    assert (await act(here, "GET", path)).json == shown
    for _ in range(2):
        paused = await act(here, "POST", f"{path}/pause")
        assert (paused.status, paused.json["state"]) == (200, "paused")
    door.set()
    await here.delivered(first)
    second = await here.submit()
    await here.ended(second)
    await here.stage.rest()
    assert len(here.stage.sender.sent) == 1
    assert (await act(here, "GET", path)).json["due"] == 1
    resumed = await act(here, "POST", f"{path}/resume", json={})
    assert (resumed.json["state"], resumed.json["pausedAt"]) == ("active", None)
    await here.delivered(second)
    audit = (await act(here, "GET", f"/v1/audit?target={shown['id']}")).json["items"]
    actions = [entry["action"] for entry in audit]
    assert actions == ["destination.resume", "destination.pause", "destination.pause"]
    assert audit[0]["callerId"] == shown["callerId"]


async def test_an_open_breaker_is_told(here: Service) -> None:
    here.stage.sender.answers[URL] = [REFUSED] * 5
    for _ in range(5):
        await here.delivered(await here.submit({**WORK, "callback": {"schedule": [0]}}))
    (shown,) = (await act(here, "GET", "/v1/destinations")).json["items"]
    assert shown["breaker"]["state"] == "open"
    assert shown["breaker"]["openUntil"] is not None


@pytest.mark.parametrize("of", [NOWHERE, "dst_x", "x" * 300])
async def test_one_that_is_not_there_is_a_404(here: Service, of: str) -> None:
    for method, verb in (("GET", ""), ("POST", "/pause"), ("POST", "/resume")):
        answer = await act(here, method, f"/v1/destinations/{of}{verb}")
        assert (answer.status, answer.json["code"]) == (404, "destination-not-found")


async def test_callers_may_not(here: Service) -> None:
    assert (await here.call("GET", "/v1/destinations")).status == 403
    assert (await here.call("POST", f"/v1/destinations/{NOWHERE}/pause")).status == 403
