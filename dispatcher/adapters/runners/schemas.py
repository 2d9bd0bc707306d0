"""JSON Schema (draft 2020-12) of what handlers take and give, from their annotations."""

from __future__ import annotations

import importlib
import types
from collections import Counter
from collections.abc import Iterator
from inspect import Parameter
from typing import Any, Final, Never, NoReturn, Union, get_args, get_origin

import msgspec

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_UNDESCRIBED: Final = (Any, object, Parameter.empty, NoReturn, Never)
"""Annotations that say nothing about the JSON."""

_DEFINITION: Final = "#/$defs/"


def says_nothing(annotation: Any) -> bool:
    """Whether any JSON will do: without an annotation, or one such as `Any`."""
    return any(annotation is each for each in _UNDESCRIBED)


def input_schema(annotation: Any) -> bytes | None:
    """The schema of an input, as JSON; None where any JSON will do.

    Raises:
        TypeError: JSON can't be read as such a type.
    """
    return _schema(annotation, output=False)


def result_schema(annotation: Any) -> bytes | None:
    """The schema of a result, as JSON; None where it may be any JSON.

    Raises:
        TypeError: it can't be told how such a type is written as JSON.
    """
    return _schema(annotation, output=True)


def pydantic_adapter(annotation: Any) -> Any | None:
    """A pydantic `TypeAdapter` if `annotation` is or contains a pydantic type, else None.

    pydantic is optional: whoever has such a type has imported it, so it is never imported first
    by us.
    """
    if not _mentions_pydantic(annotation):
        return None
    return importlib.import_module("pydantic").TypeAdapter(annotation)


def _mentions_pydantic(annotation: Any) -> bool:
    # Models and pydantic's own dataclasses have it; msgspec would skip the validators of both.
    if isinstance(annotation, type) and hasattr(annotation, "__pydantic_validator__"):
        return True
    return any(_mentions_pydantic(each) for each in get_args(annotation))


def _schema(annotation: Any, *, output: bool) -> bytes | None:
    if says_nothing(annotation):
        return None
    adapter = pydantic_adapter(annotation)
    if adapter is not None:
        schema = adapter.json_schema(mode="serialization" if output else "validation")
    else:
        schema = _unfold(_of_msgspec(annotation, output=output))
    if not schema:
        return None
    return msgspec.json.encode({"$schema": DIALECT} | schema)


def _of_msgspec(annotation: Any, *, output: bool) -> dict[str, Any]:
    try:
        return msgspec.json.schema(annotation)
    except TypeError:
        # A union of several dataclasses can't be told apart when it is read, but can be written.
        if not output or get_origin(annotation) not in {Union, types.UnionType}:
            raise
    members, definitions = msgspec.json.schema_components(get_args(annotation))
    return {"anyOf": list(members), "$defs": definitions}


def _unfold(schema: dict[str, Any]) -> dict[str, Any]:
    """Put definitions that are used once where they are used, for people to read.

    What is used more often, and so whatever is recursive, stays under `$defs`.
    """
    definitions: dict[str, Any] = schema.get("$defs", {})
    used = Counter(_references(schema))
    single = {name for name in definitions if used[_DEFINITION + name] == 1}

    def put(part: Any) -> Any:
        if isinstance(part, list):
            return [put(each) for each in part]
        if not isinstance(part, dict):
            return part
        name = str(part.get("$ref", "")).removeprefix(_DEFINITION)
        if name in single:
            beside = {key: value for key, value in part.items() if key != "$ref"}
            return put(definitions[name]) | beside
        return {key: put(value) for key, value in part.items()}

    unfolded: dict[str, Any] = put({key: part for key, part in schema.items() if key != "$defs"})
    kept = {name: put(part) for name, part in definitions.items() if name not in single}
    return unfolded | ({"$defs": kept} if kept else {})


def _references(part: Any) -> Iterator[str]:
    """Every mention of a definition, those in the mapping of a `discriminator` included."""
    if isinstance(part, str):
        if part.startswith(_DEFINITION):
            yield part
    elif isinstance(part, list):
        for each in part:
            yield from _references(each)
    elif isinstance(part, dict):
        for each in part.values():
            yield from _references(each)
