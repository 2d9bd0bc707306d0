"""Replaying and deleting jobs over HTTP, on doubles and on the real engine and database."""

from __future__ import annotations

import pytest

from dispatcher.core.errors import DeliveriesOpen, DeliveriesSending, JobNotDone
from dispatcher.core.facts import JobErased
from tests.databases import Database
from tests.engine.stage import FAILS
from tests.web.doubles import ADA
from tests.web.edge import REPORT, Edge
from tests.web.edge_jobs import ECHO, NO_DELIVERY, NO_JOB, submitted, succeed
from tests.web.test_whole_path import OTHER, URL, WORK, service

# --- Replay ------------------------------------------------------------------------------------


async def test_a_replay_is_a_new_job_with_the_same_submission(edge: Edge) -> None:
    body = {**ECHO, "correlationId": "c-1", "metadata": {"a": "b"}, "priority": 8}
    job_id = await submitted(edge, body)
    answer = await edge.call("POST", f"/v1/jobs/{job_id}/replay")
    assert answer.status == 202
    assert answer.headers["Location"] == f"/v1/jobs/{answer.json['id']}"
    assert answer.json["id"] != job_id
    assert answer.json["replayOf"] == job_id
    first, second = edge.taking.submissions
    assert (second.input, second.correlation_id, second.priority) == (first.input, "c-1", 8)
    assert "Idempotency-Replayed" not in answer.headers


async def test_the_same_key_makes_one(edge: Edge) -> None:
    job_id, other = await submitted(edge), await submitted(edge)
    headers = {"Idempotency-Key": "k"}
    first = await edge.call("POST", f"/v1/jobs/{job_id}/replay", headers=headers)
    again = await edge.call("POST", f"/v1/jobs/{job_id}/replay", headers=headers)
    assert (again.status, again.headers["Idempotency-Replayed"]) == (202, "true")
    assert again.json["id"] == first.json["id"]
    refused = await edge.call("POST", f"/v1/jobs/{other}/replay", headers=headers)
    assert (refused.status, refused.json["code"]) == (422, "idempotency-key-reused")


async def test_the_input_must_fit_its_type_as_it_is_now(edge: Edge) -> None:
    job_id = await submitted(edge, {"type": REPORT.name, "input": {"pages": 1}})
    schema = b'{"type":"object","required":["paper"]}'
    edge.services.catalog.put([type(REPORT)(name=REPORT.name, runner="x", schema=schema)])
    answer = await edge.call("POST", f"/v1/jobs/{job_id}/replay")
    assert (answer.status, answer.pointers) == (422, ["/input/paper"])
    edge.services.catalog._types.clear()
    answer = await edge.call("POST", f"/v1/jobs/{job_id}/replay")
    assert (answer.status, answer.pointers) == (422, ["/type"])


async def test_of_anothers_job_there_is_none_and_an_operators_replay_is_the_callers(
    edge: Edge,
) -> None:
    job_id = await submitted(edge)
    answer = await edge.call("POST", f"/v1/jobs/{job_id}/replay", key="dsp_bob")
    assert (answer.status, answer.json["code"]) == (404, "job-not-found")
    answer = await edge.call("POST", f"/v1/jobs/{job_id}/replay", key="dsp_ops")
    assert (answer.status, answer.json["callerId"]) == (202, ADA.id)


async def test_neither_call_takes_a_body(edge: Edge) -> None:
    job_id = await submitted(edge)
    for method, path in (("POST", f"/v1/jobs/{job_id}/replay"), ("DELETE", f"/v1/jobs/{job_id}")):
        answer = await edge.call(method, path, json={"force": True})
        assert answer.status == 422, answer.body
        answer = await edge.call(method, f"{path}?force=true")
        assert (answer.status, answer.json["code"]) == (422, "invalid-parameter")


# --- Delete ------------------------------------------------------------------------------------


