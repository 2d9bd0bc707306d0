"""`/openapi.json`: it describes every call there is, and its examples hold."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import jsonschema_rs
import pytest
import pytest_asyncio
from openapi_spec_validator import OpenAPIV31SpecValidator

from dispatcher.core.limits import Limits
from dispatcher.core.model import ApiKey, JobType, Role
from dispatcher.engine.callers import digest_of
from dispatcher.web.app import make_app
from dispatcher.web.openapi.document import described
from dispatcher.web.wire import CallbackBody, SubmissionBody
from tests.databases import Database
from tests.web.contract import Contract, NotAsDescribed
from tests.web.edge import ECHO, Edge
from tests.web.route_table import ROUTES, Who, routes_of
from tests.web.test_problems_page import ROOT, made
from tests.web.test_roles import an_edge
from tests.web.test_whole_path import service


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Edge]:
    """With all that can be served."""
    async with an_edge(dev=True).running() as running:
        yield running


async def document(edge: Edge) -> dict[str, Any]:
    answer = await edge.call("GET", "/openapi.json", key=None)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def operations(found: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_route_is_described() -> None:
    """One that is missing: describe it in the module of its resource, `web/openapi/*.py`."""
    routes = routes_of(make_app(an_edge(dev=True).services))
    assert sorted(described(Limits())) == sorted(routes)


async def test_it_is_openapi_3_1(served: Edge) -> None:
    found = await document(served)
    assert [str(each) for each in OpenAPIV31SpecValidator(found).iter_errors()] == []
    ids = [operation["operationId"] for _, _, operation in operations(found)]
    assert len(set(ids)) == len(ids)


async def test_it_tells_who_may_as_the_routes_do() -> None:
    async with an_edge().running() as edge:
        found = await document(edge)
    for method, path, operation in operations(found):
        who = ROUTES[method, path]
        assert set(operation.get("x-roles", ())) == set(who.value), path
        assert operation["security"] == ([] if who is Who.ANYONE else [{"apiKey": []}])


async def test_in_dev_no_key_is_needed(served: Edge) -> None:
    found = await document(served)
    assert found["paths"]["/v1/jobs"]["post"]["security"] == [{"apiKey": []}, {}]
    assert found["paths"]["/healthz"]["get"]["security"] == []


async def test_only_what_is_served_is_told() -> None:
    async with Edge().running() as edge:
        paths = (await document(edge))["paths"]
    assert "/metrics" not in paths
    assert "/dev/inbox" not in paths
    async with an_edge(metrics_open=False).running() as edge:
        found = await document(edge)
    assert found["paths"]["/metrics"]["get"]["x-roles"] == ["operator"]


async def test_it_is_asked_for_by_its_tag(served: Edge) -> None:
    for path in ("/openapi.json", "/docs"):
        first = await served.call("GET", path, key=None)
        known = {"If-None-Match": first.headers["ETag"]}
        assert (await served.call("GET", path, key=None, headers=known)).status == 304
        served.services.catalog.put([JobType(name="newer", runner="python")])
        again = await served.call("GET", path, key=None, headers=known)
        assert again.status == 200
        assert b"newer" in again.body
        served.services.catalog._types.pop("newer")


# --- Examples ----------------------------------------------------------------------------------


def fits(found: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    whole = {**schema, "components": found["components"]}
    validator = jsonschema_rs.validator_for(whole, validate_formats=True)
    return [f"{list(each.instance_path)}: {each.message}" for each in validator.iter_errors(value)]


def examples(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Every example there is: where it stands, the schema and the value."""
    for method, path, operation in operations(found):
        where = f"{method} {path}"
        for each in operation.get("parameters", ()):
            if "example" in each:
                yield f"{where} {each['name']}", each["schema"], each["example"]
        holders = [operation.get("requestBody", {}), *operation["responses"].values()]
        for urls in operation.get("callbacks", {}).values():
            holders += [item["post"]["requestBody"] for item in urls.values()]
        for holder in holders:
            for content in holder.get("content", {}).values():
                values = [each["value"] for each in content.get("examples", {}).values()]
                values += [content["example"]] if "example" in content else []
                for value in values:
                    yield where, content["schema"], value


async def test_every_example_fits(served: Edge) -> None:
    found = await document(served)
    tried = 0
    for where, schema, example in examples(found):
        assert fits(found, schema, example) == [], where
        tried += 1
    assert tried > 40


