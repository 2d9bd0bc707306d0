"""JSON Schemas for people: what a member may be, in a few words."""

from __future__ import annotations

from html import escape
from typing import Any, Final

from dispatcher.web.page.text import block, code, folded, inline, pretty, table

_REF: Final = "#/components/schemas/"
_BOUNDS: Final = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "more than {}"),
    ("maximum", "at most {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("maxProperties", "at most {} members"),
)
_MANY_WORDS: Final = 24


def anchor(name: str) -> str:
    """The id on the page of a schema."""
    return f"schema-{name}"


def kind(schema: Any) -> str:
    """What a value may be, as HTML: `string, at most 256 characters`, or a link to its shape."""
    if not isinstance(schema, dict):
        return "any JSON" if schema else "nothing"
    if reference := schema.get("$ref"):
        name = str(reference).removeprefix(_REF)
        return f'<a href="#{escape(anchor(name))}">{escape(name)}</a>'
    if either := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(kind(each) for each in either)
    if "const" in schema:
        return code(pretty(schema["const"]))
    if words := schema.get("enum"):
        shown = ", ".join(code(str(each)) for each in words[:_MANY_WORDS])
        return shown + (", …" if len(words) > _MANY_WORDS else "")
    return ", ".join([_type(schema), *_bounds(schema)])


def _type(schema: dict[str, Any]) -> str:
    name = schema.get("type")
    if name == "array":
        return f"list of {kind(schema.get('items', {}))}"
    if name == "object" and "additionalProperties" in schema and "properties" not in schema:
        return f"object of {kind(schema['additionalProperties'])}"
    if schema.get("format") == "date-time":
        return "time"
    if schema.get("format") == "uri":
        return "URL"
    return escape(str(name)) if isinstance(name, str) else "any JSON"


def _bounds(schema: dict[str, Any]) -> list[str]:
    found = [words.format(_number(schema[key])) for key, words in _BOUNDS if key in schema]
    if "default" in schema:
        found.append(f"{escape(str(schema['default']))} without it")
    if pattern := schema.get("pattern"):
        found.append(code(pattern))
    return found


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def members(schema: dict[str, Any]) -> str:
    """The members of an object, as a table."""
    needed = set(schema.get("required", ()))
    rows = [
        (
            code(name) + (" <em>required</em>" if name in needed else ""),
            kind(each),
            inline(_words(each)),
        )
        for name, each in schema.get("properties", {}).items()
    ]
    return table(("Member", "Is", ""), rows)


def _words(schema: Any) -> str:
    if not isinstance(schema, dict):
        return ""
    own: str = schema.get("description", "")
    inner = [_words(each) for each in schema.get("anyOf", ()) if isinstance(each, dict)]
    names = schema.get("propertyNames", {}).get("description", "")
    return " ".join(filter(None, (own, *inner, names)))


def shape(name: str, schema: Any) -> str:
    """A schema as a part of the page of its own."""
    inner = inline(schema.get("description", "")) if isinstance(schema, dict) else ""
    shown = f"<p>{inner}</p>" if inner else ""
    if isinstance(schema, dict) and name.startswith(("input.", "result.")):
        shown = block(pretty(schema))
    elif isinstance(schema, dict) and "properties" in schema:
        shown += members(schema)
    else:
        shown += f"<p>{kind(schema)}</p>"
    return f'<section id="{escape(anchor(name))}">{folded(code(name), shown)}</section>'
