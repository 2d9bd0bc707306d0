"""Calls for people: a curl to paste, what they take, what they answer."""

from __future__ import annotations

import shlex
from html import escape
from typing import Any
from urllib.parse import quote

from dispatcher.web.page.schemas import kind, members
from dispatcher.web.page.text import block, code, folded, inline, pretty, prose, table


def call(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> str:
    """One call, whole."""
    name = escape(operation["operationId"])
    summary = f"<small>{escape(operation['summary'])}</small>"
    parts = [
        f'<h3><span class="verb {method}">{method.upper()}</span> {code(path)} {summary}</h3>',
        prose(operation.get("description", "")),
        block(curl(document, method, path, operation), "curl"),
        parameters(operation.get("parameters", [])),
        _body(document, operation),
        _answers(document, operation),
    ]
    return f'<article id="{name}">{"".join(parts)}</article>'


def curl(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> str:
    """A command to paste. `$DISPATCHER_API_KEY` is the key, if one is needed."""
    for each in operation.get("parameters", []):
        if each["in"] == "path":
            path = path.replace("{" + each["name"] + "}", quote(str(each["example"]), safe=""))
    words = ["curl", "-s"]
    if method not in {"get", "post"}:
        words += ["-X", method.upper()]
    elif method == "post" and "requestBody" not in operation:
        words += ["-X", "POST"]
    words.append(shlex.quote(document["servers"][0]["url"] + path))
    lines = [" ".join(words)]
    if operation["security"] and {} not in operation["security"]:
        lines.append('-H "authorization: Bearer $DISPATCHER_API_KEY"')
    if body := operation.get("requestBody"):
        lines.append("-H 'content-type: application/json'")
        lines.append(f"-d {shlex.quote(_one_line(_first_example(body)))}")
    return " \\\n  ".join(lines)


def _first_example(body: dict[str, Any]) -> Any:
    """Empty if there is none, since no body would be good here."""
    examples = body["content"]["application/json"]["examples"].values()
    return next(iter(examples), {"value": {}})["value"]


def _one_line(value: Any) -> str:
    return " ".join(each.strip() for each in pretty(value).split("\n"))


def parameters(given: list[dict[str, Any]]) -> str:
    """What stands in the path, the query and the headers."""
    rows = [
        (
            code(each["name"]) + (" <em>required</em>" if each.get("required") else ""),
            escape(each["in"]),
            kind(each["schema"]),
            inline(each["description"]) + _such_as(each),
        )
        for each in given
    ]
    return table(("Parameter", "In", "Is", ""), rows)


def _such_as(parameter: dict[str, Any]) -> str:
    """An example; of what stands in the path the command has it."""
    if parameter["in"] == "path" or "example" not in parameter:
        return ""
    return f" Such as {code(str(parameter['example']))}."


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    name = str(reference).rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name]
    return found


def _body(document: dict[str, Any], operation: dict[str, Any]) -> str:
    body = operation.get("requestBody")
    if body is None:
        return ""
    content = body["content"]["application/json"]
    schema = _resolved(document, content["schema"])
    others = [
        folded(f"Example: {inline(title)}", block(pretty(each["value"])))
        for title, each in list(content["examples"].items())[1:]
    ]
    may = "" if body["required"] else " <small>may be left out</small>"
    return f"<h4>Body{may}</h4>{members(schema)}{_rules(schema)}{''.join(others)}"


def _rules(schema: dict[str, Any]) -> str:
    """What holds between members, and what the inputs of the types must fit."""
    rules = schema.get("allOf", ())
    said = [inline(each["description"]) for each in rules if "description" in each]
    for each in rules:
        shape = each.get("then", {}).get("properties", {}).get("input")
        if shape is not None:
            name = each["if"]["properties"]["type"]["const"]
            said.append(f"The input of {code(name)}: {kind(shape)}.")
    return "".join(f"<p>{each}</p>" for each in said)


def _answers(document: dict[str, Any], operation: dict[str, Any]) -> str:
    good, bad = [], []
    for status, answer in operation["responses"].items():
        if reference := answer.get("$ref"):
            found = document["components"]["responses"][str(reference).rpartition("/")[2]]
            codes = found["content"]["application/problem+json"]["schema"]["allOf"][1]
            words = ", ".join(code(each) for each in codes["properties"]["code"]["enum"])
            bad.append((code(status), words))
        else:
            good.append(_answer(status, answer))
    problems = folded("Problems", table(("Status", "Code"), bad))
    return f"<h4>Answers</h4>{''.join(good)}{problems}"


def _answer(status: str, answer: dict[str, Any]) -> str:
    names = ", ".join(code(each) for each in answer.get("headers", {}))
    content = ""
    for media, each in answer.get("content", {}).items():
        content += f"<p>{code(media)}: {kind(each['schema'])}</p>"
        if "example" in each:
            content += block(pretty(each["example"]))
    summary = f"{code(status)} {inline(answer['description'])}"
    return folded(summary, f"<p>Headers: {names}</p>{content}", is_open="example" in content)


def callback(name: str, url: str, operation: dict[str, Any]) -> str:
    """What the service sends by itself."""
    content = operation["requestBody"]["content"]["application/json"]
    examples = "".join(block(pretty(each["value"])) for each in content["examples"].values())
    answers = table(
        ("You answer", "Then"),
        [
            (code(status), inline(each["description"]))
            for status, each in operation["responses"].items()
        ],
    )
    return (
        f'<article id="callback-{escape(name)}"><h3><span class="verb post">POST</span> '
        f"{code(url)} <small>{escape(operation['summary'])}</small></h3>"
        f"{prose(operation['description'])}{parameters(operation['parameters'])}"
        f"<p>Body: {kind(content['schema'])}</p>{examples}{answers}</article>"
    )
