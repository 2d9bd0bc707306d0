"""The bodies that come in, with the bounds that settings decide and the types that are served."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from dispatcher.core.limits import Limits
from dispatcher.core.model import JobType
from dispatcher.core.retry import MAX_SCHEDULE_ENTRIES, MAX_WAIT_SECONDS
from dispatcher.core.submission import RESERVED_HEADERS, RESERVED_PREFIXES
from dispatcher.engine.callers import RESERVED_NAMES
from dispatcher.web.openapi.described import Schema
from dispatcher.web.openapi.shapes import NAME, visible

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_SCHEMAS_BY_NAME: Final = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
)
_DATA: Final = frozenset({"const", "enum", "default", "examples", "example"})


def bound(
    schemas: dict[str, Schema], limits: Limits, kinds: list[JobType], remote: tuple[str, ...]
) -> None:
    """Write the bounds of settings, and the served types, into the schemas of bodies, in place.

    A member is bound by its name, in every body that has it. `remote` are the types that can be
    leased.
    """
    bounds = _bounds(limits)
    for name, schema in schemas.items():
        if name.endswith("Body"):
            for member, each in schema.get("properties", {}).items():
                _plain_name(each)
                _narrow(each, bounds.get(member, {}))
    if "CallerBody" in schemas:
        name_of = schemas["CallerBody"]["properties"]["name"]
        name_of["not"] = {"enum": sorted(RESERVED_NAMES)}
    if "SubmissionBody" in schemas:
        schemas["CallbackBody"]["allOf"] = [_ON_DEAD]
        schemas["SubmissionBody"]["allOf"] = list(_BETWEEN)
        _name_types(schemas, kinds)
    if "LeasesBody" in schemas:
        # False: nothing fits, since nothing can be leased.
        schemas["LeasesBody"]["properties"]["types"]["items"] = (
            {"enum": list(remote)} if remote else False
        )
        schemas["FailBody"]["allOf"] = [_RETRY_AFTER]


def _bounds(limits: Limits) -> dict[str, Schema]:
    url: Schema = {
        "maxLength": limits.url_characters,
        "pattern": "^[hH][tT][tT][pP][sS]?://",
    }
    time: Schema = {"format": "date-time"}
    return {
        "callbackUrl": url,
        "url": url,
        "runAt": time,
        "startBy": time,
        "deadline": time,
        "expiresAt": time,
        "delaySeconds": {"exclusiveMinimum": 0, "maximum": limits.delay_seconds},
        "timeoutSeconds": {"exclusiveMinimum": 0, "maximum": limits.timeout_seconds},
        "retentionSeconds": {"exclusiveMinimum": 0, "maximum": limits.retention_seconds},
        "maxAttempts": {"minimum": 1, "maximum": limits.max_attempts},
        "correlationId": visible(limits),
        "orderingKey": visible(limits),
        "metadata": {
            "maxProperties": limits.metadata_entries,
            "propertyNames": {"maxLength": limits.metadata_characters},
            "additionalProperties": {"type": "string", "maxLength": limits.metadata_characters},
        },
        "headers": _headers(limits),
        "schedule": {
            "minItems": 1,
            "maxItems": min(limits.schedule_entries, MAX_SCHEDULE_ENTRIES),
            "items": {
                "type": "number",
                "minimum": 0,
                "maximum": min(limits.schedule_seconds, MAX_WAIT_SECONDS),
            },
        },
    }


_BETWEEN: Final[tuple[Schema, ...]] = (
    {
        "description": "`callback` says how to call back, `callbackUrl` where.",
        "if": {"properties": {"callback": {"type": "object"}}, "required": ["callback"]},
        "then": {"properties": {"callbackUrl": {"type": "string"}}, "required": ["callbackUrl"]},
    },
    {
        "description": "`runAt` or `delaySeconds`, not both.",
        "not": {
            "properties": {"runAt": {"type": "string"}, "delaySeconds": {"type": "number"}},
            "required": ["runAt", "delaySeconds"],
        },
    },
)
"""What holds between the members of a submission."""

_ON_DEAD: Final[Schema] = {
    "description": "`onDead` needs `ordered: true`.",
    "if": {"properties": {"onDead": {"type": "string"}}, "required": ["onDead"]},
    "then": {"properties": {"ordered": {"const": True}}, "required": ["ordered"]},
}

_RETRY_AFTER: Final[Schema] = {
    "description": "`retryAfterSeconds` needs `retriable: true`.",
    "if": {
        "properties": {"retryAfterSeconds": {"type": "number"}},
        "required": ["retryAfterSeconds"],
    },
    "then": {"properties": {"retriable": {"const": True}}, "required": ["retriable"]},
}


def _headers(limits: Limits) -> Schema:
    reserved = ", ".join(sorted(RESERVED_HEADERS))
    prefixes = ", ".join(f"{each}*" for each in RESERVED_PREFIXES)
    return {
        "maxProperties": limits.callback_headers,
        "propertyNames": {
            "description": f"In any case, and none of: {prefixes}, {reserved}.",
            "maxLength": limits.text_characters,
            "pattern": "^[!#$%&'*+\\-.^_`|~0-9A-Za-z]+$",
        },
        "additionalProperties": {
            "type": "string",
            "maxLength": limits.text_characters,
            "pattern": "^[ -~]*$",
        },
    }


def _narrow(member: Schema, more: Schema) -> None:
    """Add to what a member may be; null stays."""
    for each in member.get("anyOf", [member]):
        if each.get("type") != "null":
            each.update(more)


def _plain_name(member: Schema) -> None:
    """Patterns of names in the regular expressions of JSON Schema (ECMA-262), not Python's."""
    for each in member.get("anyOf", [member]):
        if "(?!\\n)" in each.get("pattern", ""):
            each.update(NAME)


