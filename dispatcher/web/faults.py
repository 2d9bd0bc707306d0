"""Every fault of a body at once: the decoder stops at the first, so the rest is looked for here.

Only a body that the decoder refused comes here; it is taken apart along the same types.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec
from msgspec import Raw, Struct

from dispatcher.core.errors import FieldError
from dispatcher.core.submission import pointer

MAX_FAULTS: Final = 100
"""More than these are not looked for, so that a small body makes no huge answer."""

_JSON_WORDS: Final = {
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "bool": "a boolean",
    "null": "null",
    "array": "an array",
    "object": "an object",
}
_EXACT: Final = 2**53  # beyond it a float stands for several integers
_QUOTED: Final = re.compile("`([^`]*)`")
_END_AGAIN: Final = (
    r"(?!\\n)"  # of `wire.NAME_PATTERN`, as the decoder quotes it: says nothing to callers
)
_PLACE: Final = re.compile(r" - at `[^`]*`$")


def find_faults(raw: bytes, kind: Any, *at: str | int) -> tuple[Any, list[FieldError]]:
    """What is good of the JSON `raw` as a `kind`, and everything that is wrong with it.

    The good is a whole value if nothing is wrong. Of an object it is the dict of the members that
    are right, by the names of their fields, and of a list of numbers the list; else None.
    """
    try:
        return msgspec.json.decode(raw, type=kind, strict=True), []
    except msgspec.ValidationError as error:
        first = error
    plain = _plain(kind)
    good: Any = None
    faults: list[FieldError] = []
    if _is_struct(plain) and raw.lstrip()[:1] == b"{":
        good, faults = _of_members(raw, plain, at)
    elif get_origin(plain) is list and raw[:1] == b"[":
        items = msgspec.json.decode(raw, type=list[Raw])
        found, faults = _of_items(enumerate(items), get_args(plain)[0], at)
        if get_args(plain)[0] is float:  # a wrong one as 0, so that the others keep their places
            good = [found.get(index, 0.0) for index in range(len(items))]
    elif get_origin(plain) is dict and raw[:1] == b"{":
        members = msgspec.json.decode(raw, type=dict[str, Raw])
        good, faults = _of_items(members.items(), get_args(plain)[1], at)
    return good, faults[:MAX_FAULTS] or [_fault(first, plain, at)]


def whole_numbers(raw: bytes, kind: Any) -> bytes:
    """The same JSON with `2.0` written as `2` where `kind` has an integer.

    They are the same number (JSON Schema 2020-12, core, 6.3), and the decoder wants the latter.
    What else stands in it keeps its bytes.
    """
    plain = _plain(kind)
    if plain is int:
        try:
            value = float(raw)
        except ValueError:
            return raw
        return b"%d" % value if value.is_integer() and abs(value) < _EXACT else raw
    if not _is_struct(plain) or raw.lstrip()[:1] != b"{":
        return raw
    kinds = {field.encode_name: field.type for field in msgspec.structs.fields(plain)}
    members = msgspec.json.decode(raw, type=dict[str, Raw])
    return msgspec.json.encode(
        {
            name: Raw(whole_numbers(bytes(member), kinds[name])) if name in kinds else member
            for name, member in members.items()
        }
    )


def _of_members(
    raw: bytes, kind: type[Struct], at: tuple[str | int, ...]
) -> tuple[dict[str, Any], list[FieldError]]:
    members = msgspec.json.decode(raw, type=dict[str, Raw])
    good: dict[str, Any] = {}
    faults: list[FieldError] = []
    for field in msgspec.structs.fields(kind):
        name = field.encode_name
        member = members.pop(name, None)
        if member is None:
            if field.required:
                faults.append(FieldError(pointer(*at, name), "missing", f"{name} is missing."))
            continue
        value, wrong = find_faults(bytes(member), field.type, *at, name)
        faults += wrong
        if not wrong:
            good[field.name] = value
        elif value is not None:
            kept = _plain(field.type)
            if not _is_struct(kept):
                good[field.name] = value
            elif all(each.name in value for each in _required(kept)):
                good[field.name] = kept(**value)
    known = ", ".join(field.encode_name for field in msgspec.structs.fields(kind))
    for name in members:
        if len(faults) >= MAX_FAULTS:
            break
        faults.append(
            FieldError(
                pointer(*at, name),
                "unknown-field",
                f"There is no such field; there are: {known or 'none'}.",
            )
        )
    return good, faults


def _of_items(
    items: Iterable[tuple[Any, Raw]], kind: Any, at: tuple[str | int, ...]
) -> tuple[dict[Any, Any], list[FieldError]]:
    """Of a list or an object of values of one kind: the right ones, and the faults of the others.

    What comes after the last fault that is told is not looked at.
    """
    good: dict[Any, Any] = {}
    faults: list[FieldError] = []
    for key, item in items:
        value, wrong = find_faults(bytes(item), kind, *at, key)
        faults += wrong
        if not wrong:
            good[key] = value
        if len(faults) >= MAX_FAULTS:
            break
    return good, faults


def _required(kind: type[Struct]) -> list[msgspec.structs.FieldInfo]:
    return [each for each in msgspec.structs.fields(kind) if each.required]


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _plain(kind: Any) -> Any:
    """The type without its annotations and without `| None`."""
    while True:
        origin = get_origin(kind)
        if origin is Annotated:
            kind = get_args(kind)[0]
        elif origin in (Union, types.UnionType):
            absent = (types.NoneType, msgspec.UnsetType)
            kind = next(each for each in get_args(kind) if each not in absent)
        else:
            return kind


def _fault(error: msgspec.ValidationError, kind: Any, at: tuple[str | int, ...]) -> FieldError:
    text = _PLACE.sub("", str(error))
    if isinstance(kind, type) and issubclass(kind, Enum) and "enum value" in text:
        allowed = ", ".join(str(each.value) for each in kind)
        return FieldError(pointer(*at), "unknown-value", f"It must be one of: {allowed}.")
    detail = _QUOTED.sub(lambda match: _in_words(match[1]), text).replace(_END_AGAIN, "")
    return FieldError(pointer(*at), _code(text), f"{detail}.")


def _in_words(kind: str) -> str:
    return " or ".join(_JSON_WORDS.get(each, each) for each in kind.split(" | "))


def _code(text: str) -> str:
    """A stable word for what the decoder says of one value."""
    if ", got " in text:
        return "wrong-type"
    if "regex" in text:
        return "bad-format"
    if "of length" in text:
        return "bad-length"
    if "<" in text or ">" in text or "out of range" in text:
        return "out-of-range"
    return "invalid"