async def test_deleted_it_is_gone_for_its_caller_and_was_never_there_for_others(edge: Edge) -> None:
    job_id = await submitted(edge)
    succeed(edge, job_id, b"1")
    answer = await edge.call("DELETE", f"/v1/jobs/{job_id}", key="dsp_bob")
    assert (answer.status, answer.json["code"]) == (404, "job-not-found")
    for _ in range(2):
        answer = await edge.call("DELETE", f"/v1/jobs/{job_id}")
        assert (answer.status, answer.body) == (204, b"")
    for call in ("", "/result", "/events", "/deliveries"):
        answer = await edge.call("GET", f"/v1/jobs/{job_id}{call}")
        assert (answer.status, answer.json["code"]) == (410, "job-gone"), call
        answer = await edge.call("GET", f"/v1/jobs/{job_id}{call}", key="dsp_bob")
        assert answer.status == 404
    for call in ("cancel", "replay"):
        answer = await edge.call("POST", f"/v1/jobs/{job_id}/{call}")
        assert (answer.status, answer.json["code"]) == (410, "job-gone"), call
    assert (await edge.call("GET", f"/v1/jobs/{job_id}", key="dsp_ops")).status == 410


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (JobNotDone("no"), "job-not-done"),
        (DeliveriesOpen("no"), "deliveries-open"),
        (DeliveriesSending("no"), "deliveries-sending"),
    ],
)
async def test_what_keeps_it_is_told(edge: Edge, refusal: Exception, code: str) -> None:
    edge.erasing.refuses_with = refusal
    answer = await edge.call("DELETE", f"/v1/jobs/{NO_JOB}?cancelDeliveries=true")
    assert (answer.status, answer.json["code"]) == (409, code)
    assert ("Retry-After" in answer.headers) is (code == "deliveries-sending")
    assert edge.erasing.asked == [(NO_JOB, True)]


@pytest.mark.parametrize("value", ["", "yes", "1", "TRUE"])
async def test_a_flag_is_true_or_false(edge: Edge, value: str) -> None:
    answer = await edge.call("DELETE", f"/v1/jobs/{NO_JOB}?cancelDeliveries={value}")
    assert (answer.status, answer.json["parameter"]) == (422, "cancelDeliveries")


# --- On the real thing -------------------------------------------------------------------------


async def test_a_job_and_its_deliveries_are_erased_and_known_as_gone(database: Database) -> None:
    async with service(database) as here:
        here.stage.sender.answers[URL] = [FAILS]
        job_id = await here.submit(WORK)
        await here.delivered(job_id)
        path = f"/v1/jobs/{job_id}"
        (delivery,) = (await here.call("GET", f"{path}/deliveries")).json["items"]
        answer = await here.call("DELETE", path)
        assert (answer.status, answer.json["code"]) == (409, "deliveries-open")
        again = await here.call("POST", f"{path}/replay")
        await here.delivered(again.json["id"])
        assert (await here.call("GET", f"/v1/jobs/{again.json['id']}")).json["replayOf"] == job_id
        assert (await here.call("DELETE", f"{path}?cancelDeliveries=true")).status == 204
        assert here.stage.observer.all(JobErased) == [JobErased(job_id, here.stage.caller.id)]
        for gone in (path, f"{path}/result", f"/v1/deliveries/{delivery['id']}"):
            assert (await here.call("GET", gone)).status == 410
            answer = await here.edge.call("GET", gone, key=OTHER.id)
            assert answer.status == 404
        here.stage.advance(10)
        await here.stage.rest()
        assert len(here.stage.sender.sent) == 2


async def test_what_never_was_is_not_gone(database: Database) -> None:
    async with service(database) as here:
        for path, code in (
            (f"/v1/jobs/{NO_JOB}", "job-not-found"),
            (f"/v1/deliveries/{NO_DELIVERY}", "delivery-not-found"),
        ):
            answer = await here.call("GET", path)
            assert (answer.status, answer.json["code"]) == (404, code)
        assert (await here.call("DELETE", f"/v1/jobs/{NO_JOB}")).status == 404


async def test_a_job_that_waits_is_not_deleted(database: Database) -> None:
    async with service(database) as here:
        job_id = await here.submit({**WORK, "delaySeconds": 60})
        answer = await here.call("DELETE", f"/v1/jobs/{job_id}")
        assert (answer.status, answer.json["code"]) == (409, "job-not-done")
