"""Every answer that a test gets, against the description of the API.

`Edge.call` has each of them looked at: its status and its headers are described, and its body has
the members that its type has and no others. So an answer that changes fails a test until its
description does too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import jsonschema_rs

from dispatcher.core.limits import Limits
from dispatcher.core.model import Role
from dispatcher.web.openapi.document import Served, described, make_document

# Of the protocol, or of no interest to a caller of this one call.
_OF_HTTP: Final = frozenset(
    {
        "content-type",
        "content-length",
        "content-security-policy",
        "access-control-allow-origin",
        "x-content-type-options",
        "referrer-policy",
        "date",
        "server",
        "connection",
        "transfer-encoding",
    }
)


class NotAsDescribed(AssertionError):
    """An answer that the description does not allow."""


class Contract:
    """What a document says of answers. Objects have no members but those that are described."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._paths = {
            re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))): methods
            for path, methods in document["paths"].items()
        }
        self._responses = document["components"]["responses"]
        schemas = {
            name: _closed(schema)
            for name, schema in document["components"]["schemas"].items()
            if not name.startswith(("input.", "result."))
        }
        self._components = {"schemas": schemas}
        self._validators: dict[str, Any] = {}

    def check(
        self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Raise `NotAsDescribed` unless it is as described; other paths are not looked at."""
        operation = self._operation(method, path.partition("?")[0])
        if operation is None or b'"code":"not-found"' in body:  # nothing is served there
            return
        where = f"{operation['operationId']} {status}"
        answer = operation["responses"].get(str(status))
        if answer is None:
            raise NotAsDescribed(f"{where}: no such status is described: {body!r}")
        if "$ref" in answer:
            answer = self._responses[answer["$ref"].rpartition("/")[2]]
        known = {name.lower() for name in answer["headers"]} | _OF_HTTP
        if strange := {name.lower() for name in headers} - known:
            raise NotAsDescribed(f"{where}: headers that are not described: {sorted(strange)}")
        if method == "HEAD":
            return
        media = headers.get("Content-Type", "").partition(";")[0]
        content = answer.get("content", {})
        if media not in content and (body or content):
            raise NotAsDescribed(f"{where}: {media} is not described, but {sorted(content)}")
        if media.endswith("json"):
            self._check_body(f"{where} {media}", content[media]["schema"], body)

    def _operation(self, method: str, path: str) -> dict[str, Any] | None:
        for form, methods in self._paths.items():
            if form.fullmatch(path):
                found: dict[str, Any] | None = methods.get(
                    "get" if method == "HEAD" else method.lower()
                )
                return found
        return None

    def _check_body(self, where: str, schema: dict[str, Any], body: bytes) -> None:
        key = json.dumps(schema)
        if key not in self._validators:
            whole = {**schema, "components": self._components}
            self._validators[key] = jsonschema_rs.validator_for(whole, validate_formats=True)
        faults = [
            f"{'/'.join(map(str, each.instance_path))}: {each.message}"
            for each in self._validators[key].iter_errors(json.loads(body))
        ]
        if faults:
            raise NotAsDescribed(f"{where}: {faults}")


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    if "properties" in schema:
        return {"additionalProperties": False, **schema}
    return schema


@lru_cache(1)
def contract() -> Contract:
    """Of every call there is, as if each needed a key: tests send bad ones to all of them."""
    limits = Limits()
    return Contract(
        make_document(
            Served(
                calls=dict.fromkeys(described(limits), frozenset(Role)),
                kinds=(),
                remote=(),
                limits=limits,
                public_url="https://jobs.example",
                dev=True,
            )
        )
    )
