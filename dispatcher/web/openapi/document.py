"""The OpenAPI 3.1 document of what is served: put together from the descriptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from msgspec import Struct

from dispatcher.core.limits import Limits
from dispatcher.core.model import API_VERSION, JobType, Role
from dispatcher.web.openapi import (
    callers,
    deliveries,
    destinations,
    endpoints,
    events,
    jobs,
    leases,
    operators,
    queues,
    service,
)
from dispatcher.web.openapi.callback import CALLBACKS, Event
from dispatcher.web.openapi.deliveries import DeadDelivery
from dispatcher.web.openapi.described import TAGS, Answer, Call, Operation, Parameter, Schema
from dispatcher.web.openapi.endpoints import EndpointData
from dispatcher.web.openapi.headers import ALWAYS, HEADERS
from dispatcher.web.openapi.jobs_shown import JobData
from dispatcher.web.openapi.refusals import MEDIA, Problem, problem_schema, problems_of
from dispatcher.web.openapi.submission import bound
from dispatcher.web.openapi.words import OVERVIEW, who_may

_SCHEMAS: Final = "#/components/schemas/{name}"
_JSON: Final = "application/json"

RESOURCES: Final = (
    jobs,
    events,
    deliveries,
    endpoints,
    leases,
    callers,
    destinations,
    queues,
    operators,
    service,
)
"""The modules that describe calls; each has `operations(limits)`."""


class Served(Struct, frozen=True, kw_only=True):
    """What a document is made of.

    `calls` are the routes that are served, with the roles that may take them; none needs no key.
    `remote` are the types that can be leased, sorted.
    """

    calls: Mapping[Call, frozenset[Role]]
    kinds: tuple[JobType, ...]
    remote: tuple[str, ...]
    limits: Limits
    public_url: str
    dev: bool


def described(limits: Limits, remote: tuple[str, ...] = ()) -> dict[Call, Operation]:
    """Every call that is described, whether it is served or not."""
    found: dict[Call, Operation] = {}
    for resource in RESOURCES:
        found |= resource.operations(limits)
    return found | leases.giving_out(remote)


def make_document(served: Served) -> dict[str, Any]:
    """The document, as JSON values."""
    operations = {
        call: operation
        for call, operation in described(served.limits, served.remote).items()
        if call in served.calls
    }
    schemas, refs = _schemas(_shapes(operations.values()))
    bound(schemas, served.limits, list(served.kinds), served.remote)
    writer = _Writer(served, refs)
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in operations.items():
        paths.setdefault(path, {})[method.lower()] = writer.operation((method, path), operation)
    used = {operation.tag for operation in operations.values()}
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Dispatcher",
            "version": API_VERSION,
            "summary": "Jobs accepted with 202, done in the background, their signed callbacks "
            "delivered until they land.",
            "description": OVERVIEW,
        },
        "servers": [{"url": served.public_url}],
        "tags": [{"name": n, "description": d} for n, d in TAGS.items() if n in used],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": writer.responses,
            "headers": HEADERS,
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`Authorization: Bearer <api key>`, once. "
                    "`dispatcher callers create` makes keys.",
                }
            },
        },
    }


def _shapes(operations: Iterable[Operation]) -> list[Any]:
    """The types that the operations speak of, and those of callbacks and problems."""
    found: list[Any] = [Problem, Event, JobData, DeadDelivery, EndpointData]
    for operation in operations:
        shapes = [answer.shape for answer in operation.answers]
        if operation.body is not None:
            shapes.append(operation.body.shape)
        found += [shape for shape in shapes if isinstance(shape, type)]
    return list(dict.fromkeys(found))


def _schemas(shapes: list[Any]) -> tuple[dict[str, Schema], dict[Any, Schema]]:
    refs, schemas = msgspec.json.schema_components(shapes, ref_template=_SCHEMAS)
    return dict(sorted(schemas.items())), dict(zip(shapes, refs, strict=True))


class _Writer:
    """Writes operations; `responses` gathers the problems that they share."""

    def __init__(self, served: Served, refs: dict[Any, Schema]) -> None:
        self._served = served
        self._refs = refs
        self.responses: dict[str, Any] = {}

    def operation(self, call: Call, operation: Operation) -> dict[str, Any]:
        roles = self._served.calls[call]
        written: dict[str, Any] = {
            "operationId": operation.id,
            "tags": [operation.tag],
            "summary": operation.summary,
            "description": "\n\n".join(
                filter(None, (operation.description, who_may(roles, dev=self._served.dev)))
            ),
            "parameters": [_parameter(each) for each in operation.parameters],
            "security": _security(roles, dev=self._served.dev),
        }
        if roles:
            written["x-roles"] = sorted(roles)
        if operation.body is not None:
            body = operation.body
            written["requestBody"] = {
                "required": body.required,
                "content": {
                    _JSON: {
                        "schema": self._schema(body.shape),
                        "examples": {
                            title: {"value": _plain(value)}
                            for title, value in body.examples.items()
                        },
                    }
                },
            }
        written["responses"] = {
            str(answer.status): self._answer(answer) for answer in operation.answers
        } | self._problems(operation, guarded=bool(roles))
        if operation.sends_callbacks:
            written["callbacks"] = CALLBACKS
        return {name: value for name, value in written.items() if value != []} | {
            "security": written["security"]
        }

    def _answer(self, answer: Answer) -> dict[str, Any]:
        written: dict[str, Any] = {
            "description": answer.description,
            "headers": _headers((ALWAYS, *answer.headers)),
        }
        if answer.shape is not None:
            content: dict[str, Any] = {"schema": self._schema(answer.shape)}
            if answer.example is not None:
                content["example"] = _plain(answer.example)
            written["content"] = {answer.media: content}
        if answer.streams:
            written["content"]["text/event-stream"] = {"schema": {"type": "string"}}
        if answer.links:
            written["links"] = {
                name: {"operationId": operation, "parameters": {"id": value}}
                for name, operation, value in answer.links
            }
        return written

    def _schema(self, shape: Any) -> Schema:
        return self._refs[shape] if isinstance(shape, type) else shape

    def _problems(self, operation: Operation, *, guarded: bool) -> dict[str, Any]:
        found: dict[str, Any] = {}
        own_dev = operation.tag == "Development"
        for status, told in problems_of(operation, guarded=guarded, dev=own_dev).items():
            codes, headers = told["codes"], told["headers"]
            name = "-".join([str(status), *codes]) + ("-rated" if "RateLimit" in headers else "")
            self.responses[name] = {
                "description": f"{HTTPStatus(status).phrase}: "
                + ", ".join(f"`{code}`" for code in codes)
                + ".",
                "headers": _headers((ALWAYS, *headers)),
                "content": {MEDIA: {"schema": problem_schema(status, codes)}},
            }
            found[str(status)] = {"$ref": f"#/components/responses/{name}"}
        return found


def _security(roles: frozenset[Role], *, dev: bool) -> list[dict[str, list[str]]]:
    """An empty requirement is one that anything meets: none is needed, or in `--dev` none need."""
    if not roles:
        return []
    return [{"apiKey": []}, *([{}] if dev else [])]


def _parameter(parameter: Parameter) -> dict[str, Any]:
    written: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "schema": parameter.schema,
    }
    if parameter.place == "path":
        written["required"] = True
    if parameter.example is not None:
        written["example"] = parameter.example
    return written


def _headers(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in dict.fromkeys(names)}


def _plain(value: Any) -> Any:
    """An example as JSON values."""
    return msgspec.to_builtins(value)