# --- Types of job ------------------------------------------------------------------------------


def _name_types(schemas: dict[str, Schema], kinds: list[JobType]) -> None:
    """Say which types there are, and of each what its input must fit."""
    submission = schemas["SubmissionBody"]
    kind_member = submission["properties"]["type"]
    kind_member["enum"] = [kind.name for kind in kinds]
    for kind in kinds:
        if kind.schema is None:
            continue
        name = f"input.{kind.name}"
        schemas[name] = _embedded(msgspec.json.decode(kind.schema), name)
        submission["allOf"].append(
            {
                "if": {"properties": {"type": {"const": kind.name}}, "required": ["type"]},
                "then": {"properties": {"input": {"$ref": f"#/components/schemas/{name}"}}},
            }
        )
    for kind in kinds:
        if kind.result_schema is not None:
            name = f"result.{kind.name}"
            schemas[name] = _embedded(msgspec.json.decode(kind.result_schema), name)


def _embedded(schema: Any, name: str) -> Any:
    """A type's schema as a part of the document: its references to itself lead there.

    One in another dialect of JSON Schema than the document's is shown and not applied.
    """
    if not isinstance(schema, dict) or "$id" in schema:
        return schema
    if schema.get("$schema", _DIALECT).rstrip("#") != _DIALECT:
        return {
            "description": "In another dialect of JSON Schema: `x-schema` is what it must fit.",
            "x-schema": schema,
        }
    whole = {key: value for key, value in schema.items() if key != "$schema"}
    moved: dict[str, Any] = _moved(whole, f"#/components/schemas/{name}")
    return moved


def _moved(schema: Any, root: str) -> Any:
    if isinstance(schema, list):
        return [_moved(each, root) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "$ref" and isinstance(value, str) and value.startswith("#"):
            found[key] = root + value.removeprefix("#")
        elif key in _SCHEMAS_BY_NAME and isinstance(value, dict):
            found[key] = {name: _moved(each, root) for name, each in value.items()}
        else:
            found[key] = value if key in _DATA else _moved(value, root)
    return found
