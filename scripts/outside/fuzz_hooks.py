"""What the fuzzer must know of the service besides its description, and must never send.

Schemathesis loads it (see `fuzz`). Which values are good can't always be said by a schema: which
URLs may be called back, which cursors there are, how times go together. Of these the good ones are
given here; the bad ones are made by the fuzzer all the same.
"""

from __future__ import annotations

import itertools
import json
import os
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from typing import Any

import schemathesis
from schemathesis import GenerationMode
from schemathesis.core import NotSet
from schemathesis.core.failures import AcceptedNegativeData

from scripts.outside.alone import is_ours

RECEIVER = os.environ["FUZZ_RECEIVER"]
"""The only URL that a callback may go to: on loopback."""

ALONE = os.environ.get("FUZZ_ALONE") == "1"
"""Whether nothing but loopback can be reached in any case."""

_ROOM = {"requests": 1_000_000, "jobsWaiting": 1_000_000, "bytesWaiting": 2**40, "bodyBytes": 2**20}
URLS = frozenset({"callbackUrl", "url"})
"""Members that hold what is called back."""

_NUMBERS = itertools.count()
_WAITS = itertools.count()
HELD = 20
"""Of so many requests that may be held, one is."""

# Far ahead or behind: the seed decides what becomes of a submission, not the clock.
TIMES = ("2026-01-31T09:30:00Z", "2024-02-29T23:59:59.999+05:30")
BETWEEN = frozenset({"createdAfter", "createdBefore"})
ENDS = {"startBy": "2099-01-31T09:30:00Z", "deadline": "2099-01-31T10:30:00Z"}


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:  # noqa: ARG001  # hooks are called by these names
    """Say which values are good, where the description can't."""
    schemas = raw_schema["components"]["schemas"]
    members = schemas["SubmissionBody"]["properties"]
    members["callbackUrl"] = {"enum": [RECEIVER, None]}
    members["runAt"] = {"enum": [*TIMES, None]}
    for name, time in ENDS.items():
        members[name] = {"enum": [time, None]}
    schemas["SubmissionBody"] = {"anyOf": list(of_each_type(schemas["SubmissionBody"]))}
    for name in ("EndpointBody", "EndpointChangeBody"):
        schemas[name]["properties"]["url"] = {"const": RECEIVER}
    of_orders(schemas)
    schemas["KeyBody"]["properties"]["expiresAt"] = {"enum": [*ENDS.values(), None]}
    for methods in raw_schema["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in BETWEEN:
                    parameter["schema"] = {"enum": [*TIMES, *ENDS.values()]}
            for media in operation.get("requestBody", {}).get("content", {}).values():
                for example in media.get("examples", {}).values():
                    for name in URLS & example["value"].keys():
                        example["value"][name] = RECEIVER


def of_orders(schemas: dict[str, Any]) -> None:
    """The same for bulk operations; which callers there are to be named is not told."""
    for name, schema in schemas.items():
        if name.startswith("input.dispatcher."):
            members = schema.get("properties", {})
            members.pop("callerId", None)
            for each in BETWEEN & members.keys():
                members[each] = {"enum": [*TIMES, *ENDS.values()]}


def of_each_type(submission: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same said otherwise, so that each type is drawn as often as the others.

    As it stands, `if` a type `then` an input, most draws are of the type that takes any input.
    """
    rules = submission["allOf"]
    inputs = {
        each["if"]["properties"]["type"]["const"]: each["then"]["properties"]["input"]
        for each in rules
        if "type" in each.get("if", {}).get("properties", {})
    }
    rest = [each for each in rules if "type" not in each.get("if", {}).get("properties", {})]
    for name in submission["properties"]["type"]["enum"]:
        members = {"type": {"const": name}, "input": inputs.get(name, {})}
        yield {
            **submission,
            "allOf": rest,
            "properties": {**submission["properties"], **members},
        }


def harmless(value: Any) -> Any:
    """The same without any URL that leads elsewhere."""
    if isinstance(value, str):
        return value if is_ours(value) else RECEIVER
    if isinstance(value, bytes) and not ALONE:
        return b""
    if isinstance(value, list):
        return [harmless(each) for each in value]
    if isinstance(value, dict):
        kept = {harmless(name): harmless(each) for name, each in value.items()}
        if not ALONE:  # then not even one that looks good is risked
            for name in URLS | {"callback"}:
                kept.pop(name, None)
        return kept
    return value


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:  # noqa: ARG001  # hooks are called by these names
    """Nothing is sent that would make the service call elsewhere, however it came about.

    And of what is meant to be good: cursors are real ones, limits leave room for what comes after,
    and each submission has a key of its own, since the same with another body is refused.
    """
    case.body = harmless(case.body)
    count_alone(case.body)
    if not case.meta or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if case.query and not is_cursor(case.query.get("cursor")):
        case.query.pop("cursor", None)
    if case.query and case.method == "POST":  # else most submissions are for nobody
        case.query.pop("callerId", None)
    if case.method == "PATCH":
        leave_room(case.body)
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"fuzz-{next(_NUMBERS)}"
    # Most jobs that are submitted do not end by themselves: an answer would be held for nothing.
    if case.headers and "Prefer" in case.headers and next(_WAITS) % HELD:
        case.headers["Prefer"] = "wait=0"


def count_alone(body: Any) -> None:
    """Replay nothing: each time there would be twice as many jobs as before."""
    order: Any = body.get("input") if isinstance(body, dict) else None
    bulk = isinstance(order, dict) and body.get("type") == "dispatcher.replay"
    if bulk and order.get("dryRun", False) is False:
        order["dryRun"] = True


def leave_room(body: Any) -> None:
    """Raise the limits that a caller is given: else all that it sends later is refused by them."""
    limits: Any = body.get("limits") if isinstance(body, dict) else None
    if not isinstance(limits, dict):
        return
    for name, value in limits.items():
        if isinstance(value, int | float) and name in _ROOM:
            limits[name] = max(value, _ROOM[name])
        elif isinstance(value, dict) and "requests" in value:
            value["requests"] = max(value["requests"], _ROOM["requests"])


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:  # noqa: ARG001  # hooks are called by these names
    """Keep each but one: no body at all is good where a body may be left out.

    The fuzzer counts it as bad if that is how it came to spoil a body.
    """
    left_out = isinstance(case.body, NotSet) and not response.request.body
    described = case.operation.definition.raw.get("requestBody", {"required": True})
    may_be = not described["required"]
    return not (isinstance(failure, AcceptedNegativeData) and left_out and may_be)


def is_cursor(text: Any) -> bool:
    """Whether the service may have given it."""
    try:
        found = json.loads(urlsafe_b64decode(f"{text}==="))
    except ValueError:
        return False
    return isinstance(found, dict)