async def test_bodies_of_the_examples_are_taken(database: Database) -> None:
    tried = 0
    async with service(database) as here:
        here.edge.services.catalog.put([ECHO])
        own = here.stage.caller.id
        ids = {"caller": own, "endpoint": ""}
        key = ApiKey(id=here.stage.ids.new("key"), caller_id=own, role=Role.OPERATOR, created_at=0)
        await here.stage.store.add_key(key, digest_of("dsp_the-operator"))
        for method, path, operation in operations(await document(here.edge)):
            if path.startswith("/v1/leases"):  # for workers: see `test_described_bodies.py`
                continue
            content = operation.get("requestBody", {}).get("content", {})
            for each in content.get("application/json", {}).get("examples", {}).values():
                place = path.replace("{id}", ids["endpoint" if "endpoints" in path else "caller"])
                answer = await here.edge.call(
                    method, place, key="dsp_the-operator", json=each["value"]
                )
                assert answer.status in {200, 201, 202}, (path, answer.body)
                if path == "/v1/endpoints":  # the calls below it need one that is there
                    ids["endpoint"] = answer.json["id"]
                tried += 1
    assert tried > 12


async def test_each_answer_that_carries_json_has_an_example_or_says_why_not(served: Edge) -> None:
    missing = {
        f"{operation['operationId']} {status}"
        for _, _, operation in operations(await document(served))
        for status, answer in operation["responses"].items()
        for media, content in answer.get("content", {}).items()
        if media.endswith("json") and "example" not in content
    }
    assert missing == {"cancelJob 202", "getOpenApi 200"}  # as the 200 but running; the document


# --- Schemas -----------------------------------------------------------------------------------

NESTED = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "self": {"$ref": "#"},
        "one": {"$ref": "#/$defs/One"},
        "$ref": {"type": "string"},
        "const": {"$ref": "#/$defs/One"},
        "data": {"const": {"$ref": "#/$defs/One"}, "default": {"$ref": "#"}},
    },
    "$defs": {"One": {"type": "integer"}},
}


def with_schema(schema: object, **more: Any) -> Edge:
    edge = Edge(**more)
    kind = JobType(name="nested", runner="python", schema=json.dumps(schema).encode())
    edge.services.catalog.put([kind])
    return edge


async def test_a_type_s_schema_refers_to_itself() -> None:
    async with with_schema(NESTED).running() as edge:
        found = await document(edge)
    root = "#/components/schemas/input.nested"
    schema = found["components"]["schemas"]["input.nested"]
    assert "$schema" not in schema
    members = schema["properties"]
    assert members["self"] == {"$ref": root}
    assert members["one"] == members["const"] == {"$ref": f"{root}/$defs/One"}
    assert members["$ref"] == {"type": "string"}
    assert members["data"] == NESTED["properties"]["data"]  # type: ignore[index]  # a dict of dicts
    submission = {"$ref": "#/components/schemas/SubmissionBody"}
    good = {"type": "nested", "input": {"one": 1, "self": {"one": 2}}}
    assert fits(found, submission, good) == []
    assert fits(found, submission, good | {"input": {"self": {"one": "x"}}})
    assert fits(found, submission, good | {"type": "dispatcher.echo", "input": "x"}) == []
    assert fits(found, submission, good | {"type": "unknown"})


async def test_a_schema_in_another_dialect_is_shown_and_not_applied() -> None:
    old = {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]}
    async with with_schema(old).running() as edge:
        found = await document(edge)
    assert found["components"]["schemas"]["input.nested"]["x-schema"] == old
    assert [str(each) for each in OpenAPIV31SpecValidator(found).iter_errors()] == []


