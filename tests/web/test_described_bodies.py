"""What is said of the calls of workers, and of bulk operations, against what is taken."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.adapters.runners.bulk import BulkRunner
from dispatcher.core.bulk import BulkKind
from tests.databases import Database
from tests.web.edge import Edge
from tests.web.test_leases import AUDIO, FAILED, JOB, at_work
from tests.web.test_openapi import document, fits, operations
from tests.web.test_roles import an_edge
from tests.web.test_whole_path import service

FAIL = "/v1/leases/{id}/fail"
RESULT = {"text": "hello"}  # as the type's own schema asks, which no description of a call can say


def schema_of(found: dict[str, Any], path: str) -> dict[str, Any]:
    body = found["paths"][path]["post"]["requestBody"]
    schema: dict[str, Any] = body["content"]["application/json"]["schema"]
    return schema


async def test_each_example_of_what_workers_send_is_taken(database: Database) -> None:
    tried = 0
    async with at_work(database) as (here, worker):
        for method, path, operation in operations(await document(here.edge)):
            if not path.startswith("/v1/leases"):
                continue
            content = operation["requestBody"]["content"]["application/json"]
            assert method == "POST"
            assert content["examples"], path
            for each in content["examples"].values():
                body = each["value"]
                if path.endswith("complete"):
                    assert body.keys() == {"result"}
                    body = {"result": RESULT}
                await here.submit(JOB)
                place = path
                if "{id}" in path:
                    place = path.replace("{id}", (await worker.lease())["id"])
                answer = await worker.call(place, body)
                assert answer.status == 200, (path, answer.body)
                tried += 1
    assert tried >= 6


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/leases", {"types": [AUDIO.name], "limit": 5.0}),  # the same number as 5
        ("/v1/leases", {"types": [AUDIO.name, AUDIO.name], "leaseSeconds": None}),
        (FAIL, {**FAILED, "retriable": True, "retryAfterSeconds": 0}),
        (FAIL, {**FAILED, "retryAfterSeconds": None}),
        ("/v1/leases/{id}/heartbeat", {"output": None}),
    ],
    ids=str,
)
async def test_what_fits_is_taken(database: Database, path: str, body: Any) -> None:
    async with at_work(database) as (here, worker):
        found = await document(here.edge)
        assert fits(found, schema_of(found, path), body) == []
        await here.submit(JOB)
        if "{id}" in path:
            path = path.replace("{id}", (await worker.lease())["id"])
        answer = await worker.call(path, body)
        assert answer.status == 200, answer.body


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/leases", {"types": ["no.such"]}),
        ("/v1/leases", {"types": ["work"]}),  # there is such a type, which no worker does
        ("/v1/leases", {"types": []}),
        (FAIL, {**FAILED, "retryAfterSeconds": 5}),
        (FAIL, {**FAILED, "retriable": False, "retryAfterSeconds": 5}),
        (FAIL, {"error": {"code": "Not a word"}}),
        ("/v1/leases/{id}/snooze", {"seconds": 0}),
    ],
    ids=str,
)
async def test_what_does_not_fit_is_refused(database: Database, path: str, body: Any) -> None:
    async with at_work(database) as (here, worker):
        found = await document(here.edge)
        assert fits(found, schema_of(found, path), body)
        await here.submit(JOB)
        if "{id}" in path:
            path = path.replace("{id}", (await worker.lease())["id"])
        assert (await worker.call(path, body)).status == 422


async def test_where_nothing_can_be_leased_nothing_fits(database: Database) -> None:
    async with service(database) as here:
        found = await document(here.edge)
        assert (await here.edge.call("GET", "/docs", key=None)).status == 200
    schema = schema_of(found, "/v1/leases")
    assert fits(found, schema, {"types": ["work"]})
    operation = found["paths"]["/v1/leases"]["post"]
    assert operation["requestBody"]["content"]["application/json"]["examples"] == {}
    assert "No type is declared here" in operation["description"]


async def test_what_was_leased_leads_to_what_is_said_of_it() -> None:
    async with an_edge().running() as edge:
        found = await document(edge)
    links = found["paths"]["/v1/leases"]["post"]["responses"]["200"]["links"]
    ids = {each["operationId"] for each in links.values()}
    assert ids == {
        operation["operationId"]
        for _, path, operation in operations(found)
        if path.startswith("/v1/leases/")
    }


@pytest.mark.parametrize("kind", sorted(BulkKind))
@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("2026-01-31T09:30:00Z", True),
        ("2024-02-29T23:59:59.999+05:30", True),
        ("0000-00-00T00:00:00Z", False),
        ("2026-02-31T09:30:00Z", False),
        ("2026-01-31 09:30:00Z", False),
    ],
)
async def test_times_of_bulk_orders(kind: BulkKind, text: str, good: bool) -> None:
    edge = Edge()
    edge.services.catalog.put([BulkRunner(kind).type])
    async with edge.running():
        found = await document(edge)
        for member in ("createdAfter", "createdBefore"):
            body = {"type": kind, "input": {member: text, "dryRun": True}}
            told = fits(found, {"$ref": "#/components/schemas/SubmissionBody"}, body)
            assert (told == []) is good
            answer = await edge.submit(body)
            assert answer.status == (202 if good else 422), answer.body