async def test_bounds_are_those_of_the_settings() -> None:
    async with Edge(
        limits=Limits(page_items=107, default_page_items=3, max_attempts=4)
    ).running() as e:
        found = await document(e)
    limit = next(
        each for each in found["paths"]["/v1/jobs"]["get"]["parameters"] if each["name"] == "limit"
    )
    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 107, "default": 3}
    attempts = found["components"]["schemas"]["SubmissionBody"]["properties"]["maxAttempts"]
    assert attempts["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 4}


@pytest.mark.parametrize(
    "more",
    [
        {"callback": {"mode": "thin"}},
        {"runAt": "2026-02-01T00:00:00Z", "delaySeconds": 5},
        {"priority": 10},
        {"delaySeconds": 0},
        {"correlationId": "with space"},
        {"callbackUrl": "https://example.com/", "callback": {"headers": {"a b": "x"}}},
        {"callbackUrl": "https://example.com/", "callback": {"schedule": []}},
        {"colour": "blue"},
        {"queue": "Upper"},
    ],
)
async def test_what_the_schema_refuses_is_refused(edge: Edge, more: dict[str, Any]) -> None:
    body = {"type": "dispatcher.echo", "input": None} | more
    found = await document(edge)
    assert fits(found, {"$ref": "#/components/schemas/SubmissionBody"}, body)
    assert (await edge.submit(body)).status == 422


@pytest.mark.parametrize(
    "more", [{"callback": None}, {"runAt": None, "delaySeconds": 5}, {"maxAttempts": 2.0}]
)
async def test_what_the_schema_takes_is_taken(edge: Edge, more: dict[str, Any]) -> None:
    body = {"type": "dispatcher.echo", "input": None} | more
    found = await document(edge)
    assert fits(found, {"$ref": "#/components/schemas/SubmissionBody"}, body) == []
    assert (await edge.submit(body)).status == 202


# --- Problems and headers ----------------------------------------------------------------------


async def test_every_problem_there_is_stands_in_it(served: Edge) -> None:
    found = await document(served)
    told = {
        (int(status), code)
        for _, _, operation in operations(found)
        for status, answer in operation["responses"].items()
        if "$ref" in answer
        for code in codes_in(found, answer["$ref"])
    }
    nowhere = {
        (404, "not-found"),  # of paths and methods that are not there
        (405, "method-not-allowed"),
        (421, "wrong-role"),  # of processes that serve neither the API nor its description
    }
    assert told == {pair for pair in made() if pair not in nowhere}


def codes_in(found: dict[str, Any], reference: str) -> list[str]:
    response = found["components"]["responses"][reference.rpartition("/")[2]]
    schema = response["content"]["application/problem+json"]["schema"]
    codes: list[str] = schema["allOf"][1]["properties"]["code"]["enum"]
    return codes


async def test_headers_are_those_that_are_sent(edge: Edge) -> None:
    found = await document(edge)
    submit = found["paths"]["/v1/jobs"]["post"]["responses"]
    assert set(submit["202"]["headers"]) == {
        "Request-Id",
        "Location",
        "ETag",
        "Retry-After",
        "Idempotency-Replayed",
        "Preference-Applied",
        "RateLimit-Policy",
        "RateLimit",
    }
    refused = found["components"]["responses"][submit["429"]["$ref"].rpartition("/")[2]]
    assert {"Retry-After", "RateLimit"} <= set(refused["headers"])


async def test_the_contract_of_the_tests_can_be_broken(served: Edge) -> None:
    contract = Contract(await document(served))
    answer = await served.submit({"type": "dispatcher.echo", "input": None})
    contract.check("POST", "/v1/jobs", *answer)
    for broken in (
        answer._replace(status=299),
        answer._replace(headers={**answer.headers, "X-New": "1"}),
        answer._replace(body=answer.body.replace(b'"done":', b'"over":')),
        answer._replace(body=answer.body.replace(b'{"id":', b'{"new":1,"id":')),
    ):
        with pytest.raises(NotAsDescribed):
            contract.check("POST", "/v1/jobs", *broken)


async def test_the_callback_is_described_where_it_is_asked_for(edge: Edge) -> None:
    found = await document(edge)
    (urls,) = found["paths"]["/v1/jobs"]["post"]["callbacks"].values()
    sent = urls["{$request.body#/callbackUrl}"]["post"]
    assert {each["name"] for each in sent["parameters"]} >= {
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "callback-attempt",
    }


# --- The reference -----------------------------------------------------------------------------


def test_the_reference_names_every_call() -> None:
    """`docs/reference/http-api.md` says of each what it answers."""
    page = (ROOT / "docs" / "reference" / "http-api.md").read_text("utf-8")
    missing = [
        f"{method} {path}"
        for method, path in described(Limits())
        if not path.startswith(("/dev/", "/.well-known/")) and f"`{method} {path}" not in page
    ]
    assert missing == []
    assert "`/dev/inbox`" in page
    assert "`/.well-known/jwks.json`" in page


def test_the_reference_names_every_member_of_a_submission() -> None:
    page = (ROOT / "docs" / "reference" / "http-api.md").read_text("utf-8")
    table = page.partition("### Submission")[2].partition("\n### ")[0]
    for kind, prefix in ((SubmissionBody, ""), (CallbackBody, "callback.")):
        for name in kind.__struct_encode_fields__:
            said = f"`{prefix}{name}`" in table or f"`{name}`" in table
            assert said or name == "callback", name
